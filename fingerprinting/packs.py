"""
Packs: references in one file that strangers can check before they trust it.

A `.pmpack` is a zip of stored members in a fixed order with a fixed date, so that one database always gives the same
bytes: the rows of the references as they are stored, and last `manifest.json`, with the sha256 of every member, the
licences and the public suites, and `signature.json`, an Ed25519 signature of the manifest (RFC 8032). Members are read
one at a time and never unpacked to the disk; nothing in a pack is compressed by the zip, so none can blow up.
"""

import json
import os
import re
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Table, select

from . import schema, signing, storage
from .chat import shelf
from .database import ReferenceDB
from .errors import BadData, DatabaseError
from .schema import bodies, chat_banks, chat_bodies, public_suites, suites

SCHEMA: Final = "probe-match/pack/1"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "signature.json"
MAX_MANIFEST: Final = 256 << 20  # bytes: about half a million references
MAX_MEMBERS: Final = 2_000_000
DATE: Final = (1980, 1, 1, 0, 0, 0)
MEMBER: Final = re.compile(r"(bodies|suites|chat_bodies|chat_banks)/[0-9a-f]{64}")


class Pack(NamedTuple):
    """
    A checked manifest. references: name, kind (model or chat), digest and licence of each, by name. key: hex of the
    public key it is signed with, or None.
    """

    references: dict[str, dict[str, Any]]
    public: list[str]
    members: dict[str, str]
    key: str | None

    @property
    def licences(self) -> dict[str, int]:
        """How many references are under each licence, "not stated" among them."""
        found = [entry["license"] or "not stated" for entry in self.references.values()]
        return {licence: found.count(licence) for licence in sorted(set(found))}


def write(db: ReferenceDB, path: Path, names: list[str], key: bytes | None = None) -> Pack:
    """
    Write references of a database to a pack, one after the other; all of them if `names` is empty.

    key: PEM of the Ed25519 private key to sign with. Raises DatabaseError for a name that is not there.
    """
    known = {header["name"]: header for header in [*db.headers(), *shelf.headers(db)]}
    for name in names:
        if name not in known:
            db.get(name)  # says what is there
    chosen = sorted(names) if names else sorted(known)
    references = {name: _entry(known[name]) for name in chosen}
    members: dict[str, str] = {}
    with _archive(path) as archive, db.store.transaction() as connection:
        for name in chosen:
            chat = references[name]["kind"] == "chat"
            for table, row in _rows(connection, name, chat):
                place = f"{table.name}/{storage.sha256(row['data']).removeprefix('sha256:')}"
                if place not in members:
                    members[place] = storage.sha256(row["data"])
                    archive.writestr(_member(place), row["data"])
        asked = {references[name]["suite"] for name in chosen}
        public = sorted(set(connection.execute(select(public_suites.c.suite)).scalars()))
        for digest in public:
            row = connection.execute(select(suites).where(suites.c.digest == digest)).mappings().one()
            place = f"{suites.name}/{storage.sha256(row['data']).removeprefix('sha256:')}"
            if place not in members:
                members[place] = storage.sha256(row["data"])
                archive.writestr(_member(place), row["data"])
        del asked
        manifest = {"schema": SCHEMA, "references": references, "public": public, "members": members}
        data = storage.canonical_json(manifest)
        archive.writestr(_member(MANIFEST), data)
        if key is not None:
            archive.writestr(_member(SIGNATURE), storage.canonical_json(signing.sign(data, key)))

    return Pack(references, public, members, None if key is None else signing.public_key(key))
