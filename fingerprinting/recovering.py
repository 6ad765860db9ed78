"""
Saving what is sound of a damaged reference database into a new file.

The log of changes is followed to its first broken entry. Whatever it says was there by then is copied, if it is still
there, whole, and the very row that the log speaks of; the rest is named and left behind.
"""

import contextlib
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from . import changes, quarantine, schema
from .chat import shelf
from .database import ReferenceDB, open_db
from .errors import DatabaseError, ProbeMatchError
from .schema import bodies, chat_bodies, public_suites, quarantined


class Recovered(NamedTuple):
    """kept: entries of the log that are sound. references: saved. lost: what was left behind and why, one line each."""

    kept: int
    references: list[str]
    lost: list[str]


def recover(db: ReferenceDB, target: Path) -> Recovered:
    """Copy all that is sound into a new file. Raises DatabaseError where the file exists or nothing can be read."""
    if target.exists():
        raise DatabaseError(f"{target} exists already; recover into a new file")
    state, kept, broken = _read_log(db)
    lost = [broken] if broken else []
    saved: list[str] = []
    with open_db(target, create=True) as new:
        order = [public_suites.name, bodies.name, chat_bodies.name, quarantined.name]
        for (table, key), seal in sorted(state.items(), key=lambda item: (order.index(item[0][0]), item[0])):
            try:
                _copy(db, new, table, key, seal)
            except (ProbeMatchError, TypeError, ValueError) as error:  # SQLite holds anything in any column
                lost.append(f"'{key}' of table {table}: {error}")
                continue
            if table in (bodies.name, chat_bodies.name):
                saved.append(key)
    known = {key for (table, key) in state if table in (bodies.name, chat_bodies.name)}
    lost += [f"'{name}' stands after the break of the log" for name in sorted(_there(db) - known)] if broken else []

    return Recovered(kept, saved, lost)


def _read_log(db: ReferenceDB) -> tuple[dict[changes.Place, str], int, str]:
    """As `changes.replay`, from a file that may end anywhere: state, sound entries, and what is wrong after them."""
    state: dict[changes.Place, str] = {}
    last: changes.Change | None = None
    try:
        with db.store.transaction() as connection:
            for change in changes.entries(connection):
                if not change.follows(last):
                    return state, 0 if last is None else last.seq, _after(last)
                last = change
                changes.apply(state, change)
    except (DatabaseError, TypeError, ValueError) as error:
        return state, 0 if last is None else last.seq, f"{_after(last)} ({error})"

    return state, 0 if last is None else last.seq, ""


def _after(last: changes.Change | None) -> str:
    return f"the log of changes is broken after entry {0 if last is None else last.seq}"


def _there(db: ReferenceDB) -> set[str]:
    """Names of all references that can be read, whoever put them there."""
    found: set[str] = set()
    for table in (bodies, chat_bodies):
        with contextlib.suppress(DatabaseError), db.store.transaction() as connection:
            found |= {str(name) for name in connection.execute(select(table.c.name)).scalars()}

    return found


def _copy(db: ReferenceDB, new: ReferenceDB, table: str, key: str, seal: str) -> None:
    with db.store.transaction() as connection:
        row = db.row(connection, schema.tables.tables[table], key)
        if row is None or row["sha256"] != seal:
            raise DatabaseError("it is gone" if row is None else "it is not the one the log speaks of")
        if table == public_suites.name:
            suite = db.read_suite(connection, str(row["suite"]))
    if table == public_suites.name:
        new.set_public_suite(suite)
    elif table == bodies.name:
        new.add(db.get(key))
    elif table == chat_bodies.name:
        shelf.add(new, [shelf.get(db, key)])
    else:
        quarantine.set_apart(new, key, row["data"].decode())
