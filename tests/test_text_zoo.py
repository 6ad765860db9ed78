"""The text zoo: parts that share nothing, models that load anywhere, attacks that are what they are called."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from probe_match.fingerprinting.collect import ask
from probe_match.fingerprinting.pools import load_pool
from probe_match.fingerprinting.records import InputSpec
from probe_match.fingerprinting.targets import open_target

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "zoos"))
import text
import text_models
import text_task

TEXT = InputSpec("text")


@pytest.fixture(scope="module")
def parts() -> dict[str, text_task.Part]:
    return text_task.load(None, 0, small=True)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zoo of one source, some attacks and a few honest models of two heads."""
    monkeypatch.setattr(text_models, "VICTIMS", ("bayes",))
    monkeypatch.setattr(text_models, "HEADS", {head: text_models.HEADS[head] for head in ("bayes", "linear")})
    monkeypatch.setattr(text, "SMALL", ("copy", "refit", "prune-60", "input-noise", "extract-prob", "ensemble"))


def test_parts_share_no_text_and_writers_are_told_apart(parts: dict[str, text_task.Part]) -> None:
    """The task is hard but can be learnt: far better than one in eight, far from always right."""
    texts = [text for part in parts.values() for text in part.x]
    model = text_models.fit("linear", "words", parts["A"], 1)
    accuracy = np.mean(model.predict(list(parts["R"].x)) == parts["R"].y)

    assert len(set(texts)) == len(texts)
    assert max(len(some.split()) for some in texts) <= text_task.WORDS
    assert 0.3 < accuracy < 0.85


def test_a_file_of_answers_is_read(tmp_path: Path) -> None:
    """Writers by name where they are known; what was not answered is left out, and control characters are removed."""
    rng = np.random.default_rng(0)
    answers = {f"w{i}": [f"answer {rng.integers(1 << 40)}\x00 of {i}" for _ in range(20)] for i in range(9)}
    answers["w3"][4] = None  # type: ignore[call-overload]
    (tmp_path / "answers.json").write_text(json.dumps({"outputs": answers}))
    parts = text_task.load(tmp_path / "answers.json", 0)
    texts = [text for part in parts.values() for text in part.x]

    assert len(texts) == 8 * 20 - 1
    assert not any("\0" in text for text in texts)
    assert set(np.concatenate([part.y for part in parts.values()])) == set(range(8))


def test_a_zoo_is_built_and_built_on(tmp_path: Path, quick: None) -> None:
    """All that zoo.json names loads without trust and answers; a second run makes what is missing, the same again."""
    made = text.build(tmp_path, None, small=True, quiet=True)
    zoo = json.loads((tmp_path / "zoo.json").read_text())
    pool = load_pool(tmp_path / zoo["pool"])
    answers = {}
    for line in zoo["models"]:
        assert line["target"] == f"sklearn:{line['name']}.skops"
        client = open_target(f"sklearn:{tmp_path / line['name']}.skops")
        assert client.shape == ()
        answers[line["name"]] = ask(client, pool.x, TEXT)

    assert zoo["input"] == {"kind": "text"}
    assert zoo["classes"] == 8
    assert {line["role"] for line in zoo["models"]} == {"source", "derived", "independent"}
    assert {line["data"] for line in zoo["models"] if line["role"] == "independent"} == {"same", "other"}
    source = answers["bayes-0"].labels
    alike = {name: np.mean(given.labels == source) for name, given in answers.items()}
    assert alike["bayes-0-copy"] == 1 > alike["bayes-0-prune-60"] > alike["honest-linear-other-0"]

    gone = tmp_path / f"{made[-1].name}.skops"
    before, kept = gone.read_bytes(), (tmp_path / "bayes-0.skops").stat().st_mtime_ns
    gone.unlink()
    text.build(tmp_path, None, small=True, quiet=True)
    again = ask(open_target(f"sklearn:{gone}"), pool.x, TEXT)
    assert gone.exists()
    assert len(before) > 0
    np.testing.assert_array_equal(again.scores, answers[made[-1].name].scores)
    assert (tmp_path / "bayes-0.skops").stat().st_mtime_ns == kept
    with pytest.raises(SystemExit, match="give another --output"):
        text.build(tmp_path, None, seed=1, small=True, quiet=True)


def test_attacks_do_what_their_names_say(parts: dict[str, text_task.Part]) -> None:
    """Pruning empties weights, quantising leaves few, warming keeps labels, a filter drops words."""
    model = text_models.fit("linear", "words", parts["A"], 1)
    x = list(parts["R"].x)

    def weights(twin: Any) -> np.ndarray:
        return np.asarray(twin[-1].coef_)

    pruned = text_models.changed(model, text_models.pruned(0.6))
    assert np.mean(weights(pruned) == 0) == pytest.approx(0.6, abs=0.01)
    assert len(np.unique(weights(text_models.changed(model, text_models.quantised(8))))) <= 8
    warm = text_models.warmer(model, 3.0)
    np.testing.assert_array_equal(warm.predict(x), model.predict(x))
    assert warm.predict_proba(x).max(1).mean() < model.predict_proba(x).max(1).mean()
    deaf = text_models.forgetful(model, 0.25, 0)
    assert deaf[0].transform(x).nnz < 0.95 * model[0].transform(x).nnz
    flipped = text_models.stolen(model, x, 0.1, 0)
    assert 0.8 < np.mean(flipped.y == model.predict(x)) < 1
