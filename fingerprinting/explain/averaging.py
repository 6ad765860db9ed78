"""
Means over the pool from answers for few of its rows, and how far other rows would have moved them.

Three sets of rows, each larger and known more coarsely than the one before: a handful whose curves are known in full,
many that were asked at few values (their mean is corrected by what the coarse curve misses for the handful), and the
whole pool, through surfaces that say how one feature's curve depends on another's value. The last two are control
variates: they cost few questions or none, and take out the noise of a small background.
"""

from typing import Final

import numpy as np

from .curves import Curve, Surface, between
from .features import Features, weights_of

RESAMPLED: Final = 200
LEVEL: Final = 0.95
MANY: Final = 20  # rows that stand for the pool as they are; weights would make them count as fewer


class Rows:
    """
    The background `few`, int (r,), with weights summing to 1, and `more` rows, int (m,). Intervals come from the
    Bayesian bootstrap (Rubin 1981) over rows: the first draw of everything is the estimate itself.
    """

    def __init__(
        self, features: Features, few: np.ndarray, more: np.ndarray, weights: np.ndarray, rng: np.random.Generator
    ) -> None:
        self._features = features
        self._few, self._all = few, np.concatenate([few, more])
        chance = np.concatenate(
            [np.ones((1, len(self._all))), rng.dirichlet(np.ones(len(self._all)), RESAMPLED) * len(self._all)]
        )
        self._of_few = _normal(chance[:, : len(few)] * weights)
        of_all = weights_of(features, self._all) if len(self._all) < MANY else 1.0
        self._of_all = _normal(chance * of_all) if len(more) else self._of_few

    def __len__(self) -> int:
        return len(self._all)

    def effect(self, f: int, curve: Curve, coarse: Curve | None) -> np.ndarray:
        """A feature's mean prediction, draw by draw; float64 (draws, grid, outputs)."""
        grid = self._features.grids[f]
        fine = curve.everywhere(grid)
        if coarse is None:
            return np.asarray(np.einsum("dr,gro->dgo", self._of_few, fine, optimize=True))
        own = Curve(coarse.at, curve.y[np.searchsorted(curve.at, coarse.at)])
        missed = fine - own.everywhere(grid)
        whole = between(grid, grid[coarse.at], np.concatenate([own.y, coarse.y], axis=1))
        return np.asarray(
            np.einsum("dr,gro->dgo", self._of_all, whole, optimize=True)
            + np.einsum("dr,gro->dgo", self._of_few, missed, optimize=True)
        )

    def mean(self, surface: Surface) -> np.ndarray:
        """A surface's mean, draw by draw; float64 (draws, grid a, grid b, outputs)."""
        whole = surface.everywhere(self._features.grids[surface.a], self._features.grids[surface.b])
        return np.asarray(np.moveaxis(np.tensordot(whole, self._of_few, (2, 1)), 3, 0))

    def correction(self, other: int, surface: np.ndarray, many: bool) -> np.ndarray:
        """
        What to add to a feature's effect so that it counts all values that the pool has of another; (draws, grid, out).

        surface: float64 (draws, grid, grid of the other, outputs). many: whether the effect was read on all rows.
        """
        rows, draws = (self._all, self._of_all) if many else (self._few, self._of_few)
        pool = np.arange(self._features.size)
        grid = self._features.grids[other]
        ours, everyone = (between(self._features.values(r, other), grid, np.eye(len(grid))) for r in (rows, pool))

        return np.asarray(np.einsum("dgho,dh->dgo", surface, everyone.mean(0) - draws @ ours, optimize=True))


def _normal(draws: np.ndarray) -> np.ndarray:
    return np.asarray(draws / draws.sum(1, keepdims=True))
