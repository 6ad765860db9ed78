"""The reference database: whole or not at all, checked on every read, shared between processes."""

import dataclasses
import json
import multiprocessing
import os
import re
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.database import ReferenceDB, open_db
from probe_match.fingerprinting.errors import BadData, DatabaseError, MissingPackage
from probe_match.fingerprinting.records import UNANSWERED, About, InputSpec, Reference, Responses
from samples import IMAGE, K, make_reference, make_responses, make_suite

PUBLIC = make_suite(99, n=8)
WRITERS, EACH = 4, 200


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database will be."""
    return tmp_path / "references.db"


def open_files(path: Path) -> int:
    """How often this process has a file open."""
    links = (link for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return sum(os.path.realpath(link) == str(path.resolve()) for link in links)


@pytest.fixture
def empty_db(path: Path) -> Iterator[ReferenceDB]:
    """A database without references."""
    with open_db(path, create=True) as db:
        yield db


@pytest.fixture
def db(empty_db: ReferenceDB) -> ReferenceDB:
    """A public suite and three references, two of which answered it."""
    empty_db.set_public_suite(PUBLIC)
    empty_db.add(make_reference("s0", 0, PUBLIC, license="MIT", date="2026-01-02"))
    empty_db.add(make_reference("s1", 1, PUBLIC, parent="s0", role="derived"))
    empty_db.add(make_reference("s2", 2))
    return empty_db


@pytest.fixture
def closed(db: ReferenceDB, path: Path) -> Path:
    """The same, closed: one file and nothing beside it."""
    db.close()
    return path


def execute(path: Path, statement: str, *values: Any) -> list[Any]:
    """SQL behind the database's back."""
    connection = sqlite3.connect(path)
    with connection:
        rows = connection.execute(statement, values).fetchall()
    connection.close()
    return rows


def one_line(error: pytest.ExceptionInfo[BaseException]) -> bool:
    return "\n" not in str(error.value)


def test_a_reference_comes_back_as_it_was(db: ReferenceDB) -> None:
    """Everything in a reference, panel and public answers included, survives."""
    for name, seed, public in (("s0", 0, PUBLIC), ("s2", 2, None)):
        about = dataclasses.asdict(db.get(name).about)
        stored = make_reference(name, seed, public, **about)

        assert storage.to_bytes(db.get(name)) == storage.to_bytes(stored)
    assert db.names() == ["s0", "s1", "s2"]
    assert db.verify() == []


def test_references_outlive_the_process_that_added_them(closed: Path) -> None:
    """A database is read by whoever opens it next, by path or by URL."""
    assert sorted(p.name for p in closed.parent.iterdir()) == ["references.db"]
    for url in (str(closed), f"sqlite:///{closed}"):
        with open_db(url) as db:
            assert db.names() == ["s0", "s1", "s2"]


def test_a_listing_says_what_there_is_without_reading_arrays(db: ReferenceDB, path: Path) -> None:
    """Headers are right, and need no body: with all bodies gone they are still the same."""
    before = db.headers()
    execute(path, "DELETE FROM bodies")

    assert db.headers() == before
    assert json.loads(json.dumps(before)) == before
    assert before[0] == {
        "name": "s0", "role": "source", "license": "MIT", "parent": None, "source": None, "weights": None,
        "date": "2026-01-02", "input": {"kind": "image", "shape": [2, 2], "features": []}, "access": "scores",
        "suite": make_suite(0).digest, "probes": 5, "peers": 2, "shadows": 1, "public": PUBLIC.digest,
        "digest": storage.digest(make_reference("s0", 0, PUBLIC, license="MIT", date="2026-01-02")),
    }  # fmt: skip
    assert [(h["name"], h["parent"], h["public"]) for h in before[1:]] == [
        ("s1", "s0", PUBLIC.digest),
        ("s2", None, None),
    ]


def test_references_are_comparable_by_shape(db: ReferenceDB) -> None:
    """Only references of a target's shape are candidates; an unknown shape excludes none."""
    wide = make_suite(5, spec=InputSpec("image", (3, 3)))
    db.add(Reference("wide", About(), wide, make_responses(wide)))

    assert [names for _, names in db.inputs((3, 3))] == [["wide"]]
    assert [names for _, names in db.inputs((2, 2))] == [["s0", "s1", "s2"]]
    assert db.inputs((9,)) == []
    assert [names for _, names in db.inputs(None)] == [["s0", "s1", "s2"], ["wide"]]
    assert [names for _, names in db.inputs(None, only=["s1"])] == [["s1"]]
    with pytest.raises(DatabaseError, match="no reference 'nobody'"):
        db.inputs(None, only=["nobody"])


def test_a_name_is_taken_only_once(db: ReferenceDB) -> None:
    """A second reference of one name is refused and changes nothing, until the first is replaced."""
    before = storage.digest(db.get("s0"))
    with pytest.raises(DatabaseError, match="already has a reference 's0'; remove it or pass --replace") as error:
        db.add(make_reference("s0", 7))

    assert one_line(error)
    assert storage.digest(db.get("s0")) == before
    db.add(make_reference("s0", 7), replace=True)
    assert storage.digest(db.get("s0")) == storage.digest(make_reference("s0", 7))
    assert db.verify() == []


def test_replacing_what_is_not_there_adds_it(empty_db: ReferenceDB) -> None:
    """--replace is no demand that there be something to replace."""
    empty_db.add(make_reference("s0"), replace=True)

    assert empty_db.names() == ["s0"]


def test_removing_leaves_no_trace(db: ReferenceDB, path: Path) -> None:
    """With the last reference that was asked a suite goes the suite; the public one stays."""
    twin = dataclasses.replace(make_reference("s0", 0), name="twin")
    db.add(twin)
    db.remove("s0")

    assert db.names() == ["s1", "s2", "twin"]
    assert db.get("twin").suite.digest == make_suite(0).digest
    for name in db.names():
        db.remove(name)
    assert execute(path, "SELECT digest FROM suites") == [(PUBLIC.digest,)]
    for table in ("headers", "bodies", "labels", "scores"):
        assert execute(path, f"SELECT * FROM {table}") == []


def test_an_unknown_name_is_an_error_with_advice(db: ReferenceDB) -> None:
    """What is not there is said with what is near."""
    with pytest.raises(DatabaseError, match=r"no reference 'S0' in .*; did you mean s0"):
        db.get("S0")
    with pytest.raises(DatabaseError, match=r"no reference 'zebra' in .*; known are s0, s1, s2"):
        db.remove("zebra")


def test_an_empty_database_says_how_to_fill_it(empty_db: ReferenceDB) -> None:
    """No reference is an answer for listings and an error for names."""
    assert (empty_db.names(), empty_db.headers(), empty_db.verify()) == ([], [], [])
    with pytest.raises(DatabaseError, match="it is empty; add a model with enroll"):
        empty_db.get("s0")


def test_one_suite_is_stored_once(empty_db: ReferenceDB, path: Path) -> None:
    """However many references were asked a suite, its probes are stored a single time."""
    for i in range(5):
        empty_db.add(Reference(f"r{i}", About(), PUBLIC, make_responses(PUBLIC, i)))
    empty_db.set_public_suite(PUBLIC)

    assert execute(path, "SELECT COUNT(*) FROM suites") == [(1,)]


def test_public_answers_are_one_matrix(db: ReferenceDB) -> None:
    """Labels of all that were asked the public suite, in order of name, as Responses tells them."""
    names, labels = db.public_labels(IMAGE)
    expected = [make_responses(PUBLIC, seed).label for seed in (0, 1)]

    assert names == ["s0", "s1"]
    assert labels.dtype == np.int16
    np.testing.assert_array_equal(labels, expected)
    for name, seed in (("s0", 0), ("s1", 1)):
        score = make_responses(PUBLIC, seed).score
        assert score is not None
        np.testing.assert_array_equal(db.public_scores(IMAGE)[name], score.astype(np.float16))


def test_silence_and_repeats_survive_packing(empty_db: ReferenceDB) -> None:
    """A probe that was never answered stays unanswered, one that was asked thrice has its most frequent answer."""
    labels = np.array([[1, 2, 2], [UNANSWERED] * 3, [30_000, UNANSWERED, UNANSWERED]] + [[0, 0, 1]] * 5)
    asked = Responses(PUBLIC.digest, "x", "label", labels, None, np.zeros(8, np.float32), 24)
    empty_db.add(Reference("r", About(), PUBLIC, asked, None, asked))
    empty_db.set_public_suite(PUBLIC)

    assert empty_db.public_labels(IMAGE)[1].tolist() == [[2, UNANSWERED, 30_000, 0, 0, 0, 0, 0]]
    assert empty_db.public_scores(IMAGE) == {}


def test_labels_too_large_to_pack_are_refused(empty_db: ReferenceDB) -> None:
    """A label that would wrap around is an error before anything is stored."""
    asked = Responses(PUBLIC.digest, "x", "label", np.full((8, 1), 32_768), None, np.zeros(8, np.float32), 8)

    with pytest.raises(BadData, match="labels up to 32767 in 'r', got 32768"):
        empty_db.add(Reference("r", About(), PUBLIC, asked))
    assert empty_db.names() == []


def test_answers_to_a_suite_count_whenever_it_becomes_public(empty_db: ReferenceDB) -> None:
    """A suite may be made public before or after it was asked, and another one in its place."""
    assert empty_db.public_suite(IMAGE) is None
    assert empty_db.public_labels(IMAGE)[0] == []
    empty_db.add(make_reference("s0", 0, PUBLIC))
    own = make_suite(0)

    empty_db.set_public_suite(PUBLIC)
    assert empty_db.public_labels(IMAGE)[0] == ["s0"]
    empty_db.set_public_suite(own)
    assert empty_db.public_labels(IMAGE)[0] == ["s0"]
    np.testing.assert_array_equal(empty_db.public_labels(IMAGE)[1][0], make_responses(own, 0).label)
    empty_db.set_public_suite(make_suite(50))
    assert empty_db.public_labels(IMAGE)[0] == []
    assert empty_db.verify() == []


def test_every_input_has_a_public_suite_of_its_own(empty_db: ReferenceDB) -> None:
    """Suites are found by kind, shape and feature names; inputs without names take those with."""
    rows = InputSpec("tabular", (4,), features=("a", "b", "c", "d"))
    specs = [IMAGE, rows, dataclasses.replace(rows, features=("a", "b", "c", "e")), InputSpec("image", (3, 3))]
    suites = [make_suite(i, spec=spec) for i, spec in enumerate(specs)]
    for suite in suites:
        empty_db.set_public_suite(suite)
    found = [empty_db.public_suite(spec) for spec in specs]
    nameless = empty_db.public_suite(InputSpec("tabular", (4,)))

    assert [suite.digest for suite in found if suite] == [suite.digest for suite in suites]
    assert nameless is not None
    assert nameless.digest in {suites[1].digest, suites[2].digest}
    assert empty_db.public_suite(dataclasses.replace(rows, features=("w", "x", "y", "z"))) is None
    assert empty_db.public_suite(InputSpec("text")) is None


def test_the_bounds_of_an_input_do_not_part_its_references(empty_db: ReferenceDB) -> None:
    """Another pool of the same input has other bounds and the same public suite."""
    empty_db.set_public_suite(PUBLIC)
    other = empty_db.public_suite(dataclasses.replace(IMAGE, high=(0.5,)))

    assert other is not None
    assert other.digest == PUBLIC.digest


def test_a_thousand_references_are_read_at_once(empty_db: ReferenceDB, path: Path) -> None:
    """The answers of 1,000 references to 64 public probes are one quick read (target 50 ms; ten times is a failure)."""
    suite = make_suite(0, n=64)
    empty_db.set_public_suite(suite)
    empty_db.add(Reference("r0000", About(), suite, make_responses(suite)))
    ((digest, probes, data),) = execute(path, "SELECT suite, probes, data FROM labels")
    rows = [sealed_label(digest, f"r{i:04}", probes, data) for i in range(1, 1000)]
    connection = sqlite3.connect(path)
    with connection:
        connection.executemany("INSERT INTO labels (suite, name, probes, data, sha256) VALUES (?, ?, ?, ?, ?)", rows)
    connection.close()
    started = time.perf_counter()
    names, labels = empty_db.public_labels(IMAGE)
    seconds = time.perf_counter() - started

    assert (len(names), labels.shape) == (1000, (1000, 64))
    assert seconds < 0.5


def sealed_label(suite: str, name: str, probes: int, data: bytes) -> tuple[Any, ...]:
    """A row as the file format says, written by other means: sha256 of the columns as JSON, a zero, and the data."""
    head = json.dumps(["labels", suite, name, probes], separators=(",", ":")).encode()
    return suite, name, probes, data, storage.sha256(head + b"\0" + data)


READS: dict[str, Callable[[ReferenceDB], Any]] = {
    "suites": lambda db: db.get("s2"),
    "bodies": lambda db: db.get("s2"),
    "headers": lambda db: db.headers(),
    "public_suites": lambda db: db.public_suite(IMAGE),
    "labels": lambda db: db.public_labels(IMAGE),
    "scores": lambda db: db.public_scores(IMAGE),
}


@pytest.mark.parametrize("table", READS)
def test_one_flipped_bit_is_found_on_reading_and_by_verify(table: str, db: ReferenceDB, path: Path) -> None:
    """Whichever row is damaged, whoever reads it is told, and `verify` names it."""
    if table == "public_suites":
        execute(path, "UPDATE public_suites SET suite = 'sha256:' || ?", "0" * 64)
    for rowid, data in execute(path, f"SELECT rowid, data FROM {table}"):
        if data:
            flipped = bytearray(data)
            flipped[len(data) // 2] ^= 1
            execute(path, f"UPDATE {table} SET data = ? WHERE rowid = ?", bytes(flipped), rowid)

    with pytest.raises(DatabaseError, match=f"of table {table} in .* is damaged; find all") as e:
        READS[table](db)
    assert one_line(e)
    problems = db.verify()
    assert len(problems) == execute(path, f"SELECT COUNT(*) FROM {table}")[0][0]
    assert all(f"table {table} is damaged" in problem for problem in problems)


def test_damage_to_one_reference_leaves_the_others_readable(db: ReferenceDB, path: Path) -> None:
    """A damaged row is removed and added again; nothing else is lost."""
    execute(path, "UPDATE bodies SET data = zeroblob(length(data)) WHERE name = 's1'")

    assert db.get("s0").name == "s0"
    assert db.verify() == ["row 's1' of table bodies is damaged"]
    db.add(make_reference("s1", 1, PUBLIC), replace=True)
    assert db.verify() == []


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE bodies SET name = 'x' WHERE name = 's2'", "row 'x' of table bodies is damaged"),
        ("UPDATE bodies SET data = 'text' WHERE name = 's2'", "row 's2' of table bodies is damaged"),
        ("UPDATE headers SET name = X'00' WHERE name = 's2'", "of table headers is damaged"),
        ("UPDATE labels SET probes = 6 WHERE name = 's2'", "table labels is damaged"),
        ("DELETE FROM headers WHERE name = 's2'", "row 's2' of table headers is missing or of another reference"),
        ("DELETE FROM labels WHERE name = 's2'", "table labels is missing or of another reference"),
        ("DELETE FROM bodies WHERE name = 's2'", "table headers has rows of 's2', which is no reference"),
        (
            "DELETE FROM suites WHERE digest IN (SELECT suite FROM bodies WHERE name = 's2')",
            "suite sha256:.* is missing",
        ),
        ("DELETE FROM suites WHERE digest IN (SELECT suite FROM public_suites)", "public suite sha256:.* is missing"),
        ("DROP TABLE scores", r"table scores: cannot read .* \(no such table: scores\)"),
    ],
)
def test_verify_finds_rows_that_are_gone_or_of_others(
    statement: str, problem: str, db: ReferenceDB, path: Path
) -> None:
    """Whatever was done behind the database's back, verify has a line for it."""
    execute(path, statement)
    problems = db.verify()

    assert any(re.search(problem, line) for line in problems)
    assert all("\n" not in line for line in problems)


def test_a_body_of_another_reference_is_found(db: ReferenceDB, path: Path) -> None:
    """A row that is whole but belongs to an older state of its name does not agree with the header."""
    old = execute(path, "SELECT name, suite, data, sha256 FROM bodies WHERE name = 's2'")[0]
    db.add(make_reference("s2", 2, license="MIT"), replace=True)
    execute(path, "INSERT OR REPLACE INTO bodies (name, suite, data, sha256) VALUES (?, ?, ?, ?)", *old)

    assert db.verify() == [
        "row 's2' of table headers is missing or of another reference",
        "row 's2' of table bodies is not the one the log speaks of",
    ]


def test_a_failing_add_leaves_nothing(db: ReferenceDB, path: Path) -> None:
    """Where the last row of a reference cannot be written, none of them was; here a trigger refuses it."""
    before = {t: execute(path, f"SELECT COUNT(*) FROM {t}") for t in READS}
    execute(
        path,
        "CREATE TRIGGER refuse BEFORE INSERT ON labels WHEN new.name IN ('s9', 's0') "
        "BEGIN SELECT RAISE(ABORT, 'no\nroom'); END",
    )

    for reference, replace in ((make_reference("s9", 9), False), (make_reference("s0", 9), True)):
        with pytest.raises(DatabaseError, match=r"no room\); ") as error:
            db.add(reference, replace=replace)
        assert one_line(error)
        assert {t: execute(path, f"SELECT COUNT(*) FROM {t}") for t in READS} == before
    assert db.verify() == []


def test_a_full_disk_leaves_the_database_as_it_was(closed: Path) -> None:
    """A write that runs out of room half-way is one clear error; a file size limit stands for the disk."""
    program = (
        "import resource, sys\n"
        "from probe_match.fingerprinting import database, errors\n"
        "from probe_match.fingerprinting.records import About, InputSpec, Reference\n"
        "from samples import make_responses, make_suite\n"
        "suite = make_suite(1, n=400, spec=InputSpec('image', (30, 30)))\n"
        "with database.open_db(sys.argv[1]) as db:\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "    try: db.add(Reference('large', About(), suite, make_responses(suite)))\n"
        "    except errors.DatabaseError as error: print(error)\n"
    )
    here = Path(__file__).parent
    told = subprocess.run(
        [sys.executable, "-c", program, str(closed)], cwd=here, check=True, capture_output=True, text=True
    ).stdout

    assert told.startswith(f"cannot write {closed} (")
    assert told.count("\n") == 1
    with open_db(closed) as db:
        assert db.names() == ["s0", "s1", "s2"]
        assert db.verify() == []


@pytest.mark.parametrize("contents", [b"", b"hello, this is no database" * 50, np.random.default_rng(0).bytes(4096)])
def test_files_that_are_no_database_are_refused(contents: bytes, path: Path) -> None:
    """Another file is never taken for a database, nor changed."""
    path.write_bytes(contents)
    with pytest.raises(DatabaseError, match=r"references\.db") as error:
        open_db(path)

    assert one_line(error)
    assert path.read_bytes() == contents


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    """An SQLite file with other tables is neither read nor made ours."""
    execute(path, "CREATE TABLE recipes (name)")
    before = path.read_bytes()

    for create in (False, True):
        with pytest.raises(DatabaseError, match="is not a reference database; pass another --db"):
            open_db(path, create=create)
    assert path.read_bytes() == before


def test_a_truncated_database_is_an_error_on_reading(closed: Path) -> None:
    """Cut off at any length, a database says so, and nothing of it is believed."""
    whole = closed.read_bytes()
    for length in (len(whole) // 5, len(whole) // 2, len(whole) - 4096, len(whole) - 100):
        closed.write_bytes(whole[:length])
        problems = []
        try:
            with open_db(closed, read_only=True) as db:
                problems = db.verify()
                for name in db.names():
                    assert storage.digest(db.get(name)) in {h["digest"] for h in db.headers()}
        except DatabaseError as error:
            problems.append(str(error))

        assert problems
        assert all("\n" not in problem for problem in problems)


def test_a_newer_database_asks_for_an_upgrade(closed: Path) -> None:
    """A schema from the future is not guessed at."""
    execute(closed, "UPDATE meta SET value = '7'")

    with pytest.raises(
        DatabaseError, match=r"made by a newer probe-match \(schema 7, this one reads 2\); upgrade probe-match"
    ):
        open_db(closed)
    execute(closed, "UPDATE meta SET value = 'seven'")
    with pytest.raises(DatabaseError, match="is not a reference database"):
        open_db(closed)


def test_a_missing_database_is_not_made_by_reading(tmp_path: Path) -> None:
    """A mistyped path is an error that says how a database comes about; only `create` makes one, folders included."""
    path = tmp_path / "a" / "b" / "new.db"
    with pytest.raises(DatabaseError, match=r"no reference database at .*new\.db; add a model"):
        open_db(path)
    with pytest.raises(DatabaseError, match="no reference database"):
        open_db(path, create=True, read_only=True)

    assert list(tmp_path.iterdir()) == []
    with open_db(path, create=True) as db:
        assert db.names() == []


@pytest.mark.parametrize(
    "url",
    ["", "sqlite://", "sqlite:///:memory:", "oracel://me:hunter2@host/db", "postgresql://me:hunter2@host:port/db"],
)
def test_impossible_urls_are_refused_without_their_password(url: str) -> None:
    """What cannot be opened is an error, and no part of a URL that may be secret is repeated."""
    with pytest.raises(DatabaseError) as error:
        open_db(url)

    assert "hunter2" not in str(error.value)


def test_a_server_without_its_driver_is_a_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A team's database needs a driver that is installed on request."""
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(MissingPackage, match=r"^this database needs psycopg: pip install 'probe-match\[postgres\]'$"):
        open_db("postgresql+psycopg://me:hunter2@localhost/references")


@pytest.mark.parametrize("name", ["with space?#%41.db", "ünï.db", "a'b\".db"])
def test_any_file_name_will_do(name: str, tmp_path: Path) -> None:
    """Signs that mean something in URLs mean nothing in paths."""
    with open_db(tmp_path / name, create=True) as db:
        db.add(make_reference("s0"))

    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    """A path to a folder is an error that asks for a file."""
    with pytest.raises(DatabaseError, match="expected a database file, got the folder"):
        open_db(tmp_path, create=True)


def test_reading_only_never_writes(closed: Path) -> None:
    """A database that was opened to be read refuses to be written, and its file stays the same."""
    before = closed.read_bytes()
    with open_db(closed, read_only=True) as db:
        for write in (
            lambda: db.add(make_reference("s9")),
            lambda: db.remove("s0"),
            lambda: db.set_public_suite(PUBLIC),
        ):
            with pytest.raises(DatabaseError, match=r"cannot write .*: it was opened to be read"):
                write()
        assert db.verify() == []

    assert closed.read_bytes() == before


@pytest.mark.parametrize("locked", ["file", "folder", "both"])
def test_what_may_not_be_written_can_still_be_read(locked: str, unprivileged: Path) -> None:
    """A database on a read-only disk is read like any other; writing to it is one clear error."""
    path = unprivileged / "references.db"
    with open_db(path, create=True) as db:
        db.add(make_reference("s0"))
    path.chmod(0o444 if locked != "folder" else 0o644)
    unprivileged.chmod(0o555 if locked != "file" else 0o755)

    for read_only in (True, False):
        with open_db(path, read_only=read_only) as db:
            assert db.get("s0").name == "s0"
            with pytest.raises(DatabaseError, match="the file or its folder is read-only; pass another --db"):
                db.add(make_reference("s1"))
    if locked != "file":
        with pytest.raises(DatabaseError, match=r"new\.db") as error:
            open_db(unprivileged / "new.db", create=True)
        assert one_line(error)
        with pytest.raises(DatabaseError, match="Permission denied"):
            open_db(unprivileged / "sub" / "new.db", create=True)


def test_a_writer_that_must_wait_too_long_says_so(db: ReferenceDB, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process holds the database, readers go on and writers give up in time, with one clear error."""
    monkeypatch.setattr("probe_match.fingerprinting.connecting.BUSY_SECONDS", 0.2)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    with open_db(path) as other:
        assert other.names() == ["s0", "s1", "s2"]
        with pytest.raises(DatabaseError, match=r"database is locked.*another process kept it"):
            other.add(make_reference("s9"))
    holder.execute("ROLLBACK")
    holder.close()


def add_many(url: str, writer: int, barrier: Any) -> None:
    """One of several processes that make the same database and fill it at once."""
    suite = make_suite(writer, n=2)
    references = [
        Reference(f"w{writer}-{i:03}", About(), suite, make_responses(suite, i), None, make_responses(PUBLIC, i))
        for i in range(EACH)
    ]
    barrier.wait(120)
    with open_db(url, create=True) as db:
        for reference in references:
            db.add(reference)


def test_many_processes_write_at_once_and_lose_nothing(path: Path) -> None:
    """
    Processes create and fill one database together, while another reads: every reference arrives, and no read
    ever fails, goes back or sees half a reference.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(WRITERS + 1)
    writers = [context.Process(target=add_many, args=(str(path), i, barrier)) for i in range(WRITERS)]
    for writer in writers:
        writer.start()
    barrier.wait(120)
    counts = []
    with open_db(path, create=True) as db:
        db.set_public_suite(PUBLIC)
        while any(writer.is_alive() for writer in writers):
            names = db.names()
            counts.append(len(names))
            shown, labels = db.public_labels(IMAGE)
            assert len(shown) >= len(names)
            assert len(shown) == len(labels)
            if names:
                assert db.get(names[-1]).name == names[-1]
            time.sleep(0.05)
        for writer in writers:
            writer.join()

        assert [writer.exitcode for writer in writers] == [0] * WRITERS
        assert counts == sorted(counts)
        assert any(0 < count < WRITERS * EACH for count in counts)
        assert db.names() == [f"w{w}-{i:03}" for w in range(WRITERS) for i in range(EACH)]
        np.testing.assert_array_equal(
            db.public_labels(IMAGE)[1][:EACH], [make_responses(PUBLIC, i).label for i in range(EACH)]
        )
        assert db.verify() == []


def test_scores_of_any_number_of_classes_are_kept_apart(db: ReferenceDB) -> None:
    """References of one input may have different classes."""
    n = len(PUBLIC)
    wide = np.full((n, 1, K + 2), 1 / (K + 2), np.float32)
    answers = Responses(PUBLIC.digest, "x", "scores", np.zeros((n, 1), np.int64), wide, np.zeros(n, np.float32), n)
    db.add(Reference("wide", About(), PUBLIC, answers, None, answers))

    assert {name: s.shape for name, s in db.public_scores(IMAGE).items()} == {
        "s0": (n, K),
        "s1": (n, K),
        "wide": (n, K + 2),
    }


def test_connections_are_closed(closed: Path) -> None:
    """Opening and closing many times uses up no file handles."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    try:
        for _ in range(300):
            with open_db(closed) as db:
                db.names()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert closed.exists()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are listed on Linux")
def test_reading_on_after_closing_leaves_nothing_open(path: Path) -> None:
    """What is read when wanted may be wanted later."""
    db = open_db(path, create=True)
    db.names()
    opened = open_files(path)
    db.close()

    assert opened > 0
    assert db.names() == []
    assert open_files(path) == 0
