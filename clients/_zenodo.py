"""
A record's files from the Zenodo API (`/api/records/ID`), in parts, each checked against the record's own digest.

A download that broke off goes on where it stopped; what is there already and whole is not asked for again. Tested
against a local server of the same shape.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData, TargetError

from ._transport import Transport

SITE: Final = "https://zenodo.org"
PART: Final = 8 << 20  # bytes asked for at once
MOST: Final = 512 << 20  # bytes of one record
DIGESTS: Final = {"md5", "sha256"}
NAME: Final = re.compile(r"[\w.()+ -]{1,200}", re.ASCII)
Progress = Callable[[str, int, int], None]  # file, bytes there, bytes in all


class File(NamedTuple):
    """size: bytes. digest: as `md5:…`."""

    name: str
    url: str
    size: int
    digest: str


class Record(NamedTuple):
    """What a record says of itself; license is its identifier in lower case, such as cc-by-4.0."""

    title: str
    license: str
    doi: str
    files: tuple[File, ...]


def describe(record: str, *, site: str = SITE, timeout: float = 60.0) -> Record:
    """What a record holds, before anything is fetched. Raises TargetError."""
    url = f"{site.rstrip('/')}/api/records/{record}"
    transport = Transport(timeout=timeout, patience=timeout)
    try:
        reply = transport.get(url)
        if not reply.ok:
            raise transport.complaint(reply)
        told = reply.json()
    finally:
        transport.close()
    try:
        about: Any = told["metadata"]
        files = tuple(
            File(str(f["key"]), str(f["links"]["self"]), int(f["size"]), str(f["checksum"])) for f in told["files"]
        )
        found = Record(str(about["title"]), str(about["license"]["id"]).lower(), str(told["doi"]), files)
    except (KeyError, TypeError, ValueError) as error:
        raise TargetError(f"expected a Zenodo record from {url}, got something else ({error})") from error
    for file in files:
        if not NAME.fullmatch(file.name) or file.name.startswith("."):
            raise TargetError(f"{url} names a file {file.name[:60]!r}, which is no plain name")
        if file.digest.partition(":")[0] not in DIGESTS or urlsplit(file.url).netloc != urlsplit(url).netloc:
            raise TargetError(f"{url} gives no digest of '{file.name}' that can be checked, or another host's address")
    if sum(file.size for file in files) > MOST:
        raise TargetError(f"{url} holds more than {MOST >> 20} MiB")

    return found


def fetch(file: File, folder: Path, *, timeout: float = 60.0, progress: Progress | None = None) -> Path:
    """The file, whole and checked, under the folder. Raises TargetError, BadData."""
    path = folder / file.name
    if path.exists() and path.stat().st_size == file.size and _right(path, file):
        return path
    part = folder / f"{file.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as out:
            out.seek(0, 2)
            if out.tell() > file.size:
                out.truncate(0)
            while out.tell() < file.size:
                at = out.tell()
                data = _part(file, at, timeout)
                out.write(data)
                out.flush()
                if progress is not None:
                    progress(file.name, at + len(data), file.size)
        if not _right(part, file):
            part.unlink()
            raise BadData(f"{file.name} does not have the digest its record states ({file.digest}); fetch it again")
        part.replace(path)
    except OSError as error:
        raise BadData(f"cannot write {part}: {error.strerror or error}") from error

    return path


def _part(file: File, at: int, timeout: float) -> bytes:
    last = min(at + PART, file.size) - 1
    wanted = {"Accept": "*/*", "Range": f"bytes={at}-{last}"}
    transport = Transport(timeout=timeout, patience=timeout, most=file.size + 1, headers=wanted)
    try:
        reply = transport.get(file.url)
        if not reply.ok:
            raise transport.complaint(reply)
    finally:
        transport.close()
    body = reply.body if reply.status == 206 else reply.body[at:]  # a server without parts sends all
    if not 0 < len(body) <= file.size - at:
        raise TargetError(f"expected {last + 1 - at} bytes of {file.url} from {at} on, got {len(body)}")

    return body


def _right(path: Path, file: File) -> bool:
    kind, _, digest = file.digest.partition(":")
    found = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as data:
        while chunk := data.read(1 << 20):
            found.update(chunk)

    return found.hexdigest() == digest.lower() and path.stat().st_size <= storage.MAX_BYTES
