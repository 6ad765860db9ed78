"""
The raw answers of a case: the bytes that came over the wire, each under its SHA-256, which the sealed leaves name.

A body can be withheld alone, for what it says of a person, say: its digest stays, and so does the root over all leaves.
"""

import base64
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from probe_match.fingerprinting import ledger, storage
from probe_match.fingerprinting.errors import BadData

MOST: Final = 256 << 20  # bytes of all bodies


class Exchanges(NamedTuple):
    """bodies: raw answers by `sha256:…`. withheld: why, by the same."""

    bodies: dict[str, bytes]
    withheld: dict[str, str]


def gather(ledgers: Path, wanted: Collection[str]) -> bytes:
    """The answers with these digests, from the ledgers in a folder, a line each. Raises BadData, DatabaseError."""
    bodies: dict[str, bytes] = {}
    for path in sorted(ledgers.glob("*.ledger")):
        with ledger.read_ledger(path) as opened:
            for entry in opened.entries():
                if entry.raw and (digest := storage.sha256(entry.raw)) in wanted:
                    bodies[digest] = entry.raw
    if sum(map(len, bodies.values())) > MOST:
        raise BadData(f"the answers of this case have more than {MOST >> 20} MiB; they stay in {ledgers}")
    missing = {digest: "not in the ledgers" for digest in wanted if digest not in bodies}

    return write(Exchanges(bodies, missing))


def of_case(ledgers: Path, leaves: bytes) -> bytes:
    """The answers that a case's leaves name, canonical JSON a line."""
    told = [json.loads(line).get("response") for line in leaves.splitlines()]
    return gather(ledgers, {digest for digest in told if digest is not None})


def write(told: Exchanges) -> bytes:
    """As `read` reads them."""
    lines: dict[str, Mapping[str, str]] = {
        digest: {"sha256": digest, "body": base64.b64encode(body).decode()} for digest, body in told.bodies.items()
    }
    lines |= {digest: {"sha256": digest, "withheld": why} for digest, why in told.withheld.items()}

    return b"".join(storage.canonical_json(lines[digest]) + b"\n" for digest in sorted(lines))


def read(data: bytes) -> Exchanges:
    """The answers, each checked against its digest. Raises BadData."""
    found = Exchanges({}, {})
    try:
        for raw in data.splitlines():
            line = json.loads(raw)
            digest = str(line["sha256"])
            if set(line) == {"sha256", "body"}:
                found.bodies[digest] = base64.b64decode(line["body"], validate=True)
            elif set(line) == {"sha256", "withheld"}:
                found.withheld[digest] = str(line["withheld"])
            else:
                raise ValueError("unknown fields")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BadData(f"expected raw answers under their digests, got something else ({str(error)[:80]})") from error
    if write(found) != data or any(storage.sha256(body) != digest for digest, body in found.bodies.items()):
        raise BadData("a raw answer does not have the digest it stands under; it was changed")

    return found


def withhold(data: bytes, digests: Collection[str], why: str) -> bytes:
    """The same without the bodies of some, which keep their digests. Raises BadData for one that is not there."""
    told = read(data)
    unknown = set(digests) - set(told.bodies)
    if unknown:
        raise BadData(f"expected the digest of an answer that the bundle holds, got {min(unknown)[:80]}")

    return write(Exchanges(
        {digest: body for digest, body in told.bodies.items() if digest not in digests},
        told.withheld | dict.fromkeys(digests, why),
    ))  # fmt: skip


def require_those_of(told: Exchanges, leaves: list[dict[str, Any]]) -> None:
    """Raise BadData unless every answer that the sealed leaves name is there or withheld, and no other."""
    named = {leaf["response"] for leaf in leaves if leaf.get("response") is not None}
    if named != set(told.bodies) | set(told.withheld):
        raise BadData("the raw answers are not those that the sealed leaves name; one was added or taken out")
