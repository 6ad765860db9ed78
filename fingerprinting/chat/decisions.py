"""
Decisions that go against the crowd: two models that share them are related (the lesson of Stemma and of BReF, 2026).

Choices of many models to the same questions, with what the crowd answers taken off question by question.
What is left is correlated, and normalised on both sides.
"""

import numpy as np

from .standing import stand_out

FEWEST = 5  # questions that two models must both have answered


def residuals(choices: np.ndarray, options: int) -> np.ndarray:
    """
    How a model's choice differs from the others' mean choice; float64 (m, n, options), 0 where none came.

    choices: int (m, n), -1 where no answer came. A model does not count towards the crowd it is compared with.
    """
    given = choices >= 0
    made = (choices[..., None] == np.arange(options)) & given[..., None]
    others = given.sum(0) - given
    crowd = (made.sum(0) - made + 1 / options) / (others[..., None] + 1)

    return np.asarray(np.where(given[..., None], made - crowd, 0.0))


def correlation(left: np.ndarray) -> np.ndarray:
    """
    Cosine of all pairs of models over the questions both answered; float64 (m, m), 0 where too few.

    left: float (m, n, k), as `residuals` gives them.
    """
    m = len(left)
    answered = (left != 0).any(2).astype(float)
    flat = left.reshape(m, -1)
    product = flat @ flat.T
    power = (left**2).sum(2)
    norm = np.sqrt((power @ answered.T) * (answered @ power.T))
    enough = answered @ answered.T >= FEWEST

    return np.asarray(np.where(enough & (norm > 0), product / np.maximum(norm, 1e-12), 0.0))


def kinship(left: np.ndarray) -> np.ndarray:
    """Correlations normalised against all other models on both sides; float64 (m, m), -inf on the diagonal."""
    alike = correlation(left)
    who = np.arange(len(alike))
    off = ~np.eye(len(alike), dtype=bool)
    np.fill_diagonal(alike, alike[off].mean() if off.any() else 0.0)
    out = stand_out(alike, alike, who)
    out[~off] = -np.inf

    return np.asarray((out + out.T) / 2)
