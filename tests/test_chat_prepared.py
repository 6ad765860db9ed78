"""What is worked out from a database's language models is kept beside it, used again, and never trusted blindly."""

from pathlib import Path

import numpy as np
import pytest
from chat_models import Habits
from probe_match.fingerprinting.chat import known as knowing
from probe_match.fingerprinting.chat import prepared, shelf
from probe_match.fingerprinting.chat.records import Counts
from probe_match.fingerprinting.chat.scoring import Scores
from probe_match.fingerprinting.database import ReferenceDB, open_db
from probe_match.probes import chat_words

from benchmarks.chat_speed import Speaker

BANK = chat_words.generate(n=8, seed=0, languages=("en",))
SUSPECT = Habits(3).reference("known-2", BANK, 5).counts


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with open_db(tmp_path / "r.db", create=True) as db:
        shelf.add(db, [Habits().reference(f"known-{i}", BANK, 20) for i in range(12)])
    return tmp_path / "r.db"


def scored(db: ReferenceDB, suspect: Counts = SUSPECT) -> Scores:
    return prepared.scorer(shelf.of_bank(db, BANK.digest), alpha=0.01)(suspect)


def kept(file: Path) -> list[Path]:
    return sorted(Path(f"{file}.prepared").iterdir())


def test_what_is_kept_gives_the_same_scores(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second suspect finds everything worked out, and is scored as if nothing were kept."""
    with open_db(file, read_only=True) as db:
        first = scored(db)
        in_memory = prepared.scorer(dict(shelf.of_bank(db, BANK.digest)), alpha=0.01)(SUSPECT)
        monkeypatch.setattr(knowing, "know", None)
        monkeypatch.setattr(knowing, "honest", None)
        second = scored(db)

    assert [path.name.split("-")[0] for path in kept(file)] == ["honest", "known"]
    assert second.evidence == first.evidence
    assert {e.reference: e.llr for e in in_memory.evidence} == pytest.approx(
        {e.reference: e.llr for e in first.evidence}
    )


def test_a_changed_database_is_worked_out_anew(file: Path) -> None:
    """One reference more, and what was kept is of another database."""
    with open_db(file) as db:
        scored(db)
        shelf.add(db, [Habits().reference("one-more", BANK, 20)])

        assert "one-more" in {evidence.reference for evidence in scored(db).evidence}
    assert len(kept(file)) == 4


def test_damaged_files_are_made_again(file: Path) -> None:
    """Neither half a file nor one of other numbers is believed."""
    with open_db(file, read_only=True) as db:
        first = scored(db)
        honest, known = kept(file)
        whole = known.read_bytes()
        known.write_bytes(whole[:200])
        np.savez(honest, mean=np.zeros(3))
        again = scored(db)

    assert again.evidence == first.evidence
    assert known.read_bytes() == whole


def test_where_nothing_can_be_written_nothing_is_kept(file: Path) -> None:
    """A file in the folder's place costs time and no verdict."""
    Path(f"{file}.prepared").write_text("")
    with open_db(file, read_only=True) as db:
        assert scored(db).evidence[0].reference == "known-2"
    assert Path(f"{file}.prepared").read_text() == ""


def test_only_the_latest_are_left(file: Path) -> None:
    """Suspects that answer ever other numbers of questions do not fill the disk."""
    cells = [question.cell for question in BANK.questions]
    with open_db(file, read_only=True) as db:
        for i in range(prepared.LATEST["honest"] + 3):
            scored(db, {cell: {"7": 3 + (i if c == 0 else 0)} for c, cell in enumerate(cells)})

    assert len(kept(file)) == prepared.LATEST["honest"] + 1


def test_an_answer_lost_here_and_there_needs_no_new_preparation() -> None:
    """Numbers of answers are levelled to quarters of a round; a cell that was asked much less keeps its own number."""
    whole, lost = np.full(16, 3), np.full(16, 3)
    lost[5] = 2
    cut = np.array([2] * 8 + [1] * 8)
    uneven = np.array([9] * 8 + [1] * 8)

    assert np.array_equal(knowing.levelled(lost), knowing.levelled(whole))
    assert np.array_equal(knowing.levelled(whole), whole)
    assert np.array_equal(knowing.levelled(cut[::-1]), cut)
    assert np.array_equal(knowing.levelled(uneven), uneven)
    assert not knowing.levelled(np.zeros(4, np.int64)).any()


def test_what_an_import_prepares_a_first_match_finds(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an import nothing is left to work out, and no list of names is read."""
    from probe_match.fingerprinting.chat import asking

    with open_db(file) as db:
        asking.make_ready(db)
        assert not Path(f"{file}.prepared").exists()  # of few, nothing is worth keeping
        monkeypatch.setattr(asking, "MANY", 10)
        asking.make_ready(db)
    monkeypatch.setattr(knowing, "know", None)
    monkeypatch.setattr(knowing, "honest", None)
    monkeypatch.setattr(shelf.Shelved, "seals", property(lambda shelved: pytest.fail("names are read")))
    with open_db(file, read_only=True) as db:
        planned = asking.plan_identification(db)
        transcript = asking.ask(Speaker(Habits(3).reference("known-2", BANK, 5), 0), planned)

        assert asking.identify(transcript, planned, alpha=0.01).matches[0].reference == "known-2"


def test_a_file_of_another_state_is_not_believed_under_a_new_name(file: Path) -> None:
    """What is kept says itself what it was made from."""
    with open_db(file) as db:
        scored(db)
        of_old = kept(file)
        shelf.add(db, [Habits().reference("one-more", BANK, 20)])
        scored(db)
        for old, new in zip(of_old, (path for path in kept(file) if path not in of_old), strict=True):
            new.write_bytes(old.read_bytes())

        assert "one-more" in {evidence.reference for evidence in scored(db).evidence}
