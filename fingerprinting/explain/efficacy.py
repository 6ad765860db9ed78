"""
How much of what a model is good for comes from lines, from curves and from pairs, where true answers are known.

The parts add up to a model of their own: a constant, what each feature contributes at its value, what each pair does
beyond that. It is read at every row of the pool and costs no question.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from probe_match.fingerprinting.records import Pool

from . import parts
from .curves import Surface, between
from .features import Features


class Efficacy(NamedTuple):
    """
    How well the parts predict the pool's own y: accuracy, or R² of a regressor, from 0 (or less) to 1.

    linear: of the linear parts alone; nonlinear: what curves add; pairwise: what pairs add; model: the model's own, on
    `rows` rows that were asked as they are.
    """

    measure: str
    linear: float
    nonlinear: float
    pairwise: float
    model: float
    rows: int


def efficacy(
    pool: Pool,
    features: Features,
    effects: Sequence[np.ndarray],
    surfaces: Sequence[Surface],
    weights: np.ndarray,
    asked: np.ndarray,
    own: np.ndarray,
) -> Efficacy | None:
    """
    None where the pool has no y. effects: float64 (grid, outputs) for each feature. weights: of the background.

    asked, own: rows that were put to the model as they are, int (m,), and its answers, float64 (m, outputs).
    """
    if pool.y is None or len(asked) == 0:
        return None
    rows = np.arange(len(pool))
    linear = np.zeros((len(rows), own.shape[1]))
    curved = linear.copy()
    values = [features.values(rows, f) for f in range(len(effects))]
    for f, effect in enumerate(effects):
        mean = features.weights[f] @ effect
        curved += between(values[f], features.grids[f], effect) - mean
        if features.ordered[f]:
            straight = parts.line(features.grids[f], features.weights[f], effect.T).T
            linear += between(values[f], features.grids[f], straight) - mean
    paired = curved.copy()
    for surface in surfaces:
        a, b = surface.a, surface.b
        rest = np.tensordot(surface.everywhere(features.grids[a], features.grids[b]), weights, (2, 0))
        rest = rest - effects[a][:, None] - effects[b][None]
        rest -= np.einsum("gho,g,h->o", rest, features.weights[a], features.weights[b])
        paired += _read(features.grids[a], features.grids[b], rest, values[a], values[b])
    good = _accuracy if pool.spec.output == "classes" else _determination
    # The constant is the one with which the parts say in the mean what the model does.
    scores = [good(made + (own - made[asked]).mean(0), pool.y) for made in (linear, curved, paired)]

    return Efficacy(
        "accuracy" if pool.spec.output == "classes" else "R2",
        scores[0],
        scores[1] - scores[0],
        scores[2] - scores[1],
        good(own, pool.y[asked]),
        len(asked),
    )


def _read(grid_a: np.ndarray, grid_b: np.ndarray, surface: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A surface (g, h, outputs) at points a, b (n,) each, bilinear; float64 (n, outputs)."""
    ones = np.eye(len(grid_a))
    at_a, at_b = between(a, grid_a, ones), between(b, grid_b, np.eye(len(grid_b)))

    return np.asarray(np.einsum("ng,nh,gho->no", at_a, at_b, surface, optimize=True))


def _accuracy(made: np.ndarray, y: np.ndarray) -> float:
    return float((made.argmax(1) == y).mean())


def _determination(made: np.ndarray, y: np.ndarray) -> float:
    spread = float(np.square(y - y.mean()).sum())
    return float(1 - np.square(y - made[:, 0]).sum() / spread) if spread > 0 else 0.0
