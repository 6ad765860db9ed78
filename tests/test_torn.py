"""Torn logs and flipped bits of a reference database; `benchmarks/torn.py` measures them five hundred times each."""

import random
from pathlib import Path

import pytest
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.errors import DatabaseError

from benchmarks import torn


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> torn.Whole:
    return torn.make(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("damage", list(torn.DAMAGES))
def test_damage_is_told_and_what_is_sound_is_saved(damage: str, whole: torn.Whole, tmp_path: Path) -> None:
    """Of a log cut anywhere or a flipped bit, the noted head tells; the longest sound beginning is saved as it was."""
    rng = random.Random(damage)
    for i in range(2):
        (tmp_path / str(i)).mkdir()

        assert torn.DAMAGES[damage](whole, tmp_path / str(i) / "r.db", rng) in ("told", "nothing was lost or changed")


def test_a_schema_that_is_no_text_is_one_line(whole: torn.Whole, tmp_path: Path) -> None:
    """A bit of a table's definition that makes SQLite's own message unreadable is told as damage, too."""
    told = set()
    for at in range(whole.all.index(b"CREATE TABLE"), whole.all.index(b"CREATE TABLE") + 60, 3):
        file = bytearray(whole.all)
        file[at] ^= 0x80
        (tmp_path / "r.db").write_bytes(file)
        try:
            open_db(tmp_path / "r.db", read_only=True).close()
        except DatabaseError as error:
            told.add("malformed" in str(error))

    assert told == {True}


def test_a_broken_promise_is_seen(whole: torn.Whole, tmp_path: Path) -> None:
    """The measurement tells what was lost where more should be left than there is."""
    (tmp_path / "r.db").write_bytes(whole.file)

    assert torn.judge(whole, tmp_path / "r.db", torn.BEFORE) == "told"
    assert torn.judge(whole, tmp_path / "r.db", torn.BEFORE + 1).startswith("wrong: 4 references saved of 5")
