"""
How alike the answers of two language models to one-word questions are, counted cell by cell.

`divergence` is the published measure ("One Token Is Enough", Bruckner, arXiv:2607.10252): the mean Jensen–Shannon
divergence. `evidence` is ours: the log-likelihood ratio that both models' counts come from one unknown distribution,
against two, each with a Dirichlet prior around what models commonly say. Sharing a common answer tells little, sharing
a rare one much. `likeness` divides it by what each model shares with itself, so that talkative and monotonous models
come on one scale. `discrepancy` is published too, and the better of the two, as it has no bias whatever a model's
variety. The closed-set rule, `likelihood`, asks which reference predicts the answers best.

One suspect against m references at a time, as only shared answers matter: milliseconds for thousands of references.
"""

from typing import Final, NamedTuple

import numpy as np
from scipy.special import gammaln

from .tallies import Table

PRIOR: Final = 1.0  # answers that the common distribution counts for
LEAST_SELF: Final = 0.3  # nats a cell; a model that only says what all say shares nothing telling with itself


class Suspect(NamedTuple):
    """Columns int (t,), counts int64 (t,) and answers per cell int64 (cells,), as `tallies.rows_of` gives them."""

    columns: np.ndarray
    times: np.ndarray
    asked: np.ndarray


def evidence(suspect: Suspect, table: Table) -> np.ndarray:
    """Log-likelihood ratio of one distribution against two, over the cells both answered; float64 (m,), nats."""
    alpha = PRIOR * table.base[suspect.columns]
    seen = np.arange(_most(table) + 1)[None, :]
    times = suspect.times[:, None]
    gain = gammaln(times + seen + alpha[:, None]) - gammaln(seen + alpha[:, None])
    gain -= (gammaln(suspect.times + alpha) - gammaln(alpha))[:, None]

    return np.asarray(_over_shared(suspect, table, gain) + _over_cells(suspect.asked, table))


def own_evidence(columns: np.ndarray, times: np.ndarray, asked: np.ndarray, table: Table) -> np.ndarray:
    """What a model's counts share with themselves, per cell; float64 (cells,), nats."""
    alpha = PRIOR * table.base[columns]
    gain = gammaln(2 * times + alpha) - 2 * gammaln(times + alpha) + gammaln(alpha)
    per_cell = np.bincount(table.cell[columns], gain, len(table.cells))

    return np.asarray(per_cell + _totals(asked, asked))


def likeness(suspect: Suspect, table: Table, own: np.ndarray, nats: np.ndarray | None = None) -> np.ndarray:
    """
    Evidence as a share of what suspect and reference share with themselves; float64 (m,), near 1 for one model.

    own: float64 (m, cells), `own_evidence` of every reference. nats: float64 (m,), `evidence` where it is known.
    """
    both = (table.asked > 0) & (suspect.asked > 0)
    mine = own_evidence(*suspect, table)
    level = (np.einsum("mc,mc->m", own, both) + both @ mine) / 2

    shared = evidence(suspect, table) if nats is None else nats

    return shared / np.maximum(level, LEAST_SELF * np.maximum(both.sum(1), 1))


def likelihood(suspect: Suspect, table: Table) -> np.ndarray:
    """
    Closed set: how well each reference's answers predict the suspect's, per answer; float64 (m,), nats, up to a
    constant of the suspect.
    """
    alpha = PRIOR * table.base[suspect.columns]
    seen = np.arange(_most(table) + 1)[None, :]
    weight = (suspect.times / np.maximum(suspect.asked, 1)[table.cell[suspect.columns]])[:, None]
    gain = weight * (np.log(seen + alpha[:, None]) - np.log(alpha)[:, None])
    both = (table.asked > 0) & (suspect.asked > 0)
    total = _over_shared(suspect, table, gain) - (both * np.log(table.asked + PRIOR)).sum(1)

    return np.asarray(total / np.maximum(both.sum(1), 1))


def divergence(suspect: Suspect, table: Table) -> np.ndarray:
    """Mean Jensen–Shannon divergence over the cells both answered; float64 (m,), bits, 0 to 1, NaN without any."""
    both = (table.asked > 0) & (suspect.asked > 0)
    entries = table.by_column[:, suspect.columns].tocoo()
    cell = table.cell[suspect.columns][entries.col]
    p = (suspect.times / suspect.asked[table.cell[suspect.columns]])[entries.col]
    q = entries.data / table.asked[entries.row, cell]
    mean = (p + q) / 2
    shared = -mean * np.log2(mean) + (p * np.log2(p) + q * np.log2(q)) / 2 - mean
    cells = both.sum(1)
    with np.errstate(invalid="ignore"):
        return np.asarray((cells + np.bincount(entries.row, shared, len(table.names))) / np.where(cells, cells, np.nan))


def repeats(counts: np.ndarray, cell: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """
    How often two answers of one model to a question are the same, unbiased; float64 (cells,), NaN below two answers.

    counts: int (t,) of the answers given, cell: int (t,) theirs.
    """
    pairs = np.bincount(cell, counts * (counts - 1), len(asked))
    return np.asarray(np.where(asked > 1, pairs / np.maximum(asked * (asked - 1), 1), np.nan))


def discrepancy(suspect: Suspect, table: Table, within: np.ndarray, own: np.ndarray) -> np.ndarray:
    """
    Squared maximum mean discrepancy with the kernel "the same answer", mean over cells (Model Equality Testing, Gao et
    al., 2410.20247); float64 (m,), 0 on average between a model and itself, however varied its answers.

    within, own: `repeats` of every reference, float64 (m, cells), and of the suspect, float64 (cells,).
    """
    both = (table.asked > 0) & (suspect.asked > 0)
    entries = table.by_column[:, suspect.columns].tocoo()
    cell = table.cell[suspect.columns]
    share = suspect.times / suspect.asked[cell]
    across = share[entries.col] * entries.data / table.asked[entries.row, cell[entries.col]]
    # Who answered a question once shows no variance there: the other's stands for it.
    mine = np.where(np.isnan(own), within, own)
    theirs = np.where(np.isnan(within), own, within)
    inside = np.where(both, np.nan_to_num(mine + theirs), 0.0).sum(1)

    return np.asarray((inside - 2 * np.bincount(entries.row, across, len(table.names))) / np.maximum(both.sum(1), 1))


def _most(table: Table) -> int:
    return int(table.given.data.max(initial=0))


def _over_shared(suspect: Suspect, table: Table, gain: np.ndarray) -> np.ndarray:
    """Sum over shared answers of gain[answer, times the reference gave it]; gain at 0 is left out, float64 (m,)."""
    entries = table.by_column[:, suspect.columns].tocoo()

    return np.bincount(entries.row, gain[entries.col, entries.data], len(table.names))


def _over_cells(asked: np.ndarray, table: Table) -> np.ndarray:
    """What the numbers of answers alone add to the evidence; float64 (m,)."""
    totals = np.arange(int(table.asked.max(initial=0)) + 1)
    known = _totals(asked[:, None], totals[None, :])  # (cells, totals)
    known[:, 0] = known[asked == 0] = 0.0

    return np.asarray(known[np.arange(len(asked)), table.asked].sum(1))


def _totals(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray(
        gammaln(PRIOR + first) + gammaln(PRIOR + second) - gammaln(PRIOR) - gammaln(PRIOR + first + second)
    )
