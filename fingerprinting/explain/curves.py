"""
Curves of a model along each feature, and surfaces along two, asked where they bend and nowhere else.

A partial dependence on a grid of 50 values and a thousand rows is 50,000 questions a feature. Here a few rows stand for
the pool, every feature is asked at few values, and what is left of the budget goes to the widest bends and to pairs of
features along which rows do not move alike. Those features are then asked at few values for many more rows, so that
their means are those of the pool. Between two asked values the curve is a straight line.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from probe_match.fingerprinting.errors import UsageError
from probe_match.fingerprinting.plans import Inputs

from .features import Features

Predict = Callable[[Inputs], np.ndarray]  # inputs to float64 (m, outputs)
FIRST: Final = (9, 5, 3, 2)  # values of a feature that are asked first, as many as the budget allows
MOST_ROWS: Final = 8  # of the background that curves and surfaces are read on
LEAST_ROWS: Final = 2
FOR_CURVES: Final = 0.35  # of the budget, at first
FOR_PAIRS: Final = 0.35  # of the budget, where features act together
COARSE: Final = 5  # most values of a feature that many rows are asked at
ROUGH: Final = 0.15  # of a curve's range that straight lines through three of its values may miss there
MOST_PAIRS: Final = 10
SIDE: Final = (8, 7, 6, 5, 4, 3, 2)  # values of each feature of a pair
FLAT: Final = 1e-3  # bends below this share of the widest range are no bends
ALONE: Final = 0.005  # rows that move alike but for this share of it owe the rest to no other feature


@dataclass
class Curve:
    """at: indices into the feature's grid that were asked, ascending, int (p,). y: float64 (p, rows, outputs)."""

    at: np.ndarray
    y: np.ndarray

    def everywhere(self, grid: np.ndarray) -> np.ndarray:
        """The curve at every value of the grid; float64 (grid, rows, outputs)."""
        return between(grid, grid[self.at], self.y)


@dataclass(frozen=True)
class Surface:
    """One pair: which values of each were asked, int (p,) and (q,), and y: float64 (p, q, rows, outputs)."""

    a: int
    b: int
    at_a: np.ndarray
    at_b: np.ndarray
    y: np.ndarray

    def everywhere(self, grid_a: np.ndarray, grid_b: np.ndarray) -> np.ndarray:
        """float64 (grid_a, grid_b, rows, outputs), bilinear between what was asked."""
        half = between(grid_a, grid_a[self.at_a], self.y)
        return np.moveaxis(between(grid_b, grid_b[self.at_b], np.moveaxis(half, 1, 0)), 0, 1)


def between(at: np.ndarray, known: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Straight lines through y (p, …) at known (p,), ascending, read at `at` (g,); float64 (g, …)."""
    if len(known) == 1:
        return np.repeat(y, len(at), axis=0)
    right = np.clip(np.searchsorted(known, at, side="left"), 1, len(known) - 1)
    left = right - 1
    share = (at - known[left]) / np.maximum(known[right] - known[left], 1e-300)
    share = np.clip(share, 0, 1).reshape(-1, *[1] * (y.ndim - 1))

    return np.asarray(y[left] * (1 - share) + y[right] * share)


def rows_for(features: Features, budget: int) -> tuple[int, int]:
    """Rows of the background and first values of each feature that a budget allows. Raises UsageError."""
    for first in FIRST:
        each = sum(len(at) for at in _firsts(features, first))
        rows = int(FOR_CURVES * budget / each)
        if rows >= (4 if first > FIRST[-2] else LEAST_ROWS):
            return min(rows, MOST_ROWS), first
    raise UsageError(
        f"expected a budget of at least {int(np.ceil(LEAST_ROWS * each / FOR_CURVES))} questions for "
        f"{len(features.names)} features, got {budget}; raise --budget"
    )


class Asking:
    """Curves and surfaces of one model over one background, within one budget. spent: questions so far."""

    def __init__(self, predict: Predict, features: Features, rows: np.ndarray, budget: int) -> None:
        self.features = features
        self.rows = rows
        self.budget = budget
        self.spent: int = 0
        self._predict = predict

    @property
    def left(self) -> int:
        """Questions that may still be asked."""
        return self.budget - self.spent

    def curves(self, first: int, most: int) -> list[Curve]:
        """One curve for each feature: `first` values of each, then the widest bends; at most `most` questions."""
        stop = self.spent + most
        wanted = list(enumerate(_firsts(self.features, first)))
        curves = [Curve(at, y) for (_, at), y in zip(wanted, self._along(wanted), strict=True)]

        return self.refine(curves, stop - self.spent)

    def refine(self, curves: list[Curve], most: int) -> list[Curve]:
        """The same curves, asked where they bend most; at most `most` questions."""
        stop = self.spent + most
        curves = list(curves)
        while (room := (min(stop, self.budget) - self.spent) // len(self.rows)) > 0:
            bends = [bend for f, curve in enumerate(curves) for bend in self._bends(f, curve)]
            widest = max((float(np.ptp(curve.y, axis=0).max()) for curve in curves), default=0.0)
            bends = sorted((b for b in bends if b[0] > FLAT * widest), reverse=True)[: max(1, min(room, 16))]
            if not bends or widest == 0:
                break
            asked = [(f, np.array([at])) for _, f, at in bends]
            for (f, at), y in zip(asked, self._along(asked), strict=True):
                place = int(np.searchsorted(curves[f].at, at[0]))
                curves[f] = Curve(np.insert(curves[f].at, place, at), np.insert(curves[f].y, place, y[0], axis=0))

        return curves

    def surfaces(self, curves: list[Curve], most: int) -> list[Surface]:
        """Surfaces of the pairs that act together, as far as one can tell from how differently the rows move."""
        unlike = _unlike(curves)[:MOST_PAIRS].tolist()
        places = sorted(combinations(range(len(unlike)), 2), key=lambda place: (place[0] + 1) * (place[1] + 1))
        pairs = [(unlike[i], unlike[j]) for i, j in places[:MOST_PAIRS]]
        room = min(most, self.left)
        while pairs:
            side = next((s for s in SIDE if self._cost(pairs, curves, s) <= room), None)
            if side is not None and (side >= 5 or len(pairs) <= 3):
                break
            pairs = pairs[:-1]
        else:
            return []
        made = []
        for a, b in pairs:
            at_a, at_b = (self._values(f, curves[f], side) for f in (a, b))
            i, j = (index.ravel() for index in np.meshgrid(at_a, at_b, indexing="ij"))
            values = {f: np.repeat(self.features.grids[f][at], len(self.rows)) for f, at in ((a, i), (b, j))}
            y = self._ask(np.tile(self.rows, len(i)), values)
            made.append(Surface(a, b, at_a, at_b, y.reshape(len(at_a), len(at_b), len(self.rows), -1)))

        return made

    def over(self, rows: np.ndarray, curves: list[Curve]) -> dict[int, Curve]:
        """
        Curves over more rows, as many as the budget still holds, where features move rows differently.

        At most COARSE of each curve's own values, those that tell most, or more where all rows can be asked so. Then
        all features are asked: one along which the few rows stay put, since a model is sure of them, may move others.
        Empty where nothing is left for it.
        """
        if len(_unlike(curves)) == 0:
            return {}
        asked = [f for f, curve in enumerate(curves) if len(curve.at) > 1]
        affordable = self.left // max(1, len(rows) * len(asked))
        count, rough = (affordable, 1e-9) if affordable > COARSE else (COARSE, ROUGH)
        wanted = [(f, self._values(f, curves[f], count, rough)) for f in asked]
        each = sum(len(at) for _, at in wanted)
        rows = rows[: self.left // each] if each else rows[:0]
        if len(rows) == 0:
            return {}
        return {f: Curve(at, y) for (f, at), y in zip(wanted, self._along(wanted, rows), strict=True)}

    def _values(self, f: int, curve: Curve, count: int, rough: float = 1e-9) -> np.ndarray:
        """The asked values of a feature that tell most; of a category all, as nothing lies between two of them."""
        return _telling(self.features.grids[f], curve, count, rough) if self.features.ordered[f] else curve.at

    def _cost(self, pairs: list[tuple[int, int]], curves: list[Curve], side: int) -> int:
        """The most questions for surfaces of that many values a side."""
        size = [min(side, len(c.at)) if self.features.ordered[f] else len(c.at) for f, c in enumerate(curves)]
        return len(self.rows) * sum(size[a] * size[b] for a, b in pairs)

    def _along(self, wanted: list[tuple[int, np.ndarray]], rows: np.ndarray | None = None) -> list[np.ndarray]:
        """Rows at the given values of each feature, in one batch; float64 (values, rows, outputs) each."""
        rows = self.rows if rows is None else rows
        parts = [
            self.features.place(np.tile(rows, len(at)), {f: np.repeat(self.features.grids[f][at], len(rows))})
            for f, at in wanted
        ]
        y = self._put(parts)
        ends = np.cumsum([len(part) for part in parts])[:-1]
        return [own.reshape(-1, len(rows), own.shape[1]) for own in np.split(y, ends)]

    def _ask(self, rows: np.ndarray, moved: dict[int, np.ndarray]) -> np.ndarray:
        return self._put([self.features.place(rows, moved)])

    def _put(self, parts: list[Inputs]) -> np.ndarray:
        from probe_match.fingerprinting.joining import together

        inputs = together(parts)
        assert len(inputs) <= self.left, "the plan kept to the budget"
        self.spent += len(inputs)
        return self._predict(inputs)

    def _bends(self, f: int, curve: Curve) -> list[tuple[float, int, int]]:
        """How much the curve may miss between neighbours that lie apart: (width, feature, index into the grid)."""
        grid, at = self.features.grids[f], curve.at
        if not self.features.ordered[f] or len(at) < 2:
            return []
        step = np.abs(np.diff(curve.y, axis=0)).mean(axis=1).max(axis=1)
        slope = np.diff(curve.y, axis=0) / np.maximum(np.diff(grid[at]), 1e-300)[:, None, None]
        turn = np.abs(np.diff(slope, axis=0)).mean(axis=1).max(axis=1)
        turn = np.maximum(np.append(turn, 0.0), np.insert(turn, 0, 0.0)) * np.diff(grid[at])
        share = np.diff(at) / (len(grid) - 1)
        middle = (at[:-1] + at[1:]) // 2
        return [
            (float(share[i] * (min(turn[i], 2 * step[i]) + 0.05 * step[i])), f, int(middle[i]))
            for i in range(len(step))
            if middle[i] > at[i] and grid[at[i]] < grid[middle[i]] < grid[at[i + 1]]
        ]


def _firsts(features: Features, count: int) -> list[np.ndarray]:
    """The values of each feature that are asked first: some of a number's, all of a category's."""
    return [
        _spaced(grid, count) if ordered else np.arange(len(grid))
        for grid, ordered in zip(features.grids, features.ordered, strict=True)
    ]


def _spaced(grid: np.ndarray, count: int) -> np.ndarray:
    """At most that many indices of different values, evenly spaced."""
    values, index = np.unique(grid, return_index=True)
    if len(values) <= count:
        return index
    wanted = np.unique(np.searchsorted(values, grid[np.linspace(0, len(grid) - 1, count).round().astype(int)]))
    return index[wanted]


def _unlike(curves: list[Curve]) -> np.ndarray:
    """Features that do not move all rows alike, and so act together with others; the likeliest first, int."""
    moves = [curve.y - curve.y.mean(0) for curve in curves]
    unlike = np.array([float(np.ptp(m - m.mean(1, keepdims=True), axis=0).mean(0).max()) for m in moves])
    widest = max((float(np.ptp(m, axis=0).mean(0).max()) for m in moves), default=0.0)
    able = np.flatnonzero(unlike > ALONE * max(widest, 1e-12))

    return np.asarray(able[np.argsort(-unlike[able], kind="stable")])


def _telling(grid: np.ndarray, curve: Curve, count: int, rough: float = 1e-9) -> np.ndarray:
    """
    The asked values of a feature through which straight lines come nearest to its curve; int (at most count,).

    Three are enough where no more than `rough` of the curve's range is missed.
    """
    enough = rough * float(np.ptp(curve.y, axis=0).mean(0).max()) + 1e-12
    chosen = [0, len(curve.at) - 1] if len(curve.at) > 1 else [0]
    x = grid[curve.at]
    while len(chosen) < min(count, len(curve.at)):
        miss = np.abs(between(x, x[chosen], curve.y[chosen]) - curve.y).mean(1).max(1)
        miss[chosen] = -1.0
        if miss.max() <= enough and len(chosen) >= 3:
            break
        chosen = sorted({*chosen, int(miss.argmax())})

    return np.asarray(curve.at[chosen])
