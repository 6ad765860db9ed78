"""
A ledger: one SQLite file an audit, to which entries are only ever added, each chained to the one before by its digest.

Nothing is sent before the entry that says so is on the disk (write-ahead log, every commit synced), and no entry is
changed afterwards. Entries that several threads make at the same time share one sync. What the entries mean is said in
`ledger_states`.
"""

import contextlib
import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote

from .departures import Departures
from .errors import DatabaseError, UsageError
from .ledger_chain import APPLICATION, START, VERSION, Entry, Head, chained, checked, without_answer

SCHEMA: Final = "probe-match/ledger/1"
BUSY_SECONDS: Final = 0.5
TABLE: Final = (
    "CREATE TABLE entries (seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, of INTEGER NOT NULL, "
    "about TEXT NOT NULL, answer BLOB NOT NULL, raw BLOB NOT NULL, digest BLOB NOT NULL)"
)


class Ledger:
    """
    An open ledger, held by one process. about: what its first entry says of the target. forgotten: why its answers were
    erased, "" where they were not.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, head: Head, about: Mapping[str, Any], forgotten: str = ""
    ) -> None:
        self.path = path
        self.about = about
        self.forgotten: str = forgotten
        self.departures: Departures = Departures(path)
        self._connection = connection
        self._head = head
        self._last = head.seq
        self._waiting: list[Entry] = []
        self._open: set[int] = set()  # sent entries of this run that nothing follows yet
        self._adding = threading.Lock()  # for numbers and the list above; never held while the disk works
        self._writing = threading.Lock()
        self._broken: str | None = None
        if self.departures.came:
            open_ = self._unanswered()
            self.departures.came = [came for came in self.departures.came if came.of in open_]

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Ledger({str(self.path)!r}, {self._last} entries)"

    def add(self, kind: str, about: Mapping[str, Any], *, of: int = 0, answer: bytes = b"", raw: bytes = b"") -> int:
        """Add an entry and return its number; it is on the disk after the next `sync`."""
        told = json.dumps(about, sort_keys=True, separators=(",", ":"), allow_nan=False)  # ASCII: stray surrogates, too
        with self._adding:
            self._last += 1
            self._open.discard(of)
            if kind == "sent":
                self._open.add(self._last)
            self._waiting.append(Entry(self._last, time.time(), kind, of, told, answer, raw))
            return self._last

    def sync(self, seq: int | None = None) -> None:
        """
        Return when entry `seq`, or all there are, is on the disk. Raises DatabaseError where it cannot be written.

        Whoever comes first writes for all; those who come meanwhile are written together by the next.
        """
        seq = self._last if seq is None else seq
        with self._writing:
            if self._head.seq >= seq:
                return
            if self._broken:
                raise DatabaseError(self._broken)
            with self._adding:
                entries, self._waiting = self._waiting, []
            try:
                self._write(entries)
            except sqlite3.Error as error:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                self._broken = (
                    f"cannot write ledger {self.path} ({error}); nothing more was sent; mend the disk and run again"
                )
                raise DatabaseError(self._broken) from error

    def head(self) -> Head:
        """The last entry on the disk."""
        with self._writing:
            return self._head

    def entries(self) -> Iterator[Entry]:
        """All entries on the disk, in order."""
        with self._writing:
            cursor = self._connection.execute("SELECT seq, at, kind, of, about, answer, raw FROM entries ORDER BY seq")
        yield from (Entry(*row) for row in cursor)

    def answer(self, seq: int) -> bytes:
        """The packed answer of one entry; below 0, of one that was on its way into the ledger."""
        if seq < 0:
            return self.departures.came[-1 - seq].answer
        with self._writing:
            row = self._connection.execute("SELECT answer FROM entries WHERE seq = ?", (seq,)).fetchone()
        return bytes(row[0])

    def forget(self, why: str) -> int:
        """
        Erase every answer, for good, and say so in a last entry that keeps the chain checkable. Returns how many.

        What was asked, when, and what it cost stays.
        """
        self.sync()
        gaps, before, rows = [], START, []
        for entry, digest in self._rows():
            left = without_answer(entry)
            if left != entry:
                gaps.append([entry.seq, digest.hex(), chained(before, left).hex()])
                rows.append((left.about, left.answer, left.raw, left.seq))
            before = digest
        try:
            self._connection.execute("PRAGMA secure_delete=ON")  # what is erased is overwritten
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("UPDATE entries SET about = ?, answer = ?, raw = ? WHERE seq = ?", rows)
            told = json.dumps({"why": why[:500], "gaps": gaps}, sort_keys=True, separators=(",", ":"))
            last = Entry(self._head.seq + 1, time.time(), "forgotten", 0, told, b"", b"")
            digest = chained(self._head.digest, last)
            self._connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*last, digest))
            self._connection.execute("COMMIT")
            self._connection.execute("VACUUM")
        except sqlite3.Error as error:
            raise DatabaseError(
                f"cannot erase answers in ledger {self.path} ({error}); mend the disk and try again"
            ) from error
        self._head, self._last, self.forgotten = Head(last.seq, digest), last.seq, why
        self._open.clear()
        self.departures.came = []

        return len(rows)

    def close(self) -> None:
        """Write what waits and leave one file, without a log beside it."""
        try:
            if not self._broken:
                self.sync()
        finally:
            with contextlib.suppress(sqlite3.Error):  # a full disk; the log beside the file says the same
                self._connection.execute("PRAGMA journal_mode=DELETE")
            self._connection.close()
            self.departures.end(keep=bool(self._broken or self._open))

    def _rows(self) -> list[tuple[Entry, bytes]]:
        query = "SELECT seq, at, kind, of, about, answer, raw, digest FROM entries ORDER BY seq"
        return [(Entry(*fields), bytes(digest)) for *fields, digest in self._connection.execute(query)]

    def _unanswered(self) -> set[int]:
        """Sent entries of which nothing is said."""
        query = "SELECT seq FROM entries WHERE kind = 'sent' EXCEPT SELECT of FROM entries"
        return {seq for (seq,) in self._connection.execute(query)}

    def _write(self, entries: list[Entry]) -> None:
        rows, digest = [], self._head.digest
        for entry in entries:
            digest = chained(digest, entry)
            rows.append((*entry, digest))
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._connection.execute("COMMIT")
        self._head = Head(entries[-1].seq, digest)
        self.departures.kept([entry.of for entry in entries if entry.of])


def open_ledger(path: Path, *, target: str, about: Mapping[str, Any] | None = None, erased: bool = False) -> Ledger:
    """
    The ledger of an audit, made where there is none, else gone on with after its chain was checked.

    about: what is to be said of the target in a new one. erased: open one whose answers were erased, too. Raises
    UsageError for a ledger of another target, DatabaseError for a file that is none, was changed, or is in use.
    """
    new = not path.exists()
    connection = _connect(path, "rwc")
    try:
        if new or _is_blank(connection):
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(TABLE)
            connection.execute(f"PRAGMA application_id={APPLICATION}")
            connection.execute(f"PRAGMA user_version={VERSION}")
            connection.execute("COMMIT")
        head, first, forgotten = checked(connection, path)
        if forgotten and not erased:
            raise UsageError(f"the answers in ledger {path} were erased ({forgotten}); give another --ledger")
        connection.execute("PRAGMA journal_mode=WAL")
        known = str(first.get("target", target))
        if known != target:
            raise UsageError(f"ledger {path} is about {known}, not {target}; give another --ledger")
        ledger = Ledger(path, connection, head, first, forgotten)
        if head.seq == 0:
            ledger.about = {**(about or {}), "schema": SCHEMA, "target": target, "id": uuid.uuid4().hex}
            ledger.add("opened", ledger.about)
            ledger.sync()
    except sqlite3.Error as error:
        connection.close()
        raise _unusable(path, error) from error
    except BaseException:
        connection.close()
        raise

    return ledger


def read_ledger(path: Path) -> Ledger:
    """A ledger to read, its chain checked. Raises DatabaseError."""
    if not path.is_file():
        raise DatabaseError(f"no ledger at {path}; check the path")
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    connection = _connect(path, "rw" if writable else "ro&immutable=1")
    try:
        head, first, forgotten = checked(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise _unusable(path, error) from error
    except BaseException:
        connection.close()
        raise

    return Ledger(path, connection, head, first, forgotten)


def is_ledger(path: Path) -> bool:
    """Whether a file says of itself that it is a ledger."""
    try:
        with path.open("rb") as file:
            header = file.read(72)
    except OSError:
        return False
    return header.startswith(b"SQLite format 3\0") and header[68:72] == APPLICATION.to_bytes(4, "big")


def _is_blank(connection: sqlite3.Connection) -> bool:
    """Whether a run was killed between making the file and writing into it."""
    return not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None,
            check_same_thread=False,
        )  # fmt: skip
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # two runs of one audit would pay twice
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA trusted_schema=OFF")
        if mode.startswith("rw"):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        connection.close()
        raise _unusable(path, error) from error

    return connection


def _unusable(path: Path, error: sqlite3.Error) -> DatabaseError:
    if "locked" in str(error):
        return DatabaseError(f"ledger {path} is in use by another run; wait for it, or give another --ledger")
    return DatabaseError(f"cannot open ledger {path} ({error}); check the path and who may write there")
