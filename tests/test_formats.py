"""Files of every version that was ever written are read, and those of later versions are told from broken ones."""

import json
import re
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from probe_match.clients import replay
from probe_match.fingerprinting import formats, storage, unpacking
from probe_match.fingerprinting.chat import history, transcripts
from probe_match.fingerprinting.collect import collect
from probe_match.fingerprinting.commands import audit
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.errors import BadData, ProbeMatchError
from probe_match.fingerprinting.ledger import read_ledger
from probe_match.fingerprinting.recordings import RecordedClient, recorded
from probe_match.fingerprinting.records import InputSpec, ProbeSuite
from probe_match.fingerprinting.weights import digests, marks
from samples import make_reference, make_suite

ROOT = Path(__file__).resolve().parents[1]
FILES = ROOT / "tests/data/formats"  # made by `make.py` there, in its time
PUBLIC = make_suite(99, n=8)
LABELS = (np.asarray(PUBLIC.inputs).reshape(8, -1).mean(1) * 4).astype(int).tolist()  # of the model that was asked
Read = Callable[[Path], object]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Copies, since opening a file may bring it up to date."""
    shutil.copytree(FILES, tmp_path / "kept")
    return tmp_path / "kept"


@pytest.mark.parametrize("version", [1, 2])
def test_databases_of_every_version_are_read_and_brought_up_to_date(kept: Path, version: int) -> None:
    """All references come out as they went in, before and after the file became one of this version."""
    path = kept / f"references-{version}.sqlite"
    wanted = [
        storage.digest(make_reference("s0", 0, PUBLIC, license="MIT")),
        storage.digest(make_reference("s1", 1, PUBLIC, license="Apache-2.0", parent="s0")),
    ]
    for read_only in (True, False, True):
        with open_db(path, read_only=read_only) as db:
            found = [storage.digest(db.get(name)) for name in db.names()]
            public = db.public_suite(PUBLIC.spec)
            assert public is not None

            assert (found, public.digest, db.verify()) == (wanted, PUBLIC.digest, [])
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        assert file.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone() == ("2",)


def test_a_suite_file_is_read() -> None:
    """Inputs, names and categories are those that were stored."""
    spec = InputSpec(
        "tabular", (2,), low=(0.0, 0.0), high=(9.0, 1.0), features=("age", "sex"), categories=((), ("f", "m"))
    )
    found = storage.from_bytes(ProbeSuite, (FILES / "suite-1.npz").read_bytes())

    assert found.digest == make_suite(1, spec=spec).digest


def test_a_pack_is_read() -> None:
    """Its references are checked against their digests, and so is its public suite."""
    with unpacking.opened(FILES / "references-1.pmpack") as pack:
        assert pack.licenses == {"Apache-2.0": 1, "MIT": 1}
        assert [pack.reference(name).name for name in pack.references] == ["s0", "s1"]
        assert [suite.digest for suite in pack.suites()] == [PUBLIC.digest]


def test_recordings_and_ledgers_answer_as_they_did(kept: Path) -> None:
    """What a model answered in its time is answered again, from a recording and from a ledger."""
    inputs = np.asarray(PUBLIC.inputs)
    played = replay.connect(str(kept / "answers-1.jsonl"))
    ledger = read_ledger(kept / "answers-1.ledger")
    ledger.close()
    again = recorded(kept / "answers-1.ledger")

    assert isinstance(played, replay.ReplayClient)
    assert isinstance(again, RecordedClient)
    assert np.asarray(played.ask(inputs).labels).tolist() == LABELS
    assert ledger.about["schema"] == "probe-match/ledger/1"
    assert collect(again, PUBLIC).labels[:, 0].tolist() == LABELS
    again.close()


def test_transcripts_and_histories_are_read(kept: Path) -> None:
    """Answers of language models, and the past of a watched endpoint."""
    turns = transcripts.read_turns(kept / "transcript-1.jsonl")
    past = history.History(kept / "history-1.sqlite")
    watch = past.find("openai:https://host/v1#m")
    assert watch is not None
    (begun,) = past.rounds(watch)

    assert [turn.answer.text for turn in turns] == ["heads", "tails", "7"]
    assert (begun.kind, begun.ended, past.answered(begun)) == ("baseline", None, 1)
    past.close()


def test_digests_marks_and_baselines_are_read() -> None:
    """JSON that is read again: digests of weights, the record of a mark, an earlier audit."""
    weights = digests.from_json(json.loads((FILES / "weights-1.json").read_bytes()), "weights")
    mark = marks.from_json(json.loads((FILES / "mark-1.json").read_bytes()), "mark")
    baseline = audit._read_baseline(FILES / "audit-1.json")

    assert [tensor.name for tensor in weights.tensors] == ["layer.weight"]
    assert mark.way == "spread"
    assert baseline["endpoints"][0]["name"] == "bought"


def later_database(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")


def later_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA user_version = 99")


def later_text(path: Path) -> None:
    path.write_text(re.sub(r"(probe-match/[a-z]+)/1", r"\1/99", path.read_text(), count=1))


def later_pack(path: Path) -> None:
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, data in members.items():
            new.writestr(name, data.replace(b"probe-match/pack/1", b"probe-match/pack/99"))


def later_record(path: Path) -> None:
    with np.load(path) as old:
        arrays = dict(old)
    header = json.loads(arrays["header"].tobytes()) | {"modality": "smell"}
    arrays["header"] = np.frombuffer(storage.canonical_json(header), np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("name", "change", "read"),
    [
        ("references-2.sqlite", later_database, open_db),
        ("suite-1.npz", later_record, lambda path: storage.from_bytes(ProbeSuite, path.read_bytes(), str(path))),
        ("references-1.pmpack", later_pack, lambda path: unpacking.opened(path).__enter__()),
        ("answers-1.ledger", later_sqlite, read_ledger),
        ("answers-1.jsonl", later_text, lambda path: replay.connect(str(path))),
        ("history-1.sqlite", later_sqlite, history.History),
        ("weights-1.json", later_text, lambda path: digests.from_json(json.loads(path.read_bytes()), str(path))),
        ("mark-1.json", later_text, lambda path: marks.from_json(json.loads(path.read_bytes()), str(path))),
        ("audit-1.json", later_text, audit._read_baseline),
    ],
)
def test_a_file_of_a_later_version_is_called_so(kept: Path, name: str, change: Read, read: Read) -> None:
    """One line names the file, says that a newer probe-match made it, and what to do."""
    change(kept / name)

    with pytest.raises(ProbeMatchError, match=r"newer probe-match.*upgrade") as told:
        read(kept / name)
    assert name in str(told.value)
    assert "\n" not in str(told.value)


def test_another_kind_of_file_is_not_called_newer() -> None:
    """Only the same name with a larger number is a later version."""
    assert formats.require("probe-match/pack/1", "probe-match/pack/3", "it") == 1
    for other in ("probe-match/ledger/9", "probe-match/pack/", "pack", None, 7, "probe-match/pack/01"):
        with pytest.raises(BadData, match="expected probe-match/pack/3 in it, got"):
            formats.require(other, "probe-match/pack/3", "it")


def test_every_format_is_documented() -> None:
    """docs/formats.md names every schema that the program writes."""
    sources = [path for folder in ("fingerprinting", "clients", "probes") for path in (ROOT / folder).rglob("*.py")]
    written = {
        name for path in sources for name in re.findall(r"\"(probe-match/[a-z-]+/\d+)\"", path.read_text("utf-8"))
    }
    told = (ROOT / "docs/formats.md").read_text(encoding="utf-8")

    assert len(written) > 15
    assert sorted(name for name in written if f"`{name}`" not in told) == []
