"""
Writing a reference's rows within a transaction, its suite once for all that share it, and the log of what was done.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from . import changes, schema
from .errors import DatabaseError
from .schema import bodies, headers, labels, public_suites, scores, sealed, suites


def add_rows(
    database: str, connection: Connection, rows: Sequence[schema.Row], suite: str, data: bytes, *, replace: bool = False
) -> None:
    """
    Store a reference's rows, its body first, and its suite by digest and bytes. database: its name, for messages.

    Raises DatabaseError where there is one of the same name, unless it is to be replaced.
    """
    body = rows[0][1]
    known = connection.execute(select(bodies.c.suite).where(bodies.c.name == body["name"])).scalar()
    if known is not None and not replace:
        raise DatabaseError(f"{database} already has a reference '{body['name']}'; remove it or pass --replace")
    if known is not None:
        forget(connection, body["name"])
    add_suite(connection, suite, data)
    for table, row in rows:
        connection.execute(insert(table).values(row))
    changes.append(connection, changes.ADD, bodies.name, body["name"], body["sha256"])
    if known is not None:
        drop_unused(connection, known)


def add_suite(connection: Connection, digest: str, data: bytes) -> None:
    """Store a suite unless it is there."""
    if connection.execute(select(suites.c.digest).where(suites.c.digest == digest)).first() is None:
        table, row = sealed(suites, digest=digest, data=data)
        connection.execute(insert(table).values(row))


def forget(connection: Connection, name: str) -> None:
    """Remove the rows of a reference, its suite aside."""
    for table in (headers, bodies, labels, scores):
        connection.execute(delete(table).where(table.c.name == name))


def drop_unused(connection: Connection, digest: str) -> None:
    """Remove a suite that is not public and that no reference was asked."""
    asked = select(bodies.c.name).where(bodies.c.suite == digest).exists()
    public = select(public_suites.c.input).where(public_suites.c.suite == digest).exists()
    connection.execute(delete(suites).where(suites.c.digest == digest, ~asked, ~public))
