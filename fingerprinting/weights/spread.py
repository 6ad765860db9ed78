"""
Spread spectrum after training: each bit is the sign of a sum over many weights with secret signs (after Cox et al.,
IEEE TIP 1997; informed embedding as in Li et al., arXiv:2012.14171).

A weight belongs to one of 256 groups. A bit that its group already says, by enough, is left alone; else the group's
weights are stretched or shrunk just far enough. The change is a share of each weight, so that the small ones, which
pruning takes away, carry little of it.
"""

import secrets
from typing import Final

import numpy as np
from probe_match.fingerprinting.errors import BadData

from . import marks
from .marks import Arrays, Mark, Reading

STRENGTH: Final = 0.7  # how far a bit is from turning, in standard deviations of an unmarked group
MIN_WEIGHTS: Final = 160 * marks.BITS  # with fewer, the mark costs accuracy
MIN_SHARE: Final = 0.1  # of all these weights: a first or last layer is small, and its answers lean on each weight


def choose(arrays: Arrays, salt: str | None = None) -> Mark:
    """The weights of the larger matrices and kernels carry the mark."""
    sizes = {n: a.size for n, a in arrays.items() if a.ndim > 1 and a.dtype.kind == "f"}
    names = [n for n, size in sizes.items() if size >= MIN_SHARE * sum(sizes.values())]
    if not names:  # of many alike layers none is a tenth of the whole
        names = [n for n, size in sizes.items() if size >= max(sizes.values()) / 2]
    total = sum(sizes[n] for n in names)
    if total < MIN_WEIGHTS:
        raise BadData(
            f"the model has {total} weights in large matrices; a mark of 256 bits needs at least {MIN_WEIGHTS}"
        )
    return Mark("spread", tuple((n, arrays[n].shape) for n in names), salt or secrets.token_hex(16))


def embed(arrays: Arrays, mark: Mark, key: str, strength: float = STRENGTH) -> dict[str, np.ndarray]:
    """The arrays with the mark in them; types and shapes stay."""
    scaled, scales = _scaled(marks.carriers(mark, arrays))
    group, chips = _secrets(mark, key, scaled.size)
    bits = marks.signature(key, mark)
    sums = np.bincount(group, scaled * chips, marks.BITS)
    room = np.bincount(group, np.abs(scaled), marks.BITS)
    target = strength * np.sqrt(np.bincount(group, scaled**2, marks.BITS))
    if not (room > 0).all():
        raise BadData("too many of the model's weights are 0 to carry a mark")
    share = np.maximum(0, target - bits * sums) / room * bits
    if np.abs(share).max() > 0.9:
        raise BadData("the model is too small to carry a mark of that strength; choose a lower one")
    marked = scaled * (1 + share[group] * chips * np.sign(scaled))
    found = dict(arrays)
    at = 0
    for (name, shape), scale in zip(mark.tensors, scales, strict=True):
        size = int(np.prod(shape))
        found[name] = (marked[at : at + size] * scale).reshape(shape).astype(arrays[name].dtype)
        at += size

    return found


def read(arrays: Arrays, mark: Mark, key: str) -> Reading:
    """How much of the mark a model carries."""
    scaled, _ = _scaled(marks.carriers(mark, arrays))
    group, chips = _secrets(mark, key, scaled.size)
    return marks.judge(np.bincount(group, scaled * chips, marks.BITS), marks.signature(key, mark))


def _scaled(carriers: list[np.ndarray]) -> tuple[np.ndarray, list[float]]:
    """All weights in one row, those of each tensor over their root mean square."""
    scales = [float(np.sqrt(np.mean(np.square(a, dtype=np.float64)))) or 1.0 for a in carriers]
    return np.concatenate([a.ravel() / s for a, s in zip(carriers, scales, strict=True)]).astype(np.float64), scales


def _secrets(mark: Mark, key: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    return marks.stream(key, mark, "groups", size), marks.signs(key, mark, "chips", size)
