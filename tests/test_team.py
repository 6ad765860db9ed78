"""A team's database: both engines alike, roles, many writers, a log nobody can change unseen, and what is saved."""

import multiprocessing
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import postgres
import pytest
from click.testing import CliRunner
from probe_match.fingerprinting import changes, quarantine, roles, storage
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.database import ReferenceDB, open_db
from probe_match.fingerprinting.errors import DatabaseError, UsageError
from probe_match.fingerprinting.recovering import recover
from samples import make_reference, make_suite
from sqlalchemy import text

PUBLIC = make_suite(99, n=8)
WRITERS, EACH = 8, 100


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A running PostgreSQL server."""
    with postgres.server() as folder:
        yield folder


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty database may be made, on either engine."""
    if request.param == "sqlite":
        return str(tmp_path / "references.db")
    return postgres.new_database(request.getfixturevalue("server"), tmp_path.name[:60])


def fill(url: str) -> ReferenceDB:
    """A public suite and three references; s1 was added twice, s9 removed."""
    db = open_db(url, create=True)
    db.set_public_suite(PUBLIC)
    for name, seed in (("s0", 0), ("s1", 5), ("s9", 9), ("s2", 2)):
        db.add(make_reference(name, seed, PUBLIC))
    db.add(make_reference("s1", 1, PUBLIC), replace=True)
    db.remove("s9")
    return db


def test_both_engines_hold_the_same(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is read, who wrote it stands in the log, and all is well."""
    monkeypatch.setenv("PROBE_MATCH_USER", "ada")
    fill(url).close()
    with open_db(url) as db:
        with db.store.transaction() as connection:
            log = list(changes.entries(connection))

        assert db.names() == ["s0", "s1", "s2"]
        assert storage.to_bytes(db.get("s1")) == storage.to_bytes(make_reference("s1", 1, PUBLIC))
        assert db.public_labels(PUBLIC.spec)[1].shape == (3, 8)
        assert [(c.seq, c.who, c.action, c.key) for c in log[1:4]] == [
            (2, "ada", "add", "s0"), (3, "ada", "add", "s1"), (4, "ada", "add", "s9"),
        ]  # fmt: skip
        assert (log[-1].action, log[-1].key) == ("remove", "s9")
        assert db.verify(log[3].chain) == []


def write(url: str, writer: int) -> None:
    with open_db(url) as db:
        for i in range(EACH):
            db.add(make_reference(f"{writer}-{i}", 0))


def test_many_writers_lose_and_double_nothing(server: str) -> None:
    """Eight processes add a hundred references each: all are there once, and the log is one chain."""
    url = postgres.new_database(server, "many-writers")  # files: tests/test_database.py
    open_db(url, create=True).close()
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=write, args=(url, writer)) for writer in range(WRITERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    with open_db(url) as db, db.store.transaction() as connection:
        state, last, broken = changes.replay(connection)

        assert [process.exitcode for process in processes] == [0] * WRITERS
        assert sorted(db.names()) == sorted(f"{writer}-{i}" for writer in range(WRITERS) for i in range(EACH))
        assert (len(state), last.seq if last else 0, broken) == (WRITERS * EACH, WRITERS * EACH, "")
        assert changes.problems(connection) == []


def test_roles_hold_on_the_server(server: str, tmp_path: Path) -> None:
    """A reader reads, a contributor adds and removes nothing, a curator removes, and none alters the log."""
    owner = postgres.new_database(server, tmp_path.name[:60])
    with fill(owner) as db:
        for role in roles.ROLES:
            with db.store.transaction(write=True) as connection:
                connection.execute(text(f"DROP ROLE IF EXISTS {role}"))
                connection.execute(text(f"CREATE ROLE {role} LOGIN"))
            roles.grant(db.store, role, role)  # type: ignore[arg-type]
    opened = {role: open_db(postgres.url(server, tmp_path.name[:60], role)) for role in roles.ROLES}

    for db in opened.values():
        assert db.names() == ["s0", "s1", "s2"]
        assert db.verify() == []
    with pytest.raises(DatabaseError, match="permission denied"):
        opened["reader"].add(make_reference("s3", 3))
    opened["contributor"].add(make_reference("s3", 3, PUBLIC))
    for forbidden in (lambda db: db.remove("s3"), lambda db: db.add(make_reference("s3", 4), replace=True)):
        with pytest.raises(DatabaseError, match="permission denied"):
            forbidden(opened["contributor"])
    opened["curator"].remove("s3")
    for role, statement in (("contributor", "DELETE FROM changes"), ("curator", "UPDATE changes SET who = 'x'")):
        with pytest.raises(DatabaseError, match="permission denied"), opened[role].store.transaction() as connection:
            connection.execute(text(statement))
    assert opened["reader"].verify() == []
    for db in opened.values():
        db.close()


def test_files_have_no_roles(tmp_path: Path) -> None:
    """Of a file, the permissions of the file say who may write; a read-only open writes nothing."""
    fill(str(tmp_path / "r.db")).close()
    with open_db(tmp_path / "r.db", read_only=True) as db:
        with pytest.raises(UsageError, match="is a file"):
            roles.grant(db.store, "ada", "reader")
        with pytest.raises(DatabaseError, match="opened to be read"):
            db.remove("s0")


def older(url: str) -> None:
    """Make of a database one of schema 1."""
    with open_db(url) as db, db.store.transaction(write=True) as connection:
        for table in ("changes", "quarantined", "chat_headers", "chat_bodies", "chat_banks"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("UPDATE meta SET value = '1' WHERE key = 'schema'"))


def test_an_older_database_is_brought_up_to_date(url: str) -> None:
    """Reading leaves it as it is; the first to open it for writing adds the log, which begins with what is there."""
    fill(url).close()
    older(url)
    if "://" not in url:
        with open_db(url, read_only=True) as db:
            assert (db.names(), db.verify(), db.quarantined()) == (["s0", "s1", "s2"], [], {})
            assert not db.store.has(changes.changes)
    with open_db(url) as db:
        assert db.verify() == []
        with db.store.transaction() as connection:
            assert len(list(changes.entries(connection))) == 4
        db.add(make_reference("s3", 3))
        assert db.verify() == []


def sql(path: Path, statement: str, *values: Any) -> list[Any]:
    connection = sqlite3.connect(path)
    with connection:
        rows = connection.execute(statement, values).fetchall()
    connection.close()
    return rows


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM changes WHERE seq = 3", "broken after entry 2"),
        ("UPDATE changes SET who = 'eve' WHERE seq = 4", "broken after entry 3"),
        ("UPDATE changes SET seq = seq + 1 WHERE seq = 7", "broken after entry 6"),
        ("DELETE FROM changes WHERE seq = 7", "'s9' of table bodies is gone"),
        ("DELETE FROM public_suites", "table public_suites is gone"),
    ],
)
def test_a_changed_log_is_found(statement: str, said: str, tmp_path: Path) -> None:
    """An entry that is altered, removed or moved, and a row removed past the log, are told."""
    fill(str(tmp_path / "r.db")).close()
    sql(tmp_path / "r.db", statement)
    with open_db(tmp_path / "r.db", read_only=True) as db:
        assert any(said in line for line in db.verify())


def test_an_old_copy_is_found_by_the_head(tmp_path: Path) -> None:
    """A copy from before the last change is whole in itself; whoever noted the head sees it."""
    fill(str(tmp_path / "r.db")).close()
    old = (tmp_path / "r.db").read_bytes()
    with open_db(tmp_path / "r.db") as db:
        db.remove("s0")
        with db.store.transaction() as connection:
            (head,) = (change.chain for change in changes.entries(connection, 1))
        assert db.verify(head) == []
    (tmp_path / "r.db").write_bytes(old)
    with open_db(tmp_path / "r.db") as db:
        assert db.verify() == []
        assert any("cut or replaced" in line for line in db.verify(head))


def test_injected_corruption_is_found(tmp_path: Path) -> None:
    """Forty random changes of any column of any row, of any table, rows removed and copied: each is told by verify."""
    rng = random.Random(0)
    fill(str(tmp_path / "r.db")).close()
    whole = (tmp_path / "r.db").read_bytes()
    for _ in range(40):
        (tmp_path / "r.db").write_bytes(whole)
        corrupt(tmp_path / "r.db", rng)
        with open_db(tmp_path / "r.db", read_only=True) as db:
            assert db.verify() != []


def corrupt(path: Path, rng: random.Random) -> str:
    """One random change of the contents, behind the database's back; what it was."""
    tables = ["suites", "public_suites", "headers", "bodies", "labels", "scores", "changes"]
    table = rng.choice(tables)
    rows = sql(path, f"SELECT rowid, * FROM {table}")
    columns = [name for _, name, *_ in sql(path, f"PRAGMA table_info({table})")]
    row = rng.choice(rows)
    if table != "suites" and rng.random() < 0.2:
        # The newest entry of the log may not be cut alone: its row stays and tells.
        sql(path, f"DELETE FROM {table} WHERE rowid = ?", row[0])
        return f"{table}: a row is deleted"
    at = rng.randrange(len(columns))
    value = row[at + 1]
    if isinstance(value, int):
        changed: Any = value + 1000 + rng.randrange(1000)
    else:
        data = bytearray(value if isinstance(value, bytes) else value.encode())
        if not data:
            data = bytearray(b"\0")
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(7)
        changed = bytes(data) if isinstance(value, bytes) else data.decode("utf-8", "replace")
    sql(path, f"UPDATE OR REPLACE {table} SET {columns[at]} = ? WHERE rowid = ?", changed, row[0])
    return f"{table}.{columns[at]}: a bit is flipped"


def test_recovery_saves_all_that_is_sound(tmp_path: Path) -> None:
    """References before the first broken entry come back as they were; what is damaged or later is named."""
    fill(str(tmp_path / "r.db")).close()
    with open_db(tmp_path / "r.db") as db:
        db.add(make_reference("s3", 3, PUBLIC))
        db.add(make_reference("s4", 4, PUBLIC))
    sql(tmp_path / "r.db", "UPDATE bodies SET data = zeroblob(100) WHERE name = 's0'")
    sql(tmp_path / "r.db", "UPDATE changes SET at = 'never' WHERE key = 's4'")
    told = (
        CliRunner()
        .invoke(cli, ["db", "verify", "--recover", str(tmp_path / "new.db"), "--db", str(tmp_path / "r.db")])
        .output
    )
    with open_db(tmp_path / "new.db") as new:
        assert new.names() == ["s1", "s2", "s3"]
        assert storage.to_bytes(new.get("s1")) == storage.to_bytes(make_reference("s1", 1, PUBLIC))
        assert new.public_suite(PUBLIC.spec) is not None
        assert new.verify() == []
    assert "'s0' of table bodies" in told
    assert "'s4' stands after the break" in told
    with open_db(tmp_path / "r.db", read_only=True) as db, pytest.raises(DatabaseError, match="exists already"):
        recover(db, tmp_path / "new.db")


def test_whoever_is_in_quarantine_is_no_candidate(url: str) -> None:
    """It is listed and can be read, and stands neither among the candidates nor in anybody's cohort; until released."""
    with fill(url) as db:
        quarantine.set_apart(db, "s1", "poisoned")

        assert db.quarantined() == {"s1": "poisoned"}
        assert db.names() == ["s0", "s1", "s2"]
        assert [names for _, names in db.inputs(None)] == [["s0", "s2"]]
        assert db.public_labels(PUBLIC.spec)[0] == ["s0", "s2"]
        assert set(db.public_scores(PUBLIC.spec)) == {"s0", "s2"}
        assert db.verify() == []
        quarantine.set_apart(db, "s1", None)
        assert [names for _, names in db.inputs(None)] == [["s0", "s1", "s2"]]
        with pytest.raises(DatabaseError, match="no reference 'nobody'"):
            quarantine.set_apart(db, "nobody", "why not")


def poisoned_world(path: Path) -> ReferenceDB:
    """Twelve honest references with peers, and one whose peers answer nothing sensible."""
    from dataclasses import replace

    from probe_match.fingerprinting.records import About, Panel, ProbeSuite, Reference, Responses

    rng = np.random.default_rng(0)
    n, peers = 60, 40
    public: ProbeSuite = make_suite(50, n=n)
    truth = rng.integers(0, 3, n)

    def model(error: float = 0.25) -> np.ndarray:
        return np.where(rng.random(n) < error, rng.integers(0, 3, n), truth)

    def responses(labels: np.ndarray) -> Responses:
        latency = np.zeros(n, np.float32)
        return Responses(public.digest, "function:m", "label", labels[:, None].astype(np.int64), None, latency, n)

    db = open_db(path, create=True)
    db.set_public_suite(public)
    for i in range(13):
        rows = [model() if i < 12 else rng.integers(0, 3, n) for _ in range(peers)]
        shadows = [np.where(rng.random(n) < 0.1, model(), truth) for _ in range(4)]
        panel = Panel(
            names=tuple(f"p{j}" for j in range(peers + 4)),
            roles=("peer",) * peers + ("shadow",) * 4,
            uses=("estimate", "calibrate") * (peers // 2) + ("estimate", "calibrate") * 2,
            labels=np.array(rows + shadows, np.int16),
        )
        answers = responses(model() if i < 12 else truth)
        name = f"honest {i}" if i < 12 else "hub"
        db.add(Reference(name, About(), public, answers, panel, answers, replace(panel)))
    return db


def add_answers(db: ReferenceDB, name: str, labels: np.ndarray, parent: str | None = None) -> None:
    """A reference that answered the public suite of a world and nothing else."""
    from probe_match.fingerprinting.records import About, Reference, Responses

    (spec, _), *_ = db.inputs(None)
    suite = db.public_suite(spec)
    assert suite is not None
    n = len(suite)
    given = Responses(suite.digest, "function:m", "label", labels[:, None], None, np.zeros(n, np.float32), n)
    db.add(Reference(name, About(parent=parent), suite, given, None, given))


def test_copies_under_another_name_and_mute_references_are_found(tmp_path: Path) -> None:
    """Whose answers are an earlier one's is set apart, unless it is its declared child; so is who says nothing."""
    with poisoned_world(tmp_path / "r.db") as db:
        quarantine.set_apart(db, "hub", "known")
        names, labels = db.public_labels(db.inputs(None)[0][0])
        answers = labels[names.index("honest 3")].astype(np.int64)
        few = np.where(np.arange(len(answers)) < 3, answers, -1)
        add_answers(db, "a renamed one", answers)
        add_answers(db, "a child", answers, parent="honest 3")
        add_answers(db, "constant", np.zeros_like(answers))
        add_answers(db, "silent", few)
        found = {one.name: str(one) for one in quarantine.suspicious(db)}

        assert found["a renamed one"] == "copy: its 60 answers are those of 'honest 3', which was there before"
        assert sorted(found) == ["a renamed one", "constant", "silent"]


def test_hubs_are_found_and_honest_references_are_not(tmp_path: Path) -> None:
    """A reference whose forged peers make a match of everybody is set apart by one command, and nobody else."""
    poisoned_world(tmp_path / "r.db").close()
    told = CliRunner().invoke(cli, ["db", "quarantine", "--db", str(tmp_path / "r.db")]).output
    with open_db(tmp_path / "r.db") as db:
        assert list(db.quarantined()) == ["hub"]
        assert "hub: it would be named for" in told
        assert [len(names) for _, names in db.inputs(None)] == [12]
