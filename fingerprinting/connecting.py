"""
Connections to a reference database that many processes may share, and its failures in one line.

SQLite files are write-ahead logged: readers never wait, writers wait for each other.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, Table, create_engine, insert, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from . import migrating, schema
from .errors import DatabaseError, MissingPackage
from .schema import meta

BUSY_SECONDS: Final = 30  # a writer waits this long for the others
WRITERS: Final = 0x70726F6265  # the number of the lock that writers of a PostgreSQL database take in turn


SCHEMA_OF_IT: Final = select(meta.c.value).where(meta.c.key == "schema")


class Store:
    """An engine. name: for messages, passwords hidden. read_only: nothing can be written, by wish or by permission."""

    def __init__(self, engine: Engine, name: str, *, read_only: bool) -> None:
        self.engine = engine
        self.name = name
        self.read_only = read_only
        self.sqlite: bool = engine.dialect.name == "sqlite"
        self._closed = False

    def close(self) -> None:
        """Let go of all connections. Who reads on, as what is read when wanted does, opens one for that moment."""
        self._closed = True
        self.engine.dispose()

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[Connection]:
        """One transaction, committed if its block ends and undone if it raises. Raises DatabaseError."""
        if write and self.read_only:
            raise DatabaseError(
                f"cannot write {self.name}: it was opened to be read, or the file or its folder is read-only; "
                "pass another --db"
            )
        try:
            with self.engine.connect() as connection, connection.begin():
                if self.sqlite:
                    # At once, not at the first write: a reader that turns writer fails without waiting for its turn.
                    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
                elif write and self.engine.dialect.name == "postgresql":
                    # One after the other, as on SQLite: the log of changes is a chain.
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS})")
                yield connection
        except IntegrityError as error:
            raise DatabaseError(
                f"{self.name} was changed by someone else at the same moment ({_what(error)}); try again"
            ) from error
        except SQLAlchemyError as error:
            verb = "write" if write else "read"
            raise DatabaseError(f"cannot {verb} {self.name} ({_what(error)}); {_advice(_what(error))}") from error
        finally:
            if self._closed:
                self.engine.dispose()

    def prepare(self, *, create: bool) -> None:
        """Check that the schema is ours, or make it where there is no table at all and `create` allows it."""
        with self.transaction() as connection:
            ours = self.engine.dialect.has_table(connection, "meta")
            empty = not self.engine.dialect.get_table_names(connection)
        if empty and create:
            self._create()
        elif not ours:
            raise DatabaseError(f"{self.name} is not a reference database; pass another --db")
        found = self._version()
        if not found.isdecimal():
            raise DatabaseError(f"{self.name} is not a reference database; pass another --db")
        if int(found) > schema.SCHEMA:
            raise DatabaseError(
                f"{self.name} was made by a newer probe-match (schema {found}, this one reads {schema.SCHEMA}); "
                "upgrade probe-match"
            )
        if int(found) < schema.SCHEMA and not self.read_only:
            with self.transaction(write=True) as connection:
                now = int(str(connection.execute(SCHEMA_OF_IT).scalar()))  # another process may have been first
                migrating.migrate(connection, now)

    def _version(self) -> str:
        with self.transaction() as connection:
            return str(connection.execute(SCHEMA_OF_IT).scalar())

    def has(self, table: Table) -> bool:
        """Whether the file has a table that was not there from the first."""
        with self.transaction() as connection:
            return self.engine.dialect.has_table(connection, table.name)

    def complete(self) -> None:
        """Make the tables that an older version did not know."""
        with self.transaction(write=True) as connection:
            schema.tables.create_all(connection)

    def require_free(self, name: str, table: Table) -> None:
        """Raise DatabaseError where a reference of another kind, kept in `table`, has this name."""
        if not self.has(table):
            return
        with self.transaction() as connection:
            taken = connection.execute(select(table.c.name).where(table.c.name == name)).first()
        if taken is not None:
            raise DatabaseError(f"{self.name} has another kind of model under the name '{name}'; choose another name")

    def file_problems(self) -> list[str]:
        """What SQLite itself finds wrong with its file, one line each."""
        if not self.sqlite:
            return []
        with self.transaction() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        return [f"file: {line}" for text in found if text != "ok" for line in str(text).splitlines()]

    def _create(self) -> None:
        if self.sqlite and not self.read_only:
            with self.transaction() as connection:  # the mode of a log cannot change within a transaction
                connection.exec_driver_sql("COMMIT")
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        with self.transaction(write=True) as connection:
            schema.tables.create_all(connection)  # leaves out what another process has just made
            if connection.execute(SCHEMA_OF_IT).first() is None:
                connection.execute(insert(meta).values(key="schema", value=str(schema.SCHEMA)))


def connect(url: str, *, create: bool, read_only: bool) -> Store:
    """
    url: `sqlite:///FILE`, `postgresql+psycopg://…`, or the path of an SQLite file. create: makes a missing file with
    its folders. Raises DatabaseError where there is nothing to open, MissingPackage without the database's driver.
    """
    try:
        parsed = make_url(url) if "://" in url else None
        if parsed is not None and parsed.get_backend_name() != "sqlite":
            return Store(create_engine(parsed), parsed.render_as_string(hide_password=True), read_only=read_only)
    except (ArgumentError, ValueError) as error:
        # The URL is not shown: it may hold a password.
        raise DatabaseError(
            "expected FILE, sqlite:///FILE or postgresql+psycopg://HOST/NAME as the database, got another URL"
        ) from error
    except ModuleNotFoundError as error:
        extra = "'probe-match[postgres]'" if error.name == "psycopg" else f"'{error.name}'"
        raise MissingPackage(f"this database needs {error.name}: pip install {extra}") from error
    where = url if parsed is None else parsed.database
    if not where or where == ":memory:":
        raise DatabaseError("expected the path of a database file, got none; pass --db FILE")
    path = Path(where).expanduser().absolute()
    mode = _mode(path, create=create, read_only=read_only)
    engine = create_engine("sqlite://", creator=_opener(path, mode), poolclass=QueuePool)

    return Store(engine, str(path), read_only="ro" in mode)


def _mode(path: Path, *, create: bool, read_only: bool) -> str:
    try:
        if path.is_dir():
            raise DatabaseError(f"expected a database file, got the folder {path}; pass --db FILE")
        if not path.exists():
            if read_only or not create:
                raise DatabaseError(f"no reference database at {path}; add a model with enroll, or pass another --db")
            path.parent.mkdir(parents=True, exist_ok=True)
            return "mode=rwc"
    except OSError as error:
        raise DatabaseError(f"cannot open {path} ({error.strerror or error}); pass another --db") from error
    if not _writable(path.parent) and not path.with_name(path.name + "-wal").exists():
        # Even reading a logged file needs a second one beside it. Nobody is writing: read the file as it stands.
        return "mode=ro&immutable=1"

    return "mode=rw" if _writable(path.parent) and _writable(path) and not read_only else "mode=ro"


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _opener(path: Path, mode: str) -> Callable[[], sqlite3.Connection]:
    address = f"file:{quote(str(path))}?{mode}"

    def open_file() -> sqlite3.Connection:
        # Without an isolation level Python leaves BEGIN to us.
        connection = sqlite3.connect(
            address, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous=FULL")  # some builds of SQLite come with less
        except sqlite3.Error:
            connection.close()
            raise
        except UnicodeDecodeError as error:  # SQLite's own message, which quotes a schema that is no text any more
            connection.close()
            raise sqlite3.DatabaseError("malformed database schema") from error
        return connection

    return open_file


def _what(error: SQLAlchemyError) -> str:
    return " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())[:200]


def _advice(what: str) -> str:
    if "locked" in what or "busy" in what:
        return f"another process kept it for {BUSY_SECONDS} s; try again"
    if "not a database" in what or "malformed" in what or "no such" in what:
        return "the file is damaged or no reference database; restore a copy or pass another --db"
    if "readonly" in what or "unable to open" in what:
        return "check who may write to the file and its folder, or pass another --db"

    return "check the file and the disk, or pass another --db"
