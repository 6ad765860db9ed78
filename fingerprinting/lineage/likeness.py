"""
How near two models are, probe by probe, and how much nearer than honest models come.

Nearness is a log-likelihood ratio: that one answer was inherited from the other, against that it is what honest models
answer. Summed over pairs it makes the likeliest tree the one of greatest total (Chow and Liu, IEEE Trans. Inf. Theory
1968). Scores tell more than labels: there it is the correlation of two models' deviations from the honest mean.
What a nearness means depends on both models, so it is read against what honest models reach with either (the S-norm of
speaker verification, Kenny 2010).
"""

from typing import Final

import numpy as np
from probe_match.fingerprinting.records import UNANSWERED

from .members import Models

RETENTION: Final = 0.7  # share of labels that a derived model keeps, typically
LEAST: Final = 0.01  # probabilities below this are alike: what rounding leaves of them
CLOSEST: Final = 0.9999  # correlation; above it two models differ by float noise
SPREAD: Final = 0.15  # of a nearness among honest models, in its own units; less is luck


class Likeness:
    """
    Nearness of every model to every other, for any weights of the probes, so that resampling them is cheap.

    rows: the models; columns: the same models, or others.
    """

    def __init__(self, rows: Models, columns: Models, honest: Models, number: bool) -> None:
        self.number = number
        self._labels = None if number else _inherited(rows.labels, columns.labels, honest.labels)
        self._soft = None
        if rows.scores is not None and columns.scores is not None and honest.scores is not None:
            center = _middle(honest.scores, number)
            self._soft = tuple(_deviations(some.scores, center, number) for some in (rows, columns))

    @property
    def kinds(self) -> int:
        """How many kinds of nearness there are: of labels, of scores."""
        return (self._labels is not None) + (self._soft is not None)

    def near(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Nearness; float64 (kinds, rows, columns). weights: float (n,) of the probes, all 1 if None."""
        kinds = []
        if self._labels is not None:
            kinds.append(self._labels.sum(2) if weights is None else self._labels @ weights)
        if self._soft is not None:
            a, b = self._soft
            w = np.ones(a.shape[1]) if weights is None else weights
            kinds.append(_correlation(a, b, w))

        return np.stack(kinds).astype(np.float64)


def _inherited(rows: np.ndarray, columns: np.ndarray, honest: np.ndarray) -> np.ndarray:
    """Log-likelihood ratio per probe that two labels are one inherited; float32 (rows, columns, n)."""
    k = int(max(rows.max(initial=0), columns.max(initial=0), honest.max(initial=0))) + 1
    counts = np.stack([(honest == label).sum(0) for label in range(k)], 1).astype(float)
    usual = (counts + 2.0 / k) / (counts.sum(1, keepdims=True) + 2.0)
    n = rows.shape[1]
    p0 = usual[np.arange(n), np.maximum(rows, 0)]  # (rows, n): both say the same, so either's will do
    same = np.log((RETENTION + (1 - RETENTION) * p0) / p0).astype(np.float32)
    out = np.where(rows[:, None] == columns[None], same[:, None], np.float32(np.log(1 - RETENTION)))
    out[(rows == UNANSWERED)[:, None] | (columns == UNANSWERED)[None]] = 0

    return out


def _middle(honest: np.ndarray, number: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the honest models' answers and their spread, each (n, k)."""
    told = _told(honest, number)
    return np.nanmean(told, 0), np.maximum(np.nanstd(told, 0), 1e-6 if number else 0.2)


def _told(scores: np.ndarray, number: bool) -> np.ndarray:
    """Scores on the scale on which they are compared: log-probabilities less their mean, or numbers as they are."""
    wide = scores.astype(np.float64)
    if number:
        return wide
    logs = np.log(np.maximum(wide, LEAST))
    return np.asarray(logs - logs.mean(2, keepdims=True))


def _deviations(scores: np.ndarray | None, center: tuple[np.ndarray, np.ndarray], number: bool) -> np.ndarray:
    assert scores is not None
    mean, spread = center
    told = _told(scores, number)
    if not number:  # how sure a model is in general is a temperature away from any other: no trait of descent
        told = told / np.maximum(np.nansum(told * mean, (1, 2), keepdims=True) / np.nansum(mean**2), 0.1)
    apart = (told - mean) / spread
    return np.asarray(np.nan_to_num(np.clip(apart, -4, 4)))


def _correlation(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fisher's z of the weighted correlation of deviations; (rows, n, k), (columns, n, k) -> (rows, columns)."""
    m, s = len(a), len(b)
    root = np.sqrt(weights)[:, None]
    x, y = (a * root).reshape(m, -1), (b * root).reshape(s, -1)
    length = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    r = (x @ y.T) / np.maximum(length, 1e-12)

    return np.asarray(np.arctanh(np.clip(r, -CLOSEST, CLOSEST)))


def standing(near: np.ndarray, rows: np.ndarray, columns: np.ndarray, itself: bool = False) -> np.ndarray:
    """
    How far models stand out, in standard deviations of what honest ones reach with either; float64 (rows, columns).

    near: float (kinds, rows, columns). rows, columns: nearness to the honest of either side, (kinds, r, h), (kinds, c,
    h). itself: whether the rows are the honest models, whose nearness to themselves counts for nothing.
    """
    own = np.eye(rows.shape[1], rows.shape[2], dtype=bool) & itself
    kinds = []
    for k in range(len(near)):
        sides = []
        for side, hidden in ((rows[k], own), (columns[k], np.zeros(columns[k].shape, bool))):
            kept = np.where(hidden, np.nan, side)
            sides.append((np.nanmean(kept, 1), np.maximum(np.nanstd(kept, 1, ddof=1), SPREAD)))
        (mean, spread), (other, width) = sides
        kinds.append(((near[k] - mean[:, None]) / spread[:, None] + (near[k] - other) / width) / 2)

    return np.asarray(np.mean(kinds, 0))
