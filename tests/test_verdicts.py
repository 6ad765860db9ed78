"""Four verdicts: which evidence reaches which, and what the sentence says."""

import numpy as np
import pytest
from probe_match.fingerprinting.calibration import PValues
from probe_match.fingerprinting.verdicts import MIN_ANSWERED, Evidence, decide, deciding_p, is_match

ALPHA = 0.01
SOURCE = np.arange(20) % 4
CLEAR = Evidence(
    reference="s0", score=7.0, llr=20.0, p=PValues(1e-5, 0.02), beats_all=True, peers=49, agreement=0.9, power=0.8,
    nearest_peer=("peer 3", 2.0),
)  # fmt: skip


def verdict(evidence: Evidence, labels: np.ndarray = SOURCE, searched: int = 1) -> str:
    """The decision alone."""
    return decide(evidence, labels, SOURCE, len(labels), searched, ALPHA)[0]


def silent(answered: int) -> np.ndarray:
    """The source's labels, of which only the first come."""
    return np.where(np.arange(len(SOURCE)) < answered, SOURCE, -1)


def test_clear_evidence_is_a_match() -> None:
    """Small p, above every peer, ratio above zero: named with p-value, agreement and number of probes."""
    decision, why = decide(CLEAR, SOURCE, SOURCE, 20, 1, ALPHA)

    assert decision == "match"
    for said in ("'s0'", "90%", "20 probes", "1e-05"):
        assert said in why
    assert why.endswith(".")


@pytest.mark.parametrize(
    "weak",
    [{"p": PValues(0.02, 0.02)}, {"beats_all": False}, {"llr": 0.0}, {"p": PValues(1.0, 1.0), "peers": 0}],
)
def test_every_condition_is_needed(weak: dict[str, object]) -> None:
    """Without any one of the conditions nobody is named."""
    assert is_match(CLEAR, 1, ALPHA)
    assert not is_match(CLEAR._replace(**weak), 1, ALPHA)
    assert verdict(CLEAR._replace(**weak)) == "inconclusive"


def test_many_references_need_more() -> None:
    """The p-value is corrected for how many were searched, and the sentence says among how many."""
    assert is_match(CLEAR, 900, ALPHA)
    assert not is_match(CLEAR, 1100, ALPHA)
    assert "among 900 references" in decide(CLEAR, SOURCE, SOURCE, 20, 900, ALPHA)[1]


@pytest.mark.parametrize(
    ("peers", "searched", "conformal"),
    [(98, 1, False), (99, 1, True), (99, 2, False), (500, 2, True), (500, 5, True), (500, 6, False)],
)
def test_the_rank_decides_where_it_can_reach_alpha(peers: int, searched: int, conformal: bool) -> None:
    """From 99 peers on, and as long as 1/(peers + 1), corrected, is at most alpha; otherwise the fitted tail."""
    evidence = CLEAR._replace(peers=peers, p=PValues(1e-5, 1 / (peers + 1)))
    decides, rank = deciding_p(evidence, searched, ALPHA)

    assert (decides == rank) == conformal
    assert rank == pytest.approx(1 - (1 - 1 / (peers + 1)) ** searched)
    if not conformal:
        assert decides == pytest.approx(searched * 1e-5, rel=0.01)


def test_an_honest_look_is_no_match() -> None:
    """A ratio below zero speaks for an honest model, and the sentence says how many copies would have been found."""
    decision, why = decide(CLEAR._replace(llr=-3.0, p=PValues(0.4, 0.4)), SOURCE, SOURCE, 20, 1, ALPHA)

    assert decision == "no match"
    assert "80% of the copies" in why


@pytest.mark.parametrize("answered", [0, 1, 15])
@pytest.mark.parametrize("llr", [20.0, -20.0])
def test_silence_is_never_innocence(answered: int, llr: float) -> None:
    """Below four in five answered it is neither guilt nor innocence; below the minimum nothing at all is decided."""
    decision, why = decide(CLEAR._replace(llr=llr), silent(answered), SOURCE, 20, 1, ALPHA)

    assert decision == ("inconclusive" if answered < MIN_ANSWERED else "evasion suspected")
    assert f"Only {answered} " in why


def test_four_in_five_are_enough() -> None:
    """At 16 of 20 the answers decide."""
    assert verdict(CLEAR, silent(16)) == "match"
    assert verdict(CLEAR._replace(llr=-3.0), silent(16)) == "no match"


@pytest.mark.parametrize("llr", [20.0, -20.0])
def test_few_answers_decide_nothing(llr: float) -> None:
    """Fewer than eight answers, all given: inconclusive, however they look."""
    few = SOURCE[: MIN_ANSWERED - 1]
    decision, why = decide(CLEAR._replace(llr=llr), few, few, len(few), 1, ALPHA)

    assert decision == "inconclusive"
    assert "7 answers" in why


@pytest.mark.parametrize("llr", [20.0, -20.0])
def test_one_answer_to_everything_is_evasion(llr: float) -> None:
    """No known model answers the same to probes on which the source gives four labels."""
    assert verdict(CLEAR._replace(llr=llr), np.full(20, 2)) == "evasion suspected"


def test_one_answer_may_be_right_where_there_are_two() -> None:
    """On probes where a binary source says one thing nearly always, so may an honest model."""
    binary = (np.arange(20) == 3).astype(int)
    decision, _ = decide(CLEAR._replace(llr=-3.0), np.zeros(20, int), binary, 20, 1, ALPHA)

    assert decision == "no match"


@pytest.mark.parametrize("peers", [0, 1])
def test_without_a_cohort_nothing_is_decided(peers: int) -> None:
    """Nobody to compare with is said to be so, even where the ratio speaks for innocence."""
    decision, why = decide(CLEAR._replace(peers=peers, p=PValues(1, 1), llr=-5.0), SOURCE, SOURCE, 20, 1, ALPHA)

    assert decision == "inconclusive"
    assert "enroll" in why


def test_near_misses_say_how_far() -> None:
    """Above zero but not far enough: a person must look, with p and alpha in the sentence."""
    decision, why = decide(CLEAR._replace(p=PValues(0.03, 0.03)), SOURCE, SOURCE, 20, 1, ALPHA)

    assert decision == "inconclusive"
    assert "0.03" in why
    assert "0.01" in why
