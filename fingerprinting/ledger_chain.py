"""
Entries of a ledger, and the chain that none of them can be changed in unseen: each digest covers the one before.

Answers may be erased later, for privacy. Then a last entry names what was erased with the digests of before, so that
the chain still holds, and with digests of what is left, so that this cannot be changed either.
"""

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any, Final, NamedTuple

from .errors import DatabaseError

APPLICATION: Final = 0x504D4C47  # "PMLG" in the file's header
VERSION: Final = 1
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


def without_answer(entry: Entry) -> Entry:
    """The entry without anything that a target said."""
    if entry.kind in ("opened", "planned", "sent", "forgotten"):
        return entry
    about = json.loads(entry.about)
    left = {key: value for key, value in about.items() if key != "why"}
    told = entry.about if left == about else json.dumps(left, sort_keys=True, separators=(",", ":"))

    return entry._replace(about=told, answer=b"", raw=b"")


class Gaps:
    """While a chain is read: entries that do not hash as they were written, which only those erased by name may."""

    def __init__(self) -> None:
        self.open: dict[int, tuple[str, str]] = {}  # by number: the digest it was written with, that of what is left
        self.why: str = ""

    def follows(self, before: bytes, entry: Entry, digest: bytes) -> bool:
        """Whether an entry may follow from those before it, as far as can be said before the last is read."""
        found = chained(before, entry)
        if found != digest:
            self.open[entry.seq] = digest.hex(), found.hex()
            return True
        if entry.kind == "forgotten":
            told = json.loads(entry.about)
            self.why = str(told["why"]) or "no reason given"
            for seq, written, left in told["gaps"]:
                # An entry may lose its answer once and no more: both digests are those that were noted.
                if self.open.get(seq) == (written, left):
                    del self.open[seq]
        return True


def checked(connection: sqlite3.Connection, path: Path) -> tuple[Head, dict[str, Any], str]:
    """
    The head of a chain in which every entry follows from those before it, what the first entry says, and why answers
    were erased.
    """
    found = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if found != APPLICATION or version > VERSION:
        if found == APPLICATION:
            raise DatabaseError(
                f"ledger {path} was made by a newer probe-match (version {version}, and this version reads up to "
                f"{VERSION}); upgrade probe-match to read it"
            )
        raise DatabaseError(f"expected a ledger at {path}, got another kind of file; check the path")
    head, first, gaps = Head(0, START), {}, Gaps()
    query = "SELECT seq, at, kind, of, about, answer, raw, digest FROM entries ORDER BY seq"
    for *fields, digest in connection.execute(query):
        entry = Entry(*fields)
        if entry.seq != head.seq + 1 or not is_sound(entry) or not gaps.follows(head.digest, entry, digest):
            raise _changed(path, head.seq + 1)
        head = Head(entry.seq, digest)
        if entry.seq == 1:
            first = json.loads(entry.about)
    if gaps.open:
        raise _changed(path, min(gaps.open))

    return head, first, gaps.why


def _changed(path: Path, seq: int) -> DatabaseError:
    return DatabaseError(
        f"ledger {path} was changed after it was written: entry {seq} does not follow from those before it; restore a "
        "copy"
    )
