"""
Packs: references in one file that strangers can check before they trust it.

A `.pmpack` is a zip of stored members in a fixed order with a fixed date, so that one database always gives the same
bytes: rows as they are stored, then `manifest.json` with the sha256 of every member, the licences and the public
suites, and `signature.json`, an Ed25519 signature of the manifest. Members are read one at a time, and nothing is ever
unpacked to the disk.
"""

import contextlib
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import RowMapping, Table, select

from . import storage
from .chat import shelf
from .database import ReferenceDB
from .errors import BadData, DatabaseError
from .schema import bodies, chat_banks, chat_bodies, public_suites, suites

SCHEMA: Final = "probe-match/pack/1"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "signature.json"
DATE: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold


def write(db: ReferenceDB, path: Path, names: Sequence[str] = (), key: bytes | None = None) -> dict[str, Any]:
    """
    Write references, all if none are named, and their manifest, which is returned; the whole file or nothing.

    key: PEM of the Ed25519 private key to sign with. Raises DatabaseError for a name that is not there.
    """
    known = {header["name"]: header for header in [*db.headers(), *shelf.headers(db)]}
    chosen = sorted(set(names)) or sorted(known)
    members: dict[str, str] = {}
    references = []
    with _archive(path) as archive, db.store.transaction() as connection:

        def put(table: Table, key: str) -> tuple[str, RowMapping]:
            row = db.row(connection, table, key)
            if row is None:
                raise DatabaseError(
                    f"{table.name} {key[:15]}… is missing from {db.name}; find all damage with 'db verify'"
                )
            digest = storage.sha256(row["data"])
            member = f"{table.name}/{digest.removeprefix('sha256:')}"
            if member not in members:
                members[member] = digest
                archive.writestr(_info(member), row["data"])
            return member, row

        for name in chosen:
            if name not in known:
                raise db.unknown(connection, name)
            chat = known[name]["input"]["kind"] == "chat"
            table, shared = (chat_bodies, "bank") if chat else (bodies, "suite")
            body, row = put(table, name)
            asked, _ = put(chat_banks if chat else suites, row[shared])
            entry = {"name": name, "body": body, "asked": asked}
            references.append(entry | {key: known[name][key] for key in ("digest", "license", "source")})
        public = sorted(set(connection.execute(select(public_suites.c.suite)).scalars()))
        manifest = {
            "schema": SCHEMA,
            "licenses": count_licenses(references),
            "references": references,
            "public": [put(suites, digest)[0] for digest in public],
            "members": members,
        }
        data = storage.canonical_json(manifest)
        archive.writestr(_info(MANIFEST), data)
        if key is not None:
            archive.writestr(_info(SIGNATURE), storage.canonical_json(_signing().sign(data, key)))

    return manifest


def count_licenses(references: Iterable[dict[str, Any]]) -> dict[str, int]:
    """How many references are under each licence."""
    return dict(sorted(Counter(entry["license"] or "not stated" for entry in references).items()))


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """A new zip under `path`, there when its block has ended well, and not at all otherwise."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise BadData(f"cannot write {path}: {error.strerror or error}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                yield archive
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise BadData(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()


def _info(member: str) -> zipfile.ZipInfo:
    """Stored, of a fixed date, system and mode: the same on every machine."""
    info = zipfile.ZipInfo(member, DATE)
    info.create_system = 3
    info.external_attr = 0o644 << 16

    return info


def _signing() -> Any:
    """The module of signatures, which needs an optional package."""
    from . import signing

    return signing
