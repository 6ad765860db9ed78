"""
A regressor's numbers as labels: between which quartiles of the pool's true values they lie.

So a claim on a regressor is one on where its answers pass three levels, which nobody picks: they follow from the pool
that was committed to.
"""

from typing import Final

import numpy as np
from probe_match.fingerprinting.collect import Asked
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.records import UNANSWERED, Pool

QUARTILES: Final = (0.25, 0.5, 0.75)


def labels_of(asked: Asked, pool: Pool) -> np.ndarray:
    """int64 (m,): what a model answered, a classifier's labels as they are; UNANSWERED where nothing came."""
    if pool.spec.output != "number":
        return asked.labels
    if asked.scores is None or asked.scores.shape[1] != 1:
        raise BadData("expected one number to each input from a regressor, got none or several")

    return of_numbers(asked.scores[:, 0], pool)


def of_numbers(values: np.ndarray, pool: Pool) -> np.ndarray:
    """int64, 0 to 3: between which levels of the pool float values of any shape lie; UNANSWERED for NaN."""
    if pool.y is None:
        raise BadData("levels are those of the pool's true values and it has none; add y to the pool")
    levels = np.quantile(pool.y.astype(np.float64), QUARTILES)
    found = np.searchsorted(levels, values.astype(np.float64), side="right").astype(np.int64)

    return np.where(np.isnan(values), UNANSWERED, found)
