"""A tensor as it lies in a file: its name, type, shape and bytes, whatever the format. Nothing is decoded or copied."""

import math
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from probe_match.fingerprinting.errors import BadData

# Names of types are those of safetensors; bits of one element. Types below a byte are packed as the file has them.
BITS: Final = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F8_E8M0": 8, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8,
    "C64": 64, "C128": 128, "I4": 4, "U4": 4, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
NUMPY: Final = {
    "f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8", "u8": "U64", "u4": "U32",
    "u2": "U16", "u1": "U8", "b1": "BOOL", "c8": "C64", "c16": "C128",
}  # fmt: skip
MAX_TENSORS: Final = 200_000
MAX_NAME: Final = 1000


@dataclass(frozen=True)
class Tensor:
    """
    One named array. dtype: a key of BITS; data: its elements in row-major order, little-endian, a view into the file
    where that is possible.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview

    def __post_init__(self) -> None:
        if any("\ud800" <= c <= "\udfff" for c in self.name):
            raise BadData("the name of a tensor is no text; the file is damaged")
        if len(self.name) > MAX_NAME:
            raise BadData(f"expected names of at most {MAX_NAME} characters, got one of {len(self.name)}")
        if size_of(self.dtype, self.shape, self.name) != self.data.nbytes:
            raise BadData(
                f"expected {size_of(self.dtype, self.shape, self.name)} bytes of tensor '{self.name[:80]}', "
                f"got {self.data.nbytes}; the file is damaged"
            )

    @property
    def layer(self) -> str:
        """All of the name before its last dot: `features.0` of `features.0.weight`."""
        return self.name.rpartition(".")[0] or self.name


def size_of(dtype: str, shape: tuple[int, ...], name: str) -> int:
    """Bytes that a tensor takes; of what cannot be one, BadData."""
    if dtype not in BITS:
        raise BadData(f"tensor '{name[:80]}' has the type '{str(dtype)[:20]}'; expected one of {', '.join(BITS)}")
    if len(shape) > 64 or any(not 0 <= side < 1 << 62 for side in shape):
        raise BadData(f"tensor '{name[:80]}' has an impossible shape; the file is damaged")

    return -(-math.prod(shape) * BITS[dtype] // 8)


def map_file(path: Path) -> memoryview:
    """The bytes of a file, read as they are needed."""
    try:
        if not path.is_file():
            raise BadData(f"expected a file at {path}, found {'a folder' if path.is_dir() else 'nothing'}")
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise BadData(f"{path} is empty; expected a model's weights")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise BadData(f"cannot read {path}: {error.strerror or error}") from error
