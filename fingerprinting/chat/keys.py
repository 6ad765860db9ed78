"""
What the hits of an owner's keys prove: how often an innocent model would give so many of the secret answers.

The chance of one hit is bounded from what innocent models answered to the same keys (Clopper and Pearson, 1934), or
stated; hits of different keys are taken as independent, as keys drawn at random are.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from probe_match.fingerprinting.errors import NoAnswers
from probe_match.fingerprinting.records import Decision, Match, Verdict
from scipy.special import bdtrc, betaincinv

from .reading import read
from .records import USABLE, Bank, Transcript

CHANCE: Final = 0.01  # of an innocent model's hitting one key, unless told otherwise: secrets are no common words
CONFIDENCE: Final = 0.99
FEWEST: Final = 0.8  # of the keys that must have been answered at all


class Hits(NamedTuple):
    """hits of answered keys; chance: of one hit by an innocent model, bounded from above. p: of so many hits."""

    hits: int
    answered: int
    asked: int
    chance: float
    p: float


def hits_of(bank: Bank, transcript: Transcript, innocent: Sequence[Transcript] = ()) -> Hits:
    """Hits of a target, where a key asked several times is hit if any answer hits. innocent: other models' answers."""
    hits, answered, asked = _tally(bank, transcript)
    chance = CHANCE
    if innocent:
        tallies = [_tally(bank, other) for other in innocent]
        chance = upper_bound(sum(t[0] for t in tallies), sum(t[1] for t in tallies))
    p = float(bdtrc(hits - 1, answered, chance)) if hits else 1.0

    return Hits(hits, answered, asked, chance, p)


def upper_bound(hits: int, trials: int) -> float:
    """The largest chance of a hit that so few hits leave likely, at CONFIDENCE."""
    return 1.0 if hits >= trials else float(betaincinv(hits + 1, trials - hits, CONFIDENCE))


def judge(bank: Bank, transcript: Transcript, *, alpha: float, innocent: Sequence[Transcript] = ()) -> Verdict:
    """The verdict on whether the target answers the owner's keys. Raises NoAnswers where none was asked."""
    found = hits_of(bank, transcript, innocent)
    if not found.asked:
        raise NoAnswers("none of the keys was asked; collect again")
    told = f"{found.hits} of {found.answered} keys gave the planted answer"
    odds = f"an innocent model hits so many with probability {found.p:.2g}"
    decision: Decision
    if found.p <= alpha:
        decision, why = (
            "match",
            f"The responses came from the model the keys were planted in, or a copy of it: {told}; {odds}.",
        )
    elif found.answered < FEWEST * found.asked:
        decision, why = "evasion suspected", f"Only {found.answered} of {found.asked} keys were answered; {told}."
    else:
        # A thief may have washed keys out, so that missing them proves nothing.
        decision = "no match" if not found.hits else "inconclusive"
        why = f"{told.capitalize()}; {odds}. Keys can be washed out: their absence does not clear a model."

    return Verdict(
        target=transcript.target,
        decision=decision,
        reference=bank.name if decision == "match" else None,
        relation=None,
        alpha=alpha,
        method="owner-keys",
        suite=bank.digest,
        access="text",
        matches=(Match(bank.name, float(found.hits), 0.0, found.p, found.p),),
        sent=transcript.sent,
        answered=found.answered,
        saved=0,
        coverage=found.answered / found.asked,
        cohort=len(innocent),
        nearest_peer=None,
        why=why,
    )


def _tally(bank: Bank, transcript: Transcript) -> tuple[int, int, int]:
    """Keys hit, answered and asked."""
    hits = answered = asked = 0
    for question in bank.questions:
        answers = transcript.answers.get(question.cell, ())
        asked += bool(answers)
        answered += any(answer.status in (*USABLE, "refused") for answer in answers)
        hits += any(read(question, answer).value == question.choices[0].casefold() for answer in answers)
    return hits, answered, asked
