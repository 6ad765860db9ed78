"""Tensors of a safetensors file: eight bytes of length, a JSON header, then the data without holes or overlaps."""

import json
from collections.abc import Iterator
from typing import Any, Final

from probe_match.fingerprinting.errors import BadData

from .tensors import MAX_TENSORS, Tensor

MAX_HEADER: Final = 16 << 20  # a hundred thousand tensors take about 10 MiB
MAX_BRACKETS: Final = 3 * MAX_TENSORS  # an empty list is 3 bytes of text and 64 of memory


def read(data: memoryview, where: str) -> Iterator[Tensor]:
    """All tensors, in the order of the header; metadata is left out."""
    entries, start = read_header(data, where)
    expected = 0
    for begin, end, name, dtype, shape in sorted(entries):
        if begin != expected or end < begin or start + end > len(data):
            raise BadData(f"tensor '{name[:80]}' of {where} overlaps another, leaves a hole, or ends after the file")
        expected = end
        yield Tensor(name, dtype, shape, data[start + begin : start + end])
    if start + expected != len(data):
        raise BadData(f"{where} goes on after its last tensor; expected the end of the file")


def read_header(data: memoryview, where: str) -> tuple[list[tuple[int, int, str, str, tuple[int, ...]]], int]:
    """(begin, end, name, dtype, shape) of each tensor, and where in the file the data begins."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise BadData(f"{where} is no safetensors file: its header would end after the file")
    if length > MAX_HEADER:
        raise BadData(f"the header of {where} has {length >> 20} MiB; at most {MAX_HEADER >> 20} MiB are read")
    header = parse(bytes(data[8 : 8 + length]), where)
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise BadData(f"{where} has {len(header)} tensors; at most {MAX_TENSORS} are read")
    try:
        return [_entry(name, value) for name, value in header.items()], 8 + length
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadData(f"{where} is no safetensors file: a tensor lacks its type, shape or place") from error


def parse(text: bytes, where: str) -> dict[str, Any]:
    """A JSON object without repeated names, refused unread where it would fill the memory."""
    if text.count(b"[") + text.count(b"{") > MAX_BRACKETS:
        raise BadData(f"the header of {where} nests too much; expected one short entry for each tensor")
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_once)  # never the encoding that bytes suggest
    except (ValueError, RecursionError) as error:
        raise BadData(f"the header of {where} is not JSON as expected: {str(error)[:80]}") from error
    if not isinstance(header, dict):
        raise BadData(f"expected a JSON object as header of {where}, got {type(header).__name__}")

    return header


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice")  # two readers would see two models
    return found


def _entry(name: str, value: dict[str, Any]) -> tuple[int, int, str, str, tuple[int, ...]]:
    begin, end = value["data_offsets"]
    shape = value["shape"]
    if not isinstance(value["dtype"], str) or not all(type(n) is int for n in (begin, end, *shape)):
        raise ValueError(name)
    return begin, end, name, value["dtype"], tuple(shape)
