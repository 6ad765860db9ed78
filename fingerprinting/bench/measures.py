"""
What a benchmark reports about scores: how well they part related from unrelated pairs, and how sure that is.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata


class Interval(NamedTuple):
    """A share and the bounds of its 95 % interval, all in [0, 1]; NaN without cases."""

    share: float
    low: float
    high: float


def roc_auc(related: np.ndarray, unrelated: np.ndarray) -> float:
    """Probability that a related pair scores higher than an unrelated one, ties by half; NaN if either is empty."""
    m, n = len(related), len(unrelated)
    if m == 0 or n == 0:
        return float("nan")
    ranks = rankdata(np.concatenate([related, unrelated]))

    return float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))


def threshold(unrelated: np.ndarray, fpr: float) -> float:
    """The score that at most that share of unrelated pairs exceeds; a pair must score above it, ties do not count."""
    allowed = int(np.floor(fpr * len(unrelated) + 1e-9))
    if allowed >= len(unrelated):
        return -np.inf
    return float(np.sort(unrelated)[::-1][allowed])


def tpr_at(related: np.ndarray, unrelated: np.ndarray, fpr: float) -> float:
    """Share of related pairs above that threshold, NaN if either is empty."""
    if len(related) == 0 or len(unrelated) == 0:
        return float("nan")
    return float((related > threshold(unrelated, fpr)).mean())


def wilson(found: float, cases: int, z: float = 1.96) -> Interval:
    """Wilson's score interval (1927) of a share of `cases`; `found` may be a mean of several shares times cases."""
    if cases == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    share = found / cases
    centre = (share + z**2 / (2 * cases)) / (1 + z**2 / cases)
    half = z / (1 + z**2 / cases) * np.sqrt(share * (1 - share) / cases + z**2 / (4 * cases**2))

    return Interval(share, max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def roc_curve(related: np.ndarray, unrelated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False- and true-positive shares from (0, 0) to (1, 1), one step per distinct score; float64 (t,) each."""
    cuts = np.unique(np.concatenate([related, unrelated]))[::-1]
    false = 1 - np.searchsorted(np.sort(unrelated), cuts, side="left") / max(len(unrelated), 1)
    true = 1 - np.searchsorted(np.sort(related), cuts, side="left") / max(len(related), 1)

    return np.concatenate([[0.0], false]), np.concatenate([[0.0], true])
