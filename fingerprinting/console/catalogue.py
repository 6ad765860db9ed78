"""The references as pages list them: searched, by pages, with their ancestors and what was made from them."""

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


class _Read(NamedTuple):
    seq: int | None
    rows: list[dict[str, Any]]
    words: list[str]
    by_name: dict[str, dict[str, Any]]
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
        found = [row for row, words in zip(held.rows, held.words, strict=True) if all(one in words for one in wanted)]
        pages = max(1, -(-len(found) // per_page))
        page = min(max(1, page), pages)

        return Listing(found[(page - 1) * per_page : page * per_page], len(found), page, pages)

    def get(self, name: str) -> Whole | None:
        """One reference with its family and its licences' obligations, None where there is none of that name."""
        held = self._read()
        header = held.by_name.get(name)
        if header is None:
            return None
        known = {row["name"]: Known(row["license"], row["parent"]) for row in held.rows}
        nobody = Known(None, None)
        line = [
            {"name": one, "known": one in known, "license": known.get(one, nobody).licence}
            for one in line_of(name, known)[1:]
        ]
        named = _identifiers(header["license"])
        described = [catalogue()[one] for one in named if one in catalogue()]
        undescribed = [one for one in named if one not in catalogue()]

        return Whole(header, line, sorted(held.children.get(name, ())), described, undescribed)

    def __len__(self) -> int:
        return len(self._read().rows)

    def _read(self) -> _Read:
        seq = self._seq()
        with self._lock:
            if self._held is None or seq is None or self._held.seq != seq:
                self._held = _read(self._references, seq)
            return self._held

    def _seq(self) -> int | None:
        """Number of the last change, None where the database is older than its log."""
        store = self._references.store
        if not store.has(schema.changes):
            return None
        with store.transaction() as connection:
            return connection.execute(select(func.max(schema.changes.c.seq))).scalar() or 0


def _read(references: ReferenceDB, seq: int | None) -> _Read:
    apart = references.quarantined()
    rows = [*references.headers(), *shelf.headers(references)]
    rows = sorted(({**row, "quarantined": apart.get(row["name"])} for row in rows), key=lambda row: str(row["name"]))
    words = [
        " ".join([str(row["input"]["kind"]), *(str(row[key] or "") for key in SEARCHED)]).casefold() for row in rows
    ]
    children: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["parent"]:
            children[row["parent"]].append(row["name"])

    return _Read(seq, rows, words, {row["name"]: row for row in rows}, dict(children))


def _identifiers(licence: str | None) -> list[str]:
    try:
        return list(expressions.identifiers(licence)) if licence else []
    except UsageError:  # recorded before expressions were checked
        return []
