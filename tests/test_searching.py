"""Search among very many references: exact, and as the few are compared."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from probe_match.clients import function
from probe_match.fingerprinting import cohort, matching, prepared, schema, searching, storage, storing
from probe_match.fingerprinting.database import ReferenceDB, open_db
from probe_match.fingerprinting.errors import NoAnswers
from probe_match.fingerprinting.records import UNANSWERED, About, Reference, Responses
from samples import make_suite

M, N, K = 3000, 40, 6
PUBLIC = make_suite(7, n=N)


def world(m: int = M, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels int64 (m, n) of models of one task, with silences, and those of a copy of model 17 with three silences."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, K, N)
    known = np.where(rng.random((m, N)) < 0.5, rng.integers(0, K, (m, N)), truth)
    known[rng.random((m, N)) < 0.02] = UNANSWERED
    copy = np.where(rng.random(N) < 0.1, rng.integers(0, K, N), known[17])
    copy[[3, 5, 8]] = UNANSWERED
    return known, copy


def test_search_is_exact() -> None:
    """The nearest are those that comparing every reference by the definition finds, in the same order."""
    known, copy = world()
    asked = np.flatnonzero(copy != UNANSWERED)
    everyone = np.vstack([known[:, asked], copy[asked]])
    counts = np.stack([(everyone == label).sum(0) for label in range(K)], 1).astype(float)
    rarity = (counts + 2 / K) / (counts.sum(1, keepdims=True) + 2)
    exact = cohort.ratio(copy[asked][None], known[:, asked], rarity)[0]
    parts = [cohort.ratio_at(copy[asked][None], known[:, asked], rarity, kept)[0] for kept in cohort.RETENTION]
    found = searching.pack(known)

    assert searching.nearest(found, copy, 50).tolist() == np.argsort(-exact, kind="stable")[:50].tolist()
    np.testing.assert_allclose(searching.scores(found, copy), np.max(parts, axis=0), atol=1e-3)


def test_blocks_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of a block, the scores are the same."""
    known, copy = world()
    found = searching.pack(known)
    whole = searching.scores(found, copy)
    monkeypatch.setattr(searching, "BLOCK", 97)

    np.testing.assert_allclose(searching.scores(found, copy), whole, atol=1e-4)


def test_packing_keeps_every_label() -> None:
    """Few classes take a byte, many two; what was not answered is not answered."""
    few, many = world(50)[0], np.array([[0, 300, UNANSWERED], [254, 255, 256]])

    assert searching.pack(few).rows.dtype == np.uint8
    assert searching.pack(many).rows.dtype == np.uint16
    for labels in (few, many):
        np.testing.assert_array_equal(searching.pack(labels).labels(np.arange(len(labels))), labels)


def test_a_label_no_reference_gives_agrees_with_none() -> None:
    """A suspect of other classes, also one beyond what a byte holds, is compared all the same."""
    known, copy = world()
    strange = copy.copy()
    strange[:4] = (K + 1, 255, 300, UNANSWERED)

    assert searching.nearest(searching.pack(known), strange, 1).tolist() == [17]


def test_evidence_is_as_for_few() -> None:
    """The source of a copy leads by as much as it does where all are each other's peers; a stranger is no copy."""
    known, copy = world(1201)
    known, stranger = known[:-1], known[-1]
    names = [f"r{i}" for i in range(1200)]
    few, many = cohort.compare(copy, known, names), searching.compare(copy, searching.pack(known), names)

    assert (few[0].reference, many[0].reference, len(many)) == ("r17", "r17", searching.LEADERS)
    assert many[0].llr == pytest.approx(few[0].llr, abs=1e-9)
    assert 0.7 < many[0].score / few[0].score < 1.05  # peers like the leaders make it smaller
    assert many[0].beats_all
    assert not any(one.beats_all and one.llr > 0 for one in searching.compare(stranger, searching.pack(known), names))
    with pytest.raises(NoAnswers):
        searching.compare(np.full(N, UNANSWERED), searching.pack(known), names)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceDB]:
    """A database of more references than are all each other's peers."""
    known = world(searching.LARGE + 50)[0]
    data = storage.to_bytes(PUBLIC)
    with open_db(tmp_path_factory.mktemp("large") / "large.db", create=True) as db:
        db.set_public_suite(PUBLIC)
        with db.store.transaction(write=True) as connection:
            for i, labels in enumerate(known):
                given = Responses(
                    PUBLIC.digest, "function:m", "label", labels[:, None], None, np.zeros(N, np.float32), N
                )
                reference = Reference(f"r{i:04}", About(), PUBLIC, given, None, given)
                rows = [schema.body_row(reference), *schema.derived_rows(reference)]
                storing.add_rows(db.name, connection, rows, PUBLIC.digest, data)
        yield db


def test_a_copy_is_found_in_a_large_database(large: ReferenceDB) -> None:
    """A match maps the packed answers, prepares them once, and names the source; a change prepares them anew."""
    labels = world(searching.LARGE + 50)[0][17]
    answer = dict(zip((row.tobytes() for row in PUBLIC.inputs), labels, strict=True))
    copy = function.wrap(lambda x: np.array([max(answer[row.tobytes()], 0) for row in x]), shape=(2, 2))
    first = matching.match(copy, large, budget=N)
    where = prepared.folder(large)
    assert where is not None
    packed = large.public_packed(PUBLIC.spec)
    second = matching.match(copy, large, budget=N)

    assert (first.decision, first.reference) == ("match", "r0017")
    assert second == first
    assert packed is not None
    assert isinstance(packed[1].rows, np.memmap)
    assert len(first.matches) == searching.LEADERS
    large.remove("r0001")
    assert prepared.folder(large) != where
    again = large.public_packed(PUBLIC.spec)
    assert again is not None
    assert "r0001" not in again[0]
    assert [folder.name for folder in where.parent.iterdir()] == [str(prepared.folder(large)).rpartition("/")[2]]


def test_damaged_preparations_are_made_anew(large: ReferenceDB) -> None:
    """What is kept beside the file may be deleted or broken at any time."""
    before = large.public_packed(PUBLIC.spec)
    where = prepared.folder(large)
    assert before is not None
    assert where is not None
    for file in where.iterdir():
        file.write_bytes(file.read_bytes()[:50])
    after = large.public_packed(PUBLIC.spec)

    assert after is not None
    assert after[0] == before[0]
    assert len(large.inputs(None)[0][1]) == len(after[0])


def test_own_probes_come_from_the_listing(large: ReferenceDB) -> None:
    """References that only answered the public suite have none."""
    assert large.own_probes(large.names()) == []


def test_quarantine_changes_what_is_prepared(large: ReferenceDB, tmp_path: Path) -> None:
    """A reference set apart leaves the packed answers, too."""
    from probe_match.fingerprinting import quarantine

    quarantine.set_apart(large, "r0100", "poisoned")
    packed = large.public_packed(PUBLIC.spec)

    assert packed is not None
    assert "r0100" not in packed[0]
    quarantine.set_apart(large, "r0100", None)
