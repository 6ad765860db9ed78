"""
What the console was asked to do, and what came of it: one SQLite file, kept when the console ends.

Answers of endpoints are not in it but in the ledgers beside it, which are forgotten after a while.
"""

import contextlib
import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from probe_match.fingerprinting.errors import DatabaseError

SCHEMA: Final = 1
BUSY_SECONDS: Final = 0.5
TABLES: Final = """
CREATE TABLE IF NOT EXISTS jobs (
  number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, kind TEXT NOT NULL, title TEXT NOT NULL, asked TEXT NOT NULL,
  state TEXT NOT NULL, begun REAL NOT NULL, ended REAL, answered INTEGER NOT NULL, outcome TEXT NOT NULL,
  why TEXT NOT NULL, leave TEXT NOT NULL, granted INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS documents (
  job TEXT NOT NULL REFERENCES jobs(id), name TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (job, name)) WITHOUT ROWID;
"""
COLUMNS: Final = "id, kind, title, asked, state, begun, ended, answered, outcome, why"
Kind = Literal["match", "audit"]
State = Literal["waiting", "running", "done", "failed", "cancelled", "interrupted"]
OVER: Final = ("done", "failed", "cancelled", "interrupted")


@dataclass(frozen=True)
class Job:
    """
    title: the target, or how many endpoints. asked: the settings, as of an audit.toml. begun, ended: seconds since
    1970. answered: questions. outcome: of the verdict or audit, "" before there is one. why: it failed.
    """

    id: str
    kind: Kind
    title: str
    asked: Mapping[str, Any]
    state: State
    begun: float
    ended: float | None = None
    answered: int = 0
    outcome: str = ""
    why: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in OVER


class Jobs:
    """An open file, used by one console and all its threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with contextlib.ExitStack() as refused:
            self._open(path, refused)
            refused.pop_all()

    def _open(self, path: Path, refused: contextlib.ExitStack) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            refused.callback(self._db.close)
            path.chmod(0o600)
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")  # two consoles would run each other's jobs
            self._db.execute("PRAGMA journal_mode=WAL")
            found = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            strange = found == 0 and self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
            if found > SCHEMA or strange:
                made = "a newer probe-match; upgrade it, or" if found > SCHEMA else "something else than a console;"
                raise DatabaseError(f"{path} was made by {made} pass another --folder")
            self._db.executescript(f"{TABLES} PRAGMA user_version={SCHEMA};")
            self._db.execute(
                "UPDATE jobs SET state = 'interrupted', ended = ? WHERE state IN ('waiting', 'running')", (time.time(),)
            )
        except (sqlite3.Error, OSError) as error:
            raise DatabaseError(
                f"cannot open {path} ({error}); is another console using it? pass another --folder"
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def add(self, kind: Kind, title: str, asked: Mapping[str, Any], *, leave: str = "", granted: int = 0) -> Job:
        """A new one. leave: digest of the authorization under which so many questions (`granted`) may be asked."""
        job = Job(secrets.token_hex(8), kind, title, asked, "waiting", time.time())
        self._run(
            "INSERT INTO jobs (id, kind, title, asked, state, begun, answered, outcome, why, leave, granted) "
            "VALUES (?, ?, ?, ?, ?, ?, 0, '', '', ?, ?)",
            job.id, kind, title, json.dumps(asked), job.state, job.begun, leave, granted,
        )  # fmt: skip
        return job

    def get(self, id_: str) -> Job | None:
        """The job of that id."""
        rows = self._run(f"SELECT {COLUMNS} FROM jobs WHERE id = ?", id_)  # noqa: S608 - a constant
        return _job(rows[0]) if rows else None

    def newest(self, first: int, count: int) -> tuple[list[Job], int]:
        """So many from the `first`-newest on, counted from 0, and how many there are in all."""
        query = f"SELECT {COLUMNS} FROM jobs ORDER BY number DESC LIMIT ? OFFSET ?"  # noqa: S608 - a constant
        return [_job(row) for row in self._run(query, count, first)], int(self._run("SELECT count(*) FROM jobs")[0][0])

    def granted(self, leave: str) -> int:
        """Questions that may have been asked under an authorization."""
        return int(self._run("SELECT coalesce(sum(granted), 0) FROM jobs WHERE leave = ?", leave)[0][0])

    def begin(self, id_: str) -> None:
        """It runs now, perhaps again."""
        self._run("UPDATE jobs SET state = 'running', ended = NULL, why = '' WHERE id = ?", id_)

    def wait(self, id_: str) -> None:
        """It is to run again."""
        self._run("UPDATE jobs SET state = 'waiting', ended = NULL, why = '' WHERE id = ?", id_)

    def end(
        self, id_: str, state: State, *, answered: int, outcome: str = "", why: str = "",
        documents: Mapping[str, bytes] | None = None,
    ) -> None:  # fmt: skip
        """It is over, with its documents by name."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            for name, data in (documents or {}).items():
                self._db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (id_, name, data))
            self._db.execute(
                "UPDATE jobs SET state = ?, ended = ?, answered = ?, outcome = ?, why = ? WHERE id = ?",
                (state, time.time(), answered, outcome, why, id_),
            )
            self._db.execute("COMMIT")

    def document(self, id_: str, name: str) -> bytes | None:
        """A document of a job."""
        rows = self._run("SELECT data FROM documents WHERE job = ? AND name = ?", id_, name)
        return bytes(rows[0][0]) if rows else None

    def _run(self, statement: str, *values: Any) -> list[Any]:
        try:
            with self._lock:
                return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise DatabaseError(f"cannot use {self.path} ({error}); check the disk") from error


def _job(row: Any) -> Job:
    id_, kind, title, asked, *rest = row
    return Job(id_, kind, title, json.loads(asked), *rest)
