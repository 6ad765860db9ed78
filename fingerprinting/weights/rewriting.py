"""A safetensors file with some tensors changed: header, metadata, order and all other bytes stay as they were."""

import numpy as np
from probe_match.fingerprinting.errors import BadData

from . import safetensors_file
from .checking import FLOATS
from .marks import Arrays


def rewrite(data: memoryview, changed: Arrays, where: str) -> bytes:
    """The file's bytes with the given tensors in place of those of the same names; shapes and types stay."""
    found = bytearray(data)
    entries, start = safetensors_file.read_header(data, where)
    for begin, end, name, dtype, shape in entries:
        if name not in changed:
            continue
        array = np.asarray(changed[name])
        if array.shape != shape or dtype not in (*FLOATS, "BF16"):
            raise BadData(f"tensor '{name[:80]}' of {where} is no floating-point tensor of shape {array.shape}")
        found[start + begin : start + end] = _encode(array, dtype)

    return bytes(found)


def _encode(array: np.ndarray, dtype: str) -> bytes:
    if dtype != "BF16":
        return array.astype(FLOATS[dtype]).tobytes()
    bits = array.astype("<f4").view("<u4")
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()  # to the nearest, ties to even
