"""Error rates: against scipy, against counts by hand, and as realised on scores of exchangeable models."""

import numpy as np
import pytest
from probe_match.fingerprinting.calibration import corrected, p_values, standardise
from scipy.stats import t


@pytest.mark.parametrize(("m", "score"), [(2, 1.0), (5, -0.3), (20, 2.5), (200, 4.0)])
def test_the_predictive_tail_is_students(m: int, score: float) -> None:
    """The chance that one more draw from the peers' population exceeds the score, by scipy's t."""
    peers = np.random.default_rng(m).normal(0.2, 1.3, m)
    spread = peers.std(ddof=1) * np.sqrt(1 + 1 / m)

    assert p_values(score, peers).predictive == pytest.approx(t.sf(score, m - 1, peers.mean(), spread), rel=1e-9)


@pytest.mark.parametrize(
    ("score", "expected"), [(9.0, 1 / 5), (4.0, 2 / 5), (3.5, 2 / 5), (2.0, 4 / 5), (1.0, 1.0), (-1.0, 1.0)]
)
def test_the_conformal_one_counts_peers_at_least_as_high(score: float, expected: float) -> None:
    """Of four peers at 1, 2, 3 and 4 and the suspect itself, so many stand at least as high."""
    peers = np.array([3.0, 1.0, 4.0, 2.0])

    assert p_values(score, peers).conformal == pytest.approx(expected)


@pytest.mark.parametrize("m", [0, 1])
def test_without_peers_nothing_is_unusual(m: int) -> None:
    """One peer or none leaves both p-values at 1."""
    assert p_values(100.0, np.zeros(m)) == (1.0, 1.0)


def test_peers_that_all_score_alike_leave_only_their_count() -> None:
    """Without any spread there is no tail to read, so the rank among the peers is all that is claimed."""
    assert p_values(5.0, np.ones(9)) == (0.1, 0.1)
    assert p_values(1.0, np.ones(9)) == (1.0, 1.0)


def test_an_extreme_score_keeps_a_p_value_above_zero() -> None:
    """Underflow never claims certainty."""
    assert 0 < p_values(1e300, np.random.default_rng(0).normal(0, 1, 500)).predictive < 1e-100


@pytest.mark.parametrize("p", [1e-300, 1e-12, 0.003, 0.2, 1.0])
@pytest.mark.parametrize("searched", [1, 7, 1000])
def test_the_best_of_many_is_corrected(p: float, searched: int) -> None:
    """1 - (1 - p)^searched (Šidák), exact where that is computable and the union bound where p is tiny."""
    expected = searched * p if p < 1e-9 else 1 - (1 - p) ** searched

    assert corrected(p, searched) == pytest.approx(expected, rel=1e-6)
    assert 0 < corrected(p, searched) <= 1


def test_nominal_rates_are_realised() -> None:
    """Of 4,000 honest suspects from the peers' own population, alpha of them fall below alpha, by both p-values."""
    rng, m, trials = np.random.default_rng(1), 39, 4000
    scores = rng.normal(0, 1, (trials, m + 1))
    values = np.array([p_values(row[0], row[1:]) for row in scores])

    for alpha in (0.05, 0.1, 0.5):
        error = 3 * np.sqrt(alpha * (1 - alpha) / trials)
        assert np.mean(values[:, 0] <= alpha) == pytest.approx(alpha, abs=error)
        assert np.mean(values[:, 1] <= alpha) == pytest.approx(alpha, abs=error)


def test_the_conformal_one_needs_no_normal_scores() -> None:
    """Whatever the peers' distribution, at most alpha of exchangeable suspects fall below alpha."""
    rng, trials = np.random.default_rng(2), 4000
    scores = rng.standard_cauchy((trials, 20)) ** 3
    values = np.array([p_values(row[0], row[1:]).conformal for row in scores])

    assert np.mean(values <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    assert np.mean(values <= 0.05) > 0.03


def test_standardising_is_by_column() -> None:
    """The peers themselves come out with mean 0 and standard deviation 1 in every column, by numpy."""
    peers = np.random.default_rng(0).normal([0, 5], [1, 10], (30, 2))
    own = standardise(peers, peers)

    np.testing.assert_allclose(own.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(own.std(0, ddof=1), 1)
    assert np.isfinite(standardise(peers, np.ones((3, 2)))).all()
