"""The ledger: chained entries on disk before anything is sent, states of queries, and runs that go on."""

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from probe_match.clients.function import FunctionClient, wrap
from probe_match.fingerprinting import ledger_states
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.audits import Audit
from probe_match.fingerprinting.chat.records import Answer
from probe_match.fingerprinting.collect import collect
from probe_match.fingerprinting.errors import DatabaseError, InputRefused, TargetError, UsageError
from probe_match.fingerprinting.guards import GuardedClient
from probe_match.fingerprinting.ledger import open_ledger, read_ledger
from probe_match.fingerprinting.ledger_chain import Entry
from probe_match.fingerprinting.ledger_states import Cost, remember
from probe_match.fingerprinting.recordings import recorded
from probe_match.fingerprinting.records import UNANSWERED
from samples import make_suite

SUITE = make_suite(n=9)


def brightness(x: np.ndarray) -> np.ndarray:
    return (x.reshape(len(x), -1).mean(1) * 4).astype(int)


class Counting(FunctionClient):
    """A model that counts what it is asked, three inputs at once, and may die on the way."""

    def __init__(self, model: Callable[[np.ndarray], np.ndarray] = brightness, die_at: int | None = None) -> None:
        super().__init__(model, "function:m")
        self.batch = 3
        self.seen: list[bytes] = []
        self.die_at = die_at

    def ask(self, inputs: np.ndarray) -> Answers:  # type: ignore[override]
        """Answer, and remember what was asked."""
        self.seen += [row.tobytes() for row in inputs]
        if self.die_at is not None and len(self.seen) > self.die_at:
            raise KeyboardInterrupt
        return super().ask(inputs)


def audit(path: Path, **wishes: object) -> Audit:
    return Audit(open_ledger(path, target="function:m"), **wishes)  # type: ignore[arg-type]


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A finished ledger of nine answers."""
    kept = audit(tmp_path / "a.ledger")
    collect(GuardedClient(Counting(), kept), SUITE)
    kept.close()
    return tmp_path / "a.ledger"


def test_what_was_answered_is_never_asked_again(book: Path) -> None:
    """A second run takes all answers from the ledger, with repeats as they came, and asks nothing."""
    client, again = Counting(), audit(book)
    responses = collect(GuardedClient(client, again), SUITE)
    again.close()

    assert client.seen == []
    assert again.reused == responses.sent == 9
    np.testing.assert_array_equal(responses.label, brightness(np.asarray(SUITE.inputs)))


@pytest.mark.parametrize("wish", ["hold", "resend"])
def test_a_killed_run_goes_on_and_holds_what_is_in_doubt(tmp_path: Path, wish: str) -> None:
    """Sent without an answer is in doubt: listed with its cost, left alone, and asked again only on demand."""
    first, dying = audit(tmp_path / "a"), Counting(die_at=3)
    with pytest.raises(KeyboardInterrupt):
        collect(GuardedClient(dying, first), SUITE)
    first.close()
    second, client = audit(tmp_path / "a", in_doubt=wish), Counting()
    responses = collect(GuardedClient(client, second), SUITE)
    doubtful = second.memory.count("doubt"), ledger_states.doubts_in_words(second.memory)
    second.close()

    assert doubtful == (3, "3 queries were sent and never answered")
    assert len(client.seen) == (3 if wish == "hold" else 6)
    assert responses.answered.sum() == (6 if wish == "hold" else 9)
    assert responses.sent == 9
    assert (set(client.seen) & set(dying.seen) == set()) == (wish == "hold")


def test_everything_is_written_before_it_is_sent(tmp_path: Path) -> None:
    """While a question is under way, its entry is on the disk for any other reader."""
    path, found = tmp_path / "a", []

    def look(x: np.ndarray) -> np.ndarray:
        copy = path.with_name("copy")
        for end in ("", "-wal"):
            copy.with_name(f"copy{end}").write_bytes(path.with_name(f"a{end}").read_bytes())
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            found.append([kind for (kind,) in connection.execute("SELECT kind FROM entries ORDER BY seq")][-1])
        connection.close()
        return brightness(x)

    kept = audit(path)
    collect(GuardedClient(Counting(look), kept), SUITE)
    kept.close()

    assert found == ["sent"] * 3


def test_a_bad_input_is_isolated_and_not_asked_again(tmp_path: Path) -> None:
    """The halves of a batch that fails are attempts; the one bad input is a failed query, also for the next run."""
    bad = np.asarray(SUITE.inputs)[4].tobytes()

    class Picky(Counting):
        def ask(self, inputs: np.ndarray) -> Answers:  # type: ignore[override]
            answers = super().ask(inputs)
            if any(row.tobytes() == bad for row in inputs):
                raise InputRefused("status 500")
            return answers

    first = audit(tmp_path / "a")
    one = collect(GuardedClient(Picky(), first), SUITE)
    first.close()
    second, client = audit(tmp_path / "a"), Picky()
    two = collect(GuardedClient(client, second), SUITE)
    states = [second.memory.count(state) for state in ("answered", "failed", "doubt")]
    second.close()

    assert states == [8, 1, 0]
    assert client.seen == []
    for responses in (one, two):
        assert np.flatnonzero(responses.label == UNANSWERED).tolist() == [4]


def test_an_answer_that_may_have_been_lost_is_in_doubt(tmp_path: Path) -> None:
    """A client of unknown ways fails: it may have been asked, so the next run leaves those questions alone."""

    def broken(x: np.ndarray) -> np.ndarray:
        raise ValueError("lost")

    kept = audit(tmp_path / "a")
    with pytest.raises(TargetError):
        collect(GuardedClient(Counting(broken), kept), SUITE)
    kept.close()

    with read_ledger(tmp_path / "a") as book:
        assert remember(book).count("doubt") == 3


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entries SET answer = answer || x'00' WHERE kind = 'answered' AND seq = (SELECT max(seq) FROM entries)",
        "UPDATE entries SET about = replace(about, '[0', '[1') WHERE kind = 'sent'",
        "UPDATE entries SET at = at + 1 WHERE seq = 3",
        "UPDATE entries SET raw = x'41' WHERE seq = 4",
        "DELETE FROM entries WHERE seq = 2",
        "UPDATE entries SET kind = 'refused' WHERE kind = 'answered'",
        "UPDATE entries SET digest = zeroblob(32) WHERE seq = (SELECT max(seq) FROM entries)",
        "INSERT INTO entries SELECT max(seq) + 1, 0, 'answered', 2, '{}', x'', x'', digest FROM entries",
        "UPDATE entries SET seq = 100 - seq",
    ],
)
def test_a_changed_ledger_is_noticed(book: Path, change: str) -> None:
    """Whatever is changed, removed, added or moved, the chain does not hold, and nothing is believed."""
    with closing(sqlite3.connect(book, isolation_level=None)) as connection:
        connection.execute(change)
    connection.close()

    with pytest.raises(DatabaseError, match="was changed after it was written: entry"):
        read_ledger(book)
    with pytest.raises(DatabaseError, match="was changed"):
        open_ledger(book, target="function:m")


def test_any_flipped_byte_is_noticed(book: Path) -> None:
    """A flip anywhere in the file either changes nothing that is read, or is an error of ours."""
    data = book.read_bytes()
    rng = np.random.default_rng(0)
    whole = contents(book)
    missed = 0
    for place in rng.integers(0, len(data), 150):
        book.write_bytes(data[:place] + bytes([data[place] ^ (1 << int(rng.integers(8)))]) + data[place + 1 :])
        try:
            missed += contents(book) != whole
        except DatabaseError:
            continue

    assert missed == 0


def contents(path: Path) -> list[Entry]:
    with read_ledger(path) as book:
        return list(book.entries())


def test_a_shortened_ledger_has_another_head(book: Path) -> None:
    """Entries cut off the end leave a sound chain, and a head that is not the one that was noted."""
    with read_ledger(book) as whole:
        head = whole.head()
    with closing(sqlite3.connect(book, isolation_level=None)) as connection:
        connection.execute("DELETE FROM entries WHERE seq = ?", (head.seq,))
    connection.close()

    with read_ledger(book) as short:
        assert short.head().seq == head.seq - 1
        assert str(short.head()) != str(head)


def test_a_ledger_belongs_to_one_target_and_one_run(book: Path, tmp_path: Path) -> None:
    """Another target, another program's file and a second run at the same time are refused in one line."""
    with pytest.raises(UsageError, match="is about function:m, not function:other"):
        open_ledger(book, target="function:other")
    with open_ledger(book, target="function:m"), pytest.raises(DatabaseError, match="in use by another run"):
        open_ledger(book, target="function:m")
    with closing(sqlite3.connect(tmp_path / "other", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    with pytest.raises(DatabaseError, match="another kind of file"):
        open_ledger(tmp_path / "other", target="function:m")
    (tmp_path / "text").write_text("hello" * 100)
    with pytest.raises(DatabaseError, match="cannot open ledger"):
        open_ledger(tmp_path / "text", target="function:m")
    with pytest.raises(DatabaseError, match="no ledger at"):
        read_ledger(tmp_path / "none")


def test_threads_share_a_sync(tmp_path: Path) -> None:
    """Entries of many threads get their numbers in order and are all on the disk, with fewer commits than entries."""
    book = open_ledger(tmp_path / "a", target="t")
    commits = []
    write = book._write

    def slowly(entries: list[Any]) -> None:
        commits.append(len(entries))
        time.sleep(0.01)  # as a disk takes: what comes meanwhile waits for the next commit
        write(entries)

    book._write = slowly  # type: ignore[method-assign, assignment]

    def work() -> None:
        for _ in range(20):
            book.sync(book.add("sent", {"keys": [], "nth": [], "cost": Cost()}))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    book.close()

    assert sum(commits) == 320
    assert len(commits) < 300  # on a busy machine a thread may come late
    assert len(contents(tmp_path / "a")) == 321


def test_a_ledger_that_cannot_be_written_stops_the_asking(tmp_path: Path) -> None:
    """Where the disk fails, nothing more is sent; what was written before is there for the next run."""
    kept, client = audit(tmp_path / "a"), Counting()
    assert kept.ledger is not None
    guarded = GuardedClient(client, kept)
    collect(guarded, SUITE, rows=np.arange(3))
    page = kept.ledger._connection.execute("PRAGMA max_page_count=1").fetchone()  # SQLite's own full disk
    with pytest.raises(DatabaseError, match=r"cannot write ledger .* nothing more was sent"):
        collect(guarded, make_suite(1, n=300))
    asked = len(client.seen)
    with pytest.raises(DatabaseError):
        collect(guarded, make_suite(2, n=9))
    kept.close()

    assert page
    assert len(client.seen) == asked < 100
    with read_ledger(tmp_path / "a") as book:
        assert remember(book).count("answered") >= 3


def test_a_ledger_answers_for_its_model_later(book: Path) -> None:
    """As a target, a ledger gives what it holds, starts over for repeats, and stays silent on what was never asked."""
    client = recorded(book)
    known, repeats = collect(client, SUITE), collect(client, SUITE, repeats=2)  # type: ignore[arg-type]
    unknown = collect(client, make_suite(1, n=4))  # type: ignore[arg-type]
    before = book.read_bytes()
    client.close()

    np.testing.assert_array_equal(known.label, brightness(np.asarray(SUITE.inputs)))
    assert (repeats.labels == known.labels).all()
    assert unknown.sent == unknown.answered.sum() == 0
    assert book.read_bytes() == before


@pytest.mark.parametrize(
    "answers",
    [
        Answers(np.array([3, 1]), None),
        Answers(None, np.array([[0.1, 0.9], [1, 0]], np.float32)),
        Answers(np.array(["a", "b"]), np.array([0.5, 0.25])),
        Answers(np.array(["\ud800", 7, b"c"], object), None),
    ],
)
def test_answers_of_every_kind_are_kept(tmp_path: Path, answers: Answers) -> None:
    """Numbers come back bit by bit, names as they were, stray surrogates included."""
    with open_ledger(tmp_path / "a", target="t") as book:
        back = ledger_states.unpack(ledger_states.pack(answers), book)

    for one, other in zip(answers, back, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.dtype == other.dtype or one.dtype.kind in "UO"
            assert [a.decode() if isinstance(a, bytes) else a for a in one.tolist()] == other.tolist()


def test_chat_answers_come_back_whole(tmp_path: Path) -> None:
    """Every field of an answer survives, log-probabilities and surrogates among them."""
    answer = Answer("a\ud800\0", "truncated", "length", "m", 7, 3, ((("a", -0.5), ("b", -1.5)),), 0.25, "e")
    with open_ledger(tmp_path / "a", target="t") as book:
        assert ledger_states.unpack_chat(ledger_states.pack_chat(answer), book) == answer
        with pytest.raises(DatabaseError, match="cannot be read"):
            ledger_states.unpack_chat(b'{"text": 1', book)
        with pytest.raises(DatabaseError, match="cannot be read"):
            ledger_states.unpack(b'{"labels":["O8",[1]]}\n12345678', book)


def test_a_bare_client_is_wrapped_without_a_ledger() -> None:
    """Limits work without a record, and the answers are those of the client."""
    responses = collect(GuardedClient(wrap(brightness), Audit(), concurrency=3), SUITE)

    np.testing.assert_array_equal(responses.label, brightness(np.asarray(SUITE.inputs)))
