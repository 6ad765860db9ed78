"""Pools from files and arrays: what is read, and what is refused in one clear line."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.pools import MIN_ROWS, load_pool, make_pool
from probe_match.fingerprinting.records import Pool

N = 24
ROWS = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
IMAGES = np.random.default_rng(1).integers(0, 256, (N, 2, 4, 4), dtype=np.uint8)
LABELS = np.arange(N) % 3
Saved = Callable[..., Path]


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """Writes the given arrays into an npz file."""

    def save(**arrays: object) -> Path:
        np.savez(tmp_path / "pool.npz", **arrays)
        return tmp_path / "pool.npz"

    return save


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Writes the given text into a csv file."""

    def write(text: str) -> Path:
        (tmp_path / "pool.csv").write_text(text, encoding="utf-8")
        return tmp_path / "pool.csv"

    return write


def table(header: str, row: Callable[[int], str], n: int = N) -> str:
    return "\n".join([header, *(row(i) for i in range(n))]) + "\n"


def test_rows_are_tabular_within_what_was_observed(saved: Saved) -> None:
    """Two dimensions are rows of features, each bounded by its own lowest and highest value."""
    x = np.hstack([ROWS, np.full((N, 1), 7.0)])
    pool = load_pool(saved(x=x, y=LABELS))

    assert (pool.spec.kind, pool.spec.shape, pool.classes) == ("tabular", (4,), ())
    np.testing.assert_array_equal(pool.spec.low, pool.x.min(0))
    np.testing.assert_array_equal(pool.spec.high, pool.x.max(0))
    assert pool.x.dtype == np.float32
    assert pool.y.dtype == np.int64
    np.testing.assert_array_equal(pool.y, LABELS)


def test_bytes_are_images_from_0_to_1(saved: Saved) -> None:
    """uint8 images are scaled by 1/255."""
    pool = load_pool(saved(x=IMAGES))

    assert (pool.spec.kind, pool.spec.shape, pool.spec.low, pool.spec.high) == ("image", (2, 4, 4), (0.0,), (1.0,))
    np.testing.assert_allclose(pool.x, IMAGES / 255, atol=1e-7)
    assert pool.y is None


@pytest.mark.parametrize(("scale", "low", "high"), [(0.5, 0.0, 1.0), (16.0, 0.0, 16.0)])
def test_float_images_keep_their_scale(saved: Saved, scale: float, low: float, high: float) -> None:
    """Images within 0 to 1 may move there, others between the lowest and highest value of any pixel."""
    x = np.random.default_rng(2).random((N, 4, 4))
    x.flat[:2] = 0, 1
    pool = load_pool(saved(x=x * scale))

    assert (pool.spec.kind, pool.spec.shape, pool.spec.low, pool.spec.high) == ("image", (4, 4), (low,), (high,))


def test_bytes_in_a_table_are_numbers(saved: Saved) -> None:
    """uint8 rows that are no images are not scaled."""
    pool = load_pool(saved(x=np.arange(N * 2, dtype=np.uint8).reshape(N, 2)))

    assert pool.x.max() == 2 * N - 1


def test_given_bounds_are_kept() -> None:
    """The owner knows the range better than a sample does; bytes with bounds are taken as they are."""
    assert make_pool(ROWS, bounds=(-9, 9)).spec.high == (9.0,)
    assert make_pool(ROWS, bounds=(-9, [8, 9, 10])).spec.high == (8.0, 9.0, 10.0)
    assert make_pool(IMAGES, bounds=(0, 255)).x.max() == IMAGES.max()


@pytest.mark.parametrize(
    ("labels", "classes", "codes"),
    [
        ([0, 1, 2], (), [0, 1, 2]),
        ([False, True, True], (), [0, 1, 1]),
        ([0.0, 1.0, 2.0], (), [0, 1, 2]),
        ([0, 2, 5], ("0", "2", "5"), [0, 1, 2]),
        ([-1, 1, 1], ("-1", "1"), [0, 1, 1]),
        ([10, 2, 7], ("2", "7", "10"), [2, 0, 1]),
        (["dog", "cat", "eel"], ("cat", "dog", "eel"), [1, 0, 2]),
    ],
)
def test_labels_are_plain_or_named(
    saved: Saved, labels: list[object], classes: tuple[str, ...], codes: list[int]
) -> None:
    """0 to k-1 stay as they are; gaps, negatives and names become sorted names and their codes."""
    pool = load_pool(saved(x=ROWS, y=np.array(labels * (N // 3))))

    assert pool.classes == classes
    np.testing.assert_array_equal(pool.y, codes * (N // 3))


def test_given_classes_name_codes_and_names() -> None:
    """With classes given, integers are indices of them and names are looked up; a class may be absent."""
    by_code = make_pool(ROWS, LABELS, classes=["c", "a", "b", "z"])
    by_name = make_pool(ROWS, np.array(["c", "a", "b"], object)[LABELS], classes=["c", "a", "b", "z"])

    assert by_code.classes == by_name.classes == ("c", "a", "b", "z")
    np.testing.assert_array_equal(by_code.y, LABELS)
    np.testing.assert_array_equal(by_name.y, LABELS)


def test_labels_may_have_another_name(saved: Saved) -> None:
    """The label array is y unless another is named."""
    np.testing.assert_array_equal(load_pool(saved(x=ROWS, t=LABELS), label="t").y, LABELS)


def test_duplicates_are_dropped_when_asked(saved: Saved) -> None:
    """The first of equal rows stays, in order, with its label."""
    x = np.vstack([ROWS, ROWS[:2], np.zeros((2, 3)) * [[1], [-1]]])
    y = np.concatenate([LABELS, [2, 2, 1, 0]])
    pool = load_pool(saved(x=x, y=y), drop_duplicates=True)

    np.testing.assert_array_equal(pool.x, np.vstack([ROWS, np.zeros((1, 3))]))
    np.testing.assert_array_equal(pool.y, [*LABELS, 1])


def test_csv_columns_are_numbers_or_categories(written: Callable[[str], Path]) -> None:
    """Words become codes of their sorted values and come back as words; numbers stay numbers."""
    text = table("age,job,size,label", lambda i: f"{20 + i} , {['nurse', 'cook'][i % 2]},{i / 4},{'ab'[i % 2]}")
    pool = load_pool(written("\ufeff" + text))

    assert pool.spec.features == ("age", "job", "size")
    assert pool.spec.categories == ((), ("cook", "nurse"), ())
    assert (pool.spec.low, pool.spec.high) == ((20.0, 0.0, 0.0), (43.0, 1.0, 5.75))
    assert pool.classes == ("a", "b")
    np.testing.assert_array_equal(pool.y, np.arange(N) % 2)
    assert pool.spec.decode(pool.x)[:2].tolist() == [[20.0, "nurse", 0.0], [21.0, "cook", 0.25]]


def test_csv_of_numbers_alone_has_no_categories(written: Callable[[str], Path]) -> None:
    """A quoted name may hold a comma, a file without a label column has no labels, blank lines are nothing."""
    pool = load_pool(written(table('"a,b",c', lambda i: f"{i},1e-3") + "\n\n"))

    assert (pool.spec.features, pool.spec.categories, pool.y, len(pool)) == (("a,b", "c"), (), None, N)


@pytest.mark.parametrize("name", ["y", "Label", "target", "CLASS"])
def test_csv_finds_its_label_column(written: Callable[[str], Path], name: str) -> None:
    """The usual names are known, wherever the column stands; integers beyond 9 sort as numbers."""
    pool = load_pool(written(table(f"{name},a", lambda i: f"{i % 11},{i}")))

    assert (pool.spec.features, pool.classes) == (("a",), ())
    np.testing.assert_array_equal(pool.y, np.arange(N) % 11)


def test_csv_label_by_name(written: Callable[[str], Path]) -> None:
    """The label column may be any; the usual names are then features."""
    pool = load_pool(written(table("y,kind", lambda i: f"{i},{i % 2}")), label="kind")

    assert pool.spec.features == ("y",)
    np.testing.assert_array_equal(pool.y, np.arange(N) % 2)


def test_words_among_numbers_make_a_category(written: Callable[[str], Path]) -> None:
    """2, 3 and 5more are categories, and so is ? among words; 1_0 is a word."""
    pool = load_pool(
        written(
            table("doors,job,code,n", lambda i: f"{['2', '5more'][i % 2]},{'?x'[i % 2]},{['1_0', '2_0'][i % 2]},{i}")
        )
    )

    assert pool.spec.categories == (("2", "5more"), ("?", "x"), ("1_0", "2_0"), ())


def npz(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def hollow() -> bytes:
    """An archive whose one array claims terabytes."""
    array = npz(x=np.zeros(3))
    with zipfile.ZipFile(io.BytesIO(array)) as archive:
        member = archive.read("x.npy")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", member.replace(b"(3,), }" + b" " * 12, b"(3000000000000,), }"))
    return buffer.getvalue()


def stray() -> bytes:
    """An archive whose x is a text file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x", "hello")
    return buffer.getvalue()


def with_value(value: float) -> np.ndarray:
    x = ROWS.astype(float)
    x[3:5, 1] = value
    return x


BAD_NPZ = {
    "corrupt": (npz(x=ROWS)[:200], "not a readable npz archive"),
    "not an archive": (b"hello", "not a readable npz archive"),
    "empty file": (b"", "not a readable npz archive"),
    "pickled objects": (npz(x=np.array([{"a": 1}] * N)), "without pickled objects"),
    "claims terabytes": (hollow(), "not a readable npz archive"),
    "stray member": (stray(), "not a readable npz archive"),
    "no x": (npz(data=ROWS, z=LABELS), "expected an array 'x', got data, z; save it"),
    "words": (npz(x=np.array([["a"]] * N)), "expected numbers as x, got <U1"),
    "complex": (npz(x=ROWS + 1j), "expected numbers as x, got complex64"),
    "one dimension": (npz(x=np.arange(N)), r"expected x as \(n, features\) or images .* got \(24,\); reshape"),
    "no rows": (npz(x=np.zeros((0, 3))), r"got \(0, 3\)"),
    "no features": (npz(x=np.zeros((N, 0))), r"got \(24, 0\)"),
    "NaN": (npz(x=with_value(np.nan)), r"got 2 NaN or infinite, first at x\[3, 1\]"),
    "infinity": (npz(x=with_value(np.inf)), r"got 2 NaN or infinite, first at x\[3, 1\]"),
    "beyond float32": (npz(x=with_value(1e300)), r"finite float32 numbers, got 2"),
    "too few rows": (npz(x=ROWS[: MIN_ROWS - 1]), "expected at least 20 distinct rows, got 19; add some"),
    "duplicates": (
        npz(x=np.vstack([ROWS, ROWS[:5]])),
        "expected distinct rows, got 5 duplicates of 29; remove them or pass --drop-duplicates",
    ),
    "label lengths": (npz(x=ROWS, y=LABELS[:-1]), r"one label per row of x \(24\), got labels of shape \(23,\)"),
    "label matrix": (npz(x=ROWS, y=np.eye(N)), r"got labels of shape \(24, 24\)"),
    "label NaN": (npz(x=ROWS, y=np.where(LABELS, 1, np.nan)), r"got nan in row 0 \(8 such"),
    "one class": (npz(x=ROWS, y=np.full(N, 4)), "at least two classes, got only 4; add others"),
}


@pytest.mark.parametrize(("data", "message"), BAD_NPZ.values(), ids=BAD_NPZ)
def test_bad_archives_are_refused_in_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    """Whatever is wrong with a file, the error names the file and says what was expected and what came."""
    path = tmp_path / "pool.npz"
    path.write_bytes(data)

    with pytest.raises(BadData, match=message) as caught:
        load_pool(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


BAD_CSV = {
    "empty file": ("", "expected a header line and rows, got 0 lines"),
    "header alone": ("a,b\n", "expected a header line and rows, got 1 lines"),
    "no header": (table("1,2", lambda i: f"{i},0"), "expected a header line first, got only numbers"),
    "semicolons": (table("a;b", lambda i: f"{i};0"), "expected commas between columns, got ';'"),
    "nameless": (table(",a", lambda i: f"{i},0"), "got none for column 1; name it or leave it out"),
    "twin names": (table("a,b,a", lambda i: f"{i},0,0"), "distinct column names, got 'a' more than once"),
    "short row": (table("a,b", lambda i: f"{i}" if i == 4 else f"{i},0"), "expected 2 cells in row 5, got 1"),
    "empty cell": (
        table("a,job", lambda i: f"{i},{'' if i in (2, 7) else 'x'}"),
        "expected a value in row 3, column 'job', got an empty cell; fill it or remove the row",
    ),
    "missing marker": (
        table("a,b", lambda i: f"{i},{'NA' if i in (2, 7) else i}"),
        r"expected a number in row 3, column 'b', got 'NA' \(2 such cells\)",
    ),
    "infinity": (table("a,b", lambda i: f"{i},{'inf' if i == 2 else i}"), "row 3, column 'b', got 'inf'"),
    "two labels": (table("a,y,class", lambda i: f"{i},0,1"), "expected one label column, got y and class"),
    "label alone": (table("y", lambda i: f"{i}"), "expected columns beside the label 'y', got none"),
    "one class": (table("a,y", lambda i: f"{i},cat"), "at least two classes, got only cat"),
    "open quote": (table("a,b", lambda i: f'{i},"0'), "expected comma-separated values, got a broken line"),
}


@pytest.mark.parametrize(("text", "message"), BAD_CSV.values(), ids=BAD_CSV)
def test_bad_tables_are_refused_in_one_line(written: Callable[[str], Path], text: str, message: str) -> None:
    """A table that would be misread is refused, naming the file, row and column."""
    path = written(text)

    with pytest.raises(BadData, match=message) as caught:
        load_pool(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_label_column_lists_the_columns(written: Callable[[str], Path], saved: Saved) -> None:
    """A mistyped name is answered with the names there are."""
    with pytest.raises(BadData, match="expected a label column 'knid', got a, kind; name one of them"):
        load_pool(written(table("a,kind", lambda i: f"{i},{i % 2}")), label="knid")
    with pytest.raises(BadData, match="expected an array 't', got x, y"):
        load_pool(saved(x=ROWS, y=LABELS), label="t")


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    """A Latin-1 file is not misread."""
    (tmp_path / "pool.csv").write_bytes("a,b\n1,caf\xe9\n".encode("latin-1"))

    with pytest.raises(BadData, match="expected UTF-8 text"):
        load_pool(tmp_path / "pool.csv")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.npz", "cannot read pool .*none.npz: No such file"),
        ("x.pkl", "ending in .npz, .csv or .jsonl, got '.pkl'"),
    ],
)
def test_missing_and_unknown_files(tmp_path: Path, name: str, message: str) -> None:
    """A file that is not there, or of a kind that is not read."""
    with pytest.raises(BadData, match=message):
        load_pool(tmp_path / name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": [[1, 2], [3]]}, "expected rows of one shape"),
        ({"x": ROWS.astype(object)}, "expected numbers as x, got object"),
        ({"x": ROWS, "bounds": (0, 1)}, r"expected x within its bounds, got \d+ values outside, first"),
        ({"x": ROWS, "bounds": (1, -1)}, "expected bounds as lowest and highest"),
        ({"x": ROWS, "bounds": ([0, 0], 1)}, r"low must be one finite number or one per feature \(3\)"),
        ({"x": ROWS, "y": LABELS, "classes": ["a", "b"]}, "among the 2 classes a, b, got 2; name every class"),
        ({"x": ROWS, "y": LABELS, "classes": ["a", "b", "a"]}, "expected distinct class names"),
        ({"x": ROWS, "y": [{}] * N}, "expected integers or names as labels, got object"),
    ],
)
def test_bad_arrays_are_refused(arguments: dict[str, object], message: str) -> None:
    """Arrays at hand are checked as files are."""
    with pytest.raises(BadData, match=message):
        make_pool(**arguments)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_archives_are_read_or_refused(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    """A file with any bytes changed gives a pool or BadData, nothing else."""
    data = bytearray(npz(x=ROWS, y=LABELS))
    for place, byte in changes:
        data[place % len(data)] = byte
    path = tmp_path / "pool.npz"
    path.write_bytes(data)

    try:
        outcome = load_pool(path)
    except BadData as error:
        outcome = str(error)

    assert isinstance(outcome, Pool) or "\n" not in outcome
