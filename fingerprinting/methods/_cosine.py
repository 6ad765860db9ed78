"""Cosine distance that is exactly 0 for equal vectors and finite for zero ones."""

import numpy as np


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, float64 (..., k); zero rows stay zero."""
    rows = rows.astype(np.float64)
    length = np.linalg.norm(rows, axis=-1, keepdims=True)

    return np.asarray(np.divide(rows, length, out=np.zeros_like(rows), where=length > 0))


def cosine_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """
    1 - cos of paired rows, float64 (...): (..., k) and (..., k), nonnegative numbers -> [0, 1].

    A zero row is at 0 from another zero row and at 1 from any other.
    """
    u, v = unit(a), unit(b)
    # Half the squared chord is 1 - cos of unit vectors, without the rounding that keeps equal ones apart.
    chord = ((u - v) ** 2).sum(-1) / 2
    lone = a.any(-1) != b.any(-1)

    return np.minimum(np.where(lone, 1.0, chord), 1.0)
