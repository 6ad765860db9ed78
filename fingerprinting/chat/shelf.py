"""
Language models in the reference database: added, read by bank, listed and removed.

They stand in tables of their own, which older files lack: reading such a file finds none, and adding makes them. Names
are shared with the other references, so that a name says one model.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from probe_match.fingerprinting import changes, schema, storage
from probe_match.fingerprinting.database import ReferenceDB
from probe_match.fingerprinting.errors import BadData, DatabaseError
from probe_match.fingerprinting.schema import chat_banks, chat_bodies, chat_headers, sealed
from sqlalchemy import RowMapping, Table, delete, func, insert, select

from . import keeping, off_form
from .records import Bank, ChatReference, Counts


def add(db: ReferenceDB, references: Sequence[ChatReference], *, replace: bool = False) -> None:
    """Store references, all of them or none. replace: forget those of the same names. Raises DatabaseError."""
    for table in schema.CHAT:
        if not db.store.has(table):
            db.store.complete()
            break
    for reference in references:
        db.store.require_free(reference.name, schema.headers)
    with db.store.transaction(write=True) as connection:
        known = set(connection.execute(select(chat_headers.c.name)).scalars())
        banks = set(connection.execute(select(chat_banks.c.digest)).scalars())
        for reference in references:
            if reference.name in known:
                if not replace:
                    raise DatabaseError(
                        f"{db.name} already has a reference '{reference.name}'; remove it or pass --replace"
                    )
                for table in (chat_headers, chat_bodies):
                    connection.execute(delete(table).where(table.c.name == reference.name))
            digest = reference.bank.digest
            for table, row in _rows(reference, digest):
                connection.execute(insert(table).values(row))
            changes.append(connection, changes.ADD, table.name, reference.name, row["sha256"])  # the body, the last
            if digest not in banks:
                table, row = sealed(chat_banks, digest=digest, data=keeping.to_bytes(reference.bank))
                connection.execute(insert(table).values(row))
                banks.add(digest)
            known.add(reference.name)
        _drop_unused(connection)


def headers(db: ReferenceDB) -> list[dict[str, Any]]:
    """What a listing shows of each language model, sorted by name."""
    return [json.loads(row["data"]) for row in _read(db, chat_headers, chat_headers.c.name)]


def names(db: ReferenceDB) -> list[str]:
    """All language models, sorted."""
    return [header["name"] for header in headers(db)]


def get(db: ReferenceDB, name: str) -> ChatReference:
    """One reference. Raises DatabaseError where there is none."""
    bodies = _read(db, chat_bodies, chat_bodies.c.name, only=(name,))
    if not bodies:
        raise _unknown(db, name)

    return _reference(db, bodies[0], bank(db, bodies[0]["bank"]))


class Shelved(Mapping[str, ChatReference]):
    """
    The references that were asked one bank, by name, each read when it is looked up, and the names only when they are
    asked for: ten thousand rows are much for Python's collector of garbage. only: these of them, if any. digest:
    `sha256:…` of the database's state, the bank and `only`. folder: beside the database's file, for what is worked out
    from them, or None.
    """

    def __init__(self, db: ReferenceDB, digest: str, only: Sequence[str] = ()) -> None:
        self.db = db
        self.bank: Bank = bank(db, digest)
        self.bank_digest = digest
        self.only: frozenset[str] = frozenset(only)
        state = "\n".join([_state(db) or repr(self.seals), digest, *sorted(self.only)])
        self.digest: str = storage.sha256(state.encode())
        self.folder: Path | None = Path(f"{db.name}.prepared") if db.store.sqlite else None

    @cached_property
    def seals(self) -> dict[str, str]:
        """The seal of each, by name, sorted."""
        columns = (chat_bodies.c.name, chat_bodies.c.sha256)
        with self.db.store.transaction() as connection:
            rows = connection.execute(select(*columns).where(chat_bodies.c.bank == self.bank_digest)).all()
        return {name: seal for name, seal in sorted(map(tuple, rows)) if not self.only or name in self.only}

    def __getitem__(self, name: str) -> ChatReference:
        rows = _read(self.db, chat_bodies, chat_bodies.c.name, only=(name,))
        if not rows or rows[0]["bank"] != self.bank_digest or (self.only and name not in self.only):
            raise KeyError(name)
        return _reference(self.db, rows[0], self.bank)

    def __iter__(self) -> Iterator[str]:
        return iter(self.seals)

    def __len__(self) -> int:
        return len(self.seals)

    def counts(self) -> tuple[dict[str, Counts], bool]:
        """What each answered, read at once, and whether answers that were not of the form asked are among it."""
        rows = _read(self.db, chat_bodies, chat_bodies.c.name)
        held = {row["name"]: _value(self.db, row) for row in rows if row["name"] in self.seals}
        every = all(value.get("reader") == off_form.READER for value in held.values())
        if not every:
            return {name: value["counts"] for name, value in held.items()}, False
        return {name: off_form.joined(value["counts"], value.get("off_form", {})) for name, value in held.items()}, True


def of_bank(db: ReferenceDB, digest: str, only: Sequence[str] = ()) -> Shelved:
    """The references that were asked a bank; only: these of them. Raises DatabaseError where the bank is missing."""
    return Shelved(db, digest, only)


def _state(db: ReferenceDB) -> str | None:
    """The head of the log of changes, which every change of a reference moves; None where there is no log."""
    if not db.store.has(schema.changes):
        return None
    with db.store.transaction() as connection:
        head = next(changes.entries(connection, 1), None)
    return None if head is None else head.chain


def banks(db: ReferenceDB) -> list[tuple[str, list[str]]]:
    """Digest of each bank and the names of the references that were asked it, those of the most references first."""
    found: dict[str, list[str]] = {}
    if not db.store.has(chat_bodies):
        return []
    with db.store.transaction() as connection:
        for name, digest in connection.execute(select(chat_bodies.c.name, chat_bodies.c.bank)):
            found.setdefault(digest, []).append(name)
    for names_ in found.values():
        names_.sort()

    return sorted(found.items(), key=lambda entry: (-len(entry[1]), entry[0]))


def commonest(db: ReferenceDB, only: Sequence[str] = ()) -> str | None:
    """Digest of the bank that most references were asked, of these names where some are given; None without any."""
    if not db.store.has(chat_bodies):
        return None
    digest, number = chat_bodies.c.bank, func.count()
    wanted = select(digest).group_by(digest).order_by(number.desc(), digest).limit(1)
    if only:
        wanted = wanted.where(chat_bodies.c.name.in_(only))
    with db.store.transaction() as connection:
        return connection.execute(wanted).scalar()


def bank(db: ReferenceDB, digest: str) -> Bank:
    """The bank of that digest. Raises DatabaseError where it is missing."""
    rows = _read(db, chat_banks, chat_banks.c.digest, only=(digest,))
    if not rows:
        raise DatabaseError(f"bank {digest[:15]}… is missing from {db.name}; add its references again")

    return keeping.from_bytes(Bank, rows[0]["data"], f"bank {digest[:15]}… in {db.name}")


def remove(db: ReferenceDB, name: str) -> None:
    """Forget a reference, and its bank unless another was asked it. Raises DatabaseError where there is none."""
    if name not in names(db):
        raise _unknown(db, name)
    with db.store.transaction(write=True) as connection:
        for table in (chat_headers, chat_bodies):
            connection.execute(delete(table).where(table.c.name == name))
        changes.append(connection, changes.REMOVE, chat_bodies.name, name)
        _drop_unused(connection)


def header(reference: ChatReference) -> dict[str, Any]:
    """What a listing shows of a language model."""
    about = reference.about
    return {
        "name": reference.name,
        "role": about.role,
        "license": about.license,
        "parent": about.parent,
        "source": about.source,
        "date": about.date,
        "note": about.note,
        "input": {"kind": "chat", "shape": [], "features": []},
        "bank": reference.bank.digest,
        "bank_name": reference.bank.name,
        "bank_license": reference.bank.license,
        "cells": sum(bool(some) for some in reference.counts.values()),
        "asked": sum(reference.asked.values()),
        "answers": sum(sum(some.values()) for some in reference.counts.values()),
        "texts": sum(len(some) for some in reference.texts.values()),
        "digest": storage.sha256(storage.canonical_json(keeping.to_json(reference))),
    }


def _rows(reference: ChatReference, digest: str) -> list[schema.Row]:
    body = storage.canonical_json({**keeping.to_json(reference), "bank": digest})
    return [
        sealed(chat_headers, name=reference.name, data=storage.canonical_json(header(reference))),
        sealed(chat_bodies, name=reference.name, bank=digest, data=keeping.pack(body)),
    ]


def _reference(db: ReferenceDB, row: RowMapping, shared: Bank) -> ChatReference:
    return keeping.from_json(ChatReference, {**_value(db, row), "bank": shared}, _source(db, row))


def _value(db: ReferenceDB, row: RowMapping) -> dict[str, Any]:
    value = keeping.unpack(row["data"], _source(db, row))
    if not isinstance(value, dict) or not isinstance(value.get("counts"), dict):
        raise BadData(f"{_source(db, row)} is damaged; remove it and add it again")

    return value


def _source(db: ReferenceDB, row: RowMapping) -> str:
    return f"reference '{row['name']}' in {db.name}"


def _read(db: ReferenceDB, table: Table, column: Any, only: Sequence[str] = ()) -> list[RowMapping]:
    """Rows of a table in the order of a column, each checked against its seal; none where the file lacks the table."""
    if not db.store.has(table):
        return []
    wanted = select(table).order_by(column)
    if only:
        wanted = wanted.where(column.in_(only))
    with db.store.transaction() as connection:
        rows = list(connection.execute(wanted).mappings().all())
    for row in rows:
        if not schema.intact(table, row):
            raise DatabaseError(
                f"{schema.label(table, row)} in {db.name} is damaged; remove what is damaged and add it again"
            )

    return rows


def _drop_unused(connection: Any) -> None:
    used = select(chat_bodies.c.name).where(chat_bodies.c.bank == chat_banks.c.digest).exists()
    connection.execute(delete(chat_banks).where(~used))


def _unknown(db: ReferenceDB, name: str) -> DatabaseError:
    known = names(db)
    held = f"it has {', '.join(known[:8])}" if known else "it has none; add one with enroll"

    return DatabaseError(f"no language model '{name}' in {db.name}; {held}")
