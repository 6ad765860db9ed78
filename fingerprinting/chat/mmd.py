"""
Model Equality Testing: maximum mean discrepancy between completions (Gao, Liang and Guestrin, 2410.20247).

The kernel of two completions of one prompt is the share of positions with the same character; completions of different
prompts have none in common. The unbiased squared MMD is compared with that of completions dealt out at random.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from . import sequential
from .records import Transcript

LENGTH: Final = 1000  # characters compared, as published
MOST_ROWS: Final = 512  # relabelings worked on at once


def kernel(texts: Sequence[str], *, length: int = LENGTH) -> np.ndarray:
    """Hamming kernel: float64 (n, n) in [0, 1], 1 on the diagonal. Shorter texts are padded, padding being equal."""
    wide = min(length, max([1, *map(len, texts)]))
    codes = np.zeros((len(texts), wide), np.int32)
    for row, text in zip(codes, texts, strict=True):
        points = [ord(character) for character in text[:wide]]
        row[: len(points)] = points
    out = np.empty((len(texts), len(texts)))
    for i, row in enumerate(codes):
        # What is padding on both sides of all texts counts as equal to the published length.
        out[i] = ((codes == row).sum(1) + length - wide) / length

    return out


def squared(kernels: np.ndarray, is_new: np.ndarray) -> np.ndarray:
    """Unbiased squared MMD: kernels float64 (n, n), is_new bool (b, n) with both kinds in each row -> float64 (b,)."""
    new, old = is_new.astype(float), (~is_new).astype(float)
    n, m = new.sum(1), old.sum(1)
    diagonal = np.diag(kernels)
    within_new = (np.einsum("bi,ij,bj->b", new, kernels, new, optimize=True) - new @ diagonal) / np.maximum(
        n * (n - 1), 1
    )
    within_old = (np.einsum("bi,ij,bj->b", old, kernels, old, optimize=True) - old @ diagonal) / np.maximum(
        m * (m - 1), 1
    )
    across = np.einsum("bi,ij,bj->b", new, kernels, old, optimize=True) / (n * m)

    return np.asarray(within_new + within_old - 2 * across)


def round_p(
    earlier: Transcript, new: Transcript, rng: np.random.Generator, *, relabelings: int = 999, length: int = LENGTH
) -> float | None:
    """The rank of the MMD, summed over prompts, among relabelings within prompts; None if too little was answered."""
    observed, others, cells = 0.0, np.zeros(relabelings), 0
    for cell in new.answers:
        old, now = earlier.texts(cell), new.texts(cell)
        if min(len(old), len(now)) < 2:
            continue
        kernels = kernel([*old, *now], length=length)
        is_new = np.arange(len(kernels)) >= len(old)
        observed += float(squared(kernels, is_new[None])[0])
        for start in range(0, relabelings, MOST_ROWS):
            rows = min(MOST_ROWS, relabelings - start)
            dealt = rng.permuted(np.tile(is_new, (rows, 1)), axis=1)
            others[start : start + rows] += squared(kernels, dealt)
        cells += 1

    return sequential.rank_p(observed, others, rng) if cells else None
