"""Records as bytes and back."""

import dataclasses
import io
import os
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData, ProbeMatchError
from probe_match.fingerprinting.records import (
    About,
    InputSpec,
    Match,
    Panel,
    ProbeSuite,
    Reference,
    Responses,
    Signature,
)
from samples import make_panel, make_reference, make_responses, make_suite

TABLE = InputSpec(
    "tabular", (2,), low=(0.0, 0.0), high=(9.0, 1.0), features=("âge", "sex"), categories=((), ("f", "m"))
)
TEXTS = ProbeSuite(
    "words",
    "uniform",
    1,
    InputSpec("text"),
    ("one", "zwei\n", "三"),
    ("uniform",) * 3,
    np.ones(3),
    params={"t": [1, 2]},
)
RECORDS = [
    InputSpec("image", (3, 4, 4)),
    TABLE,
    make_suite(classes=("cat", "dog", "eel")),
    make_suite(spec=TABLE, expected=None, params={"k": 1.5, "layers": [1, 2], "note": None}),
    TEXTS,
    make_responses(make_suite()),
    make_responses(make_suite(), repeats=3, scores=False),
    Signature("agreement", "sha256:0", np.array([1.5, np.nan]), np.array([True, False])),
    About(role="peer", license="Apache-2.0 OR MIT", parent="s0"),
    make_panel(),
    dataclasses.replace(make_panel(), scores=None),
    make_reference(license="MIT"),
    make_reference(public=make_suite(9)),
    dataclasses.replace(make_reference(), panel=None),
    Match("s0", 7.1, 23.4, 0.003, 0.026),
]
KINDS = [f"{i}-{type(record).__name__}" for i, record in enumerate(RECORDS)]


def assert_same(a: Any, b: Any) -> None:
    """Field by field, with numpy's own comparison."""
    assert type(a) is type(b)
    if dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            assert_same(getattr(a, field.name), getattr(b, field.name))
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(contents: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize("record", RECORDS, ids=KINDS)
def test_a_record_comes_back_as_it_was(record: Any) -> None:
    """Every field, shape and type of a record survives storage."""
    back = storage.from_bytes(type(record), storage.to_bytes(record))

    assert_same(back, record)


@pytest.mark.parametrize("record", RECORDS, ids=KINDS)
def test_the_same_record_gives_the_same_bytes(record: Any) -> None:
    """Bytes and digest depend on the contents alone, not on when or how often they are made."""
    copy = dataclasses.replace(record)

    assert storage.to_bytes(copy) == storage.to_bytes(record)
    assert storage.digest(copy) == storage.digest(record)


def test_bytes_do_not_depend_on_the_process() -> None:
    """Another interpreter with another hash seed writes the same bytes."""
    program = (
        "import hashlib, samples; from probe_match.fingerprinting import storage;"
        "print(hashlib.sha256(storage.to_bytes(samples.make_reference(license='MIT'))).hexdigest())"
    )
    here = Path(__file__).parent
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=here,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert told == {storage.sha256(storage.to_bytes(make_reference(license="MIT")))[7:] + "\n"}


def test_a_suite_keeps_its_digest_through_storage() -> None:
    """What was stored and read is still the suite that answers refer to."""
    suite = make_suite(spec=TABLE, params={"k": 1.5, "layers": [1, 2]})

    assert storage.from_bytes(ProbeSuite, storage.to_bytes(suite)).digest == suite.digest


@given(st.integers(0, 4), st.integers(0, 3))
def test_one_changed_element_changes_the_digest(row: int, column: int) -> None:
    """No element of any array goes unnoticed, however small the change."""
    suite = make_suite()
    inputs = suite.inputs.copy()
    where = (row, *divmod(column, 2))
    inputs[where] = np.nextafter(inputs[where], np.float32(2))
    changed = dataclasses.replace(suite, inputs=inputs)

    assert changed.digest != suite.digest
    assert storage.to_bytes(changed) != storage.to_bytes(suite)


@pytest.mark.parametrize(
    "changed",
    [
        {"inputs": make_suite().inputs.reshape(5, 4), "spec": InputSpec("image", (4,))},
        {"weights": np.ones(5, np.float32)},
        {"name": "other"},
        {"params": {"n": 1}},
        {"expected": None},
    ],
    ids=str,
)
def test_shape_type_and_every_other_field_count(changed: dict[str, Any]) -> None:
    """The same numbers in another shape, type or setting are another suite."""
    assert dataclasses.replace(make_suite(), **changed).digest != make_suite().digest


def test_byte_order_and_memory_layout_do_not_count() -> None:
    """A digest is over values: an array of the other byte order or in Fortran order is the same array."""
    suite = make_suite()
    swapped = dataclasses.replace(suite, weights=suite.weights.astype(">f8"), inputs=np.asfortranarray(suite.inputs))

    assert swapped.digest == suite.digest


def test_canonical_json_is_sorted_and_refuses_nan() -> None:
    """One value has one text, and what JSON does not know is not written."""
    assert storage.canonical_json({"b": 1, "a": ["é"]}) == '{"a":["é"],"b":1}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        storage.canonical_json(float("nan"))


class Boom:
    """Something that would leave a trace if it were ever unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("unpickled",))


def test_pickled_objects_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive with pickled objects is an error and nothing in it runs."""
    monkeypatch.chdir(tmp_path)
    contents = members(storage.to_bytes(make_suite()))
    contents["weights.npy"] = npy(np.array([Boom()], object))

    with pytest.raises(BadData, match="without pickled objects"):
        storage.from_bytes(ProbeSuite, archive_of(contents))
    with pytest.raises(BadData, match="without pickled objects"):
        storage.from_bytes(ProbeSuite, pickle.dumps(Boom()))
    assert list(tmp_path.iterdir()) == []


def test_objects_are_never_written() -> None:
    """A record that holds Python objects cannot be stored, for storing them would pickle them."""
    signature = Signature("agreement", "sha256:0", np.array([None, "x"], object), np.array([True, False]))

    with pytest.raises(BadData, match="got Python objects"):
        storage.to_bytes(signature)


def test_a_zip_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that unpacks to more than the limit is refused before it is unpacked."""
    monkeypatch.setattr(storage, "MAX_BYTES", 8 << 20)
    bomb = archive_of({"a.npy": bytes(32 << 20), "b.npy": bytes(32 << 20)}, zipfile.ZIP_DEFLATED)
    tracemalloc.start()

    with pytest.raises(BadData, match="unpacks to 64 MiB; at most 8 MiB are read"):
        storage.read_npz(bomb, "the bomb")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(bomb) < 1 << 18
    assert peak < 8 << 20


def hostile() -> Iterator[tuple[str, bytes]]:
    good = members(storage.to_bytes(make_suite()))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**14,)})
    yield "nothing", b""
    yield "text", b"hello"
    yield "truncated", storage.to_bytes(make_suite())[:-30]
    yield "header missing", archive_of({k: v for k, v in good.items() if k != "header.npy"})
    yield "array missing", archive_of({k: v for k, v in good.items() if k != "inputs.npy"})
    yield "a header that is no JSON", archive_of(good | {"header.npy": npy(np.zeros(3, np.uint8))})
    yield "a header that is a list", archive_of(good | {"header.npy": npy(np.frombuffer(b"[]", np.uint8))})
    yield "deep JSON", archive_of(good | {"header.npy": npy(np.frombuffer(b"[" * 100_000, np.uint8))})
    yield "no array", archive_of({k: v for k, v in good.items() if k != "weights.npy"} | {"weights": b"11111"})
    yield "terabytes", archive_of(good | {"inputs.npy": header.getvalue()})
    yield "open bracket", archive_of(good | {"inputs.npy": good["inputs.npy"].replace(b"(5, 2, 2)", b"(5, 2, 2(")})
    yield "another record", storage.to_bytes(make_panel())


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in hostile()])
def test_broken_archives_are_one_clear_error(data: bytes) -> None:
    """Whatever is wrong with an archive, the error is ours, in one line, and names the source."""
    with pytest.raises(BadData) as caught:
        storage.from_bytes(ProbeSuite, data, "suite.npz")

    assert str(caught.value).startswith("suite.npz ")
    assert "\n" not in str(caught.value)


def test_random_damage_never_escapes_as_another_error() -> None:
    """1,000 archives with flipped bytes, inside and outside the zip checksums, load or fail with our error."""
    rng = np.random.default_rng(0)
    whole = storage.to_bytes(make_suite())
    contents = members(whole)
    outcomes = set()
    for i in range(1000):
        name = sorted(contents)[i % len(contents)]
        target = bytearray(contents[name] if i % 2 else whole)
        for where in rng.integers(0, min(len(target), 140), 3):
            target[where] = rng.integers(256)
        data = archive_of(contents | {name: bytes(target)}) if i % 2 else bytes(target)
        try:
            storage.from_bytes(ProbeSuite, data)
            outcomes.add("read")
        except ProbeMatchError:
            outcomes.add("refused")

    assert "refused" in outcomes


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """Writing over a file leaves the new contents and nothing else in the folder."""
    path = tmp_path / "suite.npz"
    storage.write_file(path, b"old")
    storage.write_file(path, b"new")

    assert storage.read_file(path, "suite") == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["suite.npz"]


def test_a_folder_that_may_not_be_written_stays_as_it_is(unprivileged: Path) -> None:
    """A read-only folder is one clear error."""
    unprivileged.chmod(0o555)

    with pytest.raises(BadData, match=r"cannot write .*suite\.npz: Permission denied"):
        storage.write_file(unprivileged / "suite.npz", b"data")
    assert list(unprivileged.iterdir()) == []


def test_a_target_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    """Where the last step fails, the temporary file goes too."""
    (tmp_path / "suite.npz").mkdir()

    with pytest.raises(BadData, match="cannot write"):
        storage.write_file(tmp_path / "suite.npz", b"data")
    assert [p.name for p in tmp_path.iterdir()] == ["suite.npz"]


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    """A write that fails half-way leaves the former contents and no temporary file; a file size limit stands for it."""
    path = tmp_path / "suite.npz"
    path.write_bytes(b"old")
    program = (
        "import resource, sys; from pathlib import Path; from probe_match.fingerprinting import errors, storage\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: storage.write_file(Path(sys.argv[1]), bytes(1 << 20))\n"
        "except errors.BadData as error: print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", program, str(path)], check=True, capture_output=True, text=True)

    assert told.stdout.startswith(f"cannot write {path}: ")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["suite.npz"]


def test_missing_and_oversized_files_are_clear_errors(tmp_path: Path) -> None:
    """Reading checks size before contents; a sparse file costs nothing to refuse."""
    large = tmp_path / "large.npz"
    with large.open("wb") as file:
        file.truncate(storage.MAX_BYTES + 1)

    with pytest.raises(BadData, match=r"cannot read suite .*: No such file"):
        storage.read_file(tmp_path / "none.npz", "suite")
    with pytest.raises(BadData, match="larger than 1024 MiB"):
        storage.read_file(large, "suite")


def test_records_of_any_kind_are_covered() -> None:
    """A record that is stored in bytes appears in these tests."""
    assert {Panel, ProbeSuite, Reference, Responses, Signature, About, InputSpec} <= {type(r) for r in RECORDS}
