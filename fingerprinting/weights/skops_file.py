"""
Arrays of a scikit-learn model saved by skops: `schema.json` says where in the model each `.npy` member stands.

Nothing is built, so nothing needs to be trusted. An array of records, such as a tree's nodes, is taken apart into its
fields: the bytes between them are whatever was in memory.
"""

import io
import tokenize
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from probe_match.fingerprinting.errors import BadData

from .archives import Archive
from .safetensors_file import parse
from .tensors import MAX_TENSORS, NUMPY, Tensor

MAX_SCHEMA: Final = 32 << 20
MAX_DEPTH: Final = 200
UNREADABLE: Final = (
    ValueError, TypeError, EOFError, OSError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError, KeyError,
)  # fmt: skip


def read(data: memoryview, where: str) -> Iterator[Tensor]:
    """All arrays, named by their path in the model: `steps.1.1.coef_`."""
    archive = Archive(data, where)
    text = archive.read("schema.json")
    if len(text) > MAX_SCHEMA:
        raise BadData(f"the schema of {where} has {len(text) >> 20} MiB; at most {MAX_SCHEMA >> 20} are read")
    waiting: list[tuple[str, Any, int]] = [("", parse(bytes(text), where), 0)]
    found = 0
    while waiting:
        name, node, depth = waiting.pop()
        found += 1
        if depth > MAX_DEPTH or found > 10 * MAX_TENSORS:
            raise BadData(f"the schema of {where} nests too much")
        if isinstance(node, list):
            waiting += [(f"{name}.{i}"[:2000], inner, depth + 1) for i, inner in enumerate(node)]
        elif isinstance(node, dict):
            if node.get("type") == "numpy" and isinstance(node.get("file"), str):
                yield from _tensors(name.strip(".") or "model", _array(archive.read(node["file"]), where))
                continue
            for key, inner in node.items():
                if isinstance(inner, (dict, list)) and key != "key_types":
                    waiting.append((name if key == "content" else f"{name}.{key}"[:2000], inner, depth + 1))


def _array(data: memoryview, where: str) -> np.ndarray:
    try:
        file = io.BytesIO(data)
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
        if dtype.hasobject or len(shape) > 32:
            raise BadData(f"{where} holds an array of objects; expected numbers")
        flat = np.frombuffer(data[file.tell() :], dtype)
        return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    except UNREADABLE as error:
        raise BadData(f"an array of {where} cannot be read ({str(error)[:80]})") from error


def _tensors(name: str, array: np.ndarray) -> Iterator[Tensor]:
    if array.dtype.names:
        for field in sorted(array.dtype.names):
            yield from _tensors(f"{name}.{field}", array[field])
        return
    plain = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    dtype = NUMPY.get(plain.dtype.str[1:])
    if dtype is None:  # texts, such as the names of classes: their bytes
        dtype, plain = "U8", np.frombuffer(plain.tobytes(), "u1")
    yield Tensor(name, dtype, tuple(plain.shape), memoryview(plain.tobytes()))
