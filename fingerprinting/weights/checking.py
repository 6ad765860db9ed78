"""Reading a mark back, whichever way it was embedded: one function, and what turns files into arrays and back."""

from collections.abc import Iterable
from typing import Final

import numpy as np

from . import marks, regulariser, spread
from .marks import Arrays, Mark, Reading
from .tensors import Tensor

FLOATS: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def check(arrays: Arrays, mark: Mark, key: str) -> Reading:
    """How many of the owner's bits a model carries. arrays: its tensors by name, float."""
    if mark.way == "spread":
        return spread.read(arrays, mark, key)
    if mark.way == "regulariser":
        return regulariser.read(arrays, mark, key)

    return read_passports(arrays, mark, key)


def read_passports(arrays: Arrays, mark: Mark, key: str) -> Reading:
    """The signs of the scales that the weights and the owner's passport give."""
    scales = [
        weight.reshape(len(weight), -1) @ marks.signs(key, mark, f"scale:{name}", weight[0].size)
        for (name, _), weight in zip(mark.tensors, marks.carriers(mark, arrays), strict=True)
    ]
    return marks.judge(np.concatenate(scales)[: marks.BITS], marks.signature(key, mark))


def to_arrays(tensors: Iterable[Tensor]) -> dict[str, np.ndarray]:
    """Floating-point tensors as arrays, by name; bfloat16 becomes float32, all other types are left out."""
    found = {}
    for tensor in tensors:
        if tensor.dtype in FLOATS:
            found[tensor.name] = np.frombuffer(tensor.data, FLOATS[tensor.dtype]).reshape(tensor.shape)
        elif tensor.dtype == "BF16":
            wide = np.frombuffer(tensor.data, "<u2").astype("<u4") << 16
            found[tensor.name] = wide.view("<f4").reshape(tensor.shape)

    return found
