"""
How far a suspect stands out, on both sides: nearer to a reference than to other references, and nearer to it than
other models are (the S-norm of speaker verification, Kenny 2010).
"""

from typing import Final, NamedTuple

import numpy as np

LEAST_SPREAD: Final = 1e-6


class Level(NamedTuple):
    """Mean and standard deviation of other models' scores for each reference, and their number; float64, int (m,)."""

    mean: np.ndarray
    spread: np.ndarray
    number: np.ndarray


def levels(cohort: np.ndarray, who: np.ndarray) -> Level:
    """Of float (c, m), the models who: int (c,) left out of their own column."""
    others = np.where(who[:, None] == np.arange(cohort.shape[1]), np.nan, cohort)
    count = (~np.isnan(others)).sum(0)
    mean = np.nansum(others, axis=0) / np.maximum(count, 1)
    spread = np.sqrt(np.nansum((others - mean) ** 2, axis=0) / np.maximum(count, 1))

    return Level(mean, spread + LEAST_SPREAD, count)


def beyond(near: np.ndarray, level: Level) -> np.ndarray:
    """Normalised scores of one suspect whom nobody knows; float64 (m,). near: float (m,)."""
    by_reference = np.where(level.number > 1, (near - level.mean) / level.spread, 0.0)
    return (by_reference + _own_side(near[None], np.array([-1]))[0]) / 2


def stand_out(near: np.ndarray, cohort: np.ndarray, who: np.ndarray, left_out: np.ndarray | None = None) -> np.ndarray:
    """
    Normalised scores; float64 (s, m), in standard deviations.

    near: float (s, m), suspects to references, larger is nearer. cohort: float (c, m), other models to references;
    who: int (c,), which reference each of these is, which counts for nothing beside itself. left_out: int (s,), the
    reference that a suspect truly is, kept out of every cohort it is compared with, or -1 for none.
    """
    truth = np.full(len(near), -1) if left_out is None else left_out
    itself = who[:, None] == np.arange(near.shape[1])  # (c, m)
    known = np.where(itself, 0.0, cohort)
    total, square, count = known.sum(0), (known**2).sum(0), (~itself).sum(0)
    taken = [np.flatnonzero(who == t) for t in truth]
    rows = np.array([t[0] if len(t) else -1 for t in taken])
    away = np.where(rows[:, None] >= 0, known[rows], 0.0)
    less = (rows[:, None] >= 0) & ~itself[rows]
    by_reference = _standard(near, total - away, square - away**2, count - less)

    return (by_reference + _own_side(near, truth)) / 2


def peers(cohort: np.ndarray, who: np.ndarray) -> np.ndarray:
    """Normalised scores of the cohort's models, each as a suspect nobody knows; float64 (c, m), NaN of itself."""
    scores = stand_out(cohort, cohort, who, left_out=who)
    scores[np.arange(len(who)), who] = np.nan

    return scores


def _own_side(near: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Against the suspect's scores for the other references."""
    m = near.shape[1]
    away = np.zeros_like(near)
    known = np.flatnonzero(truth >= 0)
    away[known] = near[known, truth[known]][:, None]
    less = np.zeros_like(near)
    less[known] = 1
    less[known, truth[known]] = 0  # the trial with its own reference leaves it out once
    away[known, truth[known]] = 0.0
    total, square = near.sum(1, keepdims=True), (near**2).sum(1, keepdims=True)

    return _standard(near, total - near - away, square - near**2 - away**2, m - 1 - less)


def _standard(near: np.ndarray, total: np.ndarray, square: np.ndarray, count: np.ndarray) -> np.ndarray:
    number = np.maximum(count, 1)
    mean = total / number
    spread = np.sqrt(np.maximum(square / number - mean**2, 0.0))

    return np.asarray(np.where(count > 1, (near - mean) / (spread + LEAST_SPREAD), 0.0))
