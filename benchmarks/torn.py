"""
Torn write-ahead logs and flipped bits of a reference database: what is told, and what is saved.

    python benchmarks/torn.py [--times 500] [--output benchmarks/torn.json]

A database is copied while its last twenty changes stand in the write-ahead log alone. The log is then cut at random
places, or one bit of it or of the database's file is flipped, one damage at a time. What counts as wrong: damage that
`db verify`, given the head of the log of changes as noted before, says nothing of although something is missing or
changed; references left that are no beginning of the list of changes; a row that `db verify --recover` saves and that
is not as it was; and any failure that is no one-line error of ours.
"""

import argparse
import json
import random
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from probe_match.fingerprinting import changes, storage
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.errors import ProbeMatchError
from probe_match.fingerprinting.records import About, InputSpec, ProbeSuite, Reference, Responses
from probe_match.fingerprinting.recovering import recover

ROOT = Path(__file__).parents[1]
BEFORE, LOGGED, PROBES, SEED = 4, 20, 20, 0


class Whole(NamedTuple):
    """
    A database before any damage. file, log: while the last changes stand in the log alone; all: with all of them in
    the file. ends: bytes of the log after each change in it. rows: each reference's digest. contents: all rows of all
    tables.
    """

    file: bytes
    all: bytes
    log: bytes
    ends: list[int]
    names: list[str]
    rows: dict[str, str]
    head: str
    contents: object


def make(folder: Path) -> Whole:
    """Four references in the file, twenty more in the log; and the same with all of them in the file."""
    rng = np.random.default_rng(SEED)
    spec = InputSpec("tabular", (4,))
    inputs = rng.random((PROBES, 4)).astype(np.float32)
    suite = ProbeSuite("public", "uniform", SEED, spec, inputs, ("uniform",) * PROBES, np.ones(PROBES), None)
    path, ends, rows = folder / "whole.db", [], {}
    names = [f"r{i:02}" for i in range(BEFORE + LOGGED)]
    references = []
    for name in names:
        labels = rng.integers(0, 5, (PROBES, 1))
        given = Responses(suite.digest, "function:m", "label", labels, None, np.zeros(PROBES, np.float32), PROBES)
        references.append(Reference(name, About(), suite, given, None, given))
        rows[name] = storage.sha256(storage.to_bytes(references[-1]))
    with open_db(path, create=True) as db:
        db.set_public_suite(suite)
        for reference in references[:BEFORE]:
            db.add(reference)
    with open_db(path) as db:
        for reference in references[BEFORE:]:
            db.add(reference)
            ends.append(_log(path).stat().st_size)
        with db.store.transaction() as connection:
            head = next(changes.entries(connection, 1)).chain
        file, log = path.read_bytes(), _log(path).read_bytes()
    assert len(set(ends)) == LOGGED, "the log was written back in between"

    return Whole(file, path.read_bytes(), log, ends, names, rows, head, _contents(path))


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def cut(whole: Whole, path: Path, rng: random.Random) -> str:
    """Cut the log anywhere."""
    at = rng.randrange(len(whole.log))
    path.write_bytes(whole.file)
    _log(path).write_bytes(whole.log[:at])
    kept = BEFORE + sum(end <= at for end in whole.ends)
    return judge(whole, path, kept)


def flip_log(whole: Whole, path: Path, rng: random.Random) -> str:
    """Flip a bit of the log: what comes before its change is left."""
    at = rng.randrange(len(whole.log))
    log = bytearray(whole.log)
    log[at] ^= 1 << rng.randrange(8)
    path.write_bytes(whole.file)
    _log(path).write_bytes(log)
    return judge(whole, path, BEFORE + sum(end <= at for end in whole.ends))


def flip_file(whole: Whole, path: Path, rng: random.Random) -> str:
    """Flip a bit of a file that has no log."""
    file = bytearray(whole.all)
    file[rng.randrange(len(file))] ^= 1 << rng.randrange(8)
    path.write_bytes(file)
    return judge(whole, path, None)


def judge(whole: Whole, path: Path, kept: int | None) -> str:
    """What became of a damaged database; "wrong: …" where a promise is broken. kept: references that should be left."""
    try:
        with open_db(path, read_only=True) as db:
            told = bool(db.verify(whole.head))
            names = db.names() if kept is not None else []
    except ProbeMatchError:
        told, names = True, []
    wrong = _saved_wrong(whole, path, kept)
    harmless = _contents(path) == whole.contents  # last: to close it writes the log back
    if wrong:
        return f"wrong: {wrong}"
    if kept is not None and names and names != whole.names[:kept]:
        return f"wrong: {len(names)} references left of {kept}"
    if not told and not harmless:
        return "wrong: nothing is told"
    return "told" if told else "nothing was lost or changed"


def _saved_wrong(whole: Whole, path: Path, kept: int | None) -> str:
    """What is wrong with what is saved into a new file, "" if nothing; if `kept` are left, all of them are saved."""
    target = path.with_name("saved.db")
    for file in (target, _log(target), target.with_name("saved.db-shm")):
        file.unlink(missing_ok=True)
    try:
        with open_db(path, read_only=True) as db:
            recover(db, target)
        with open_db(target) as new:
            saved = {name: storage.sha256(storage.to_bytes(new.get(name))) for name in new.names()}
            problems = new.verify()
    except ProbeMatchError as error:
        return f"nothing is saved ({error})" if kept is not None else ""
    if problems:
        return f"what is saved is damaged ({problems[0]})"
    if any(whole.rows.get(name) != digest for name, digest in saved.items()):
        return "a row that is saved is another one"
    if kept is not None and sorted(saved) != whole.names[:kept]:
        return f"{len(saved)} references saved of {kept}"
    return ""


def _contents(path: Path) -> object:
    """All rows of all tables, or None where SQLite cannot read them."""
    try:
        connection = sqlite3.connect(path)
        connection.text_factory = bytes
        tables = sorted(row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
        return {table: sorted(connection.execute(f"SELECT * FROM {table.decode()}"), key=repr) for table in tables}
    except (sqlite3.Error, UnicodeDecodeError):
        return None
    finally:
        connection.close()


DAMAGES = {"log cut": cut, "log, a bit flipped": flip_log, "file, a bit flipped": flip_file}


def measure(times: int) -> dict[str, Any]:
    """Each damage so many times: how often what came of it."""
    found: dict[str, Any] = {"times": times, "references": BEFORE + LOGGED, "in_the_log": LOGGED}
    with tempfile.TemporaryDirectory() as name:
        whole = make(Path(name))
        for what, damage in DAMAGES.items():
            rng = random.Random(f"{SEED} {what}")
            counted: Counter[str] = Counter()
            for _ in range(times):
                with tempfile.TemporaryDirectory(dir=name) as own:
                    counted[damage(whole, Path(own) / "r.db", rng)] += 1
            found[what] = dict(counted)
    found["wrong"] = sum(n for what in DAMAGES for key, n in found[what].items() if key.startswith("wrong"))
    return found


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=500)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "torn.json")
    options = parser.parse_args()
    found = measure(options.times)
    options.output.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
