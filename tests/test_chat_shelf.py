"""Language models in the reference database: kept whole, found by bank, in files old and new."""

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy
from probe_match.fingerprinting.chat import shelf
from probe_match.fingerprinting.chat.records import Bank, ChatReference, Question
from probe_match.fingerprinting.database import ReferenceDB, open_db
from probe_match.fingerprinting.errors import DatabaseError
from probe_match.fingerprinting.records import About
from samples import make_reference

BANK = Bank("b", (Question("n", "one-word", "A number?", "number"), Question("w", "one-word", "A word?", "word")))
FIRST = ChatReference("gamma", About(license="MIT"), BANK, {"n": {"7": 3, "3": 1}}, {"n": 4, "w": 4}, {"n": 11})
SECOND = replace(FIRST, name="alpha", counts={"n": {"42": 4}}, texts={"w": ("hello", "")})
OTHER = replace(FIRST, name="beta", bank=replace(BANK, name="other"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "r.db"


def test_what_is_added_is_read_back_by_name_and_by_bank(file: Path) -> None:
    """References of one bank come sorted, each whole, and a bank is stored once."""
    with open_db(file, create=True) as db:
        shelf.add(db, [FIRST, SECOND, OTHER])

    with open_db(file, read_only=True) as db:
        assert shelf.names(db) == ["alpha", "beta", "gamma"]
        assert shelf.get(db, "gamma") == FIRST
        assert dict(shelf.of_bank(db, BANK.digest)) == {"alpha": SECOND, "gamma": FIRST}
        assert list(shelf.of_bank(db, BANK.digest, only=("gamma", "beta"))) == ["gamma"]
        assert shelf.of_bank(db, BANK.digest).counts() == ({"alpha": SECOND.counts, "gamma": FIRST.counts}, False)
        assert (shelf.commonest(db), shelf.commonest(db, ["beta"])) == (BANK.digest, OTHER.bank.digest)
        with pytest.raises(DatabaseError, match="bank sha256"):
            shelf.of_bank(db, "sha256:0")
        assert shelf.banks(db) == [(BANK.digest, ["alpha", "gamma"]), (OTHER.bank.digest, ["beta"])]
        assert (db.names(), db.verify()) == ([], [])


def test_a_header_says_what_a_listing_shows(file: Path) -> None:
    """Counts of cells and answers, and where the questions come from."""
    with open_db(file, create=True) as db:
        shelf.add(db, [SECOND])
        (header,) = shelf.headers(db)

    assert (header["name"], header["license"], header["bank_name"]) == ("alpha", "MIT", "b")
    assert (header["cells"], header["asked"], header["answers"], header["texts"]) == (1, 8, 4, 2)
    assert header["bank"] == BANK.digest


def test_adding_is_all_or_nothing_and_replacing_is_asked_for(file: Path) -> None:
    """A name that is taken leaves everything as it was."""
    with open_db(file, create=True) as db:
        shelf.add(db, [FIRST])
        with pytest.raises(DatabaseError, match="already has a reference 'gamma'"):
            shelf.add(db, [SECOND, FIRST])
        assert shelf.names(db) == ["gamma"]
        shelf.add(db, [replace(FIRST, bank=OTHER.bank)], replace=True)

        assert shelf.banks(db) == [(OTHER.bank.digest, ["gamma"])]
        with pytest.raises(DatabaseError, match="bank sha256"):
            shelf.bank(db, BANK.digest)


def test_removing_takes_the_bank_with_the_last_that_was_asked_it(file: Path) -> None:
    """And an unknown name is named with those there are."""
    with open_db(file, create=True) as db:
        shelf.add(db, [FIRST, SECOND])
        shelf.remove(db, "gamma")
        assert shelf.bank(db, BANK.digest) == BANK
        shelf.remove(db, "alpha")

        assert (shelf.names(db), shelf.banks(db)) == ([], [])
        with pytest.raises(DatabaseError, match="no language model 'gamma'"):
            shelf.remove(db, "gamma")


def without_chat_tables(db: ReferenceDB) -> None:
    with db.store.transaction(write=True) as connection:
        for name in ("chat_headers", "chat_bodies", "chat_banks"):
            connection.execute(sqlalchemy.text(f"DROP TABLE {name}"))


def test_files_of_before_are_read_and_grow(file: Path) -> None:
    """A file without the tables holds no language model, is well, and gets them with the first."""
    with open_db(file, create=True) as db:
        without_chat_tables(db)
    with open_db(file, read_only=True) as db:
        assert (shelf.names(db), shelf.banks(db), db.verify()) == ([], [], [])
    with open_db(file) as db:
        db.add(make_reference("old"))
        shelf.add(db, [FIRST])

        assert (shelf.names(db), db.names()) == (["gamma"], ["old"])


def test_one_name_is_one_model(file: Path) -> None:
    """A language model cannot take the name of a classifier, nor the other way."""
    with open_db(file, create=True) as db:
        db.add(make_reference("old"))
        shelf.add(db, [FIRST])

        with pytest.raises(DatabaseError, match="another kind of model under the name 'old'"):
            shelf.add(db, [replace(FIRST, name="old")])
        with pytest.raises(DatabaseError, match="another kind of model under the name 'gamma'"):
            db.add(make_reference("gamma"))


def test_damage_is_found(file: Path) -> None:
    """A row that was touched is named and never used."""
    with open_db(file, create=True) as db:
        shelf.add(db, [FIRST])
        with db.store.transaction(write=True) as connection:
            connection.execute(sqlalchemy.text("UPDATE chat_bodies SET data = x'00'"))

        assert db.verify() == ["row 'gamma' of table chat_bodies is damaged"]
        with pytest.raises(DatabaseError, match="is damaged; remove"):
            shelf.get(db, "gamma")
