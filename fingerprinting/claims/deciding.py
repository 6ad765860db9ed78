"""
From hits to a decision, by the rule that was committed to.

Two p-values. `p_query` is the chance of as many hits as the suspect's for a model that hits as often as the *worst*
honest peer may: the upper Clopper-Pearson bound (1934) of the peer with the most hits, at least 1/2 for registered
bits. It is corrected for the models it was tried on, the audits of the same owner, and for keys that could have been
tried where no beacon fixed the moment. Probes are dependent where models learn from the same data, so it never stands
alone: `p_model` is the suspect's rank among honest models, in the worst of their kinds, and cannot be less than
1/(peers + 1).
"""

from typing import Any, Final, Literal, NamedTuple

import numpy as np
from probe_match.fingerprinting.calibration import ENOUGH, ranks
from scipy.special import betainc, betaincinv

Outcome = Literal["match", "no match", "inconclusive"]
RESERVE: Final = 2.0**40  # keys that a claimant could try where nothing fixes the moment
COVERAGE: Final = 0.8  # of the probes, below which silence decides nothing
# Share of the ways on which an honest model's boundary is assumed to lie where the source's does, whatever peers say:
# the pool they learnt from is the claimant's, who could make one that teaches them worse than honest models know.
SHARED: Final = 0.5
SHARED_LASTING: Final = 0.7  # of the ways that copies chose
CONFIDENCE: Final = 0.99  # of the bound of the worst peer
THRESHOLD: Final = 1e-6
DOUBTFUL: Final = 0.05  # corrected p-values up to here clear nobody
ALPHA: Final = 0.01


def assumed(taught: float) -> float:
    """
    The share of common boundaries that is assumed where copies chose the ways: they choose boundaries that last, and
    honest models share more of those. It grows the less the labels of the pool teach.

    taught: kappa of those labels and the source's. Honest models that learn from poor labels know less than the rest of
    the world, so that their boundaries say little of where others' lie.
    """
    return max(SHARED_LASTING, 1 - 0.75 * taught)


class Rule(NamedTuple):
    """What was committed to. floor: the least rate of hits that is assumed of an honest model."""

    floor: float
    threshold: float = THRESHOLD
    alpha: float = ALPHA
    confidence: float = CONFIDENCE


def floor(targeted: bool, shared: float = SHARED) -> float:
    """
    The rate of hits that goes with a share of common boundaries; of registered bits half of the others hit as well.
    """
    return (1 + shared) / 2 if targeted else shared


class Finding(NamedTuple):
    """
    What the hits show. bound: the worst peer's. factor: by what p_query was multiplied for p_corrected. peers: honest
    models of each kind that ranks are among. nearest: index of the worst peer.
    """

    outcome: Outcome
    hits: int
    ways: int
    answered: int
    nearest: int
    nearest_hits: int
    bound: float
    p_query: float
    factor: float
    p_corrected: float
    p_model: float
    peers: dict[str, int]
    why: str


def upper_bound(hits: int, n: int, confidence: float = CONFIDENCE) -> float:
    """The Clopper-Pearson upper bound of a rate."""
    return 1.0 if hits >= n else float(betaincinv(hits + 1, n - hits, confidence))


def tail(hits: int, n: int, rate: float) -> float:
    """P[Bin(n, rate) >= hits], at least 1e-300."""
    return 1.0 if hits <= 0 else max(float(betainc(hits, n - hits + 1, rate)), 1e-300)


def factor(references: int, audits: int, beacon: bool) -> float:
    """
    How many chances a claimant had: models tried x audits registered x keys that could be tried before committing.
    """
    return float(max(references, 1) * max(audits, 1)) * (1.0 if beacon else RESERVE)


def p_model(hits: int, peers: np.ndarray, kin: np.ndarray) -> float:
    """
    Rank among honest models, the worse of those of the source's kind and of the others; peers: int (p,), kin: bool.
    """
    groups = [group for group in (peers[kin], peers[~kin]) if len(group)]
    return max((float(ranks(np.array([hits]), group)[0]) for group in groups), default=1.0)


def decide(
    hits: int, ways: int, answered: float, peers: np.ndarray, kin: np.ndarray, times: float, rule: Rule
) -> Finding:
    """
    The finding on one model. answered: share of the probes. peers: int (p,), hits of honest models that chose nothing.
    kin: bool (p,), which are of the source's class. times: from `factor`.
    """
    nearest = int(peers.argmax()) if len(peers) else -1
    most = int(peers[nearest]) if len(peers) else ways
    bound = max(upper_bound(most, ways, rule.confidence), rule.floor)
    single = tail(hits, ways, bound)
    corrected = min(1.0, single * times)
    ranked = p_model(hits, peers, kin)
    counts = {"kin": int(kin.sum()), "others": int((~kin).sum())}
    known = Finding("no match", hits, ways, round(answered * ways), nearest, most, bound, single, times, corrected,
                    ranked, counts, "")  # fmt: skip
    if answered < COVERAGE:
        return known._replace(outcome="inconclusive", why=f"only {answered:.0%} of the probes were answered")
    if min(counts.values()) < ENOUGH and corrected <= rule.threshold:
        return known._replace(
            outcome="inconclusive",
            why=f"{counts['kin']} honest models of the source's kind and {counts['others']} others stand behind it; "
            f"evidence needs {ENOUGH} of each",
        )
    if corrected <= rule.threshold and ranked <= rule.alpha:
        return known._replace(outcome="match", why=f"{hits} hits of {ways} where the nearest honest model has {most}")
    if tail(ways, ways, bound) * times > rule.threshold:
        return known._replace(
            outcome="inconclusive", why="an honest model answers so much as the source does that no answers could tell"
        )

    if corrected <= DOUBTFUL:
        return known._replace(
            outcome="inconclusive",
            why=f"{hits} hits of {ways} look derived, short of the threshold; commit to more ways",
        )

    return known._replace(why=f"{hits} hits of {ways}; an honest model may have up to {bound:.0%}")


def plain(finding: Finding) -> dict[str, Any]:
    """The finding as JSON."""
    return finding._asdict()
