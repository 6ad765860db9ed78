"""References as each other's peers: who is named, and how often an honest suspect is."""

import numpy as np
import pytest
from probe_match.fingerprinting.cohort import RETENTION, compare, ratio
from probe_match.fingerprinting.errors import NoAnswers
from probe_match.fingerprinting.records import UNANSWERED
from probe_match.fingerprinting.verdicts import deciding_p, is_match

N, K = 50, 5
TRUTH = np.random.default_rng(0).integers(0, K, N)


def models(m: int, seed: int, sound: float = 0.5) -> np.ndarray:
    """Honest models: each answers the truth half of the time, else anything; int (m, n)."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random((m, N)) < sound, TRUTH, rng.integers(0, K, (m, N)))


def names(m: int) -> list[str]:
    """r0, r1, …"""
    return [f"r{i}" for i in range(m)]


def test_the_ratio_is_a_mixture_by_hand() -> None:
    """Plain loops over retentions and probes give the same number."""
    known = models(2, 1)
    rarity = np.random.default_rng(2).dirichlet(np.ones(K), N)
    total = 0.0
    for retention in RETENTION:
        product = 1.0
        for i in range(N):
            p0 = rarity[i, known[1, i]]
            product *= (retention + (1 - retention) * p0) / p0 if known[0, i] == known[1, i] else 1 - retention
        total += product / len(RETENTION)

    assert ratio(known[:1], known[1:], rarity)[0, 0] == pytest.approx(np.log(total))


def test_a_copy_names_its_source() -> None:
    """Of twelve references, the one whose labels come back in nine of ten probes is first, far ahead, and a match."""
    known = models(12, 1)
    rng = np.random.default_rng(3)
    copy = np.where(rng.random(N) < 0.9, known[7], rng.integers(0, K, N))
    evidence = compare(copy, known, names(12))

    assert evidence[0].reference == "r7"
    assert evidence[0].score > evidence[1].score + 2
    assert is_match(evidence[0], 12, 0.01)
    assert evidence[0].agreement == np.mean(copy == known[7])
    assert sorted(e.reference for e in evidence) == sorted(names(12))
    assert evidence[0].peers == 11


@pytest.mark.parametrize(("sound", "m"), [(0.3, 40), (0.7, 9), (0.7, 30)])
def test_nominal_rates_are_realised(sound: float, m: int) -> None:
    """Of 200 honest suspects among fresh references, a share of at most alpha is accused, whatever they know."""
    trials = 200
    best = []
    for trial in range(trials):
        [suspect] = models(1, 1000 + trial, sound=sound)
        evidence = compare(suspect, models(m, trial), names(m))
        best.append(evidence)

    for alpha in (0.01, 0.05):
        accused = np.mean([any(is_match(e, m, alpha) for e in evidence) for evidence in best])
        assert accused <= alpha + 2 * np.sqrt(alpha * (1 - alpha) / trials)


def test_a_left_out_source_is_not_taken_for_another() -> None:
    """Copies of a model that is not in the database are nobody's."""
    known = models(12, 1)
    rng = np.random.default_rng(8)
    for left_out in range(12):
        copy = np.where(rng.random(N) < 0.9, known[left_out], rng.integers(0, K, N))
        evidence = compare(copy, np.delete(known, left_out, 0), names(11))

        assert not is_match(evidence[0], 11, 0.01)


def test_unanswered_probes_do_not_count() -> None:
    """The evidence is that of the answered probes alone."""
    known = models(8, 1)
    suspect = models(1, 6)[0]
    partly = suspect.copy()
    partly[30:] = UNANSWERED

    assert compare(partly, known, names(8)) == compare(suspect[:30], known[:, :30], names(8))
    with pytest.raises(NoAnswers, match="none of the 50"):
        compare(np.full(N, UNANSWERED), known, names(8))


def test_few_answers_have_no_p_value() -> None:
    """Seven answers are no evidence, however well they agree."""
    known = models(10, 1)
    evidence = compare(known[3, :7], known[:, :7], names(10))

    assert all(deciding_p(e, 10, 0.01)[0] == pytest.approx(1) for e in evidence)


@pytest.mark.parametrize("m", [1, 2])
def test_one_or_two_references_are_no_cohort(m: int) -> None:
    """Nobody is named, even by its own answers; the better one is first all the same."""
    known = models(m, 1)
    evidence = compare(known[m - 1], known, names(m))

    assert evidence[0].reference == f"r{m - 1}"
    assert not is_match(evidence[0], m, 0.01)


def test_every_reference_is_listed_best_first() -> None:
    """Of 200 references all are listed, by falling score, and none but the source claims anything."""
    known = models(200, 1)
    evidence = compare(known[150], known, names(200))
    scores = [e.score for e in evidence]

    assert evidence[0].reference == "r150"
    assert len({e.reference for e in evidence}) == 200
    assert scores == sorted(scores, reverse=True)
    assert [e.reference for e in evidence if is_match(e, 200, 0.01)] == ["r150"]
    assert np.isfinite(scores).all()


def test_labels_beyond_the_known_ones_are_survived() -> None:
    """A suspect with more classes than any reference, and one with fewer."""
    known = models(8, 1)

    for suspect in (np.full(N, K + 4), np.zeros(N, int)):
        assert all(np.isfinite([e.score, e.llr]).all() for e in compare(suspect, known, names(8)))


def test_references_that_answer_alike_claim_nothing() -> None:
    """Where all references give the same labels nobody is named, and scores stay numbers a person can read."""
    known = np.tile(TRUTH, (6, 1))
    for suspect in (TRUTH, models(1, 6)[0]):
        evidence = compare(suspect, known, names(6))

        assert not any(is_match(e, 6, 0.01) for e in evidence)
        assert all(abs(e.score) < 1000 for e in evidence)
