"""Tables of mixed columns as numbers: CSV with a header, categories as codes."""

import csv
import io
from typing import Final, NamedTuple

import numpy as np

from .errors import BadData

LABEL_COLUMNS: Final = ("y", "label", "target", "class")
# What people write for "not known". Beside numbers it is a hole; among words it is a category like any other.
NO_VALUE: Final = frozenset({"na", "n/a", "#n/a", "null", "none", "nil", "?", "-", "."})


class Table(NamedTuple):
    """
    x: float64 (n, features), codes in categorical columns. y: the label column as int64, float64 or str (n,), or None.

    features: names (features,). categories: per column the sorted values, () for a number; () if all are numbers.
    """

    x: np.ndarray
    y: np.ndarray | None
    features: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]


def read_csv(data: bytes, source: str, label: str | None = None) -> Table:
    """
    Comma-separated UTF-8 with one header line; `source` names it in errors.

    label: the column that holds the labels; by default the one called y, label, target or class, if there is one.
    Raises BadData where a cell is empty, a row is of another length, or the label column is missing or ambiguous.
    """
    names, rows = read_rows(data, source)
    y_column = label_column(names, source, label)
    x, categories = [], []
    y = None
    for column, (name, cells) in enumerate(zip(names, zip(*rows, strict=True), strict=True)):
        if "" in cells:
            raise BadData(
                f"{source}: expected a value in row {cells.index('') + 1}, column '{name}', got an empty cell; "
                "fill it or remove the row"
            )
        values = numbers(cells, name, source)
        if column == y_column:
            y = np.array(cells) if values is None else values
            continue
        seen: tuple[str, ...] = ()
        if values is None:
            kinds, values = np.unique(np.array(cells), return_inverse=True)
            seen = tuple(kinds.tolist())
        x.append(values)
        categories.append(seen)
    if not x:
        raise BadData(f"{source}: expected columns beside the label '{names[0]}', got none")

    features = tuple(name for column, name in enumerate(names) if column != y_column)
    return Table(np.stack(x, 1).astype(np.float64), y, features, tuple(categories) if any(categories) else ())


def read_rows(data: bytes, source: str) -> tuple[list[str], list[list[str]]]:
    """Names of the columns and the stripped cells of every row that is not blank. Raises BadData."""
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        lines = [[cell.strip() for cell in line] for line in reader if line]
    except UnicodeDecodeError as error:
        raise BadData(
            f"{source}: expected UTF-8 text, got another encoding ({error.reason}); save it as UTF-8"
        ) from error
    except csv.Error as error:
        raise BadData(f"{source}: expected comma-separated values, got a broken line ({error}); mend it") from error
    if len(lines) < 2:
        raise BadData(f"{source}: expected a header line and rows, got {len(lines)} lines")
    names, rows = lines[0], lines[1:]
    _check_header(names, source)
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise BadData(
                f"{source}: expected {len(names)} cells in row {i + 1}, got {len(row)}; quote cells that hold commas"
            )

    return names, rows


def _check_header(names: list[str], source: str) -> None:
    if len(names) == 1 and (found := next((mark for mark in ";\t|" if mark in names[0]), None)):
        raise BadData(f"{source}: expected commas between columns, got {found!r}; save it with commas")
    if "" in names:
        raise BadData(
            f"{source}: expected a name for every column, got none for column {names.index('') + 1}; "
            "name it or leave it out"
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadData(f"{source}: expected distinct column names, got '{twice}' more than once; rename one")
    if all(np.isfinite(_number(name)) for name in names):
        raise BadData(f"{source}: expected a header line first, got only numbers; add the names of the columns")


def label_column(names: list[str], source: str, label: str | None) -> int | None:
    """Where the labels are: the column named `label`, else the one in LABEL_COLUMNS, else None. Raises BadData."""
    if label is not None:
        if label not in names:
            raise BadData(
                f"{source}: expected a label column '{label}', got {', '.join(names[:12])}"
                f"{', …' * (len(names) > 12)}; name one of them"
            )
        return names.index(label)
    found = [i for i, name in enumerate(names) if name.lower() in LABEL_COLUMNS]
    if len(found) > 1:
        raise BadData(
            f"{source}: expected one label column, got {' and '.join(names[i] for i in found)}; say which with label"
        )

    return found[0] if found else None


def numbers(cells: tuple[str, ...], name: str, source: str) -> np.ndarray | None:
    """The cells as float64 (n,), or None where they are words. Raises BadData where a number is plainly missing."""
    values = np.array([_number(cell) for cell in cells])
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad) == 0:
        return values
    if len(bad) < len(cells) and all(np.isinf(values[i]) or cells[i].lower() in NO_VALUE for i in bad):
        raise BadData(
            f"{source}: expected a number in row {bad[0] + 1}, column '{name}', got '{cells[bad[0]]}' "
            f"({len(bad)} such cells); fill them or remove the rows"
        )

    return None


def _number(cell: str) -> float:
    """The number a cell holds; NaN for words, infinity for what is no finite number."""
    if "_" in cell:  # Python reads 1_000 as a number, tables do not
        return np.nan
    try:
        value = float(cell)
    except ValueError:
        return np.nan

    return value if np.isfinite(value) else np.inf
