"""The references as pages list them: searched, by pages, with their ancestors and what was made from them."""

import json
import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from probe_match.fingerprinting import schema
from probe_match.fingerprinting.chat import shelf
from probe_match.fingerprinting.compliance import expressions
from probe_match.fingerprinting.compliance.judging import Known, line_of
from probe_match.fingerprinting.compliance.licences import Licence, catalogue
from probe_match.fingerprinting.database import ReferenceDB
from probe_match.fingerprinting.errors import UsageError
from sqlalchemy import func, select

SEARCHED: Final = ("name", "license", "parent", "source", "role")
PER_PAGE: Final = 50
MOST_CHANGES: Final = 1000  # that are read one by one
PLACES: Final = (schema.bodies.name, schema.chat_bodies.name, schema.quarantined.name)  # as the log of changes has them


class Listing(NamedTuple):
    """rows: headers of the references on a page. total: that were found. page: from 1."""

    rows: list[dict[str, Any]]
    total: int
    page: int
    pages: int


class Whole(NamedTuple):
    """One reference. line: its ancestors, nearest first. children: what names it as its parent. licences: described."""

    header: Mapping[str, Any]
    line: list[dict[str, Any]]
    children: list[str]
    licences: list[Licence]
    undescribed: list[str]


class _Entry(NamedTuple):
    """A header, with the reason if it is set aside, and what searches look at."""

    row: dict[str, Any]
    words: str


class _Read(NamedTuple):
    """What was read up to a change of the database. entries: sorted by name. children: by the name of their parent."""

    seq: int | None
    entries: dict[str, _Entry]
    known: dict[str, Known]
    children: dict[str, list[str]]


class Catalogue:
    """A database's headers, read again when the database's own log says that something changed."""

    def __init__(self, references: ReferenceDB) -> None:
        self._references = references
        self._lock = threading.Lock()
        self._held: _Read | None = None
        self._read()  # now, and not when somebody waits for a page
        catalogue()

    def listing(self, search: str = "", page: int = 1, per_page: int = PER_PAGE) -> Listing:
        """The references in which every word of `search` occurs, sorted by name."""
        held = self._read()
        wanted = search.casefold().split()
        found = [entry.row for entry in held.entries.values() if all(one in entry.words for one in wanted)]
        pages = max(1, -(-len(found) // per_page))
        page = min(max(1, page), pages)

        return Listing(found[(page - 1) * per_page : page * per_page], len(found), page, pages)

    def get(self, name: str) -> Whole | None:
        """One reference with its family and its licences' obligations, None where there is none of that name."""
        held = self._read()
        if name not in held.entries:
            return None
        header, known, nobody = held.entries[name].row, held.known, Known(None, None)
        line = [
            {"name": one, "known": one in known, "license": known.get(one, nobody).licence}
            for one in line_of(name, known)[1:]
        ]
        named = _identifiers(header["license"])
        described = [catalogue()[one] for one in named if one in catalogue()]
        undescribed = [one for one in named if one not in catalogue()]

        return Whole(header, line, sorted(held.children.get(name, ())), described, undescribed)

    def __len__(self) -> int:
        return len(self._read().entries)

    def _read(self) -> _Read:
        seq = self._seq()
        with self._lock:
            held = self._held
            if held is None or seq is None or held.seq is None or not held.seq <= seq <= held.seq + MOST_CHANGES:
                self._held = _all(self._references, seq)
            elif held.seq != seq:
                self._held = _changed(self._references, held, seq)
            assert self._held is not None
            return self._held

    def _seq(self) -> int | None:
        """Number of the last change, None where the database is older than its log."""
        store = self._references.store
        if not store.has(schema.changes):
            return None
        with store.transaction() as connection:
            return connection.execute(select(func.max(schema.changes.c.seq))).scalar() or 0


def _all(references: ReferenceDB, seq: int | None) -> _Read:
    """Everything, from the database."""
    apart = references.quarantined()
    rows = [*references.headers(), *shelf.headers(references)]

    return _sorted(seq, {row["name"]: _entry(row, apart.get(row["name"])) for row in rows})


def _changed(references: ReferenceDB, held: _Read, seq: int) -> _Read:
    """What was held, with those references read anew that the log of changes names since."""
    store, log, entries = references.store, schema.changes, dict(held.entries)
    tables = [table for table in (schema.headers, schema.chat_headers) if store.has(table)]
    apart = store.has(schema.quarantined)
    with store.transaction() as connection:
        named = select(log.c.key).where(log.c.seq > held.seq, log.c.seq <= seq, log.c.place.in_(PLACES)).distinct()
        for name in connection.execute(named).scalars().all():
            entries.pop(name, None)
            reason = references.row(connection, schema.quarantined, name) if apart else None
            for table in tables:
                row = references.row(connection, table, name)
                if row is not None:
                    entries[name] = _entry(json.loads(row["data"]), reason["data"].decode() if reason else None)

    return _sorted(seq, entries)


def _entry(header: dict[str, Any], reason: str | None) -> _Entry:
    words = [str(header["input"]["kind"]), *(str(header[key] or "") for key in SEARCHED)]
    return _Entry({**header, "quarantined": reason}, " ".join(words).casefold())


def _sorted(seq: int | None, entries: dict[str, _Entry]) -> _Read:
    entries = dict(sorted(entries.items(), key=lambda item: item[0]))
    known = {name: Known(entry.row["license"], entry.row["parent"]) for name, entry in entries.items()}
    children: defaultdict[str, list[str]] = defaultdict(list)
    for name, (_, parent) in known.items():
        if parent:
            children[parent].append(name)

    return _Read(seq, entries, known, dict(children))


def _identifiers(licence: str | None) -> list[str]:
    try:
        return list(expressions.identifiers(licence)) if licence else []
    except UsageError:  # recorded before expressions were checked
        return []
