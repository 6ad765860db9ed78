"""
A case as files: what is handed over while it is closed, what opens it, and one deterministic zip of either.

    book.jsonl             the case book up to this case's run, one sealed link a line
    result.json            what was found; its digest and the root of all leaves are sealed in the run
    opened/key.hex         the owner's key, and with it:
    opened/pool.npz        the rows that probes lie between
    opened/derivation.json labels, places and readings that give the probes with key and beacon
    opened/leaves.jsonl    every peer and every attempt, a leaf a line
    opened/some.json       or single leaves, each with its salt and its path to the root
"""

from typing import Any, Final

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.evidence.archive import Files, read, write
from probe_match.fingerprinting.storage import from_canonical_json as parse

__all__ = ["Files", "joined", "lines", "parse", "read", "write"]

BOOK: Final = "book.jsonl"
RESULT: Final = "result.json"
KEY: Final = "opened/key.hex"
POOL: Final = "opened/pool.npz"
DERIVATION: Final = "opened/derivation.json"
LEAVES: Final = "opened/leaves.jsonl"
SOME: Final = "opened/some.json"
CLOSED: Final = (BOOK, RESULT)
OPENED: Final = (KEY, POOL, DERIVATION, LEAVES)


def lines(data: bytes, what: str) -> list[Any]:
    """Canonical JSON, a value a line. Raises BadData."""
    if not data.endswith(b"\n"):
        raise BadData(f"{what} ends in the middle of a line")

    return [parse(line, f"line {number} of {what}") for number, line in enumerate(data[:-1].split(b"\n"), 1)]


def joined(values: list[Any]) -> bytes:
    """The opposite of `lines`."""
    return b"".join(storage.canonical_json(value) + b"\n" for value in values)
