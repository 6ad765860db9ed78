"""A fingerprint id names behaviour: the same behind any runtime, another after any change that shows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from probe_match.clients import function, onnx, torch
from probe_match.fingerprinting import identity, storage
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.collect import collect
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.errors import BadData, TargetError
from probe_match.fingerprinting.oip_server import serve
from probe_match.fingerprinting.records import InputSpec, ProbeSuite
from samples import make_reference, make_suite

SPEC = InputSpec("tabular", (4,), (-3.0,), (3.0,))
SUITE = make_suite(3, 40, SPEC, expected=None)


def answers(seed: int = 0) -> Any:
    """A classifier of three classes, fixed by its seed."""
    w = np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32)

    def scores(x: np.ndarray) -> np.ndarray:
        z = np.exp(x @ w)
        return z / z.sum(1, keepdims=True)

    return scores


def named(client: Any, suite: ProbeSuite = SUITE) -> identity.Identity:
    return identity.identify(collect(client, suite), suite)


def test_a_model_has_one_id_behind_every_runtime_and_server(tmp_path: Path) -> None:
    """Torch, ONNX Runtime, a real server, scores or labels: one id; the model after fine-tuning has another."""
    import torch as t

    t.manual_seed(0)
    network = t.nn.Sequential(t.nn.Linear(4, 8), t.nn.ReLU(), t.nn.Linear(8, 3))
    example = t.zeros(2, 4)
    batch = t.export.Dim("batch", min=1, max=4096)
    t.export.save(t.export.export(network, (example,), dynamic_shapes=({0: batch},)), tmp_path / "m.pt2")
    weights = [p.detach().numpy() for p in network.parameters()]
    _to_onnx(tmp_path / "m.onnx", weights)
    first = torch.connect(str(tmp_path / "m.pt2"))
    second = onnx.connect(str(tmp_path / "m.onnx"))
    third = function.wrap(lambda x: second.ask(x).scores.argmax(1))
    ids = [named(client).name for client in (first, second, third)]
    with serve({"m": lambda x: second.ask(x).scores}, (4,)) as url:
        from probe_match.fingerprinting.targets import open_target

        served = open_target(f"oip:{url}/v2/models/m")
        ids.append(named(served).name)
        served.close()
    with t.no_grad():
        for p in network.parameters():
            p.add_(0.3 * t.randn_like(p))
    tuned = function.wrap(lambda x: network(t.from_numpy(x)).softmax(1).detach().numpy())

    assert len(set(ids)) == 1
    assert named(tuned).name != ids[0]


def _to_onnx(file: Path, weights: list[np.ndarray]) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    a, b, c, d = (numpy_helper.from_array(w, n) for w, n in zip(weights, "abcd", strict=True))
    nodes = [
        helper.make_node("Gemm", ["x", "a", "b"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "c", "d"], ["z"], transB=1),
        helper.make_node("Softmax", ["z"], ["p"], axis=1),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [info("x", TensorProto.FLOAT, ["n", 4])], [info("p", TensorProto.FLOAT, ["n", 3])], [a, b, c, d]
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(file))


def test_float_noise_does_not_change_an_id() -> None:
    """Scores that differ in their sixth digit give one id."""
    model = answers()
    noise = np.random.default_rng(5)

    assert named(function.wrap(lambda x: model(x) + 1e-6 * noise.random((len(x), 3)).astype(np.float32))).name == (
        named(function.wrap(model)).name
    )


def test_an_id_depends_on_the_suite_and_every_answer() -> None:
    """Other probes or one other label: another id, and the suite can be told from it."""
    other = make_suite(4, 40, SPEC, expected=None)
    name = named(function.wrap(answers())).name

    def one_off(x: np.ndarray) -> np.ndarray:
        labels = answers()(x).argmax(1)
        labels[0] = (labels[0] + 1) % 3
        return labels

    assert named(function.wrap(answers()), other).name != name
    assert named(function.wrap(one_off)).name != name
    assert identity.is_of(name, SUITE.digest)
    assert not identity.is_of(name, other.digest)


def test_a_mistyped_id_is_noticed() -> None:
    """Any one letter changed is caught by the checksum, in capitals it is the same id."""
    name = named(function.wrap(answers())).name

    assert identity.parse(name.upper().replace("PM1", "pm1")) == name
    for i in range(4, len(name)):
        with pytest.raises(BadData):
            identity.parse(name[:i] + ("b" if name[i] == "a" else "a") + name[i + 1 :])


def test_near_ties_are_counted_and_boundaries_left_out() -> None:
    """A model of two equal scores says so; a suite of boundary points alone makes no id."""
    tied = function.wrap(lambda x: np.full((len(x), 2), 0.5, np.float32))

    assert named(tied).close == len(SUITE)
    with pytest.raises(BadData, match="off the models' boundaries"):
        named(tied, make_suite(3, 40, SPEC, expected=None, kinds=("midpoints",) * 40))


def test_a_missing_answer_makes_no_id() -> None:
    """What was not answered cannot be named."""
    responses = collect(function.wrap(answers()), SUITE, rows=np.arange(20))

    with pytest.raises(TargetError, match="20 of 40 probes unanswered"):
        identity.identify(responses, SUITE)


def test_a_regressor_is_named_by_the_order_of_its_numbers() -> None:
    """Affine changes of the scale keep the id, another function has another."""
    suite = make_suite(3, 40, InputSpec("tabular", (4,), (-3.0,), (3.0,), output="number"), expected=None)
    w = np.random.default_rng(1).normal(size=4)

    def regressor(scale: float, turn: float) -> Any:
        return function.wrap(lambda x: (scale * (x @ (w + turn * np.arange(4))) + 7).astype(np.float32))

    assert named(regressor(1, 0), suite).name == named(regressor(3, 0), suite).name
    assert named(regressor(1, 0), suite).name != named(regressor(1, 0.3), suite).name


def scores(x: np.ndarray) -> np.ndarray:
    """The target of the commands below."""
    return answers()(x)


def test_the_commands_print_show_and_check_an_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`fingerprint` prints what `verify --claim` accepts and `db show` stores; another model's claim exits with 1."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    file, target = str(tmp_path / "s.npz"), "function:test_identity:scores"
    storage.write_file(Path(file), storage.to_bytes(SUITE))
    run = CliRunner().invoke
    name = run(cli, ["fingerprint", target, "--suite", file, "-q"]).stdout.strip()
    other = named(function.wrap(answers(9))).name
    checked = [run(cli, ["verify", target, "--suite", file, "--claim", claim]) for claim in (name, other)]
    db = tmp_path / "r.db"
    public = make_suite(7, 12, expected=None)
    with open_db(db, create=True) as references:
        references.set_public_suite(public)
        references.add(make_reference("s0", 0, public))
    shown = run(cli, ["db", "show", "s0", "--db", str(db)]).stdout

    assert identity.parse(name) == name
    assert [result.exit_code for result in checked] == [0, 1]
    assert "pm1:" in shown
