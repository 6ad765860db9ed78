"""What an endpoint shows is what its suspect is compared on, and known models are cut to the same."""

import json
from typing import Any

import numpy as np
import pytest
import worlds
from probe_match.fingerprinting import matching
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.information import as_shown, shown
from probe_match.fingerprinting.records import Responses, spread

rng = np.random.default_rng(0)
SCORES = rng.dirichlet(np.ones(10) * 0.3, 40).astype(np.float32)


def top(scores: np.ndarray, k: int) -> np.ndarray:
    return np.where(scores >= np.sort(scores, 1)[:, -k, None], scores, np.nan).astype(np.float32)


def test_levels_are_told_apart() -> None:
    """Labels, the likeliest few, rounded and whole scores."""
    rounded = np.round(SCORES, 2)

    assert str(shown(None)) == "labels only"
    assert shown(SCORES).level == "scores"
    assert (shown(rounded).level, shown(rounded).decimals) == ("rounded", 2)
    assert (shown(top(SCORES, 3)).level, shown(top(SCORES, 3)).top) == ("top-k", 3)
    assert str(shown(np.round(top(SCORES, 3), 2))) == "top-3, rounded to 2 decimals"


def test_few_and_certain_scores_are_not_called_rounded() -> None:
    """Zeros and ones are what a tree gives; three values may be whole by chance."""
    assert shown(np.eye(10, dtype=np.float32)).level == "scores"
    assert shown(np.array([[0.25, 0.75]], np.float32)).level == "scores"


def test_hidden_classes_share_what_is_left() -> None:
    """Rows without an answer stay without one."""
    filled = spread(np.array([[0.7, np.nan, np.nan], [np.nan] * 3, [0.2, 0.3, 0.5]], np.float32))

    assert filled[0] == pytest.approx([0.7, 0.15, 0.15])
    assert np.isnan(filled[1]).all()
    assert filled[2] == pytest.approx([0.2, 0.3, 0.5])


class Shy:
    """A model of which only so many classes are shown, rounded."""

    target, access, classes, batch = "shy", "scores", (), 7
    shape = (worlds.FEATURES,)

    def __init__(self, model: Any, classes: int, decimals: int) -> None:
        self.model, self.top, self.decimals = model, classes, decimals

    def ask(self, inputs: Any) -> Answers:
        """The likeliest classes by name, as JSON."""
        rows = self.model.predict_proba(inputs)
        best = np.argsort(-rows, axis=1, kind="stable")[:, : self.top]
        rows = np.round(rows, self.decimals)
        return Answers(None, np.array([json.dumps({str(j): rows[i, j] for j in js}) for i, js in enumerate(best)]))

    def close(self) -> None:
        """Nothing is held."""


def test_a_source_that_shows_little_is_still_itself() -> None:
    """Two classes of six with one digit: the verdict says so, and calls the source identical at that sight."""
    reference = worlds.enrolled().reference
    verdict = matching.match_one(Shy(worlds.source(), 2, 1), reference, seed=1)
    honest = matching.match_one(Shy(worlds.honest()["same data, forest 10"], 2, 1), reference, seed=1)

    assert (verdict.decision, verdict.relation) == ("match", "identical")
    assert verdict.information == "top-2, rounded to 1 decimals"
    assert honest.decision != "match"


def test_known_models_are_cut_to_what_a_suspect_shows() -> None:
    """The source's own scores and its peers' have no more classes and digits than the answers."""
    reference = worlds.enrolled().reference
    few = np.round(top(np.nan_to_num(reference.answers.scores[:, 0]), 2), 1)[:, None]  # type: ignore[index]
    seen = Responses(reference.suite.digest, "t", "scores", reference.answers.labels, few,
                     reference.answers.latency, len(few))  # fmt: skip
    cut = as_shown(reference, seen)

    assert cut.panel is not None
    assert cut.panel.scores is not None
    for scores in (cut.answers.scores, cut.panel.scores):
        rows = np.round(np.asarray(scores, float), 3).reshape(-1, worlds.CLASSES)
        assert max(len(np.unique(row)) for row in rows) == 1 + (shown(few).top or 0)  # an even share for the rest
    assert as_shown(reference, seen) is cut
