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
    m = len(peers)
    if m < 2:
        return PValues(1.0, 1.0)
    conformal = (1 + int((peers >= score).sum())) / (m + 1)
    spread = float(peers.std(ddof=1))
    if spread < 1e-9:
        return PValues(conformal, conformal)
    distance = (score - float(peers.mean())) / (spread * np.sqrt(1 + 1 / m))

    return PValues(float(max(stdtr(m - 1, -distance), 1e-300)), conformal)


def corrected(p: float, searched: int) -> float:
    """The p-value of the best of `searched` references (Šidák); in (0, 1]."""
    return float(-np.expm1(searched * np.log1p(-min(p, 1 - 1e-16))))


def standardise(scores: np.ndarray, peers: np.ndarray) -> np.ndarray:
    """Scores in standard deviations above the peers' mean; (m,) and (p,), or column by column (m, t) and (p, t)."""
    mean = peers.mean(0) if len(peers) else np.zeros(peers.shape[1:])
    spread = peers.std(0, ddof=1) if len(peers) > 1 else np.ones(peers.shape[1:])

    return (scores - mean) / np.maximum(spread, 1e-9)
