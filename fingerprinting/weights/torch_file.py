"""
Tensors of what torch saved: state dicts (`.pt`, `.pth`) and exported programs (`.pt2`), without torch.

A state dict is a pickle, which is a program. Here its instructions are read as data by `_state`, which knows how torch
writes tensors and nothing else. The bytes of the tensors are members of the same archive.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from probe_match.fingerprinting.errors import BadData

from . import _state
from .archives import Archive
from .safetensors_file import parse
from .tensors import BITS, MAX_TENSORS, Tensor, size_of

# torch's ScalarType numbers in the JSON of exported programs (torch/_export/serde/schema.py)
NUMBERED: Final = {
    1: "U8", 2: "I8", 3: "I16", 4: "I32", 5: "I64", 6: "F16", 7: "F32", 8: "F64", 10: "C64", 11: "C128", 12: "BOOL",
    13: "BF16", 28: "U16", 29: "F8_E4M3", 30: "F8_E5M2", 31: "F8_E4M3FNUZ", 32: "F8_E5M2FNUZ",
}  # fmt: skip


def read(data: memoryview, where: str) -> Iterator[Tensor]:
    """All tensors of a state dict, or the weights and constants of an exported program."""
    archive = Archive(data, where)
    pickled = [name for name in archive.names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if pickled:
        return _state_dict(archive, pickled[0].removesuffix("data.pkl"), where)
    configs = [name for name in archive.names if name.endswith(("weights_config.json", "constants_config.json"))]
    if not configs:
        raise BadData(
            f"{where} is neither a state dict of torch.save nor a program of torch.export.save (2.8 or later)"
        )
    return _program(archive, configs, where)


def _state_dict(archive: Archive, prefix: str, where: str) -> Iterator[Tensor]:
    if f"{prefix}byteorder" in archive.names and bytes(archive.read(f"{prefix}byteorder")) != b"little":
        raise BadData(f"{where} was saved by a big-endian machine; save it again on another")
    for name, found in _state.tensors(bytes(archive.read(f"{prefix}data.pkl")), where):
        storage = archive.read(f"{prefix}data/{found.storage}")
        yield _tensor(name, found.dtype, found.shape, found.strides, found.offset, storage)


def _program(archive: Archive, configs: list[str], where: str) -> Iterator[Tensor]:
    for member in configs:
        entries = parse(bytes(archive.read(member)), where).get("config")
        if not isinstance(entries, dict) or len(entries) > MAX_TENSORS:
            raise BadData(f"expected a list of tensors in {where}, got {type(entries).__name__}")
        folder = member.rpartition("/")[0]
        for name, entry in entries.items():
            try:
                if entry["use_pickle"]:
                    raise BadData(f"{where} keeps '{name[:80]}' as a pickle, which is not read")
                meta = entry["tensor_meta"]
                dtype = NUMBERED[meta["dtype"]]
                shape = tuple(size["as_int"] for size in meta["sizes"])
                strides = tuple(size["as_int"] for size in meta["strides"])
                offset = meta["storage_offset"]["as_int"]
                path = f"{folder}/{entry['path_name']}"
            except (KeyError, TypeError) as error:
                raise BadData(f"{where} does not describe '{name[:80]}' as torch.export does") from error
            yield _tensor(name, dtype, shape, strides, offset, archive.read(path))


def _tensor(
    name: str, dtype: str, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, storage: memoryview
) -> Tensor:
    """A view into a storage, in row-major order. strides, offset: in elements."""
    whole = (*shape, *strides, offset)
    if len(shape) != len(strides) or any(type(n) is not int or not 0 <= n < 1 << 48 for n in whole):
        raise BadData(f"tensor '{name[:80]}' has an impossible shape; the file is damaged")
    width, size = BITS[dtype] // 8, size_of(dtype, shape, name)
    last = offset + sum((side - 1) * step for side, step in zip(shape, strides, strict=True)) if size else offset - 1
    if (last + 1) * width > len(storage) or size > max(len(storage), 1 << 20):
        raise BadData(f"tensor '{name[:80]}' reaches beyond its data; the file is damaged")
    steps, expected = [], 1
    for side in reversed(shape):
        steps.append(expected)
        expected *= side
    straight = all(side == 1 or a == b for side, a, b in zip(shape, strides, reversed(steps), strict=True))
    if straight or not size:
        return Tensor(name, dtype, shape, storage[offset * width : offset * width + size])
    elements = np.frombuffer(storage, f"V{width}", len(storage) // width)
    view = np.lib.stride_tricks.as_strided(elements[offset:], shape, tuple(step * width for step in strides))

    return Tensor(name, dtype, shape, memoryview(np.ascontiguousarray(view).tobytes()))
