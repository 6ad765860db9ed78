"""Entries of a ledger, and the chain that none of them can be changed in unseen: each digest covers the one before."""

import hashlib
import json
from typing import Final, NamedTuple

START: Final = hashlib.sha256(b"probe-match/ledger/1").digest()


class Entry(NamedTuple):
    """
    One line of a ledger. seq: 1, 2, … at: seconds since 1970. of: the entry it is about, or 0. about: JSON object.
    answer: as `ledger_states` packs it. raw: the bytes that came over the wire.
    """

    seq: int
    at: float
    kind: str
    of: int
    about: str
    answer: bytes
    raw: bytes


class Head(NamedTuple):
    """The last entry: its number, and a digest that stands for all entries up to it."""

    seq: int
    digest: bytes

    def __str__(self) -> str:
        return f"sha256:{self.digest.hex()}"


def chained(before: bytes, entry: Entry) -> bytes:
    """The digest of an entry: sha256 over that of the one before and everything in this one."""
    seq, at, kind, of, about, answer, raw = entry
    head = json.dumps([seq, at, kind, of, len(about), len(answer), len(raw)]).encode()

    return hashlib.sha256(b"".join((before, head, about.encode(), answer, raw))).digest()


def is_sound(entry: Entry) -> bool:
    """Whether the fields are of the kinds they should be; SQLite holds anything in any column."""
    kinds = (int, float, str, int, str, bytes, bytes)
    return all(isinstance(value, kind) for value, kind in zip(entry, kinds, strict=True))
