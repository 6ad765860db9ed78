"""The file beside a ledger: what left and what came survives the process, and is believed only within one boot."""

from pathlib import Path

import pytest
from probe_match.fingerprinting import departures
from probe_match.fingerprinting.audits import Audit
from probe_match.fingerprinting.departures import Departures
from probe_match.fingerprinting.errors import DatabaseError
from probe_match.fingerprinting.ledger import open_ledger, read_ledger
from probe_match.fingerprinting.ledger_states import Cost, remember


@pytest.fixture
def beside(tmp_path: Path) -> Departures:
    """Three entries that left, one of which was answered."""
    noted = Departures(tmp_path / "a")
    noted.begin()
    for seq in (3, 4, 5):
        noted.note_left(seq)
    noted.note_came("answered", 4, {"why": "\ud800"}, b"answer", b"raw")
    return noted


def test_what_was_noted_is_there_for_the_next_run(beside: Departures, tmp_path: Path) -> None:
    """Departures and answers are read back; a file that is closed for good is gone."""
    found = Departures(tmp_path / "a")
    beside.end(keep=False)

    assert found.left == {3, 4, 5}
    assert found.came == [departures.Came("answered", 4, {"why": "\ud800"}, b"answer", b"raw")]
    assert Departures(tmp_path / "a").left is None
    with pytest.raises(DatabaseError, match="is closed"):
        beside.note_left(6)


def test_a_torn_end_is_left_out(beside: Departures, tmp_path: Path) -> None:
    """Cut anywhere or with a byte changed, the notes before it stand, and nothing else is believed."""
    data = beside.path.read_bytes()
    beside.end(keep=True)
    for cut in range(len(data)):
        beside.path.write_bytes(data[:cut])
        found = Departures(tmp_path / "a")
        assert (found.left or set()) <= {3, 4, 5}
        assert found.came == []
    for place in range(40, len(data)):
        beside.path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert (Departures(tmp_path / "a").left or set()) <= {3, 4, 5}


def test_another_boot_knows_nothing_of_departures(
    beside: Departures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the machine's death the unsynced file may lack notes: whatever is unanswered may have left."""
    beside.end(keep=True)
    (tmp_path / "boot").write_text("0" * 36 + "\n")
    monkeypatch.setattr(departures, "BOOT", tmp_path / "boot")

    assert Departures(tmp_path / "a").left is None


def test_the_file_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ledger has is dropped, and what it has not is carried over."""
    monkeypatch.setattr(departures, "ROOM", 5000)
    noted = Departures(tmp_path / "a")
    noted.begin()
    noted.note_left(1)
    for seq in range(2, 200):
        noted.note_left(seq)
        noted.note_came("answered", seq, {}, b"x" * 100, b"")
        noted.kept([seq])

    assert noted.path.stat().st_size < 6000
    assert 1 in (Departures(tmp_path / "a").left or set())
    noted.end(keep=False)


def test_a_query_that_never_left_is_asked_and_an_answer_that_came_is_used(tmp_path: Path) -> None:
    """Of three entries without an end, one waited, one left, one was answered: only the second is in doubt."""
    book = open_ledger(tmp_path / "a", target="t")
    book.departures.begin()
    first, second, third = (book.add("sent", {"keys": [key], "nth": [0], "cost": Cost(1)}) for key in "abc")
    book.sync()
    book.departures.note_left(second)
    book.departures.note_left(third)
    book.departures.note_came("failed", third, {"why": "nonsense"}, b"", b"raw")
    book.close()
    with read_ledger(tmp_path / "a") as reader:
        read = {key: getattr(remember(reader).find(key, 0), "state", "") for key in "abc"}
    audit = Audit(open_ledger(tmp_path / "a", target="t"))
    found = {key: getattr(audit.memory.find(key, 0), "state", "") for key in "abc"}
    audit.close()

    assert first
    assert read == found == {"a": "", "b": "doubt", "c": "failed"}
    with open_ledger(tmp_path / "a", target="t") as again:  # and the next run after that finds the same
        assert {key: getattr(remember(again).find(key, 0), "state", "") for key in "abc"} == found
        assert [entry.raw for entry in again.entries() if entry.kind == "failed"] == [b"raw"]
