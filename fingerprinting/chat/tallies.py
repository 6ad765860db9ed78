"""
How often each answer was given in each cell, by many language models at once.

Everything that compares counts needs only the answers that two models share, so the table is sparse: one column per
answer of a cell, all cells side by side, and a column is found by a hash of its answer, so that a kept table holds
numbers alone.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, repeat
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
    Counts of many models, column by column. key: uint64 (columns,), ascending, see `key_of`. start: int64
    (columns + 1,), where the entries of a column begin. model, times: int32 (entries,), who gave it and how often.
    cell: int32 (columns,), the cell a column belongs to. asked: int32 (models, cells), answers per cell. base: float64
    (columns,), how often an answer is given by a model nobody knows, less than 1 in each cell: the rest is left to
    answers never seen.
    """

    names: tuple[str, ...]
    cells: tuple[str, ...]
    key: np.ndarray
    start: np.ndarray
    model: np.ndarray
    times: np.ndarray
    cell: np.ndarray
    asked: np.ndarray
    base: np.ndarray

    @cached_property
    def by_model(self) -> Any:
        """int32 csr (models, columns): the same, quick to take models of."""
        shape = (len(self.names), len(self.key))
        return sparse.csc_matrix((self.times, self.model, self.start), shape=shape).tocsr()

    @cached_property
    def most(self) -> int:
        """How often any answer was given at most."""
        return int(self.times.max(initial=0))


def key_of(cell: str, answer: str) -> int:
    """64 bits that stand for an answer of a cell; two of a million share theirs with probability 1e-7."""
    told = f"{cell}\0{answer}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest(), "little")


def tabulate(models: Mapping[str, Counts], cells: Sequence[str] | None = None) -> Table:
    """
    The table of all models, by name. cells: those that count, all if None. Raises BadData for counts that are none.

    An answer's base rate is its mean share among the models; Good and Turing's share of answers seen only once
    (Good 1953) is held back for those never seen.
    """
    if cells is None:
        cells = sorted({cell for counts in models.values() for cell in counts})
    parts = []
    for c, cell in enumerate(cells):
        given = [counts.get(cell) or {} for counts in models.values()]
        place: dict[str, int] = {}
        for answers in given:
            for answer in answers:
                place.setdefault(answer, len(place))
        sizes = np.fromiter(map(len, given), np.int64, len(given))
        times = np.array(list(chain.from_iterable(answers.values() for answers in given)) or [1])
        if sizes.max(initial=0) > MAX_ANSWERS or times.dtype.kind != "i" or times.min() < 1 or times.max() > MAX_COUNT:
            raise _no_counts(models, cell)
        where = np.fromiter(map(place.__getitem__, chain.from_iterable(given)), np.int64, int(sizes.sum()))
        keys = np.fromiter(map(key_of, repeat(cell), place), np.uint64, len(place))
        parts.append((keys, keys[where], np.repeat(np.arange(len(given)), sizes), times[: len(where)], c))
    key = np.concatenate([np.zeros(0, np.uint64), *(keys for keys, *_ in parts)])
    of = np.concatenate([np.zeros(0, np.int32), *(np.full(len(keys), c, np.int32) for keys, *_, c in parts)])
    order = np.argsort(key)
    column = np.searchsorted(key[order], np.concatenate([np.zeros(0, np.uint64), *(held for _, held, *_ in parts)]))
    row = np.concatenate([np.zeros(0, np.int64), *(rows for *_, rows, _, _ in parts)])
    times = np.concatenate([np.zeros(0, np.int64), *(counted for *_, counted, _ in parts)])

    return _table(tuple(models), tuple(cells), key[order], of[order], row, column, times)


def some(table: Table, models: np.ndarray, given: Any = None) -> Table:
    """
    The table of some models, int (k,). Columns and base rates stay.

    given: int csr (k, columns), what they answered, if it is not all that the table holds of them.
    """
    held = sparse.csc_matrix(table.by_model[models] if given is None else given)
    held.sort_indices()
    asked = table.asked[models] if given is None else _per_cell(given, table.cell, len(table.cells))
    times, model = held.data.astype(np.int32), held.indices.astype(np.int32)

    return replace(
        table, names=tuple(table.names[i] for i in models), start=held.indptr, model=model, times=times, asked=asked
    )


def rows_of(table: Table, counts: Counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    One suspect in a table's terms: columns int (t,), counts int64 (t,), and answers per cell int64 (cells,).

    Answers that no reference gave have no column; they count among the answers of their cell.
    """
    asked = np.array([sum(counts.get(cell, {}).values()) for cell in table.cells], np.int64)
    given = [(key_of(cell, answer), n) for cell in table.cells for answer, n in counts.get(cell, {}).items()]
    keys = np.array([key for key, _ in given], np.uint64)
    times = np.array([n for _, n in given], np.int64)
    columns = np.searchsorted(table.key, keys)
    seen = (columns < len(table.key)) & (np.append(table.key, np.uint64(0))[columns] == keys)

    return columns[seen], times[seen], asked


def row(table: Table, model: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One of the table's own models, in the same terms."""
    start, end = table.by_model.indptr[model : model + 2]
    columns, times = table.by_model.indices[start:end], table.by_model.data[start:end]

    return columns.astype(np.int64), times.astype(np.int64), table.asked[model].astype(np.int64)


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


def thin_row(table: Table, model: int, most: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """
    How often one of a table's models gave each of its answers in a random part; int64 (t,). most: int (cells,).

    A generator in the same state gives nested parts for growing numbers, as if more and more were asked.
    """
    columns, times, _ = row(table, model)
    which = np.repeat(np.arange(len(columns)), times)  # every single answer
    cell = table.cell[columns][which]
    order = np.lexsort((rng.random(len(which)), cell))
    first = np.searchsorted(cell[order], np.arange(len(table.cells)))
    kept = np.arange(len(order)) - first[cell[order]] < most[cell[order]]

    return np.bincount(which[order][kept], minlength=len(columns)).astype(np.int64)


def without(counts: Counts, part: Counts) -> Counts:
    """What is left of one model's answers when a part of them is taken out."""
    left = {
        cell: {a: n - part.get(cell, {}).get(a, 0) for a, n in answers.items() if n > part.get(cell, {}).get(a, 0)}
        for cell, answers in counts.items()
    }
    return {cell: answers for cell, answers in left.items() if answers}


def _table(
    names: tuple[str, ...],
    cells: tuple[str, ...],
    key: np.ndarray,
    cell: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
    times: np.ndarray,
) -> Table:
    given = sparse.csc_matrix((times, (row, column)), shape=(len(names), len(key)), dtype=np.int64)
    asked = _per_cell(given, cell, len(cells))
    start, model, times = given.indptr.astype(np.int64), given.indices.astype(np.int32), given.data.astype(np.int32)

    return Table(names, cells, key, start, model, times, cell, asked, _base(given, cell, asked))


def _per_cell(given: Any, cell_of: np.ndarray, cells: int) -> np.ndarray:
    entries = given.tocoo()
    at = entries.row.astype(np.int64) * cells + cell_of[entries.col]
    counted = np.bincount(at, entries.data, given.shape[0] * cells)

    return np.asarray(counted.reshape(given.shape[0], cells).astype(np.int32))


def _base(given: Any, cell_of: np.ndarray, asked: np.ndarray) -> np.ndarray:
    entries = given.tocoo()
    share = entries.data / asked[entries.row, cell_of[entries.col]]
    total = np.bincount(entries.col, share, given.shape[1])
    answered = np.maximum((asked > 0).sum(0), 1)[cell_of]
    often = np.asarray(given.sum(0)).ravel()
    once = np.bincount(cell_of, often == 1, asked.shape[1])
    unseen = (once + 1) / (asked.sum(0) + 2)

    return np.asarray((1 - unseen[cell_of]) * total / answered)


def _no_counts(models: Mapping[str, Counts], cell: str) -> BadData:
    for name, counts in models.items():
        answers = counts.get(cell) or {}
        if len(answers) > MAX_ANSWERS:
            return BadData(f"{name}: expected at most {MAX_ANSWERS} different answers to {cell}, got {len(answers)}")
        for answer, times in answers.items():
            if type(times) is not int or not 1 <= times <= MAX_COUNT:
                return BadData(
                    f"{name}: expected counts from 1 to {MAX_COUNT} in {cell}, got {times} of {answer[:40]!r}"
                )
    return BadData(f"expected whole numbers as counts of {cell}, got others")
