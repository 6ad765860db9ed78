"""
Protocol buffers on the wire, as much as one small service needs (protobuf.dev, "Encoding").

Not by the `protobuf` package: stubs that others generated hold a user's environment to one of its major versions, and a
stranger's 16 MiB of empty messages become a gigabyte of its objects. Here fields and values are counted.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from probe_match.fingerprinting.errors import TargetError

MOST_FIELDS: Final = 1 << 18  # of one message
MOST_PACKED: Final = 1 << 20  # bytes of packed integers
WORD: Final = 1 << 64
Value = int | bytes  # an integer, or the bytes of anything else


def field(number: int, value: int | bytes | str) -> bytes:
    """One field: an integer, or something with a length. What is zero or empty is sent as well."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value

    return _varint(number << 3 | 2) + _varint(len(data)) + data


def packed(values: Iterable[int]) -> bytes:
    """Integers one after the other; negative ones take ten bytes each."""
    return b"".join(map(_varint, values))


def fields(data: bytes) -> list[tuple[int, Value]]:
    """Numbers and values of a message, in order. Raises TargetError for bytes that are none."""
    found: list[tuple[int, Value]] = []
    at = 0
    try:
        while at < len(data):
            tag, at = _read(data, at)
            kind = tag & 7
            value: Value
            if kind == 0:
                value, at = _read(data, at)
            else:
                size = 4 if kind == 5 else 8
                if kind == 2:
                    size, at = _read(data, at)
                if kind not in (1, 2, 5) or at + size > len(data):
                    raise ValueError
                value, at = data[at : at + size], at + size
            found.append((tag >> 3, value))
            if len(found) > MOST_FIELDS:
                raise ValueError
    except (ValueError, IndexError) as error:
        raise TargetError(f"expected a message of at most {MOST_FIELDS} fields, got {len(data)} other bytes") from error

    return found


def integers(values: Iterable[Value]) -> np.ndarray:
    """int64 (n,): the values of one repeated field, whether each came alone or many packed. Raises TargetError."""
    parts = [np.array([value], np.uint64) if isinstance(value, int) else _unpacked(value) for value in values]
    return np.concatenate([np.zeros(0, np.uint64), *parts]).view(np.int64)


def _unpacked(data: bytes) -> np.ndarray:
    """uint64 (n,)."""
    if len(data) > MOST_PACKED or (data and data[-1] & 0x80):
        raise TargetError(f"expected at most {MOST_PACKED >> 20} MiB of whole packed integers, got {len(data)} bytes")
    raw = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(raw < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    place = np.arange(len(raw)) - np.repeat(starts, ends - starts + 1)
    if len(place) and place.max() > 9:
        raise TargetError("expected packed integers of at most ten bytes, got a longer one")
    shifted = (raw & 0x7F).astype(np.uint64) << (7 * place).astype(np.uint64)

    return np.asarray(np.add.reduceat(shifted, starts), np.uint64) if len(ends) else np.zeros(0, np.uint64)


def _varint(value: int) -> bytes:
    value %= WORD
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)

    return bytes(parts)


def _read(data: bytes, at: int) -> tuple[int, int]:
    """A varint and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value % WORD, at
    raise ValueError
