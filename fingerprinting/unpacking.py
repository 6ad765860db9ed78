"""
Reading packs, which come from strangers: checked before anything is added, and added whole or not at all.

A pack is refused unless a trusted key signed it, its members are exactly those its manifest names, each stored as it
is, of its stated sha256 and of a bounded size, and every reference is the one its digest says.
"""

import json
import re
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from . import formats, packs, schema, storage, storing
from .chat import keeping, shelf
from .chat.records import Bank, ChatReference
from .database import ReferenceDB
from .errors import BadData, DatabaseError
from .records import ProbeSuite, Reference
from .schema import Body

MAX_MANIFEST: Final = 256 << 20  # bytes, about half a million references
MEMBER: Final = re.compile(r"(bodies|suites|chat_bodies|chat_banks)/[0-9a-f]{64}")
Conflict = Literal["refuse", "keep", "replace"]


class Difference(NamedTuple):
    """Names of references: in the pack alone, in both and alike, in both and not alike, in the database alone."""

    added: list[str]
    same: list[str]
    changed: list[str]
    missing: list[str]


class Pack:
    """An open pack whose manifest is sound. signed_by: the key, in hex, or None. licenses: how many references each."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self.archive: zipfile.ZipFile = archive
        self.path: Path = path
        names = archive.namelist()
        self._require(packs.MANIFEST in names, "it has no manifest")
        data = self._stored(packs.MANIFEST, MAX_MANIFEST)
        self.signed_by: str | None = None
        if packs.SIGNATURE in names:
            from . import signing

            self.signed_by = signing.signer(data, self._json(self._stored(packs.SIGNATURE, 10_000)))
        manifest = self._json(data)
        try:
            formats.require(manifest["schema"], packs.SCHEMA, f"the manifest of {path}")
            self.members: dict[str, str] = {str(name): str(digest) for name, digest in manifest["members"].items()}
            self.public: list[str] = [str(member) for member in manifest["public"]]
            self.references: dict[str, dict[str, Any]] = {
                str(entry["name"]): {key: entry[key] for key in ("body", "asked", "digest", "license")}
                for entry in manifest["references"]
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise BadData(
                f"the manifest of {path} is none that probe-match wrote ({error}); get the pack again"
            ) from error
        self.licenses: dict[str, int] = packs.count_licenses(self.references.values())
        expected = [*self.members, packs.MANIFEST, *([packs.SIGNATURE] if self.signed_by else [])]
        self._require(sorted(names) == sorted(expected), "its members are not those of its manifest")
        used = [*self.public, *(entry[key] for entry in self.references.values() for key in ("body", "asked"))]
        self._require(set(used) <= self.members.keys(), "its manifest names members that are not there")
        self._require(all(MEMBER.fullmatch(name) for name in self.members), "a member has a strange name")

    def read(self, member: str) -> bytes:
        """One member, checked."""
        data = self._stored(member, storage.MAX_BYTES)
        self._require(storage.sha256(data) == self.members[member], f"{member[:30]}… is damaged")

        return data

    def reference(self, name: str) -> Reference | ChatReference:
        """One reference, checked against its digest."""
        entry, what = self.references[name], f"'{name[:60]}' in {self.path}"
        found: Reference | ChatReference
        if entry["body"].startswith("chat_"):
            bank = keeping.from_bytes(Bank, self.read(entry["asked"]), what)
            value = keeping.unpack(self.read(entry["body"]), what)
            self._require(isinstance(value, dict), f"{what} is no reference")
            found = keeping.from_json(ChatReference, {**value, "bank": bank}, what)
            digest, license_ = shelf.header(found)["digest"], found.about.license
        else:
            body = storage.from_bytes(Body, self.read(entry["body"]), what)
            suite = storage.from_bytes(ProbeSuite, self.read(entry["asked"]), what)
            found = body.reference(suite)
            digest, license_ = storage.digest(found), found.about.license
        told = (name, entry["digest"], entry["license"])
        self._require((found.name, digest, license_) == told, f"{what} is not what the manifest says")

        return found

    def suites(self) -> list[ProbeSuite]:
        """The public suites."""
        return [storage.from_bytes(ProbeSuite, self.read(member), f"suite in {self.path}") for member in self.public]

    def require_signature(self, trusted: Collection[str]) -> None:
        """Raise BadData unless one of these keys, in hex, signed the pack."""
        if self.signed_by is None:
            raise BadData(f"{self.path} is not signed; import it with --unsigned if you know where it comes from")
        if self.signed_by not in trusted:
            raise BadData(f"{self.path} is signed by {self.signed_by}, which is no trusted key; add it if you trust it")

    def compare(self, db: ReferenceDB) -> Difference:
        """How the pack and a database differ."""
        ours = {header["name"]: header["digest"] for header in [*db.headers(), *shelf.headers(db)]}
        theirs = {name: entry["digest"] for name, entry in self.references.items()}
        both = sorted(ours.keys() & theirs.keys())
        return Difference(
            sorted(theirs.keys() - ours.keys()),
            [name for name in both if ours[name] == theirs[name]],
            [name for name in both if ours[name] != theirs[name]],
            sorted(ours.keys() - theirs.keys()),
        )

    def _stored(self, member: str, most: int) -> bytes:
        info = self.archive.getinfo(member)
        whole = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        self._require(whole and not info.flag_bits & 1, f"{member[:30]} is compressed or encrypted")
        self._require(info.file_size <= most, f"{member[:30]} is larger than {most >> 20} MiB")
        try:
            return self.archive.read(member)
        except storage.UNREADABLE as error:
            raise BadData(f"{member[:30]} of {self.path} is damaged; get the pack again") from error

    def _json(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BadData(f"the manifest of {self.path} is damaged; get the pack again") from error

    def _require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise BadData(f"{self.path} is no pack to trust: {otherwise}; get it again from its source")


@contextmanager
def opened(path: Path) -> Iterator[Pack]:
    """An open pack. Raises BadData for what is none, or damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield Pack(archive, path)
    except zipfile.BadZipFile as error:
        raise BadData(f"{path} is no pack, or damaged ({error}); get it again from its source") from error
    except OSError as error:
        raise BadData(f"cannot read pack {path}: {error.strerror or error}") from error


def add(db: ReferenceDB, pack: Pack, conflict: Conflict = "refuse") -> list[str]:
    """
    Add the references of a pack that are not there yet, those of a kind all or none, and its public suites
    where there are none; returns the names. conflict: what happens to a reference that is there and differs.
    """
    found = pack.compare(db)
    if found.changed and conflict == "refuse":
        named = ", ".join(found.changed[:5])
        raise DatabaseError(f"{db.name} has other references under the names {named}; pass --replace or --keep")
    wanted = found.added + (found.changed if conflict == "replace" else [])
    chat = []
    for suite in pack.suites():
        if db.public_suite(suite.spec) is None:
            db.set_public_suite(suite)
    with db.store.transaction(write=True) as connection:
        for name in wanted:
            reference = pack.reference(name)
            if isinstance(reference, ChatReference):
                chat.append(reference)
                continue
            rows = [schema.body_row(reference), *schema.derived_rows(reference)]
            storing.add_rows(
                db.name,
                connection,
                rows,
                reference.suite.digest,
                storage.to_bytes(reference.suite),
                replace=conflict == "replace",
            )
    if chat:
        shelf.add(db, chat, replace=conflict == "replace")

    return wanted
