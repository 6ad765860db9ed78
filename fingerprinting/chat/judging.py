"""
From a transcript to one of the four verdicts: identification among all references, and verification of one.

Identification is about which known model answers; it must not mind how lightly that was changed, and names nobody where
the answers are of none. What it says has two strengths: that it is this model or a near relative ("family"), wrong for
models of other families in no more than alpha; and that it is this model and no version of it ("itself"), wrong for all
others in no more than alpha. Verification is about one model being served unchanged, and minds everything.
"""

from collections.abc import Mapping
from typing import Final, Protocol

import numpy as np
from probe_match.fingerprinting.calibration import ENOUGH, p_values
from probe_match.fingerprinting.errors import NoAnswers
from probe_match.fingerprinting.records import Decision, Match, Verdict
from probe_match.fingerprinting.verdicts import MIN_ANSWERED, MIN_COVERAGE, Evidence, deciding_p, is_match

from . import beside, conditions, off_form
from .equality import QUICK, change_p, verification_power
from .reading import count, statuses
from .records import Bank, ChatReference, Counts, Transcript
from .scoring import NO_LOOKS, Looks, Scores


class Score(Protocol):
    """Scores a suspect's counts against all references, see `prepared.scorer`. looks: others than the present one."""

    def __call__(self, suspect: Counts, looks: Looks = NO_LOOKS) -> Scores:
        """Raises NoAnswers where nothing can be compared."""
        ...


UNLIKE: Final = 0.05  # of known models that look less like themselves; below this a target is not the nearest of them
UNEQUAL: Final = 0.05  # chance of so large a difference from the reference named, below which it is said
STRAYED: Final = 0.1  # of known models that look less like themselves; what is unequal and below this is named nobody
NAMED: Final = 4  # other references that are named beside the one that answers came from
FOUND: Final = 0.9  # power from which finding no change is worth saying


def identify(
    transcript: Transcript,
    bank: Bank,
    references: Mapping[str, ChatReference],
    score: Score,
    *,
    alpha: float,
    looks: Looks = NO_LOOKS,
    saved: int = 0,
) -> Verdict:
    """
    The verdict on whom a target's answers come from. looks: when else that is judged while it is asked. saved:
    questions that need not be asked.
    """
    answered = _answered(bank, transcript)
    silent = _silence(bank, transcript)
    if silent is not None:
        return _verdict(transcript, bank, silent, alpha, answered, saved)
    counts = count(bank, transcript, off_form=True)
    try:
        scores = score(counts, looks)
    except NoAnswers as error:
        return _verdict(transcript, bank, ("inconclusive", f"{str(error).capitalize()}."), alpha, answered, saved)
    best = scores.evidence[0]
    nearest = references[best.reference]
    differs = conditions.differing(transcript, bank, nearest, references)
    if differs:
        return _verdict(transcript, bank, ("inconclusive", differs), alpha, answered, saved, scores)
    decision, why = _identified(scores, answered, alpha)
    more = beside.remarks(transcript, bank, references, [e.reference for e in scores.evidence])
    if decision != "match":
        return _verdict(transcript, bank, (decision, " ".join([why, *more])), alpha, answered, saved, scores)
    p = change_p(*off_form.alike(counts, nearest), np.random.default_rng(0), QUICK)
    relation = related(scores, p, alpha)
    if relation is None:
        why = (
            f"The responses are nearer to those of '{best.reference}' than honest models are to any other, but neither "
            f"spread as its own were (p = {p:.2g}) nor as near as nine in ten known models are to their own: a much "
            "modified copy of it, or no known model. Raise --budget."
        )
        return _verdict(transcript, bank, ("inconclusive", " ".join([why, *more])), alpha, answered, saved, scores)
    told = [why, *_beside(scores, alpha)]
    if relation == "modified":
        told.append(
            f"They are not spread exactly as its own were (p = {p:.2g}): a modified copy of it, or another version."
        )
    if conditions.other_tokenizer(transcript, nearest):
        told.append("Its server counts tokens otherwise than that of the reference.")

    told += more

    return _verdict(transcript, bank, (decision, " ".join(told)), alpha, answered, saved, scores, relation=relation)


def related(scores: Scores, p: float, alpha: float) -> str | None:
    """
    What a target that stands out is to the reference it is nearest to: "itself", "family" or "modified". None where it
    is neither spread as that nor as near to it as relatives are, so that its family is not known: by rank a hair beyond
    all honest models is enough to stand out. Where a fitted tail decides, it is not.

    p: chance of so large a difference from the reference, see `equality.change_p`.
    """
    if p > UNEQUAL:
        return "itself" if scores.relative <= alpha else "family"
    best = scores.evidence[0]
    near = best.peers < ENOUGH or _unlike(best.score, scores.genuine) > STRAYED

    return "modified" if near else None


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
    counts = count(bank, transcript, off_form=True)
    differs = conditions.differing(transcript, bank, claimed, {claimed.name: claimed})
    if differs:
        return _verdict(transcript, bank, ("inconclusive", differs), alpha, answered, 0, claim=claimed.name)
    rng = np.random.default_rng(seed)
    mine, theirs = off_form.alike(counts, claimed)
    p = change_p(mine, theirs, rng)
    scores = score(counts)
    if p > alpha:
        power = verification_power(mine, theirs, alpha, rng)
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


def _identified(scores: Scores, answered: int, alpha: float) -> tuple[Decision, str]:
    best, cells = scores.evidence[0], scores.cells
    p, _ = deciding_p(best, scores.searched, alpha)
    among = f" among {scores.searched} references" if scores.searched > 1 else ""
    power = f"so many answers find {best.power:.0%} of the known models"
    if best.peers < 2:
        return "inconclusive", "There are not enough known models to compare with; enroll at least three."
    if is_match(best, scores.searched, alpha):
        spread = f"{answered} answers to {cells} questions are spread as its own"
        if scores.relative <= alpha:
            return (
                "match",
                f"The responses came from '{best.reference}': {spread}; another model looks this close with "
                f"probability {p:.2g}{among}, versions of one model among them with {scores.relative:.2g}.",
            )
        return (
            "match",
            f"The responses came from '{best.reference}' or a near relative of it: {spread}; a model of another family "
            f"looks this close with probability {p:.2g}{among}; another version of it may as well.",
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


def _beside(scores: Scores, alpha: float) -> list[str]:
    """A sentence on other references that the answers may come from as well, if there are any."""
    others = [e.reference for e in scores.evidence[1:] if deciding_p(e, scores.searched, alpha)[0] <= alpha]
    if not others:
        return []
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    named = ", ".join(f"'{name}'" for name in others[:NAMED])

    return [f"So many answers do not tell it from {named}{more}."]


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
        why = f"The target reasons before it answers, which leaves too few tokens for answers: {answered} could be read"
        return "inconclusive", f"{why} ({told})." if told else f"{why}."
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
