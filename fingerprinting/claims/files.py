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

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData

BOOK: Final = "book.jsonl"
RESULT: Final = "result.json"
KEY: Final = "opened/key.hex"
POOL: Final = "opened/pool.npz"
DERIVATION: Final = "opened/derivation.json"
LEAVES: Final = "opened/leaves.jsonl"
SOME: Final = "opened/some.json"
CLOSED: Final = (BOOK, RESULT)
OPENED: Final = (KEY, POOL, DERIVATION, LEAVES)
Files = dict[str, bytes]
DATE: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold
MOST: Final = 512 << 20  # bytes of a case
FEW: Final = 64  # members


def write(path: Path, files: Mapping[str, bytes], *, secret: bool = False) -> None:
    """One zip of stored members, sorted, without dates: the same files give the same bytes. secret: mode 0600."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, DATE)
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, files[name])
    storage.write_file(path, buffer.getvalue())
    if secret:
        path.chmod(0o600)


def read(path: Path) -> Files:
    """The files of a case. Raises BadData for anything that is not exactly what `write` writes."""
    data = storage.read_file(path, "case")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            sizes = sum(member.file_size for member in members)
            plain = all(m.compress_type == zipfile.ZIP_STORED and not m.flag_bits & 1 for m in members)
            named = all(re.fullmatch(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)?", m.filename) for m in members)
            if not plain or not named or sizes > MOST or len(members) > FEW:
                raise BadData(f"{path} holds other members than a case does; at most {FEW}, stored, {MOST >> 20} MiB")
            files = {member.filename: archive.read(member) for member in members}
    except storage.UNREADABLE as error:
        raise BadData(f"expected a case that `claim run` or `claim reveal` wrote, {path} is none ({error})") from error
    if len(files) < len(members):
        raise BadData(f"{path} holds a member twice")

    return files


def parse(data: bytes, what: str) -> Any:
    """Canonical JSON, exactly as it is written here. Raises BadData."""
    try:
        value = json.loads(data)
        same = storage.canonical_json(value) == data
    except (ValueError, RecursionError) as error:
        raise BadData(f"expected JSON as {what}, got something else ({str(error)[:60]})") from error
    if not same:
        raise BadData(f"{what} is not written as canonical JSON; it was changed")

    return value


def lines(data: bytes, what: str) -> list[Any]:
    """Canonical JSON, a value a line. Raises BadData."""
    if not data.endswith(b"\n"):
        raise BadData(f"{what} ends in the middle of a line")

    return [parse(line, f"line {number} of {what}") for number, line in enumerate(data[:-1].split(b"\n"), 1)]


def joined(values: list[Any]) -> bytes:
    """The opposite of `lines`."""
    return b"".join(storage.canonical_json(value) + b"\n" for value in values)
