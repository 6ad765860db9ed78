"""
Contributions estimated from answers to any suite, where the model itself cannot be asked: a ridge regression of the
answers on each feature (linear), on its square less what is straight in it (nonlinear), and on products of the features
that matter most (pairs).

Coarser than `explain`, which moves one feature at a time; with fewer probes than features all parts shrink.
"""

from typing import Final, NamedTuple

import numpy as np

RIDGE: Final = 0.1  # of the probes' number, on standardised columns
PAIRED: Final = 6  # features whose products are looked at


class Parts(NamedTuple):
    """Mean absolute contribution of each feature in units of the answers; float64 (features, outputs) each."""

    linear: np.ndarray
    nonlinear: np.ndarray
    paired: np.ndarray

    def vector(self) -> np.ndarray:
        """As `Explanation.vector`: linear, nonlinear and pairwise by feature and output; float64 (3 K outputs,)."""
        return np.concatenate(list(self)).ravel()


def estimate(inputs: np.ndarray, answers: np.ndarray, among: np.ndarray | None = None) -> Parts:
    """
    The parts of a model. inputs: float (n, features); answers: float (n, outputs), of labels one-hot. among: int (p,),
    the features whose products are looked at, ascending; unless told, those that matter most to this model.
    """
    z = _standard(inputs.astype(np.float64))
    square = z**2
    h = _standard(square - z * (z * square).mean(0))
    y = answers.astype(np.float64) - answers.mean(0)
    alone = np.concatenate([z, h], axis=1)
    weights = _ridge(alone, y)
    d = z.shape[1]
    parts = [np.abs(columns[:, :, None] * w).mean(0) for columns, w in ((z, weights[:d]), (h, weights[d:]))]
    top = foremost(parts[0] + parts[1]) if among is None else among
    a, b = (top[i] for i in np.triu_indices(len(top), 1))
    paired = np.zeros_like(parts[0])
    if len(a):
        products = _standard(z[:, a] * z[:, b])
        together = np.abs(products[:, :, None] * _ridge(products, y - alone @ weights)).mean(0)
        np.add.at(paired, a, together)
        np.add.at(paired, b, together)

    return Parts(parts[0], parts[1], paired)


def foremost(alone: np.ndarray) -> np.ndarray:
    """The features that matter most by what they do alone, float (features, outputs); int (at most PAIRED,)."""
    return np.sort(np.argsort(-alone.sum(1), kind="stable")[:PAIRED])


def _standard(columns: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and spread 1; those that never vary are 0."""
    spread = columns.std(0)
    return np.asarray((columns - columns.mean(0)) / np.where(spread > 1e-9, spread, np.inf))


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y))
