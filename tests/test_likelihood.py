"""The likelihood of labels is a probability, and the ratio of its two mixtures is a safe bet against honest peers."""

import numpy as np
import pytest
from probe_match.fingerprinting.likelihood import (
    DERIVED_PRIOR,
    PEER_PRIOR,
    SHIFTS,
    SOUNDNESS,
    Mixtures,
    Rates,
    estimate_rates,
    fit_mixtures,
    log_likelihoods,
    log_ratios,
)
from probe_match.fingerprinting.records import UNANSWERED

N, K = 40, 5


@pytest.fixture
def source() -> np.ndarray:
    """A source's labels."""
    return np.random.default_rng(0).integers(0, K, N)


@pytest.fixture
def peers(source: np.ndarray) -> np.ndarray:
    """Twelve honest models that agree with the source on half of the probes."""
    rng = np.random.default_rng(1)
    return np.where(rng.random((12, N)) < 0.5, source, rng.integers(0, K, (12, N)))


@pytest.fixture
def shadows(source: np.ndarray) -> np.ndarray:
    """Eight copies that repeat nine of ten labels."""
    rng = np.random.default_rng(2)
    return np.where(rng.random((8, N)) < 0.9, source, rng.integers(0, K, (8, N)))


@pytest.fixture
def mixtures(source: np.ndarray, peers: np.ndarray, shadows: np.ndarray) -> Mixtures:
    """Both worlds, learnt from these models."""
    return fit_mixtures(source, peers, shadows, K)


def test_probabilities_of_all_labels_sum_to_one(source: np.ndarray, mixtures: Mixtures) -> None:
    """At every point of the grid, what a model may answer to a probe is a distribution over the labels."""
    total = sum(np.exp(log_likelihoods(np.full((1, N), label), source, mixtures.rates)) for label in range(K))

    assert total.shape == (1, N, len(SHIFTS) * len(SOUNDNESS))
    np.testing.assert_allclose(total, 1.0, atol=1e-12)


@pytest.mark.parametrize("m", [0, 1, 12])
def test_frequencies_are_distributions(m: int, source: np.ndarray, peers: np.ndarray, shadows: np.ndarray) -> None:
    """However few peers there are, the frequencies of the labels sum to one and none is impossible."""
    rates = estimate_rates(source, peers[:m], shadows, K)

    np.testing.assert_allclose(rates.frequency.sum(1), 1.0)
    assert (rates.frequency > 0).all()
    assert ((rates.retention > 0) & (rates.retention < 1)).all()


def test_frequencies_are_shrunk_counts() -> None:
    """Three peers say 0, one says 1: two more votes go to the overall mix of the labels, by hand."""
    peers = np.array([[0], [0], [0], [1]])
    frequency = estimate_rates(np.array([0]), peers, np.zeros((0, 1), int), 2).frequency[0]
    overall = [0.25 + 0.5 * 0.75, 0.25 + 0.5 * 0.25]

    np.testing.assert_allclose(frequency, [(3 + 2 * overall[0]) / 6, (1 + 2 * overall[1]) / 6])


def test_retention_grows_with_what_shadows_repeat(source: np.ndarray, peers: np.ndarray, shadows: np.ndarray) -> None:
    """A probe whose label every shadow repeats has more retention than one that none repeats."""
    shadows = shadows.copy()
    shadows[:, 0], shadows[:, 1] = source[0], (source[1] + 1) % K
    peers = (source + 1 + np.arange(len(peers))[:, None] % 3) % K  # chance is alike on all probes
    retention = estimate_rates(source, peers, shadows, K).retention

    assert retention[0] > 0.8
    assert retention[1] < 0.5


def test_unanswered_says_nothing(source: np.ndarray, mixtures: Mixtures) -> None:
    """A refusal leaves the ratio where it was, and so does a suspect that only refuses."""
    labels = source[None].copy()
    labels[0, 5:15] = UNANSWERED
    ratio = log_ratios(labels, source, mixtures).cumulative[0]

    assert (ratio[5:15] == ratio[4]).all()
    silent = log_ratios(np.full((1, N), UNANSWERED), source, mixtures)
    np.testing.assert_allclose(silent.cumulative, 0, atol=1e-12)
    np.testing.assert_allclose(silent.typical, 0, atol=1e-12)


def test_the_ratio_is_that_of_two_mixtures_by_hand(source: np.ndarray, peers: np.ndarray, mixtures: Mixtures) -> None:
    """Plain loops over shifts, soundness and probes give the same number as the vectorised one."""
    labels = peers[3].copy()
    labels[7] = UNANSWERED
    frequency, retention = mixtures.rates
    worlds = {"derived": 0.0, "peer": 0.0}
    for s, shift in enumerate(SHIFTS):
        for o, soundness in enumerate(SOUNDNESS):
            product = 1.0
            for i in range(N):
                if labels[i] == UNANSWERED:
                    continue
                kept = 0.0 if shift == -np.inf else 1 / (1 + (1 - retention[i]) / retention[i] * np.exp(-shift))
                guess = soundness * frequency[i, labels[i]] + (1 - soundness) / K
                product *= kept * (labels[i] == source[i]) + (1 - kept) * guess
            at = s * len(SOUNDNESS) + o
            worlds["derived"] += mixtures.derived[at] * product
            worlds["peer"] += mixtures.peer[at] * product

    assert log_ratios(labels[None], source, mixtures).cumulative[0, -1] == pytest.approx(
        np.log(worlds["derived"] / worlds["peer"]), rel=1e-9
    )


def test_the_typical_ratio_takes_the_root_of_each_likelihood(source: np.ndarray, mixtures: Mixtures) -> None:
    """As if a single probe had been asked, as likely as those are in the geometric mean; refusals count not."""
    labels = source[None].copy()
    labels[0, ::3] = (source[::3] + 1) % K
    twice = np.concatenate([labels, labels], axis=1)
    refused = np.concatenate([labels, np.full((1, N), UNANSWERED)], axis=1)
    doubled = mixtures._replace(
        kinds=tuple(Rates(*(np.concatenate([part, part]) for part in rates)) for rates in mixtures.kinds)
    )
    once = log_ratios(labels, source, mixtures)
    again, half = (log_ratios(seen, np.tile(source, 2), doubled) for seen in (twice, refused))
    alone = log_ratios(
        labels[:, :1], source[:1], mixtures._replace(kinds=(Rates(*(r[:1] for r in mixtures.kinds[0])),))
    )

    np.testing.assert_allclose(again.typical, once.typical)
    np.testing.assert_allclose(half.typical, once.typical)
    np.testing.assert_allclose(alone.typical, alone.cumulative[:, 0])
    assert abs(once.typical[0]) < abs(once.cumulative[0, -1])


def test_weights_are_distributions_that_tell_the_worlds_apart(mixtures: Mixtures) -> None:
    """Both mixtures sum to one; peers sit where little is retained, derived models where much is."""
    shift = np.repeat(np.arange(len(SHIFTS)), len(SOUNDNESS))

    for weights in (mixtures.peer, mixtures.derived):
        assert weights.sum() == pytest.approx(1)
        assert (weights >= 0).all()
    assert mixtures.derived @ shift > mixtures.peer @ shift + 1
    assert len(PEER_PRIOR) == len(DERIVED_PRIOR) == len(SHIFTS)


def test_copies_rise_and_peers_fall(
    source: np.ndarray, peers: np.ndarray, shadows: np.ndarray, mixtures: Mixtures
) -> None:
    """Models that were not among those fitted: copies end above zero, honest ones below, with few exceptions."""
    rng = np.random.default_rng(9)
    copies = np.where(rng.random((20, N)) < 0.9, source, rng.integers(0, K, (20, N)))
    honest = np.where(rng.random((20, N)) < 0.5, source, rng.integers(0, K, (20, N)))
    up, down = (log_ratios(models, source, mixtures).cumulative[:, -1] for models in (copies, honest))

    assert np.mean(up > 0) >= 0.9
    assert np.mean(down < 0) >= 0.9
    assert np.median(up) > down.max()


def test_the_ratio_is_an_e_process_against_peers(source: np.ndarray, mixtures: Mixtures) -> None:
    """Of 2,000 suspects drawn from the peers' own mixture, at most alpha ever see the ratio pass 1/alpha (Ville)."""
    rng, alpha, m = np.random.default_rng(4), 0.05, 2000
    frequency, retention = mixtures.rates
    point = rng.choice(len(mixtures.peer), m, p=mixtures.peer)
    shift, soundness = SHIFTS[point // len(SOUNDNESS)], SOUNDNESS[point % len(SOUNDNESS)]
    with np.errstate(divide="ignore"):
        odds = np.exp(shift)[:, None] * (retention / (1 - retention))
    kept = rng.random((m, N)) < odds / (1 + odds)
    sound = rng.random((m, N)) < soundness[:, None]
    guess = (rng.random((m, N, 1)) > np.cumsum(frequency, 1)).sum(2).clip(0, K - 1)
    labels = np.where(kept, source, np.where(sound, guess, rng.integers(0, K, (m, N))))
    ratio = log_ratios(labels, source, mixtures).cumulative
    passed = np.mean(ratio.max(1) >= np.log(1 / alpha))

    assert 0 < passed <= alpha + 2 * np.sqrt(alpha * (1 - alpha) / m)
    assert np.exp(ratio[:, 0]).mean() == pytest.approx(1, abs=0.05)  # fair at every single step, too


def test_labels_no_peer_ever_gave_are_survived(source: np.ndarray, mixtures: Mixtures) -> None:
    """A suspect with more classes than anybody known gets a finite ratio, and no credit for strange labels."""
    ratio = log_ratios(np.full((1, N), K + 3), source, mixtures).cumulative

    assert np.isfinite(ratio).all()
    assert ratio[0, -1] < 0


def test_each_kind_of_theft_has_its_own_retention(source: np.ndarray, peers: np.ndarray) -> None:
    """
    Copies of weights keep the first half of the probes, extracted models the second: a suspect that keeps just one of
    them looks derived, and more so than if shadows of both kinds were one.
    """
    rng = np.random.default_rng(5)
    first = np.arange(N) < N // 2

    def keeping(kept: np.ndarray, m: int) -> np.ndarray:
        chance = np.where(kept, 0.95, 0.1)
        return np.where(rng.random((m, N)) < chance, source, rng.integers(0, K, (m, N)))

    shadows = np.concatenate([keeping(first, 6), keeping(~first, 6)])
    kinds = np.repeat([0, 1], 6)
    copies, extracted = keeping(first, 50), keeping(~first, 50)
    told, blurred = (fit_mixtures(source, peers, shadows, K, given) for given in (kinds, None))
    for suspects in (copies, extracted):
        apart, together = (
            log_ratios(suspects, source, mixtures).cumulative[:, -1].mean() for mixtures in (told, blurred)
        )

        assert apart > together + 2
        assert apart > 0


def test_a_lone_shadow_of_a_kind_counts_with_the_rest(
    source: np.ndarray, peers: np.ndarray, shadows: np.ndarray, mixtures: Mixtures
) -> None:
    """One copy shows no retention of its own."""
    kinds = (np.arange(len(shadows)) == 0).astype(int)

    np.testing.assert_array_equal(fit_mixtures(source, peers, shadows, K, kinds).derived, mixtures.derived)
