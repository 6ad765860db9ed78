"""The image zoo, built small: its files as a user of `bench` reads them, resuming, and refusals."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from probe_match.fingerprinting.bench.zoo import read_zoo
from probe_match.fingerprinting.pools import load_pool
from probe_match.fingerprinting.targets import open_target

torch = pytest.importorskip("torch", reason="the image zoo's networks are trained with torch")
ZOOS = Path(__file__).parents[1] / "benchmarks" / "zoos"


@pytest.fixture(scope="module")
def cifar() -> Iterator[Any]:
    """The script as a module, on one thread."""
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ZOOS))
        yield importlib.import_module("cifar")
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


@pytest.fixture(scope="module")
def zoo(cifar: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small zoo, built once."""
    folder = tmp_path_factory.mktemp("zoo")
    assert build(cifar, folder) == 0
    return folder


def build(cifar: Any, folder: Path, *more: str) -> int:
    return cifar.main(["--small", "--threads", "1", "--output", str(folder), *more])


def labels(folder: Path, name: str) -> np.ndarray:
    """What the pool's images are called by a model, asked as `bench` asks it."""
    zoo = read_zoo(folder)
    (target,) = (model.target for model in zoo.models if model.name == name)
    answers = open_target(target).ask(zoo.pool.x)
    assert answers.scores.shape == (800, 10)
    return answers.scores.argmax(1)


def test_the_index_names_every_model_and_what_it_is(zoo: Path) -> None:
    """One source, three copies of it, two honest networks each of its data and of others'."""
    models = read_zoo(zoo).models

    assert sorted((m.role, m.parent, m.attack, m.data) for m in models) == sorted([
        ("source", "", "", ""),
        ("derived", "s0", "finetune-all", ""),
        ("derived", "s0", "quantise-4", ""),
        ("derived", "s0", "extract-label", ""),
        *[("independent", "", "", data) for data in ("same", "other")] * 2,
    ])  # fmt: skip
    assert len({entry["seed"] for entry in json.loads((zoo / "zoo.json").read_text())["models"]}) == 8


def test_the_pool_is_images_in_range(zoo: Path) -> None:
    """The owner's 600 training and 200 test images, distinct, labelled, channels first, from 0 to 1."""
    pool = load_pool(zoo / "pool.npz")

    assert pool.x.shape == (800, 3, 32, 32)
    assert (pool.spec.low, pool.spec.high, pool.x.max()) == ((0.0,), (1.0,), 1.0)
    assert set(pool.y) == set(range(10))


def test_models_answer_as_what_they_are(zoo: Path) -> None:
    """The source has learnt, its rounded copy is nearly it, and an honest network is not."""
    source = labels(zoo, "s0")
    close, far = ((labels(zoo, name) == source).mean() for name in ("s0-q4", "n1"))

    assert (source == load_pool(zoo / "pool.npz").y).mean() > 0.5
    assert far + 0.1 < close < 1


def test_gradients_of_sources_are_followed(zoo: Path) -> None:
    """Adversarial probes are made of a source's file, and change what it says."""
    from probe_match.probes import adversarial

    source = open_target(f"torch:{zoo / 's0.pt2'}")
    suite = adversarial.generate(source, load_pool(zoo / "pool.npz"), n=20, seed=0)

    assert len(suite) == 20
    assert len(set(source.ask(suite.inputs).scores.argmax(1))) > 1


def test_an_interrupted_build_goes_on(zoo: Path, cifar: Any) -> None:
    """Only what is missing is made, and comes out as it was."""
    before = {path.name: path.stat().st_mtime_ns for path in zoo.glob("*.pt2")}
    index, said = (zoo / "zoo.json").read_text(), labels(zoo, "s0-q4")
    (zoo / "s0-q4.pt2").unlink()
    (zoo / "zoo.json").unlink()

    assert build(cifar, zoo) == 0
    after = {path.name: path.stat().st_mtime_ns for path in zoo.glob("*.pt2")}
    assert {name for name in after if after[name] != before[name]} == {"s0-q4.pt2"}
    assert (zoo / "zoo.json").read_text() == index
    assert np.array_equal(labels(zoo, "s0-q4"), said)


def test_another_seed_needs_another_folder(zoo: Path, cifar: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Models of two splits would be taken for one zoo."""
    assert build(cifar, zoo, "--seed", "1") == 2
    assert "choose another --output" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [([], "pass --data FILE"), (["--data", "nowhere.npz"], "cannot read images nowhere.npz")],
)
def test_missing_images_are_one_line(
    arguments: list[str], said: str, cifar: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says what to pass, and nothing is written."""
    assert cifar.main([*arguments, "--output", str(tmp_path / "zoo")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "zoo").exists()


def test_the_whole_zoo_is_as_announced(cifar: Any) -> None:
    """Three sources of different shape, 15 copies of each by 11 attacks, half of 30 strangers on the owner's images."""
    plan = cifar.models.plan(cifar.models.Settings("any", "any", 0))
    copies = [model for model in plan if model.role == "derived"]
    extracted = [model for model in copies if model.attack.startswith("extract")]
    sources = {model.name: model.learner for model in plan if model.role == "source"}

    assert len(set(sources.values())) == 3
    assert [sum(model.parent == name for model in copies) for name in sources] == [15] * 3
    assert len({model.attack for model in copies}) == 11
    assert all(model.learner != sources[model.parent] for model in extracted)
    assert [sum(model.data == data for model in plan) for data in ("same", "other")] == [15, 15]
    assert {model.learner for model in plan if model.data == "same"} == set(cifar.networks.SHAPES)
