"""What a benchmark says about scores, by hand counts and against scikit-learn."""

import numpy as np
import pytest
from probe_match.fingerprinting.bench.measures import roc_auc, roc_curve, threshold, tpr_at, wilson
from sklearn.metrics import roc_auc_score


@pytest.fixture(scope="module")
def scores() -> tuple[np.ndarray, np.ndarray]:
    """Related and unrelated scores that overlap and tie."""
    rng = np.random.default_rng(0)
    return np.round(rng.normal(1, 1, 60), 1), np.round(rng.normal(0, 1, 200), 1)


def test_auc_is_the_usual_one(scores: tuple[np.ndarray, np.ndarray]) -> None:
    """Ties count half, as in scikit-learn."""
    related, unrelated = scores
    truth = np.repeat([1, 0], [len(related), len(unrelated)])

    assert roc_auc(related, unrelated) == pytest.approx(roc_auc_score(truth, np.concatenate([related, unrelated])))
    assert np.isnan(roc_auc(related, np.zeros(0)))


def test_a_threshold_lets_at_most_its_share_through(scores: tuple[np.ndarray, np.ndarray]) -> None:
    """Ties at the threshold are no detections, so the promised rate is never passed."""
    _, unrelated = scores
    for rate in (0.0, 0.01, 0.05, 0.5):
        assert (unrelated > threshold(unrelated, rate)).mean() <= rate
    assert threshold(np.array([1.0, 2.0, 3.0, 4.0]), 0.25) == 3.0


def test_rates_by_hand() -> None:
    """One of twenty strangers may score higher: four of five copies stand above the second highest."""
    unrelated = np.arange(20.0)
    related = np.array([18.5, 19.5, 30.0, 18.1, 18.0])

    assert tpr_at(related, unrelated, 0.05) == 0.8
    assert tpr_at(related, unrelated, 0.01) == 0.4
    assert np.isnan(tpr_at(np.zeros(0), unrelated, 0.05))


def test_wilson_intervals_are_those_of_the_textbook() -> None:
    """Brown, Cai and DasGupta's example, and the ends of the scale."""
    share, low, high = wilson(0, 10)
    assert (share, low) == (0, 0)
    assert high == pytest.approx(0.2775, abs=1e-3)
    assert wilson(5, 10)[1:] == pytest.approx((0.2366, 0.7634), abs=1e-3)
    assert np.isnan(wilson(0, 0)).all()


def test_a_curve_runs_from_corner_to_corner(scores: tuple[np.ndarray, np.ndarray]) -> None:
    """Its area is the AUC, but for ties, which it crosses by a straight line."""
    false, true = roc_curve(*scores)

    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert (np.diff(false) >= 0).all()
    assert np.trapezoid(true, false) == pytest.approx(roc_auc(*scores))
