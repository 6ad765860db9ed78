"""
Tensors of an ONNX file, read from the protobuf wire format (onnx.proto3): initializers, constants, and the numbers that
nodes hold, such as the thresholds of trees. Nothing is loaded.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from probe_match.fingerprinting.errors import BadData

from .tensors import MAX_TENSORS, Tensor, map_file, size_of

# message -> field -> message inside
INSIDE: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
TYPES: Final = {
    1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16", 11: "F64", 12: "U32",
    13: "U64", 14: "C64", 15: "C128", 16: "BF16", 17: "F8_E4M3", 18: "F8_E4M3FNUZ", 19: "F8_E5M2", 20: "F8_E5M2FNUZ",
    21: "U4", 22: "I4", 23: "F4",
}  # fmt: skip
WIDE: Final = {
    "F32": "<f4", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "I32": "<i4", "I64": "<i8", "BOOL": "u1",
    "F16": "<u2", "BF16": "<u2", "F64": "<f8", "U32": "<u4", "U64": "<u8",
}  # fmt: skip
Fields = dict[int, list[Any]]
MAX_DEPTH: Final = 64
MAX_TYPED: Final = 4 << 20  # numbers written one by one, each a Python object on its way: large tensors are raw


def read(data: memoryview, where: str, folder: Path | None = None) -> Iterator[Tensor]:
    """All tensors. folder: where data outside the file may lie; None refuses it."""
    try:
        found = 0
        for name, message in _walk(data):
            for tensor in _tensors(name, message, where, folder):
                found += 1
                if found > MAX_TENSORS:
                    raise BadData(f"{where} has more than {MAX_TENSORS} tensors")
                yield tensor
    except (IndexError, ValueError, OverflowError, TypeError) as error:
        raise BadData(f"{where} is no ONNX file, or a damaged one ({str(error)[:80]})") from error
    if not found:
        raise BadData(f"{where} is no ONNX file with tensors in it")


def _walk(data: memoryview) -> Iterator[tuple[str, tuple[str, memoryview]]]:
    """(name of the node or "", (kind of message, its bytes)) of every tensor and attribute."""
    waiting: list[tuple[str, memoryview, str, int]] = [("model", data, "", 0)]
    while waiting:
        kind, message, name, depth = waiting.pop()
        if depth > MAX_DEPTH or len(waiting) > 4 * MAX_TENSORS:
            raise ValueError("it nests too much")
        if kind in ("tensor", "attribute"):
            yield name, (kind, message)
            if kind == "tensor":
                continue
        label = _label(kind, message, name)
        for field, value in fields(message):
            inside = INSIDE[kind].get(field)
            if inside and isinstance(value, memoryview):
                waiting.append((inside, value, label, depth + 1))


def _label(kind: str, message: memoryview, above: str) -> str:
    """Nodes are known by their name, else by their first output, which is unique in a graph; attributes by theirs."""
    if kind not in ("node", "attribute"):
        return above
    known = {3: None, 2: None} if kind == "node" else {1: None}
    texts: dict[int, str] = {}
    for field, value in fields(message):
        if field in known and isinstance(value, memoryview):
            texts.setdefault(field, str(bytes(value[:2000]), "utf-8", "replace"))
    own = next((texts[field] for field in known if texts.get(field)), "")

    return f"{above}.{own}".strip(".")


def _tensors(name: str, found: tuple[str, memoryview], where: str, folder: Path | None) -> Iterator[Tensor]:
    kind, message = found
    if kind == "tensor":
        yield _tensor(name, _gather(message), where, folder)
        return
    values = _gather(message, (1, 7, 8))
    label = f"{name}.{_text(values, 1)}".strip(".")
    if floats := _numbers(values, 7, "<f4"):
        yield Tensor(label, "F32", (len(floats) // 4,), memoryview(floats))
    if whole := _numbers(values, 8, "<i8"):
        yield Tensor(label, "I64", (len(whole) // 8,), memoryview(whole))


def _tensor(name: str, values: Fields, where: str, folder: Path | None) -> Tensor:
    label = f"{name}.{_text(values, 8)}".strip(".")
    number = values.get(2, [0])[-1]
    dtype = TYPES.get(number) if isinstance(number, int) else None
    if number == 8:  # texts: their bytes, each with its length
        texts = b"".join(len(text).to_bytes(8, "little") + bytes(text) for text in values.get(6, []))
        return Tensor(label, "U8", (len(texts),), memoryview(texts))
    if dtype is None:
        raise BadData(f"tensor '{label[:80]}' of {where} has the unknown type {number}")
    shape = tuple(np.frombuffer(_numbers(values, 1, "<i8"), "<i8").tolist())
    if values.get(14, [0])[-1] == 1 or 13 in values:
        return Tensor(label, dtype, shape, _outside(label, values, size_of(dtype, shape, label), where, folder))
    if 9 in values:
        return Tensor(label, dtype, shape, values[9][-1])
    typed = {"F32": (4, "<f4"), "F64": (10, "<f8"), "I64": (7, "<i8"), "U64": (11, "<u8"), "U32": (11, "<u8")}
    field, stored = typed.get(dtype, (5, "<i4"))
    numbers = np.frombuffer(_numbers(values, field, stored), stored)
    if dtype not in WIDE:
        raise BadData(f"tensor '{label[:80]}' of {where} is not stored as raw bytes; save it again with a newer onnx")
    return Tensor(label, dtype, shape, memoryview(numbers.astype(WIDE[dtype]).tobytes()))


def _outside(label: str, values: Fields, size: int, where: str, folder: Path | None) -> memoryview:
    pairs = (_gather(entry) for entry in values.get(13, []))
    keys = {_text(pair, 1): _text(pair, 2) for pair in pairs}
    location = keys.get("location", "")
    if folder is None:
        raise BadData(f"{where} keeps tensor '{label[:80]}' in another file; if it lies beside it: --external-data")
    inside = folder.resolve()
    path = inside if "\0" in location else (inside / location).resolve()
    if not path.is_relative_to(inside) or not path.is_file():
        raise BadData(f"{where} points to '{location[:80]}'; expected a file in the same folder")
    start = int(keys.get("offset", "0"))
    length = int(keys.get("length", str(size)))
    data = map_file(path)
    if start < 0 or length != size or start + length > len(data):
        raise BadData(f"tensor '{label[:80]}' of {where} reaches beyond {path.name}; the files do not belong together")
    return data[start : start + length]


def _gather(message: memoryview, wanted: tuple[int, ...] | None = None) -> Fields:
    values: Fields = {}
    for field, value in fields(message):
        if wanted is None or field in wanted:
            values.setdefault(field, []).append(value)
    return values


def _text(values: Fields, field: int) -> str:
    found = values.get(field, [b""])[-1]
    return str(bytes(found[:2000]), "utf-8", "replace") if not isinstance(found, int) else ""


def _numbers(values: Fields, field: int, stored: str) -> bytes:
    """A repeated field's numbers as little-endian bytes, packed or one by one."""
    parts = []
    for value in values.get(field, []):
        if isinstance(value, int):
            parts.append((value & (1 << 64) - 1).to_bytes(8, "little")[: np.dtype(stored).itemsize])
        elif stored in ("<f4", "<f8"):
            parts.append(bytes(value))
        else:
            if len(value) > MAX_TYPED:
                raise ValueError("more numbers than are read one by one")
            parts.append(np.array(list(_varints(value)), "<u8").astype(stored).tobytes())

    return b"".join(parts)


def fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """(field, value): a number, or the bytes of a text, message or packed list; 32 and 64 bits as bytes."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        field, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield field, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > end:
            raise ValueError("a field is longer than its message")
        yield field, data[at : at + size]
        at += size


def _varints(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than ten bytes")
