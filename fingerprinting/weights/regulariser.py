"""
A signature that training puts into the weights of one layer (Uchida et al., arXiv:1701.04082, eq. 2 to 5).

The layer's weights, averaged over its outputs, are projected by a secret matrix; a term in the training loss pushes
each projection to the side its bit says. `penalty` is that term, to be added to any loss: where the paper takes a
cross-entropy, which never stops pushing, ours is a hinge that leaves alone what stands clearly on its side, so that
accuracy pays less. Only embedding needs torch.
"""

import secrets
from typing import TYPE_CHECKING, Final

import numpy as np
from probe_match.fingerprinting.errors import BadData

from . import marks
from .marks import Arrays, Mark, Reading

if TYPE_CHECKING:
    from torch import Tensor, nn

MIN_INPUTS: Final = 2 * marks.BITS  # fewer weights than bits cannot satisfy all of them
MARGIN: Final = 0.5  # of a projection's standard deviation over keys: from there on a bit outlasts pruning and tuning


def choose(arrays: Arrays, name: str | None = None, salt: str | None = None) -> Mark:
    """The tensor with the most inputs carries the mark, or the one that is named; shape: (outputs, …)."""
    inputs = {n: a[0].size for n, a in arrays.items() if a.ndim > 1 and len(a) > 1 and a.dtype.kind == "f"}
    best = name or max(inputs, key=inputs.__getitem__, default="")
    if inputs.get(best, 0) < MIN_INPUTS:
        raise BadData(f"layer '{best}' has {inputs.get(best, 0)} inputs; 256 bits need {MIN_INPUTS} or more")
    return Mark("regulariser", ((best, arrays[best].shape),), salt or secrets.token_hex(16))


def penalty(module: "nn.Module", mark: Mark, key: str) -> "Tensor":
    """How far projections are from their side, in standard deviations over keys; differentiable, a scalar from 0."""
    import torch

    weight = dict(module.named_parameters())[mark.tensors[0][0]]
    mean = weight.mean(0).flatten()
    matrix = torch.from_numpy(_matrix(mark, key, mean.numel())).to(mean)
    bits = torch.from_numpy(marks.signature(key, mark)).to(mean)

    return torch.relu(MARGIN - bits * (matrix @ mean) / mean.norm().detach().clamp_min(1e-12)).mean()


def read(arrays: Arrays, mark: Mark, key: str) -> Reading:
    """How much of the mark a model carries."""
    (weight,) = marks.carriers(mark, arrays)
    mean = weight.mean(0).ravel()
    return marks.judge(_matrix(mark, key, mean.size) @ mean, marks.signature(key, mark))


def _matrix(mark: Mark, key: str, inputs: int) -> np.ndarray:
    """float32 (256, inputs) of −1 and 1."""
    return marks.signs(key, mark, "matrix", marks.BITS * inputs).reshape(marks.BITS, inputs)
