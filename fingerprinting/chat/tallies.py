"""
How often each answer was given in each cell, by many language models at once.

Everything that compares counts needs only the answers that two models share, so the table is sparse: one column per
answer of a cell, all cells side by side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from probe_match.fingerprinting.errors import BadData
from scipy import sparse

from .records import Counts

MAX_COUNT: Final = 100_000  # of one answer
MAX_ANSWERS: Final = 10_000  # different answers in one cell of one model


@dataclass(frozen=True, eq=False)
class Table:
    """
    Counts of many models. given: int64 csr (models, columns). cell: int (columns,), the cell a column belongs to.
    asked: int64 (models, cells), answers per cell, those of no column included. base: float64 (columns,), how often an
    answer is given by a model nobody knows, less than 1 in each cell: the rest is left to answers never seen.
    """

    names: tuple[str, ...]
    cells: tuple[str, ...]
    column: dict[tuple[str, str], int]
    given: Any
    cell: np.ndarray
    asked: np.ndarray
    base: np.ndarray

    @cached_property
    def by_column(self) -> Any:
        """int64 csc (models, columns): the same, quick to take columns of."""
        return self.given.tocsc()


def checked(counts: Counts, whose: str) -> Counts:
    """The same counts. Raises BadData where they are not whole numbers from 1, or far too many."""
    for cell, answers in counts.items():
        if len(answers) > MAX_ANSWERS:
            raise BadData(f"{whose}: expected at most {MAX_ANSWERS} different answers to {cell}, got {len(answers)}")
        for answer, times in answers.items():
            if type(times) is not int or not 1 <= times <= MAX_COUNT:
                raise BadData(
                    f"{whose}: expected counts from 1 to {MAX_COUNT} in {cell}, got {times} of {answer[:40]!r}"
                )
    return counts


def tabulate(models: Mapping[str, Counts], cells: Sequence[str] | None = None) -> Table:
    """
    The table of all models, by name. cells: those that count, all if None.

    An answer's base rate is its mean share among the models; Good and Turing's share of answers seen only once
    (Good 1953) is held back for those never seen.
    """
    if cells is None:
        cells = sorted({cell for counts in models.values() for cell in counts})
    place = {cell: c for c, cell in enumerate(cells)}
    column: dict[tuple[str, str], int] = {}
    rows, columns, times = [], [], []
    for i, (name, counts) in enumerate(models.items()):
        for cell, answers in checked(counts, name).items():
            if cell in place:
                for answer, n in answers.items():
                    rows.append(i)
                    columns.append(column.setdefault((cell, answer), len(column)))
                    times.append(n)
    shape = (len(models), len(column))
    given = sparse.csr_matrix((np.array(times, np.int64), (rows, columns)), shape=shape)
    cell_of = np.array([place[cell] for cell, _ in column], int)
    asked = _per_cell(given, cell_of, len(cells))

    return Table(tuple(models), tuple(cells), column, given, cell_of, asked, _base(given, cell_of, asked))


def some(table: Table, models: np.ndarray) -> Table:
    """The table of some models; int (k,). Columns and base rates stay."""
    names = tuple(table.names[i] for i in models)
    return replace(table, names=names, given=table.given[models], asked=table.asked[models])


def rows_of(table: Table, counts: Counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    One suspect in a table's terms: columns int (t,), counts int64 (t,), and answers per cell int64 (cells,).

    Answers that no reference gave have no column; they count among the answers of their cell.
    """
    asked = np.array([sum(counts.get(cell, {}).values()) for cell in table.cells], np.int64)
    known = [
        (table.column[cell, answer], n)
        for cell in table.cells
        for answer, n in counts.get(cell, {}).items()
        if (cell, answer) in table.column
    ]
    columns, times = np.array(known, np.int64).reshape(-1, 2).T

    return columns, times, asked


def all_rows(counts: Counts, cells: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every answer of one model, seen in a table or not: times int64 (t,), its cell int (t,), and asked (cells,)."""
    place = {cell: c for c, cell in enumerate(cells)}
    given = [(n, place[cell]) for cell, answers in counts.items() if cell in place for n in answers.values()]
    times, where = np.array(given, np.int64).reshape(-1, 2).T

    return times, where, np.bincount(where, times, len(cells)).astype(np.int64)


def thin(counts: Counts, most: Mapping[str, int], rng: np.random.Generator) -> Counts:
    """A random part of one model's answers, at most so many per cell; cells not named are left out."""
    out = {}
    for cell, answers in counts.items():
        given = np.array(list(answers.values()))
        n = min(int(given.sum()), most.get(cell, 0))
        kept = rng.multivariate_hypergeometric(given, n) if n < given.sum() else given
        if n:
            out[cell] = {answer: int(k) for answer, k in zip(answers, kept, strict=True) if k}
    return out


def without(counts: Counts, part: Counts) -> Counts:
    """What is left of one model's answers when a part of them is taken out."""
    left = {
        cell: {a: n - part.get(cell, {}).get(a, 0) for a, n in answers.items() if n > part.get(cell, {}).get(a, 0)}
        for cell, answers in counts.items()
    }
    return {cell: answers for cell, answers in left.items() if answers}


def _per_cell(given: Any, cell_of: np.ndarray, cells: int) -> np.ndarray:
    members = sparse.csr_matrix(
        (np.ones(len(cell_of), np.int64), (np.arange(len(cell_of)), cell_of)), (len(cell_of), cells)
    )
    return np.asarray((given @ members).toarray())


def _base(given: Any, cell_of: np.ndarray, asked: np.ndarray) -> np.ndarray:
    entries = given.tocoo()
    share = entries.data / asked[entries.row, cell_of[entries.col]]
    total = np.bincount(entries.col, share, given.shape[1])
    answered = np.maximum((asked > 0).sum(0), 1)[cell_of]
    often = np.asarray(given.sum(0)).ravel()
    once = np.bincount(cell_of, often == 1, asked.shape[1])
    unseen = (once + 1) / (asked.sum(0) + 2)

    return np.asarray((1 - unseen[cell_of]) * total / answered)
