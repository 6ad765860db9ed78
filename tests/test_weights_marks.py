"""Owners' marks: whole after embedding, readable after pruning and rounding, absent from models of others."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from click.testing import CliRunner, Result
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.errors import BadData, ProbeMatchError
from probe_match.fingerprinting.weights import checking, marks, passport, regulariser, spread
from scipy.stats import binomtest

from benchmarks import weights_marks

KEY = "the owner's key of these tests"
SALT = "00" * 16


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "a.weight": rng.normal(size=(256, 200)).astype(np.float32), "a.bias": rng.normal(size=256).astype(np.float32),
        "b.weight": rng.normal(size=(64, 32, 3, 3)).astype(np.float32) / 10,
        "c.weight": rng.normal(size=(10, 64)).astype(np.float32),
    }  # fmt: skip


def run(*words: object, key: str = KEY) -> Result:
    return CliRunner().invoke(cli, ["weights", *map(str, words)], env={"PROBE_MATCH_OWNER_KEY": key})


def test_spread_spectrum_is_whole_and_survives_pruning_and_rounding() -> None:
    """No bit is wrong after embedding, few after 65 % of the weights are gone and the others have 8 bits."""
    mark = spread.choose(weights(), SALT)
    marked = spread.embed(weights(), mark, KEY)
    hurt = weights_marks.quantise(weights_marks.prune(marked, 0.65))

    assert checking.check(marked, mark, KEY).errors == 0
    assert checking.check(hurt, mark, KEY).errors <= 0.05 * marks.BITS
    assert checking.check(hurt, mark, KEY).present
    assert all(np.array_equal(marked[name], weights()[name]) for name in ("a.bias", "c.weight"))


def test_models_of_others_and_other_keys_agree_by_chance() -> None:
    """Fifty clean models and fifty wrong keys get about half of the bits wrong, and none shows the mark."""
    mark = spread.choose(weights(), SALT)
    marked = spread.embed(weights(), mark, KEY)
    found = [checking.check(weights(seed), mark, KEY) for seed in range(1, 51)]
    found += [checking.check(marked, mark, f"somebody else's key {i}") for i in range(50)]
    errors = np.array([reading.errors for reading in found]) / marks.BITS

    assert 0.4 <= errors.min() <= errors.max() <= 0.6
    assert abs(errors.mean() - 0.5) < 0.02
    assert not any(reading.present for reading in found)


def test_the_p_value_is_binomial() -> None:
    """The same as scipy's exact test."""
    bits = np.ones(marks.BITS)
    scores = np.where(np.arange(marks.BITS) < 150, 1.0, -1.0)
    reading = marks.judge(scores, bits)

    assert reading.errors == 106
    assert reading.p_value == pytest.approx(binomtest(150, marks.BITS, alternative="greater").pvalue)


def test_renamed_tensors_are_found_by_their_shape() -> None:
    """A thief's new names hide nothing; another architecture is said to be one."""
    mark = spread.choose(weights(), SALT)
    marked = spread.embed(weights(), mark, KEY)
    renamed = {f"x{i}": array for i, array in enumerate(marked.values())}

    assert checking.check(renamed, mark, KEY).errors == 0
    with pytest.raises(BadData, match="architecture"):
        checking.check({"a.weight": np.zeros((3, 3), np.float32)}, mark, KEY)


def test_small_models_are_refused() -> None:
    """A mark that would cost accuracy is not embedded."""
    with pytest.raises(BadData, match="needs at least"):
        spread.choose({"a.weight": np.ones((100, 100), np.float32)})


def test_the_command_marks_a_file_and_reads_it_back(tmp_path: Path) -> None:
    """Exit code 0 with the owner's key, 1 with another; all that carries no mark stays byte for byte."""
    arrays = weights() | {"steps": np.array([3])}
    safetensors.numpy.save_file(arrays, tmp_path / "m.safetensors", {"format": "pt"})
    embed = ("embed", tmp_path / "m.safetensors", "-o", tmp_path / "n.safetensors", "--record", tmp_path / "r.json")
    done = run(*embed)
    check = ("check", tmp_path / "n.safetensors", "--record", tmp_path / "r.json", "--json")
    mine, others = run(*check), run(*check, key="not the owner's key at all")
    after = safetensors.numpy.load_file(tmp_path / "n.safetensors")

    assert done.exit_code == 0, done.output
    assert (mine.exit_code, others.exit_code) == (0, 1)
    assert json.loads(mine.output)["wrong"] == 0
    assert KEY not in (tmp_path / "r.json").read_text() + done.output
    assert np.array_equal(after["steps"], [3])
    assert np.array_equal(after["a.bias"], arrays["a.bias"])
    assert not np.array_equal(after["a.weight"], arrays["a.weight"])


def test_the_key_must_be_in_the_environment(tmp_path: Path) -> None:
    """No key, or one that could be guessed, is a usage error."""
    safetensors.numpy.save_file(weights(), tmp_path / "m.safetensors")
    embed = ("embed", tmp_path / "m.safetensors", "-o", tmp_path / "n.safetensors", "--record", tmp_path / "r.json")

    assert run(*embed, key="").exit_code == 2
    assert isinstance(run(*embed, key="short").exception, ProbeMatchError)
    assert not (tmp_path / "n.safetensors").exists()


MODULE = """
import torch
def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(600, 160), torch.nn.ReLU(), torch.nn.Linear(160, 100), torch.nn.ReLU(),
                               torch.nn.Linear(100, 2))
"""


@pytest.mark.parametrize(("way", "layers"), [("regulariser", ["0"]), ("passport", ["0", "2"])])
def test_training_embeds_a_mark(way: str, layers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command trains the user's module until all bits read right, and the model still learns its task."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "users_net", raising=False)
    (tmp_path / "users_net.py").write_text(MODULE)
    space: dict[str, object] = {}
    exec(MODULE, space)
    net = space["build"]()  # type: ignore[operator]
    safetensors.torch.save_file(net.state_dict(), "m.safetensors")
    x = np.random.default_rng(0).normal(size=(512, 600)).astype(np.float32)
    np.savez("d.npz", x=x, y=(x[:, 0] > 0).astype(np.int64))
    named = [word for name in layers for word in ("--layer", name)]
    done = run(
        "embed", "m.safetensors", "-o", "n.safetensors", "--record", "r.json", "--way", way,
        "--module", "users_net:build", "--data", "d.npz", "--epochs", "40", *named,
    )  # fmt: skip

    assert done.exit_code == 0, (done.output, done.exception)
    assert run("check", "n.safetensors", "--record", "r.json").exit_code == 0
    assert run("check", "n.safetensors", "--record", "r.json", key="another key, as long").exit_code == 1


def test_a_passport_is_not_in_the_file() -> None:
    """Who copies the weights has not copied the passport, and another one gives other answers."""
    net = weights_marks.network(0)
    mark = passport.choose(net, ["2", "5"], SALT)
    passport.install(net, mark, KEY)
    other = weights_marks.network(0)
    passport.install(other, mark, "another key, as long")
    other.load_state_dict(net.state_dict())
    inputs = torch.rand(4, 1, 8, 8)

    assert not any("passport" in name for name in net.state_dict())
    assert not torch.allclose(net.eval()(inputs), other.eval()(inputs))


def test_the_regulariser_leaves_alone_what_stands_clearly_on_its_side() -> None:
    """Bits that are written well cost nothing whatever the layer's scale, those on the wrong side by how far."""
    module = torch.nn.Linear(600, 1, bias=False)
    mark = regulariser.choose({"weight": np.ones((2, 600), np.float32)}, salt=SALT)
    signs = regulariser._matrix(mark, KEY, 600)
    written = np.linalg.lstsq(signs, marks.signature(KEY, mark), rcond=None)[0]

    def cost(mean: np.ndarray) -> float:
        module.weight.data = torch.from_numpy(mean[None].astype(np.float32))
        with torch.no_grad():
            return float(regulariser.penalty(module, mark, KEY))

    assert cost(written) == cost(100 * written) == 0
    assert cost(-written) == pytest.approx(regulariser.MARGIN + 1 / np.linalg.norm(written), rel=1e-4)
    assert np.isfinite(cost(0 * written))


def test_a_layer_too_small_for_the_regulariser_is_refused() -> None:
    """256 bits do not fit in fewer than 512 inputs."""
    with pytest.raises(BadData, match="512"):
        regulariser.choose({"a.weight": np.ones((8, 100), np.float32)})
