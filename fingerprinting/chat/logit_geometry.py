"""
Whose output layer is it? Full vectors of logits of one model lie in a space of as few dimensions as it is wide inside
(the softmax bottleneck: Finlayson et al., 2403.09539; Carlini et al., 2403.06634).

Enrolment needs more vectors than that width; then one vector is enough to test. The space says that the output layer
is the same, and neither that all else is nor, where another model took the layer over, who made it.
"""

from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.errors import BadData

GAP: Final = 30.0  # by which a singular value must fall for the rank to end there
LEAST: Final = 1e-7  # of the largest singular value; below, everything is rounding


class Image(NamedTuple):
    """basis: float64 (vocabulary, rank), orthonormal. noise: residual that enrolled vectors had when left out."""

    basis: np.ndarray
    noise: float

    @property
    def rank(self) -> int:
        """The model's hidden width, one less where logits are known only up to a constant."""
        return int(self.basis.shape[1])


def enroll(logits: np.ndarray) -> Image:
    """
    The space of a model. logits: float (n, vocabulary), or log-probabilities: a constant per row is taken off.

    Raises BadData where there is no gap in the singular values: too few vectors, or a model as wide as its vocabulary.
    """
    rows = _centred(logits)
    n = len(rows)
    held = max(1, n // 10)
    _, values, axes = np.linalg.svd(rows[:-held], full_matrices=False)
    rank = _rank(values)
    if rank >= min(len(values), n - held):
        raise BadData(f"expected more vectors of logits than the model is wide, got {n} of rank {rank}; collect more")
    basis = axes[:rank].T

    return Image(basis, float(residual(logits[-held:], Image(basis, 0.0)).max()))


def residual(logits: np.ndarray, image: Image) -> np.ndarray:
    """Share of each vector's length outside a model's space; float64 (n,), 0 to 1. logits: (n, vocabulary)."""
    rows = _centred(logits)
    outside = rows - rows @ image.basis @ image.basis.T
    length = np.linalg.norm(rows, axis=1)

    return np.asarray(np.linalg.norm(outside, axis=1) / np.maximum(length, 1e-300))


def same_layer(logits: np.ndarray, image: Image, *, tolerance: float = 10.0) -> bool:
    """Whether all vectors lie in the space, as nearly as enrolled ones did; tolerance: times their residual."""
    return bool((residual(logits, image) <= tolerance * max(image.noise, LEAST)).all())


def _centred(logits: np.ndarray) -> np.ndarray:
    rows = np.asarray(logits, np.float64)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise BadData(f"expected finite logits (n, vocabulary), got shape {rows.shape}")
    return np.asarray(rows - rows.mean(1, keepdims=True))


def _rank(values: np.ndarray) -> int:
    kept = values[values > LEAST * values[0]]
    if len(kept) < 2:
        return len(kept)
    falls = kept[:-1] / kept[1:]
    at = int(falls.argmax())

    return at + 1 if falls[at] > GAP else len(kept)
