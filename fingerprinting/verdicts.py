"""
From scores to one of four verdicts, and the sentence that says why.

A verdict speaks of where answers came from, never of who holds which weights.
"""

from typing import Final, NamedTuple

import numpy as np

from .calibration import ENOUGH, PValues, corrected
from .records import UNANSWERED, Decision, Output

MIN_ANSWERED: Final = 8  # below this nothing is decided
MIN_COVERAGE: Final = 0.8  # below this a suspect is dodging, and silence is not innocence


class Evidence(NamedTuple):
    """
    What is known about one reference after its probes.

    p: not yet corrected for the references searched. beats_all: scores above every calibration peer. agreement: share
    of the source's labels, or the correlation of a regressor's deviations with the source's. power: share of the
    reference's shadows that these probes find at alpha. strange: the answers are far less likely than any known
    model's. renamed: the suspect permutes the classes, undone. hopeless: more answers would not show a copy. kin:
    the suspect may be of the source's class and data. honest,
    derived: scores of the peers and of the shadows.
    """

    reference: str
    score: float
    llr: float
    p: PValues
    beats_all: bool
    peers: int
    agreement: float
    power: float
    nearest_peer: tuple[str, float] | None
    output: Output = "classes"
    strange: bool = False
    renamed: bool = False
    hopeless: bool = False
    kin: bool = True
    honest: tuple[float, ...] = ()
    derived: tuple[float, ...] = ()


def deciding_p(evidence: Evidence, searched: int, alpha: float) -> tuple[float, float]:
    """
    The p-value that decides and the conformal one, both corrected for the references searched.

    The conformal one decides where enough peers stand behind it to reach alpha at all, else the predictive one.
    """
    conformal = corrected(evidence.p.conformal, searched)
    predictive = corrected(evidence.p.predictive, searched)

    return conformal if by_rank(evidence, searched, alpha) else predictive, conformal


def by_rank(evidence: Evidence, searched: int, alpha: float) -> bool:
    """Whether the rank among the peers decides: they are enough for it to reach alpha."""
    return evidence.peers >= ENOUGH and corrected(1 / (evidence.peers + 1), searched) <= alpha


def is_match(evidence: Evidence, searched: int, alpha: float) -> bool:
    """
    Whether a match may be named: the deciding p-value is small enough, and the likelihoods favour a copy.

    A suspect whose classes had to be renamed is never named: no peer was given the choice among so many permutations.
    Where a fitted tail decides for want of peers, no honest peer may stand higher, and the likelihoods must favour a
    copy by 1/sqrt(alpha) to 1: the tail of a dozen peers is easily mistaken.
    """
    p, _ = deciding_p(evidence, searched, alpha)
    if p > alpha or evidence.renamed:
        return False
    if by_rank(evidence, searched, alpha):
        return evidence.llr > 0

    return evidence.beats_all and evidence.llr > -0.5 * np.log(alpha)


def decide(
    best: Evidence, labels: np.ndarray, source: np.ndarray, sent: int, searched: int, alpha: float
) -> tuple[Decision, str]:
    """
    The verdict on the best reference. labels, source: int (n,) over the probes sent, UNANSWERED included; of
    regressors, any whole numbers that are equal where the answers are.

    Returns the decision and one sentence.
    """
    answered = int((labels != UNANSWERED).sum())
    if answered < MIN_ANSWERED:
        return (
            "inconclusive",
            f"Only {answered} answers came; at least {MIN_ANSWERED} are needed to decide anything.",
        )
    if sent and answered / sent < MIN_COVERAGE:
        return (
            "evasion suspected",
            f"Only {answered} of {sent} probes were answered, and silence says nothing about where a model comes from.",
        )
    if len(np.unique(labels[labels != UNANSWERED])) == 1 and len(np.unique(source)) > 2:
        return (
            "evasion suspected",
            f"All {answered} probes got one and the same answer, which no known model does.",
        )

    p, _ = deciding_p(best, searched, alpha)
    among = f" among {searched} references" if searched > 1 else ""
    if is_match(best, searched, alpha):
        return (
            "match",
            f"The responses came from '{best.reference}' or a copy of it: {_likeness(best, answered)} chosen to tell "
            f"copies from honest models; an honest model looks this close with "
            f"probability {p:.2g}{among}.",
        )
    if best.renamed:
        return (
            "inconclusive",
            f"The target calls the classes by other numbers. Under the likeliest renaming {_likeness(best, answered)} "
            f"of '{best.reference}'; whether that renaming is right, a person must say.",
        )
    power = f"these probes find {best.power:.0%} of the copies made on purpose"
    if best.peers < 2:
        return (
            "inconclusive",
            "There are not enough honest models to compare with; enroll with --pool, or more references.",
        )
    if best.llr < 0:
        return (
            "no match",
            f"The responses look like those of an honest model rather than of '{best.reference}' or a copy of it "
            f"(p = {p:.2g}{among}); {power}.",
        )
    return (
        "inconclusive",
        f"The responses are nearer to '{best.reference}' than most honest models are, but p = {p:.2g} does not reach "
        f"{alpha:g}{among}; {power}.",
    )


def _likeness(best: Evidence, answered: int) -> str:
    if best.output == "number":
        return (
            f"they follow its deviations from honest models with correlation {best.agreement:.2f} on {answered} probes"
        )
    return f"they agree on {best.agreement:.0%} of {answered} probes"
