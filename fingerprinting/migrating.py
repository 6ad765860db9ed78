"""
Bringing an older database up to this version: steps from one schema to the next, all in one transaction.

Plain SQLAlchemy Core, the same for every engine. A file that may only be read is read as it is.
"""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, select, update

from . import changes, schema
from .schema import meta


def migrate(connection: Connection, found: int) -> None:
    """Take a database of schema `found` to the present one; to be called within a transaction that writes."""
    for version in range(found, schema.SCHEMA):
        STEPS[version](connection)
    connection.execute(update(meta).where(meta.c.key == "schema").values(value=str(schema.SCHEMA)))


def _log(connection: Connection) -> None:
    """1 to 2: the log of changes begins with what is there; quarantine; tables of language models in every file."""
    schema.tables.create_all(connection)
    for table in changes.TRACKED:
        (key,) = table.primary_key
        for name, seal in connection.execute(select(key, table.c.sha256).order_by(key)).all():
            changes.append(connection, changes.ADD, table.name, str(name), str(seal))


STEPS: Final[dict[int, Callable[[Connection], None]]] = {1: _log}
