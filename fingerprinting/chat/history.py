"""
What was asked of watched endpoints and what they answered: one SQLite file, written as answers come.

A round that is killed goes on where its last noted answers end; nothing noted is lost, and at most the questions under
way are asked again. Rounds are never changed once they are whole.
"""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from probe_match.fingerprinting.errors import BadData, DatabaseError

from . import keeping
from .changing import RoundP
from .records import Answer, Bank, Question, Transcript, plain
from .sentinels import Plan

SCHEMA: Final = 1
BUSY_SECONDS: Final = 30.0
TABLES: Final = """
CREATE TABLE IF NOT EXISTS watches (
  id INTEGER PRIMARY KEY, target TEXT UNIQUE NOT NULL, begun REAL NOT NULL, seed INTEGER NOT NULL, bank BLOB NOT NULL,
  plan TEXT NOT NULL, searched INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS rounds (
  id INTEGER PRIMARY KEY, watch INTEGER NOT NULL REFERENCES watches, kind TEXT NOT NULL, begun REAL NOT NULL,
  ended REAL, text_p REAL, logprobs_p REAL);
CREATE TABLE IF NOT EXISTS answers (
  round INTEGER NOT NULL REFERENCES rounds, number INTEGER NOT NULL, cell TEXT NOT NULL, answer TEXT NOT NULL,
  PRIMARY KEY (round, number)) WITHOUT ROWID;
"""
COLUMNS: Final = "id, target, begun, seed, bank, plan, searched"
Kind = Literal["baseline", "round", "again"]  # the first answers; a look; the answers after an alarm


@dataclass(frozen=True)
class Watch:
    """One endpoint being watched. searched: calls that choosing its questions took."""

    number: int
    target: str
    begun: float
    seed: int
    bank: Bank
    plan: Plan
    searched: int


@dataclass(frozen=True)
class Round:
    """Some answers of an endpoint. ended: seconds since 1970, None while it is under way."""

    number: int
    kind: Kind
    begun: float
    ended: float | None
    p: RoundP | None


class History:
    """An open file."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        except (sqlite3.Error, OSError) as error:
            raise _unusable(path, error) from error
        try:
            self._prepare(path)
        except BaseException:
            self._db.close()
            raise
        self.path = path

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _prepare(self, path: Path) -> None:
        """See whose file it is, and make its tables where it is new."""
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            found = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            strange = found == 0 and self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
            if found > SCHEMA or strange:
                made = "by a newer probe-match; upgrade it, or" if found > SCHEMA else "for something else;"
                raise DatabaseError(f"{path} was made {made} pass another --history")
            self._db.executescript(f"{TABLES} PRAGMA user_version={SCHEMA};")
        except sqlite3.Error as error:
            raise _unusable(path, error) from error

    def find(self, target: str) -> Watch | None:
        """The watch of a target, or None."""
        row = self._one(f"SELECT {COLUMNS} FROM watches WHERE target = ?", target)  # noqa: S608 - a constant
        return None if row is None else self._watch(row)

    def watches(self) -> list[Watch]:
        """All of them, by target."""
        return [self._watch(row) for row in self._all(f"SELECT {COLUMNS} FROM watches ORDER BY target")]  # noqa: S608

    def begin(self, target: str, bank: Bank, plan: Plan, searched: int, seed: int) -> Watch:
        """Note a new watch."""
        self._run(
            "INSERT INTO watches (target, begun, seed, bank, plan, searched) VALUES (?, ?, ?, ?, ?, ?)",
            target, time.time(), seed, keeping.to_bytes(bank), json.dumps(vars(plan)), searched,
        )  # fmt: skip
        watch = self.find(target)
        assert watch is not None
        return watch

    def forget(self, watch: Watch) -> None:
        """Remove a watch with all its answers."""
        with self._transaction():
            self._run("DELETE FROM answers WHERE round IN (SELECT id FROM rounds WHERE watch = ?)", watch.number)
            self._run("DELETE FROM rounds WHERE watch = ?", watch.number)
            self._run("DELETE FROM watches WHERE id = ?", watch.number)

    def rounds(self, watch: Watch, kind: Kind | None = None) -> list[Round]:
        """All rounds in their order, the one under way last."""
        rows = self._all(
            "SELECT id, kind, begun, ended, text_p, logprobs_p FROM rounds WHERE watch = ? ORDER BY id", watch.number
        )
        found = [
            Round(row[0], row[1], row[2], row[3], None if row[4] is None else RoundP(row[4], row[5])) for row in rows
        ]
        return [one for one in found if kind in (None, one.kind)]

    def open_round(self, watch: Watch, kind: Kind) -> Round:
        """The round of that kind that is under way, or a new one."""
        for one in self.rounds(watch, kind):
            if one.ended is None:
                return one
        with self._transaction():
            self._run("INSERT INTO rounds (watch, kind, begun) VALUES (?, ?, ?)", watch.number, kind, time.time())
        return self.rounds(watch, kind)[-1]

    def note(self, one: Round, first: int, answered: Sequence[tuple[Question, Answer]]) -> None:
        """Answers number `first` and on of a round, all of them or none."""
        with self._transaction():
            for number, (question, answer) in enumerate(answered, first):
                data = json.dumps(plain(answer), ensure_ascii=False)
                self._run("INSERT INTO answers VALUES (?, ?, ?, ?)", one.number, number, question.cell, data)

    def answered(self, one: Round) -> int:
        """How many answers of a round are noted."""
        row = self._one("SELECT count(*) FROM answers WHERE round = ?", one.number)
        return int(row[0]) if row else 0

    def transcript(self, watch: Watch, one: Round) -> Transcript:
        """The answers of a round by cell."""
        cells: dict[str, list[Any]] = {question.cell: [] for question in watch.bank.questions}
        for cell, data in self._all("SELECT cell, answer FROM answers WHERE round = ? ORDER BY number", one.number):
            cells.setdefault(cell, []).append(json.loads(data))
        value = {"target": watch.target, "answers": cells, "bank": watch.bank.digest}
        return keeping.from_json(Transcript, value, str(self.path))

    def end(self, one: Round, p: RoundP | None = None) -> None:
        """Close a round, with what it was ranked."""
        given = (None, None) if p is None else (p.text, p.logprobs)
        self._run(
            "UPDATE rounds SET ended = ?, text_p = ?, logprobs_p = ? WHERE id = ?", time.time(), *given, one.number
        )

    def _watch(self, row: Any) -> Watch:
        try:
            bank = keeping.from_bytes(Bank, row[4], f"the questions in {self.path}")
            return Watch(row[0], row[1], row[2], row[3], bank, Plan(**json.loads(row[5])), row[6])
        except (TypeError, ValueError) as error:
            raise BadData(f"{self.path} is damaged ({error}); pass another --history") from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._run("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._run("COMMIT")

    def _run(self, statement: str, *values: Any) -> sqlite3.Cursor:
        try:
            return self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise DatabaseError(f"cannot use the history ({error}); try again, or pass another --history") from error

    def _one(self, statement: str, *values: Any) -> Any:
        return self._run(statement, *values).fetchone()

    def _all(self, statement: str, *values: Any) -> list[Any]:
        return self._run(statement, *values).fetchall()


def _unusable(path: Path, error: Exception) -> DatabaseError:
    return DatabaseError(f"cannot open the history {path} ({error}); pass another --history")
