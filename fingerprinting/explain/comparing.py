"""
Two explained models side by side: on which inputs they decide alike, and along which features they part.
"""

from typing import NamedTuple

import numpy as np
from probe_match.fingerprinting.errors import SuiteMismatch

from .explaining import Explanation

NEAR = 0.05  # of the spread of the first model's numbers: regressors that differ by less decide alike


class Gap(NamedTuple):
    """feature, and the most its effects differ by, in units of the output, at which of its values."""

    feature: str
    most: float
    at: float


class Comparison(NamedTuple):
    """
    alike: share of inputs decided alike, 0 to 1. rank_correlation: Spearman's, of the features' contributions, cosine:
    of all contributions, each in [-1, 1]. gaps: widest first.
    """

    other: Explanation
    alike: float
    rank_correlation: float
    cosine: float
    gaps: tuple[Gap, ...]


def compare(first: Explanation, other: Explanation) -> Comparison:
    """Two explanations over the same pool and seed, so of the same inputs. Raises SuiteMismatch otherwise."""
    if first.outputs != other.outputs or not np.array_equal(first.asked, other.asked):
        raise SuiteMismatch(
            f"{first.target} answers {len(first.outputs)} outputs and {other.target} {len(other.outputs)}; explain "
            "models of one task with the same pool, budget and seed"
        )
    if first.outputs == ("number",):
        alike = np.abs(first.own - other.own)[:, 0] <= NEAR * first.own.std()
    else:
        alike = first.own.argmax(1) == other.own.argmax(1)
    gaps = []
    for ours, theirs in zip(first.features, other.features, strict=True):
        apart = np.abs(ours.curve - theirs.curve).max(1)
        gaps.append(Gap(ours.name, float(apart.max()), float(ours.grid[apart.argmax()])))
    a, b = first.vector(), other.vector()
    length = float(np.linalg.norm(a) * np.linalg.norm(b))

    return Comparison(
        other,
        float(alike.mean()) if len(alike) else 1.0,
        _rank_correlation([f.total for f in first.features], [f.total for f in other.features]),
        float(a @ b / length) if length > 0 else 0.0,
        tuple(sorted(gaps, key=lambda gap: -gap.most)),
    )


def _rank_correlation(a: list[float], b: list[float]) -> float:
    from scipy.stats import rankdata

    x, y = rankdata(a) - (len(a) + 1) / 2, rankdata(b) - (len(b) + 1) / 2
    length = float(np.linalg.norm(x) * np.linalg.norm(y))

    return float(x @ y / length) if length > 0 else 1.0
