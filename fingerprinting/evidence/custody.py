"""
Who did what with a case, when and why: lines of which each names the digest of the one before.

Times are those of the machine's own clock and names those that its user gives: a record, not a proof. What it adds is
that no line can be taken out or changed once the bundle that holds it is sealed.
"""

import datetime
import json
from collections.abc import Mapping
from typing import Any, Final

from probe_match.fingerprinting import changes, storage
from probe_match.fingerprinting.errors import BadData

FIELDS: Final = {"number", "time", "who", "what", "why", "files", "previous"}
MOST: Final = 10_000


def extended(log: bytes, what: str, files: Mapping[str, bytes], why: str = "") -> bytes:
    """The log with one more line. files: as they are afterwards; their digests are written down."""
    before = read(log)
    line = {
        "number": len(before) + 1,
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "who": changes.user(), "what": what, "why": why,
        "files": {name: storage.sha256(data) for name, data in sorted(files.items())},
        "previous": storage.sha256(log.splitlines(keepends=True)[-1]) if before else None,
    }  # fmt: skip

    return log + storage.canonical_json(line) + b"\n"


def read(log: bytes) -> list[dict[str, Any]]:
    """The lines of a log, each following the one before. Raises BadData."""
    lines = log.splitlines(keepends=True)
    found: list[dict[str, Any]] = []
    previous = None
    try:
        if len(lines) > MOST or not (log.endswith(b"\n") or not log):
            raise ValueError("cut off, or too long")
        for number, raw in enumerate(lines, 1):
            line = json.loads(raw)
            if set(line) != FIELDS or storage.canonical_json(line) + b"\n" != raw:
                raise ValueError(f"line {number} is spelt otherwise")
            if line["number"] != number or line["previous"] != previous:
                raise ValueError(f"line {number} does not follow the one before")
            if not all(isinstance(line[name], str) for name in ("time", "who", "what", "why")):
                raise ValueError(f"line {number} holds something else than text")
            found.append(line)
            previous = storage.sha256(raw)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BadData(f"the custody log was changed: {error}") from error

    return found
