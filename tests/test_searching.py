"""Search among very many references: exact, and as the few are compared."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from probe_match.clients import function
from probe_match.fingerprinting import cohort, matching, packing, prepared, schema, searching, storage, storing
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


def by_definition(known: np.ndarray, suspect: np.ndarray) -> np.ndarray:
    """The ratio of a suspect to every reference, worked out for all of them, float64 (m,)."""
    asked = np.flatnonzero(suspect != UNANSWERED)
    k = int(max(known.max(), suspect.max())) + 1
    everyone = np.vstack([known[:, asked], suspect[asked]])
    counts = np.stack([(everyone == label).sum(0) for label in range(k)], 1).astype(float)
    rarity = (counts + 2 / k) / (counts.sum(1, keepdims=True) + 2)
    return np.asarray(cohort.ratio(suspect[asked][None], known[:, asked], rarity)[0])


@pytest.mark.parametrize("classes", [2, 6, 300])
@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
def test_search_is_exact(classes: int, noise: float) -> None:
    """The nearest are those that comparing every reference by the definition finds, in the same order."""
    rng = np.random.default_rng([classes, int(10 * noise)])
    known = rng.integers(0, classes, (M, N))
    known = np.where(rng.random((M, N)) < 0.5, known, rng.integers(0, classes, N))
    known[rng.random((M, N)) < 0.02] = UNANSWERED
    known[5], known[6, : N - 2] = UNANSWERED, UNANSWERED
    suspect = np.where(rng.random(N) < noise, rng.integers(0, classes, N), known[17])
    suspect[[3, 5, 8]] = UNANSWERED
    exact = by_definition(known, suspect)

    for most in (1, 50):
        found = searching.nearest(packing.pack(known), suspect, most)
        assert found.tolist() == np.argsort(-exact, kind="stable")[:most].tolist()


def test_few_are_scored_by_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """What merits leave over for the definition is a small part of all references."""
    scored: list[int] = []
    ratio = searching._ratio

    def counted(packed: packing.Packed, question: searching.Question, references: np.ndarray) -> np.ndarray:
        scored.append(len(references))
        return ratio(packed, question, references)

    monkeypatch.setattr(searching, "_ratio", counted)
    known, copy = world()
    searching.nearest(packing.pack(known), copy, 20)

    assert sum(scored) < M / 5


def test_references_that_answered_nothing_are_no_neighbours() -> None:
    """The bound allows for each reference's own silences: one that says nothing neither leads nor hides another."""
    known, copy = world()
    known[: M // 2 : 2] = UNANSWERED
    found = searching.nearest(packing.pack(known), copy, 30)

    assert found.tolist() == np.argsort(-by_definition(known, copy), kind="stable")[:30].tolist()
    assert not (known[found] == UNANSWERED).all(1).any()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of a block and of what a byte counts, the nearest are the same."""
    known, copy = world()
    found = packing.pack(known)
    whole = searching.nearest(found, copy, 60)
    monkeypatch.setattr(searching, "BLOCK", 97)
    monkeypatch.setattr(searching, "COUNTED", 3)

    assert searching.nearest(found, copy, 60).tolist() == whole.tolist()


def test_packing_keeps_every_label() -> None:
    """Few classes take a byte, many two; what was not answered is not answered."""
    few, many = world(50)[0], np.array([[0, 300, UNANSWERED], [254, 255, 256]])

    assert packing.pack(few).rows.dtype == np.uint8
    assert packing.pack(many).rows.dtype == np.uint16
    for labels in (few, many):
        np.testing.assert_array_equal(packing.pack(labels).labels(np.arange(len(labels))), labels)


def test_a_label_no_reference_gives_agrees_with_none() -> None:
    """A suspect of other classes, also one beyond what a byte holds, is compared all the same."""
    known, copy = world()
    strange = copy.copy()
    strange[:4] = (K + 1, 255, 300, UNANSWERED)

    assert searching.nearest(packing.pack(known), strange, 1).tolist() == [17]


def test_evidence_is_as_for_few() -> None:
    """The source of a copy leads by as much as it does where all are each other's peers; a stranger is no copy."""
    known, copy = world(1201)
    known, stranger = known[:-1], known[-1]
    names = [f"r{i}" for i in range(1200)]
    few, many = cohort.compare(copy, known, names), searching.compare(copy, packing.pack(known), names)

    assert (few[0].reference, many[0].reference, len(many)) == ("r17", "r17", searching.LEADERS)
    assert many[0].llr == pytest.approx(few[0].llr, abs=1e-9)
    assert 0.7 < many[0].score / few[0].score < 1.05  # peers like the leaders make it smaller
    assert many[0].beats_all
    assert not any(one.beats_all and one.llr > 0 for one in searching.compare(stranger, packing.pack(known), names))
    with pytest.raises(NoAnswers):
        searching.compare(np.full(N, UNANSWERED), packing.pack(known), names)


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


@pytest.fixture
def kept(large: ReferenceDB) -> Path:
    """The folder of what is prepared, with everything in it."""
    large.public_packed(PUBLIC.spec)
    large.inputs(None)
    where = prepared.folder(large)
    assert where is not None
    return where


def packed_rows(db: ReferenceDB) -> np.ndarray:
    found = db.public_packed(PUBLIC.spec)
    assert found is not None
    return np.array(found[1].rows)


def test_damaged_preparations_are_made_anew(large: ReferenceDB, kept: Path) -> None:
    """What is kept beside the file may be deleted or broken at any time, cut short or changed in one bit."""
    before, names = packed_rows(large), large.inputs(None)[0][1]
    for file in sorted(kept.iterdir()):
        whole = file.read_bytes()
        flipped = bytearray(whole)
        flipped[-len(whole) // 3] ^= 4
        for damaged in (whole[:50], bytes(flipped), b""):
            file.write_bytes(damaged)

            np.testing.assert_array_equal(packed_rows(large), before)
            assert large.inputs(None)[0][1] == names
            assert file.read_bytes() == whole


def test_preparations_of_another_state_are_not_used(large: ReferenceDB, kept: Path) -> None:
    """A folder that was kept for another state of the log, or for another database, is made anew under any name."""
    before = packed_rows(large)
    stem = PUBLIC.digest.removeprefix("sha256:")[:32]
    seal = kept / f"{stem}.seal"
    foreign = seal.read_bytes().replace(kept.name.encode(), b"0" * 32)
    np.save(kept / "rows.npy", before[::-1])
    (kept / "rows.npy").replace(kept / f"{stem}.rows")
    digest = storage.sha256((kept / f"{stem}.rows").read_bytes())
    value = json.loads(foreign)
    value["parts"]["rows"] = digest
    seal.write_bytes(storage.canonical_json(value))

    np.testing.assert_array_equal(packed_rows(large), before)


def test_forged_preparations_are_noticed(large: ReferenceDB, kept: Path) -> None:
    """Other answers under a fitting seal do not agree with the sealed rows of the database, and are made anew."""
    before = packed_rows(large)
    stem = PUBLIC.digest.removeprefix("sha256:")[:32]
    np.save(kept / "rows.npy", (before + 1) % K)
    (kept / "rows.npy").replace(kept / f"{stem}.rows")
    value = json.loads((kept / f"{stem}.seal").read_bytes())
    value["parts"]["rows"] = storage.sha256((kept / f"{stem}.rows").read_bytes())
    (kept / f"{stem}.seal").write_bytes(storage.canonical_json(value))

    np.testing.assert_array_equal(packed_rows(large), before)


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


@pytest.mark.parametrize(("m", "most"), [(7, 7), (5000, 100), (20_000, 5000), (10_001, 1)])
def test_so_many_have_the_merit_that_is_reached(m: int, most: int) -> None:
    """Whatever the heaps, as many references as are wanted have it, ties included."""
    merits = np.random.default_rng(m).integers(0, 60, m).astype(np.uint16)
    reached = searching._reached(merits, most)

    assert most <= (merits >= reached).sum()
    assert reached <= np.sort(merits)[-most]
