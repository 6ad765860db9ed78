"""
What is wrong with a reference database: damaged rows, rows that do not fit together, rows the log says nothing of.
"""

from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table, and_, select

from . import changes, schema
from .errors import DatabaseError, ProbeMatchError
from .schema import bodies, headers, public_suites, suites

if TYPE_CHECKING:
    from .database import ReferenceDB


def problems(db: "ReferenceDB", head: str | None = None) -> list[str]:
    """One line each, [] if all is well. head: the chain of an entry of the log known to have been there."""
    changes.require_head(head)
    tables = [table for table in schema.SEALED if table not in schema.LATER or db.store.has(table)]
    damage = [line for table in tables for line in _damage(db, table)]

    return damage or [*_disagreements(db), *_past_the_log(db, head), *db.store.file_problems()]


def _damage(db: "ReferenceDB", table: Table) -> list[str]:
    try:
        with db.store.transaction() as connection:
            rows = connection.execute(select(table).execution_options(yield_per=64)).mappings()
            return [f"{schema.label(table, row)} is damaged" for row in rows if not schema.intact(table, row)]
    except DatabaseError as error:
        return [f"table {table.name}: {error}"]
    except (TypeError, ValueError) as error:  # SQLite holds anything in any column, text that is no UTF-8 too
        return [f"table {table.name} is damaged ({type(error).__name__})"]


def _past_the_log(db: "ReferenceDB", head: str | None) -> list[str]:
    if not db.store.has(schema.changes):
        return []  # of an older version, and only read
    try:
        with db.store.transaction() as connection:
            return changes.problems(connection, head)
    except DatabaseError as error:
        return [f"table {schema.changes.name}: {error}"]
    except (TypeError, ValueError) as error:
        return [f"table {schema.changes.name} is damaged ({type(error).__name__})"]


def _disagreements(db: "ReferenceDB") -> list[str]:
    """Rows that are whole but do not fit together: missing, left over, or of another reference."""
    found = []
    with db.store.transaction() as connection:
        names = connection.execute(select(bodies.c.name).order_by(bodies.c.name)).scalars().all()
        for name in names:
            found += _misfits(db, connection, name)
        for table in (headers, schema.labels, schema.scores):
            strays = set(connection.execute(select(table.c.name)).scalars()) - set(names)
            found += [f"table {table.name} has rows of '{name}', which is no reference" for name in strays]
        shared = set(connection.execute(select(public_suites.c.suite)).scalars())
        missing = shared - set(connection.execute(select(suites.c.digest)).scalars())
        found += [f"public suite {digest[:15]}… is missing; add it again" for digest in missing]

    return found + (_chat_disagreements(db) if all(map(db.store.has, schema.CHAT)) else [])


def _chat_disagreements(db: "ReferenceDB") -> list[str]:
    with db.store.transaction() as connection:
        listed = set(connection.execute(select(schema.chat_headers.c.name)).scalars())
        rows = connection.execute(select(schema.chat_bodies.c.name, schema.chat_bodies.c.bank))
        asked = {str(row.name): str(row.bank) for row in rows}
        banks = set(connection.execute(select(schema.chat_banks.c.digest)).scalars())
    found = [f"language model '{name}' is half there; remove it and add it again" for name in listed ^ asked.keys()]

    return found + [f"bank {bank[:15]}… is missing; add its references again" for bank in {*asked.values()} - banks]


def _misfits(db: "ReferenceDB", connection: Connection, name: str) -> list[str]:
    try:
        rows = schema.derived_rows(db.read(connection, name))
    except ProbeMatchError as error:
        return [str(error)]
    found = []
    for table, row in rows:
        same_key = and_(*(column == row[column.name] for column in table.primary_key))
        if connection.execute(select(table.c.sha256).where(same_key)).scalar() != row["sha256"]:
            found.append(f"{schema.label(table, row)} is missing or of another reference")

    return found
