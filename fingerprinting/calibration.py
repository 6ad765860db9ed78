"""
From a score to an error rate: what honest peers score, and how far above them a suspect must stand.

Two p-values, both shown. The conformal one makes no assumption beyond exchangeability of the suspect with the peers,
and has a floor of 1/(peers + 1). The parametric one is the Student-t predictive tail of the peers' scores, heavy when
peers are few.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import stdtr

ENOUGH = 99  # peers from which on the conformal p-value can reach 1 % and is the one that decides


class PValues(NamedTuple):
    """predictive: Student-t tail. conformal: rank among the peers. Both in (0, 1]."""

    predictive: float
    conformal: float


def p_values(score: float, peers: np.ndarray) -> PValues:
    """
    How often an honest model like the peers would score at least this much.

    peers: float (m,), scores of honest models that chose and fitted nothing. With fewer than two, both are 1.
    """
    scores = np.array([score])
    return PValues(float(tails(scores, peers)[0]), float(ranks(scores, peers)[0]))


def ranks(scores: np.ndarray, peers: np.ndarray) -> np.ndarray:
    """Conformal p-values (Vovk 2005) of many scores among the peers'; float64, as many, 1 with fewer than two peers."""
    m = len(peers)
    if m < 2:
        return np.ones(len(scores))
    at_least = m - np.searchsorted(np.sort(peers), scores, side="left")

    return np.asarray((1 + at_least) / (m + 1))


def tails(scores: np.ndarray, peers: np.ndarray) -> np.ndarray:
    """Student-t predictive tails of many scores beyond the peers'; float64, as many. Peers all alike go by rank."""
    m = len(peers)
    spread = float(peers.std(ddof=1)) if m > 1 else 0.0
    if spread < 1e-9:
        return ranks(scores, peers)
    distance = (scores - float(peers.mean())) / (spread * np.sqrt(1 + 1 / m))

    return np.asarray(np.maximum(stdtr(m - 1, -distance), 1e-300))


def corrected(p: float, searched: int) -> float:
    """The p-value of the best of `searched` references (Šidák); in (0, 1]."""
    return float(-np.expm1(searched * np.log1p(-min(p, 1 - 1e-16))))


def standardise(scores: np.ndarray, peers: np.ndarray) -> np.ndarray:
    """Scores in standard deviations above the peers' mean; (m,) and (p,), or column by column (m, t) and (p, t)."""
    mean = peers.mean(0) if len(peers) else np.zeros(peers.shape[1:])
    spread = peers.std(0, ddof=1) if len(peers) > 1 else np.ones(peers.shape[1:])

    return (scores - mean) / np.maximum(spread, 1e-9)
