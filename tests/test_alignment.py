"""Suspects that call the classes by other numbers: found out, put right, and honest ones left alone."""

from typing import Any

import numpy as np
import pytest
import worlds
from probe_match.fingerprinting import alignment
from probe_match.fingerprinting.confirming import weigh
from probe_match.fingerprinting.matching import match_one
from probe_match.fingerprinting.records import UNANSWERED

PERMUTED = np.array([3, 0, 5, 1, 2, 4])


def permuted(model: Any) -> Any:
    """A client of the model that renames its labels."""
    return worlds.client(lambda x: PERMUTED[model.predict(x)])


@pytest.fixture(scope="module")
def likelihood() -> np.ndarray:
    """Sixty probes of six classes on which honest models are split between two."""
    rng = np.random.default_rng(0)
    frequency = rng.dirichlet([0.05] * 6, 60)
    return alignment.plausible(frequency, frequency.argmax(1))


def test_likelihoods_are_probabilities(likelihood: np.ndarray) -> None:
    """One distribution per probe, no class impossible."""
    assert likelihood.sum(1) == pytest.approx(1)
    assert likelihood.min() >= alignment.UNFORESEEN / 6 - 1e-12


def test_a_permutation_is_recovered(likelihood: np.ndarray) -> None:
    """From labels alone, some of them missing."""
    rng = np.random.default_rng(1)
    said = np.array([rng.choice(6, p=row) for row in likelihood])
    labels = np.where(np.arange(60) % 10 == 0, UNANSWERED, PERMUTED[said])
    meaning = alignment.find(labels, likelihood)

    assert alignment.is_strange(labels, likelihood)
    assert meaning is not None
    assert np.array_equal(alignment.rename(labels, meaning), np.where(labels == UNANSWERED, UNANSWERED, said))


def test_models_of_the_task_are_left_alone(likelihood: np.ndarray) -> None:
    """Five hundred draws from what known models say: none is strange, none is renamed."""
    rng = np.random.default_rng(2)
    for _ in range(500):
        labels = np.array([rng.choice(6, p=row) for row in likelihood])
        assert not alignment.is_strange(labels, likelihood)
        assert alignment.find(labels, likelihood) is None


def test_noise_is_no_permutation(likelihood: np.ndarray) -> None:
    """Labels drawn at random are strange, and no renaming is claimed to explain them, but for rare luck."""
    rng = np.random.default_rng(3)
    drawn = [rng.integers(0, 6, 60) for _ in range(300)]

    assert np.mean([alignment.is_strange(labels, likelihood) for labels in drawn]) > 0.9
    assert np.mean([alignment.find(labels, likelihood) is not None for labels in drawn]) < 0.05


def test_scores_follow_their_labels() -> None:
    """The column of a renamed class moves with it."""
    scores = np.eye(6)[PERMUTED]
    meaning = np.argsort(PERMUTED)

    assert np.array_equal(alignment.reorder(scores, meaning).argmax(1), alignment.rename(scores.argmax(1), meaning))


def test_a_stolen_copy_cannot_hide_behind_renamed_classes() -> None:
    """It scores far above the honest under the renaming that is found, and a person is told to look."""
    reference = worlds.enrolled().reference
    plain = match_one(worlds.client(worlds.source().predict), reference)
    hidden = match_one(permuted(worlds.source()), reference)

    assert (plain.decision, hidden.decision) == ("match", "inconclusive")
    assert "other numbers" in hidden.why
    assert "other numbers" not in plain.why
    assert hidden.matches[0].score > 3


@pytest.mark.parametrize("name", sorted(worlds.honest()))
def test_honest_models_stay_honest_under_other_names(name: str) -> None:
    """Renaming the classes of an honest model makes no copy of it."""
    reference = worlds.enrolled().reference
    assert match_one(permuted(worlds.honest()[name]), reference).decision != "match"


def test_made_up_answers_are_no_match() -> None:
    """An endpoint that answers at random is not taken for a copy that permutes its classes."""
    reference = worlds.enrolled().reference
    rng = np.random.default_rng(0)
    verdict = match_one(worlds.client(lambda x: rng.integers(0, worlds.CLASSES, len(x))), reference)

    assert verdict.decision != "match"


def test_answers_of_the_task_are_not_strange() -> None:
    """Neither the source's nor any honest model's."""
    reference = worlds.enrolled().reference
    assert not weigh(reference, reference.answers).strange
