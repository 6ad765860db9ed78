"""
Roles in a team's database on PostgreSQL: who may read, who may add, who may do everything.

A reader asks; a contributor also adds references, removes none and changes none; a curator does all that can be
done to references. Nobody but the owner of the tables can alter the log of changes: the roles may add entries and read
them. An SQLite file knows no roles: whoever may write the file may write, and others open it to be read.
"""

from typing import Final, Literal

from sqlalchemy import text

from . import schema
from .connecting import Store
from .errors import DatabaseError, UsageError
from .schema import changes, meta

Role = Literal["reader", "contributor", "curator"]
ROLES: Final = ("reader", "contributor", "curator")
ADDED_TO: Final = (*schema.SEALED, changes)
CHANGED: Final = schema.SEALED


def grant(store: Store, user: str, role: Role) -> None:
    """
    Give a user of the server exactly one role; called by the owner of the tables. Raises DatabaseError where the server
    refuses, UsageError for an SQLite file.
    """
    if store.engine.dialect.name != "postgresql":
        raise UsageError(
            f"{store.name} is a file; roles are for PostgreSQL, for a file use the permissions of the file"
        )
    if role not in ROLES:
        raise UsageError(f"expected a role among {', '.join(ROLES)}, got '{role[:40]}'")
    quote = store.engine.dialect.identifier_preparer.quote_identifier
    who = quote(user)
    with store.transaction(write=True) as connection:
        if connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :user"), {"user": user}).first() is None:
            raise DatabaseError(f"no user '{user[:60]}' on the server; make one first: CREATE ROLE … LOGIN")
        for table in (*ADDED_TO, meta):
            name = quote(table.name)
            connection.execute(text(f"REVOKE ALL ON {name} FROM {who}"))
            connection.execute(text(f"GRANT SELECT ON {name} TO {who}"))
        if role != "reader":
            for table in ADDED_TO:
                connection.execute(text(f"GRANT INSERT ON {quote(table.name)} TO {who}"))
        if role == "curator":
            for table in CHANGED:
                connection.execute(text(f"GRANT UPDATE, DELETE ON {quote(table.name)} TO {who}"))
