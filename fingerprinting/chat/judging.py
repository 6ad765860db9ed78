"""
From a transcript to one of the four verdicts: identification among all references, and verification of one.

Identification is about which known model answers; it must not mind how lightly that was changed, and names nobody where
the answers are of none. Verification is about one model being served unchanged, and minds everything.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from probe_match.fingerprinting.calibration import ENOUGH, p_values
from probe_match.fingerprinting.errors import NoAnswers
from probe_match.fingerprinting.records import Decision, Match, Verdict
from probe_match.fingerprinting.verdicts import MIN_ANSWERED, MIN_COVERAGE, Evidence, deciding_p, is_match
from scipy.special import xlogy

from . import conditions
from .reading import count, statuses
from .records import Bank, ChatReference, Counts, Transcript
from .scoring import Scores

Score = Callable[[Counts], Scores]  # against all references, see `prepared.scorer`

RELABELINGS: Final = 2000
UNLIKE: Final = 0.05  # of known models that look less like themselves; below this a target is not the nearest of them
SWAPPED: Final = 0.5  # of answers that a changed model would give otherwise, for the power of a verification
FOUND: Final = 0.9  # power from which finding no change is worth saying


def identify(
    transcript: Transcript,
    bank: Bank,
    references: Mapping[str, ChatReference],
    score: Score,
    *,
    alpha: float,
    saved: int = 0,
) -> Verdict:
    """The verdict on whom a target's answers come from. saved: questions that need not be asked."""
    answered = _answered(bank, transcript)
    silent = _silence(bank, transcript)
    if silent is not None:
        return _verdict(transcript, bank, silent, alpha, answered, saved)
    try:
        scores = score(count(bank, transcript))
    except NoAnswers as error:
        return _verdict(transcript, bank, ("inconclusive", f"{str(error).capitalize()}."), alpha, answered, saved)
    best = scores.evidence[0]
    nearest = references[best.reference]
    differs = conditions.differing(transcript, bank, nearest, references)
    decision = ("inconclusive", differs) if differs else _identified(scores, answered, alpha)
    if decision[0] == "match" and conditions.other_tokenizer(transcript, nearest):
        decision = (decision[0], f"{decision[1]} Its server counts tokens otherwise than that of the reference.")

    return _verdict(transcript, bank, decision, alpha, answered, saved, scores)  # type: ignore[arg-type]


def verify(
    transcript: Transcript,
    bank: Bank,
    claimed: ChatReference,
    score: Score,
    *,
    alpha: float,
    seed: int,
) -> Verdict:
    """The verdict on whether a target answers as the claimed model did when it was enrolled. score: others too."""
    answered = _answered(bank, transcript)
    silent = _silence(bank, transcript)
    if silent is not None:
        return _verdict(transcript, bank, silent, alpha, answered, 0, claim=claimed.name)
    counts = count(bank, transcript)
    differs = conditions.differing(transcript, bank, claimed, {claimed.name: claimed})
    if differs:
        return _verdict(transcript, bank, ("inconclusive", differs), alpha, answered, 0, claim=claimed.name)
    rng = np.random.default_rng(seed)
    p = change_p(counts, claimed.counts, rng)
    scores = score(counts)
    if p > alpha:
        power = verification_power(counts, claimed.counts, alpha, rng)
        if power >= FOUND:
            why = (
                f"The responses are spread as those of '{claimed.name}' were: chance alone makes them differ so with "
                f"probability {p:.2g}. A model that gives half of its answers otherwise would be found in {power:.0%} "
                "of cases."
            )
            return _verdict(transcript, bank, ("match", why), alpha, answered, 0, scores, claimed.name, "identical", p)
        why = (
            f"No change from '{claimed.name}' shows, but so few answers would find a model that gives half of its "
            f"answers otherwise in {power:.0%} of cases only; raise --budget."
        )
        return _verdict(transcript, bank, ("inconclusive", why), alpha, answered, 0, scores, claimed.name, None, p)
    best = scores.evidence[0]
    still = best.reference == claimed.name and best.llr > -np.log(alpha)
    other = "It is still nearer to it than any other known model is." if still else "It may be another model."
    why = (
        f"The responses are not spread as those of '{claimed.name}' were: chance alone makes them differ so with "
        f"probability {p:.2g}. {other}"
    )

    return _verdict(
        transcript, bank, ("no match", why), alpha, answered, 0, scores, claimed.name, "modified" if still else None, p
    )


def change_p(counts: Counts, known: Counts, rng: np.random.Generator, times: int = RELABELINGS) -> float:
    """
    How often answers dealt out at random between the target and the reference, within cells, differ as much; (0, 1].

    The statistic is the likelihood ratio (G) of two distributions per cell against one.
    """
    tables = [_pair(counts[cell], known[cell]) for cell in counts if known.get(cell)]
    if not tables:
        raise NoAnswers("the target and the claimed model share no answered question; collect again")
    observed = sum(float(_g(mine, theirs)) for mine, theirs in tables)
    dealt = np.zeros(times)
    for mine, theirs in tables:
        whole = mine + theirs
        new = rng.multivariate_hypergeometric(whole, int(mine.sum()), size=times)
        dealt += _g(new, whole - new)

    return float((1 + (dealt >= observed - 1e-9).sum()) / (times + 1))


def verification_power(
    counts: Counts, known: Counts, alpha: float, rng: np.random.Generator, trials: int = 40
) -> float:
    """Share of targets found, that answer as often as this one and half of the time what the known model never said."""
    found = 0
    for _ in range(trials):
        changed = {}
        for cell, some in counts.items():
            if known.get(cell):
                answers = list(known[cell])
                odds = np.array([known[cell][answer] for answer in answers], float)
                n = sum(some.values())
                others = int(rng.binomial(n, SWAPPED))
                drawn = rng.multinomial(n - others, odds / odds.sum())
                changed[cell] = {a: int(c) for a, c in zip(answers, drawn, strict=True) if c} | {"\0": others}
        found += change_p(changed, known, rng, round(4 / alpha)) <= alpha
    return found / trials


def _identified(scores: Scores, answered: int, alpha: float) -> tuple[Decision, str]:
    best, cells = scores.evidence[0], scores.cells
    p, _ = deciding_p(best, scores.searched, alpha)
    among = f" among {scores.searched} references" if scores.searched > 1 else ""
    power = f"so many answers find {best.power:.0%} of the known models"
    if best.peers < 2:
        return "inconclusive", "There are not enough known models to compare with; enroll at least three."
    if is_match(best, scores.searched, alpha):
        return (
            "match",
            f"The responses came from '{best.reference}' or a near relative of it: {answered} answers to {cells} "
            f"questions are spread as its own; another model looks this close with probability {p:.2g}{among}.",
        )
    unlike = _unlike(best.score, scores.genuine)
    if unlike <= UNLIKE:
        return (
            "no match",
            f"The responses are of no known model: the nearest, '{best.reference}', is further from them than "
            f"{1 - unlike:.0%} of the known models are from their own (p = {p:.2g}{among}).",
        )
    return (
        "inconclusive",
        f"The responses are nearest to those of '{best.reference}', but p = {p:.2g} does not reach {alpha:g}{among}; "
        f"{power}. Raise --budget.",
    )


def _unlike(score: float, genuine: np.ndarray) -> float:
    """How often a known model looks as little like its own answers as a target does like the nearest; 1 if unknown."""
    if len(genuine) < 3:
        return 1.0
    p = p_values(-score, -genuine)

    return p.conformal if len(genuine) >= ENOUGH else p.predictive


def _silence(bank: Bank, transcript: Transcript) -> tuple[Decision, str] | None:
    """The verdict on a target that did not answer enough to be judged, or None."""
    found = statuses(bank, transcript)
    total = sum(found.values())
    answered = found["valid"] + found["truncated"]
    if answered >= MIN_COVERAGE * total and answered >= MIN_ANSWERED:
        return None
    told = ", ".join(f"{number} {status}" for status, number in found.most_common() if status != "valid")
    if any(note.startswith("reasons before") for note in transcript.notes):
        return "inconclusive", f"The target reasons before it answers and has no tokens left to answer with ({told})."
    if answered >= MIN_COVERAGE * total:
        return "inconclusive", f"Only {answered} answers came; at least {MIN_ANSWERED} are needed to decide anything."
    if found["failed"] > total - answered - found["failed"]:
        return (
            "inconclusive",
            f"Only {answered} of {total} questions were answered ({told}); ask again when the target is up.",
        )

    return (
        "evasion suspected",
        f"Only {answered} of {total} questions were answered as asked ({told}), and silence says nothing about where a "
        "model comes from.",
    )


def _answered(bank: Bank, transcript: Transcript) -> int:
    found = statuses(bank, transcript)
    return found["valid"] + found["truncated"]


def _verdict(
    transcript: Transcript,
    bank: Bank,
    decision: tuple[Decision, str],
    alpha: float,
    answered: int,
    saved: int,
    scores: Scores | None = None,
    claim: str | None = None,
    relation: str | None = None,
    p: float | None = None,
) -> Verdict:
    evidence = scores.evidence if scores else []
    if claim is not None:
        evidence = [e for e in evidence if e.reference == claim]
    best = evidence[0] if evidence else None
    named = claim if claim is not None else (best.reference if best and decision[0] == "match" else None)
    total = sum(len(some) for some in transcript.answers.values())

    return Verdict(
        target=transcript.target,
        decision=decision[0],
        reference=named,
        relation=relation,
        alpha=alpha,
        method="one-token" if claim is None else "change",
        suite=bank.digest,
        access="text",
        matches=tuple(_match(e, scores.searched if scores else 1, alpha, p) for e in evidence),
        sent=transcript.sent,
        answered=answered,
        saved=saved,
        coverage=answered / total if total else 0.0,
        cohort=best.peers if best else 0,
        nearest_peer=best.nearest_peer if best else None,
        why=decision[1],
        honest=(),
        derived=tuple(map(float, scores.genuine)) if scores else (),
    )


def _match(evidence: Evidence, searched: int, alpha: float, p: float | None) -> Match:
    decides, conformal = deciding_p(evidence, searched, alpha)
    return Match(
        reference=evidence.reference,
        score=evidence.score,
        llr=evidence.llr,
        p_value=decides if p is None else p,
        p_conformal=conformal if p is None else p,
        relation=None,
    )


def _pair(mine: Mapping[str, int], theirs: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    answers = sorted({*mine, *theirs})
    mine_, theirs_ = (np.array([some.get(answer, 0) for answer in answers], np.int64) for some in (mine, theirs))
    return mine_, theirs_


def _g(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Likelihood ratio of two distributions against one: int (…, v) twice -> nats, float64 (…)."""
    whole = mine + theirs
    apart = sum(xlogy(x, x).sum(-1) - xlogy(x.sum(-1), x.sum(-1)) for x in (mine, theirs))

    return np.asarray(apart - xlogy(whole, whole).sum(-1) + xlogy(whole.sum(-1), whole.sum(-1)))
