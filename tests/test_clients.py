"""Every client answers m inputs with m answers, in order, and fails with our errors only."""

import json
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import dialects
import joblib
import numpy as np
import onnx
import pytest
import skl2onnx
import skops.io
import torch
from probe_match.clients import function, gradio, mlflow, oip, replay, rest, sagemaker, v1
from probe_match.clients import onnx as onnx_client
from probe_match.clients import sklearn as sklearn_client
from probe_match.clients import torch as torch_client
from probe_match.fingerprinting import collect, registry
from probe_match.fingerprinting.errors import BadData, SuiteMismatch, TargetError, UsageError
from probe_match.fingerprinting.oip_server import serve
from probe_match.fingerprinting.records import InputSpec, ProbeSuite
from sklearn.datasets import load_digits
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

SECRET = "sk-canary-5f2d"
DIGITS = InputSpec("image", (64,))
CHAT = {"anthropic", "ollama", "openai", "tgi"}


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


@pytest.fixture(scope="module")
def model(digits: Any) -> LogisticRegression:
    return LogisticRegression(max_iter=50, tol=1e-2).fit(*digits)


@pytest.fixture(scope="module")
def onnx_file(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Writes an estimator as ONNX; by default the digit model."""

    def write(estimator: Any = model, zipmap: bool = False, width: int = 64) -> str:
        path = tmp_path_factory.mktemp("onnx") / "model.onnx"
        given = [("X", skl2onnx.common.data_types.FloatTensorType([None, width]))]
        options = {} if zipmap else {id(estimator): {"zipmap": False}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = skl2onnx.convert_sklearn(estimator, initial_types=given, options=options)
        path.write_bytes(graph.SerializeToString())
        return str(path)

    return write


def module_of(model: LogisticRegression) -> torch.nn.Module:
    linear = torch.nn.Linear(64, 10)
    linear.weight.data = torch.tensor(model.coef_, dtype=torch.float32).contiguous()
    linear.bias.data = torch.tensor(model.intercept_, dtype=torch.float32)
    return torch.nn.Sequential(linear, torch.nn.Dropout(0.5))


def exported(module: torch.nn.Module, path: Path, rows: int = 4, **dynamic: Any) -> str:
    program = torch.export.export(module.eval(), (torch.zeros(rows, 64),), **dynamic)
    torch.export.save(program, path)
    return str(path)


def suite_of(inputs: np.ndarray, spec: InputSpec = DIGITS, classes: tuple[str, ...] = ()) -> ProbeSuite:
    n = len(inputs)
    return ProbeSuite("s", "uniform", 0, spec, inputs, ("uniform",) * n, np.ones(n), None, classes)


@pytest.fixture
def every_client(model: Any, digits: Any, onnx_file: Any, tmp_path: Path) -> Iterator[dict[str, collect.Client]]:
    """The digit model behind each client there is, by the client's name."""
    suite = suite_of(digits[0][:300])
    replay.record(tmp_path / "r.jsonl", suite, collect.collect(sklearn_client.wrap(model), suite))
    skops.io.dump(model, tmp_path / "m.skops")
    with ExitStack() as stack:
        url = stack.enter_context(serve({"digits": model.predict_proba}, (64,)))
        server = stack.enter_context(dialects.speaking(model.predict_proba)).url
        (tmp_path / "mine.json").write_text('{"request": {"rows": "$INPUTS"}, "answer": "$.out[*].p"}')
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in (
            ("ACCESS_KEY_ID", "a"),
            ("SECRET_ACCESS_KEY", "b"),
            ("ENDPOINT_URL_SAGEMAKER_RUNTIME", server),
        ):
            patch.setenv(f"AWS_{name}", value)
        yield {
            "gradio": gradio.connect(server),
            "mlflow": mlflow.connect(server),
            "rest": rest.connect(f"{tmp_path / 'mine.json'}@{server}/mine"),
            "sagemaker": sagemaker.connect("eu-west-1/digits"),
            "v1": v1.connect(server),
            "function": function.wrap(model.predict_proba, name="digits"),
            "oip": oip.connect(f"{url}/v2/models/digits"),
            "onnx": onnx_client.connect(onnx_file()),
            "replay": replay.connect(str(tmp_path / "r.jsonl")),
            "sklearn": sklearn_client.connect(str(tmp_path / "m.skops")),
            "torch": torch_client.connect(exported(module_of(model), tmp_path / "m.pt2")),
        }


def test_every_client_answers_each_input_in_order(every_client: Any, digits: Any, model: Any) -> None:
    """Whatever stands in between, input i gets the model's answer to input i, for one row as for many."""
    x = digits[0][:300]
    for name, client in every_client.items():
        for rows in (x, x[7:8], x[::-1]):
            asked = collect.ask(client, rows, DIGITS)

            assert np.array_equal(asked.labels, model.predict(rows)), name
            assert asked.scores == pytest.approx(model.predict_proba(rows), abs=1e-4), name
        client.close()


def test_every_client_there_is_stands_in_these_tests(every_client: Any) -> None:
    """
    A new file in clients/ needs a line in the fixture above; language models are in test_chat_clients.py, and what
    takes only texts in test_clients_of_servers.py; gRPC has test_oip_grpc.py.
    """
    assert sorted({*every_client, *CHAT, "hf", "oip_grpc"}) == registry.available("clients")


def test_every_client_speaks_the_protocol(every_client: Any) -> None:
    """Each has the attributes that collect and the matcher read, and names its kind in its target."""
    for name, client in every_client.items():
        assert isinstance(client, collect.Client)
        assert client.target.startswith(f"{name}:")
        assert client.access in ("label", "scores")
        assert client.shape in ((64,), None)
        assert client.batch > 0


def test_wrong_inputs_fail_with_our_error(every_client: Any) -> None:
    """Rows of another width are the target's refusal, never a traceback of the package behind it."""
    for client in every_client.values():
        with pytest.raises(TargetError):
            client.ask(np.zeros((3, 5), np.float32))


def test_no_client_shows_the_key(every_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is in nothing that a client says about itself or about a failure."""
    monkeypatch.setenv("PROBE_MATCH_API_KEY", SECRET)
    url = every_client["oip"].target.removeprefix("oip:")
    with_key = oip.connect(url)

    for client in (*every_client.values(), with_key):
        with pytest.raises(TargetError) as caught:
            client.ask(np.zeros((3, 5), np.float32))
        assert SECRET not in repr(client) + str(vars(client)) + client.target + str(caught.value)
    assert SECRET not in repr(with_key._transport)
    with_key.close()


# --- scikit-learn ---------------------------------------------------------------------------------------------------


def test_estimators_of_many_kinds_survive_skops(digits: Any, tmp_path: Path) -> None:
    """What scikit-learn ships needs no --allow-pickle, helpers in compiled code included."""
    x, y = digits[0][:200], digits[1][:200]
    for estimator in (
        RandomForestClassifier(3, random_state=0),
        KNeighborsClassifier(),
        HistGradientBoostingClassifier(max_iter=2),
        GradientBoostingClassifier(n_estimators=2),
        make_pipeline(StandardScaler(), SVC()),
        MLPClassifier((4,), max_iter=400, tol=0.05, random_state=0),
    ):
        skops.io.dump(estimator.fit(x, y), tmp_path / "m.skops")

        client = sklearn_client.connect(str(tmp_path / "m.skops"))

        assert np.array_equal(collect.ask(client, x, DIGITS).labels, estimator.predict(x))


def test_nothing_slow_is_imported_for_a_table(digits: Any, tmp_path: Path) -> None:
    """Reading a skops file and enrolling need neither torch nor dask; scikit-learn finds its adapters afterwards."""
    x, y = digits
    skops.io.dump(DecisionTreeClassifier(max_depth=2).fit(x, y), tmp_path / "m.skops")
    program = (
        "import sys\n"
        "from probe_match.clients import sklearn\n"
        "from probe_match.fingerprinting.commands import _session\n"
        f"sklearn.connect({str(tmp_path / 'm.skops')!r}), _session.generators('tabular')\n"
        "print([name for name in ('torch', 'dask') if name in sys.modules])\n"
        "from sklearn.externals.array_api_compat import torch\n"
        "print(hasattr(torch, 'asarray'))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert told.split("\n")[:2] == ["[]", "True"]


def test_a_skops_file_that_wants_a_function_is_refused_by_name(digits: Any, tmp_path: Path) -> None:
    """An estimator calls the functions it holds, so none is taken from a file."""
    hostile = make_pipeline(FunctionTransformer(np.savetxt, check_inverse=False), LogisticRegression())
    for transform in (np.savetxt, json.loads):
        hostile.steps[0][1].func = transform
        skops.io.dump(hostile, tmp_path / "m.skops")

        with pytest.raises(BadData, match=transform.__name__):
            sklearn_client.connect(str(tmp_path / "m.skops"))


def test_pickles_need_permission(model: Any, tmp_path: Path) -> None:
    """A joblib file is refused with the way out, and works once it is allowed."""
    path = str(tmp_path / "m.joblib")
    joblib.dump(model, path)

    with pytest.raises(UsageError, match="--allow-pickle"):
        sklearn_client.connect(path)
    assert sklearn_client.connect(path, allow_pickle=True).classes == tuple("0123456789")


def test_broken_model_files_are_bad_data(tmp_path: Path) -> None:
    """A file that is no model says so in our words, whatever its suffix."""
    for suffix, connect in (
        (".skops", sklearn_client.connect),
        (".onnx", onnx_client.connect),
        (".pt2", torch_client.connect),
        (".npz", replay.connect),
        (".jsonl", replay.connect),
    ):
        path = tmp_path / f"m{suffix}"
        for content in (b"", b"junk" * 50, b"PK\x03\x04" + b"\0" * 40):
            path.write_bytes(content)

            with pytest.raises(BadData):
                connect(str(path))
        with pytest.raises(BadData):
            connect(str(tmp_path / f"missing{suffix}"))


def test_decision_values_become_scores(digits: Any) -> None:
    """Without probabilities, the decision function gives scores whose order is the estimator's own."""
    x, y = digits[0][:300], digits[1][:300]
    many, two = LinearSVC().fit(x, y), LinearSVC().fit(x, y % 2)

    assert np.array_equal(collect.ask(sklearn_client.wrap(many), x, DIGITS).scores.argmax(1), many.predict(x))
    expected = 1 / (1 + np.exp(-two.decision_function(x)))
    assert collect.ask(sklearn_client.wrap(two), x, DIGITS).scores[:, 1] == pytest.approx(expected, abs=1e-4)


def test_labels_keep_their_names(digits: Any) -> None:
    """Named classes come back as names, and their columns are found by name."""
    names = np.array(["odd" if y % 2 else "even" for y in digits[1]])
    client = sklearn_client.wrap(DecisionTreeClassifier(max_depth=3).fit(digits[0], names))

    asked = collect.ask(client, digits[0][:50], DIGITS, classes=("odd", "even"))

    assert client.classes == ("even", "odd")
    assert np.array_equal(asked.labels, client.estimator.predict(digits[0][:50]) == "even")
    assert np.array_equal(asked.scores.argmax(1), asked.labels)


def test_a_text_pipeline_takes_texts() -> None:
    """A pipeline that begins with a vectoriser has the shape of texts."""
    texts = ["free software", "a warm day", "software licence", "rain and sun"] * 3
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [0, 1, 0, 1] * 3)
    client = sklearn_client.wrap(pipeline)

    assert client.shape == ()
    assert collect.ask(client, texts, InputSpec("text")).labels.tolist() == [0, 1, 0, 1] * 3


def test_a_regressor_gives_its_numbers(digits: Any) -> None:
    """They are no labels, and asking it for classes is refused."""
    x, y = digits
    model = LinearRegression().fit(x, y)
    client = sklearn_client.wrap(model)
    spec = InputSpec("tabular", x.shape[1:], low=(0.0,), high=(16.0,), output="number")
    asked = collect.ask(client, x[:5], spec)

    assert asked.scores is not None
    np.testing.assert_allclose(asked.scores[:, 0], model.predict(x[:5]), rtol=1e-4)
    with pytest.raises(TargetError, match="is a regressor"):
        collect.require_fit(client, replace(spec, output="classes"))


def test_what_does_not_predict_is_refused() -> None:
    """Transformers are turned away when wrapped."""
    with pytest.raises(UsageError, match="predict"):
        sklearn_client.wrap(StandardScaler())


# --- ONNX -----------------------------------------------------------------------------------------------------------


def test_zipmap_and_tensor_outputs_agree(onnx_file: Any, digits: Any) -> None:
    """Both forms in which skl2onnx writes probabilities are read, and a zipmap names its columns."""
    x = digits[0][:100]
    mapped, plain = onnx_client.connect(onnx_file(zipmap=True)), onnx_client.connect(onnx_file())

    first, second = (collect.ask(client, x, DIGITS) for client in (mapped, plain))

    assert np.array_equal(first.scores, second.scores)
    assert np.array_equal(first.labels, second.labels)
    assert mapped.classes == tuple("0123456789")
    assert mapped.shape == plain.shape == (64,)


def test_a_fixed_batch_is_met_by_padding(onnx_file: Any, digits: Any, tmp_path: Path, model: Any) -> None:
    """A graph that takes exactly seven rows answers any number of them."""
    graph = onnx.load(onnx_file())
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 7
    onnx.save(graph, tmp_path / "fixed.onnx")

    client = onnx_client.connect(str(tmp_path / "fixed.onnx"))

    for m in (1, 7, 30):
        assert np.array_equal(collect.ask(client, digits[0][:m], DIGITS).labels, model.predict(digits[0][:m]))


def test_onnx_tensors_in_other_files_are_refused(tmp_path: Path) -> None:
    """A graph may not name a path to read, at whatever depth the tensor hides."""
    secret = tmp_path / "secret"
    secret.write_bytes(np.ones(20, np.float32).tobytes())
    weight = onnx.numpy_helper.from_array(np.ones((2, 10), np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="secret")
    inner = onnx.helper.make_graph([], "inner", [], [], [weight])
    x = onnx.helper.make_tensor_value_info("x", 1, [None, 2])
    y = onnx.helper.make_tensor_value_info("y", 1, [None, 10])
    multiply = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    hidden = onnx.helper.make_node("If", ["c"], ["w"], then_branch=inner, else_branch=inner)
    constant = onnx.helper.make_node("Constant", [], ["w"], value=weight)

    for name, graph in (
        ("initializer", onnx.helper.make_graph([multiply], "g", [x], [y], [weight])),
        ("subgraph", onnx.helper.make_graph([hidden, multiply], "g", [x], [y])),
        ("attribute", onnx.helper.make_graph([constant, multiply], "g", [x], [y])),
    ):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(onnx.helper.make_model(graph).SerializeToString())

        with pytest.raises(BadData, match="other files"):
            onnx_client.connect(str(path))


def test_a_feature_called_location_is_not_external_data(tmp_path: Path) -> None:
    """The word alone is no reason to refuse a graph."""
    x = onnx.helper.make_tensor_value_info("location", 1, [None, 2])
    y = onnx.helper.make_tensor_value_info("y", 1, [None, 2])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Softmax", ["location"], ["y"])], "g", [x], [y])
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())

    scores = onnx_client.connect(str(tmp_path / "m.onnx")).ask(np.zeros((3, 2), np.float32)).scores

    assert scores == pytest.approx(np.full((3, 2), 0.5))


# --- torch ----------------------------------------------------------------------------------------------------------


def test_programs_with_any_batch_answer_any_number(digits: Any, model: Any, tmp_path: Path) -> None:
    """Exported with a fixed, a bounded or a free batch, a program gives the module's own answers."""
    module = module_of(model)
    bounded = ({0: torch.export.Dim("rows", min=2, max=5)},)
    free = ({0: torch.export.Dim.DYNAMIC},)
    for dynamic in (None, bounded, free):
        path = exported(module, tmp_path / "m.pt2", dynamic_shapes=dynamic)
        client = torch_client.connect(path)
        for m in (1, 3, 301):
            expected = torch.softmax(module(torch.from_numpy(digits[0][:m])), 1).detach().numpy()

            assert collect.ask(client, digits[0][:m], DIGITS).scores == pytest.approx(expected, abs=1e-5)


def test_forward_is_differentiable(digits: Any, model: Any, tmp_path: Path) -> None:
    """The gradient of a logit of a linear model is its row of weights, through a padded program too."""
    wrapped = torch_client.wrap(module_of(model), (64,))
    loaded = torch_client.connect(exported(module_of(model), tmp_path / "m.pt2", rows=4))
    for client in (wrapped, loaded):
        x = torch.tensor(digits[0][:6], device=client.device, requires_grad=True)

        client.forward(x)[:, 3].sum().backward()

        assert x.grad.cpu().numpy() == pytest.approx(np.tile(model.coef_[3], (6, 1)), abs=1e-5)


def test_a_wrapped_module_is_asked_in_eval_mode(model: Any, digits: Any) -> None:
    """Dropout would make every answer another one."""
    client = torch_client.wrap(module_of(model).train(), (64,))

    assert np.array_equal(client.ask(digits[0][:9]).scores, client.ask(digits[0][:9]).scores)
    assert isinstance(client.module, torch.nn.Module)


def test_a_module_without_class_scores_is_refused() -> None:
    """A matrix per input is no answer, and one number per input none to which class."""
    matrices = torch.nn.Sequential(torch.nn.Linear(64, 4), torch.nn.Unflatten(1, (2, 2)))
    number = torch.nn.Linear(64, 1)
    torch.nn.init.constant_(number.bias, 7.0)
    with pytest.raises(TargetError, match=r"\(m, k\)"):
        torch_client.wrap(matrices).ask(np.zeros((2, 64), np.float32))
    with pytest.raises(TargetError, match="one number per input, such as 7"):
        collect.ask(torch_client.wrap(number), np.zeros((2, 64), np.float32), InputSpec("tabular", (64,)))


def test_torch_pickles_need_permission(model: Any, digits: Any, tmp_path: Path) -> None:
    """A .pt file with a module is refused with the way out; one with weights alone says what is missing."""
    path = str(tmp_path / "m.pt")
    torch.save(module_of(model), path)

    with pytest.raises(UsageError, match="--allow-pickle"):
        torch_client.connect(path)
    assert torch_client.connect(path, allow_pickle=True).ask(digits[0][:2]).scores.shape == (2, 10)

    torch.save(module_of(model).state_dict(), path)
    with pytest.raises(BadData, match="architecture"):
        torch_client.connect(path, allow_pickle=True)


def edited(path: str, name: str, change: Callable[[bytes], bytes]) -> str:
    """A copy of a .pt2 archive with one record changed."""
    target = path.replace(".pt2", "-edited.pt2")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        assert any(member.filename.endswith(name) for member in source.infolist())
        for member in source.infolist():
            data = source.read(member)
            copy.writestr(member.filename, change(data) if member.filename.endswith(name) else data)
    return target


class Canary:
    """Writes a file when unpickled."""

    path = ""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


def test_a_pt2_archive_that_would_run_code_is_refused(model: Any, tmp_path: Path) -> None:
    """Pickles, foreign functions and evaluated text in an archive are found before anything of it runs."""
    canary = tmp_path / "ran"
    Canary.path = str(canary)
    torch.save((Canary(),), tmp_path / "pickle")
    pickled = (tmp_path / "pickle").read_bytes()
    free = ({0: torch.export.Dim.DYNAMIC},)
    good = exported(module_of(model), tmp_path / "m.pt2", dynamic_shapes=free)
    code = f"__import__('pathlib').Path('{canary}').touch()"

    def nodes(target: str) -> Callable[[bytes], bytes]:
        return lambda data: data.replace(b"torch.ops.aten.linear.default", target.encode())

    for name, change in (
        ("sample_inputs/model.pt", lambda _: pickled),
        ("model_weights_config.json", lambda data: data.replace(b'"use_pickle": false', b'"use_pickle": true')),
        ("models/model.json", nodes("torch.os.system")),
        ("models/model.json", nodes("torch.load")),
        ("models/model.json", nodes("torch.ops.aten.from_file.default")),
        ("models/model.json", nodes("torch.ops.aten.__class__.mro")),
        ("models/model.json", nodes("_operator.attrgetter")),
        ("models/model.json", lambda d: d.replace(b'"expr_str": "', b'"expr_str": "' + code.encode() + b"+")),
        ("models/model.json", lambda d: d.replace(b'"expr_str": "', b'"expr_str": "9**9**9+')),
    ):
        with pytest.raises(BadData, match="--allow-pickle"):
            torch_client.connect(edited(good, name, change))
    assert not canary.exists()
    assert torch_client.connect(edited(good, "models/model.json", bytes)).shape == (64,)


# --- replay ---------------------------------------------------------------------------------------------------------


def test_a_recording_answers_by_content(digits: Any, model: Any, tmp_path: Path) -> None:
    """Asked in another order, in part, and after a detour through a file, it answers as the model did."""
    suite = suite_of(digits[0][:40])
    first = collect.collect(sklearn_client.wrap(model), suite)
    replay.record(tmp_path / "r.jsonl", suite, first)
    client = replay.connect(str(tmp_path / "r.jsonl"))

    again = collect.collect(client, suite, rng=np.random.default_rng(1))
    part = collect.collect(client, suite, rows=np.array([5, 3]))

    assert client.suite == suite.digest
    assert np.array_equal(again.labels, first.labels)
    assert np.array_equal(again.scores, first.scores)
    assert np.array_equal(part.labels[[3, 5]], first.labels[[3, 5]])


def test_repeats_come_back_one_by_one(tmp_path: Path) -> None:
    """The r-th time an input is asked gives the r-th recorded answer, and then from the start."""
    lines = [{"x": [0.5, 1.0], "label": label} for label in (3, 1, 2)]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, lines)))
    client = replay.connect(str(tmp_path / "r.jsonl"))
    row = np.array([[0.5, 1.0]], np.float32)

    assert client.access == "label"
    assert client.shape == (2,)
    assert [client.ask(row).labels.item() for _ in range(5)] == [3, 1, 2, 3, 1]


def test_named_labels_and_categories_survive_a_recording(tmp_path: Path) -> None:
    """Rows of mixed types are found again, and labels are recorded by name."""
    spec = InputSpec("tabular", (2,), (0.0, 0.0), (9.0, 1.0), ("age", "town"), ((), ("Bern", "Oslo")))
    suite = suite_of(np.array([[4, 0], [4, 1]], np.float32), spec, ("no", "yes"))
    asked = function.wrap(lambda rows: np.array(["yes" if row[1] == "Oslo" else "no" for row in rows]))
    replay.record(tmp_path / "r.jsonl", suite, collect.collect(asked, suite))

    client = replay.connect(str(tmp_path / "r.jsonl"))

    assert client.classes == ("no", "yes")
    assert collect.collect(client, suite).labels[:, 0].tolist() == [0, 1]


def test_unknown_and_unanswered_inputs_are_errors(tmp_path: Path) -> None:
    """A recording never makes up an answer."""
    (tmp_path / "r.jsonl").write_text('{"x": "hello", "label": 1}\n{"x": "silence", "label": null}\n')
    client = replay.connect(str(tmp_path / "r.jsonl"))

    assert client.ask(["hello"]).labels.tolist() == [1]
    with pytest.raises(TargetError, match="no answer to input 1"):
        client.ask(["hello", "good bye"])
    with pytest.raises(TargetError, match="gave none"):
        client.ask(["silence"])


def test_arrays_are_a_recording_too(digits: Any, model: Any, tmp_path: Path) -> None:
    """An .npz file with x and scores, or repeated labels, can be replayed."""
    x = digits[0][:20]
    np.savez(tmp_path / "s.npz", x=x, scores=model.predict_proba(x))
    np.savez(tmp_path / "l.npz", x=x, labels=np.stack([model.predict(x), np.zeros(20, int)], 1))
    scored, labelled = (replay.connect(str(tmp_path / name)) for name in ("s.npz", "l.npz"))

    assert np.array_equal(collect.ask(scored, x[::-1], DIGITS).labels, model.predict(x[::-1]))
    assert np.array_equal(labelled.ask(x).labels, model.predict(x))
    assert not labelled.ask(x).labels.any()


def test_answers_to_another_suite_are_not_recorded(digits: Any, model: Any, tmp_path: Path) -> None:
    """A recording holds the suite it claims to hold."""
    answers = collect.collect(sklearn_client.wrap(model), suite_of(digits[0][:5]))

    with pytest.raises(SuiteMismatch):
        replay.record(tmp_path / "r.jsonl", suite_of(digits[0][:6]), answers)


@pytest.mark.parametrize(
    "line",
    ['{"x": [1, 2]', "[1]", '{"probe": 1}', '{"input": "a", "labels": 3}', "[" * 9999, '{"x": [1, [2]], "label": 1}',
     '{"schema": "other/9", "shape": []}', '{"x": [1], "label": 1, "scores": [[1]]}', '{"x": [NaN], "label": 1}'],
)  # fmt: skip
def test_broken_recordings_are_bad_data(line: str, tmp_path: Path) -> None:
    """A line that is no recorded answer is named by its number; a file of another version by that."""
    (tmp_path / "r.jsonl").write_text(line + "\n")

    with pytest.raises(BadData, match="other/9" if "other/9" in line else "line 1"):
        replay.connect(str(tmp_path / "r.jsonl"))
