"""
How alike the answers of two language models to one-word questions are, counted cell by cell.

`divergence` is the published measure ("One Token Is Enough", Bruckner, arXiv:2607.10252): the mean Jensen–Shannon
divergence. `evidence` is ours: the log-likelihood ratio that both models' counts come from one unknown distribution,
against two, each with a Dirichlet prior around what models commonly say. Sharing a common answer tells little, sharing
a rare one much. `likeness` divides it by what each model shares with itself, so that talkative and monotonous models
come on one scale. `discrepancy` is published too, and the better of the two, as it has no bias whatever a model's
variety. The closed-set rule, `closed_set`, joins it to `likelihood`, which asks which reference predicts the answers
best.

One suspect against m references at a time, as only shared answers matter: milliseconds for thousands of references.
"""

from typing import Final, NamedTuple

import numpy as np
from scipy.special import gammaln

from .tallies import Table

PRIOR: Final = 1.0  # answers that the common distribution counts for
CLOSED_SHARE: Final = 2.0  # of the discrepancy beside the likelihood, in their standard deviations
LEAST_SELF: Final = 0.3  # nats a cell; a model that only says what all say shares nothing telling with itself


class Suspect(NamedTuple):
    """Columns int (t,), counts int64 (t,) and answers per cell int64 (cells,), as `tallies.rows_of` gives them."""

    columns: np.ndarray
    times: np.ndarray
    asked: np.ndarray


class Meeting(NamedTuple):
    """
    What a suspect and each of m references both answered, all that comparing them needs. model, which, times: int (e,),
    the reference, the place among the suspect's columns, and how often the reference gave it. both: bool (m, cells),
    cells that both answered. number: int (m,), of these.
    """

    suspect: Suspect
    table: Table
    model: np.ndarray
    which: np.ndarray
    times: np.ndarray
    both: np.ndarray
    number: np.ndarray

    def gained(self, gain: np.ndarray) -> np.ndarray:
        """Sum of gain[which, times] by reference, gain: float64 (t, most + 1); float64 (m,)."""
        return self.over_shared(gain.ravel().take(self.which * gain.shape[1] + self.times))

    def over_shared(self, values: np.ndarray) -> np.ndarray:
        """Sum of float (e,) by reference; float64 (m,)."""
        return np.bincount(self.model, values, len(self.table.names))


def meet(suspect: Suspect, table: Table) -> Meeting:
    """Gather what a suspect shares with every reference of a table."""
    start = table.start[suspect.columns]
    sizes = table.start[suspect.columns + 1] - start
    which = np.repeat(np.arange(len(sizes)), sizes)
    entry = np.arange(len(which)) + np.repeat(start - (np.cumsum(sizes) - sizes), sizes)
    both = (table.asked > 0) & (suspect.asked > 0)

    return Meeting(suspect, table, table.model[entry], which, table.times[entry], both, both.sum(1))


def evidence(met: Meeting) -> np.ndarray:
    """Log-likelihood ratio of one distribution against two, over the cells both answered; float64 (m,), nats."""
    suspect, table = met.suspect, met.table
    alpha = PRIOR * table.base[suspect.columns]
    seen = np.arange(table.most + 1)[None, :]
    times = suspect.times[:, None]
    gain = gammaln(times + seen + alpha[:, None]) - gammaln(seen + alpha[:, None])
    gain -= (gammaln(suspect.times + alpha) - gammaln(alpha))[:, None]

    return np.asarray(met.gained(gain) + _over_cells(suspect.asked, table))


def own_evidence(columns: np.ndarray, times: np.ndarray, asked: np.ndarray, table: Table) -> np.ndarray:
    """What a model's counts share with themselves, per cell; float64 (cells,), nats."""
    per_cell = np.bincount(table.cell[columns], _own_gain(times, columns, table), len(table.cells))
    return np.asarray(per_cell + _totals(asked, asked))


def all_own_evidence(table: Table) -> np.ndarray:
    """`own_evidence` of every model of a table; float64 (m, cells)."""
    columns = np.repeat(np.arange(len(table.key)), np.diff(table.start))
    at = table.model.astype(np.int64) * len(table.cells) + table.cell[columns]
    gained = np.bincount(at, _own_gain(table.times, columns, table), table.asked.size)

    return np.asarray(gained.reshape(table.asked.shape) + _totals(table.asked, table.asked))


def likeness(met: Meeting, own: np.ndarray, nats: np.ndarray | None = None) -> np.ndarray:
    """
    Evidence as a share of what suspect and reference share with themselves; float64 (m,), near 1 for one model.

    own: float64 (m, cells), `own_evidence` of every reference. nats: float64 (m,), `evidence` where it is known.
    """
    mine = own_evidence(*met.suspect, met.table)
    level = (np.einsum("mc,mc->m", own, met.both) + met.both @ mine) / 2
    shared = evidence(met) if nats is None else nats

    return shared / np.maximum(level, LEAST_SELF * np.maximum(met.number, 1))


def likelihood(met: Meeting) -> np.ndarray:
    """
    Closed set: how well each reference's answers predict the suspect's, per answer; float64 (m,), nats, up to a
    constant of the suspect.
    """
    suspect, table = met.suspect, met.table
    alpha = PRIOR * table.base[suspect.columns]
    seen = np.arange(table.most + 1)[None, :]
    weight = (suspect.times / np.maximum(suspect.asked, 1)[table.cell[suspect.columns]])[:, None]
    gain = weight * (np.log(seen + alpha[:, None]) - np.log(alpha)[:, None])
    total = met.gained(gain) - (met.both * np.log(table.asked + PRIOR)).sum(1)

    return np.asarray(total / np.maximum(met.number, 1))


def closed_set(met: Meeting, within: np.ndarray, own: np.ndarray) -> np.ndarray:
    """
    Closed set, where it is known to be one of the references: `likelihood` less `discrepancy`, each in its own standard
    deviations over them; float64 (m,). within, own: see `discrepancy`.
    """
    near, apart = likelihood(met), discrepancy(met, within, own)
    return np.asarray(_standardised(near) - CLOSED_SHARE * _standardised(apart))


def divergence(met: Meeting) -> np.ndarray:
    """Mean Jensen–Shannon divergence over the cells both answered; float64 (m,), bits, 0 to 1, NaN without any."""
    p, q = _shares(met)
    mean = (p + q) / 2
    shared = -mean * np.log2(mean) + (p * np.log2(p) + q * np.log2(q)) / 2 - mean
    with np.errstate(invalid="ignore"):
        return np.asarray((met.number + met.over_shared(shared)) / np.where(met.number, met.number, np.nan))


def repeats(counts: np.ndarray, cell: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """
    How often two answers of one model to a question are the same, unbiased; float64 (cells,), NaN below two answers.

    counts: int (t,) of the answers given, cell: int (t,) theirs.
    """
    return _repeats(np.bincount(cell, counts * (counts - 1), len(asked)), asked)


def all_repeats(table: Table) -> np.ndarray:
    """`repeats` of every model of a table; float64 (m, cells)."""
    columns = np.repeat(np.arange(len(table.key)), np.diff(table.start))
    at = table.model.astype(np.int64) * len(table.cells) + table.cell[columns]
    times = table.times.astype(np.int64)

    return _repeats(np.bincount(at, times * (times - 1), table.asked.size).reshape(table.asked.shape), table.asked)


def discrepancy(met: Meeting, within: np.ndarray, own: np.ndarray) -> np.ndarray:
    """
    Squared maximum mean discrepancy with the kernel "the same answer", mean over cells (Model Equality Testing, Gao et
    al., 2410.20247); float64 (m,), 0 on average between a model and itself, however varied its answers.

    within, own: `repeats` of every reference, float64 (m, cells), and of the suspect, float64 (cells,).
    """
    p, q = _shares(met)
    # Who answered a question once shows no variance there: the other's stands for it.
    mine, theirs = np.nan_to_num(own), np.where(met.both, np.nan_to_num(within), 0.0)
    inside = theirs @ (1.0 + np.isnan(own)) + met.both @ mine + (met.both & np.isnan(within)) @ mine

    return np.asarray((inside - 2 * met.over_shared(p * q)) / np.maximum(met.number, 1))


def _standardised(values: np.ndarray) -> np.ndarray:
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-12))


def _shares(met: Meeting) -> tuple[np.ndarray, np.ndarray]:
    """Share of each shared answer in its cell, the suspect's and the reference's; float64 (e,) each."""
    cell = met.table.cell[met.suspect.columns]
    share = met.suspect.times / met.suspect.asked[cell]
    at = met.model.astype(np.int64) * len(met.table.cells) + cell[met.which]
    return share[met.which], met.times / met.table.asked.ravel().take(at)


def _own_gain(times: np.ndarray, columns: np.ndarray, table: Table) -> np.ndarray:
    alpha = PRIOR * table.base[columns]
    return np.asarray(gammaln(2 * times + alpha) - 2 * gammaln(times + alpha) + gammaln(alpha))


def _repeats(pairs: np.ndarray, asked: np.ndarray) -> np.ndarray:
    of = asked.astype(np.int64)
    return np.asarray(np.where(of > 1, pairs / np.maximum(of * (of - 1), 1), np.nan))


def _over_cells(asked: np.ndarray, table: Table) -> np.ndarray:
    """What the numbers of answers alone add to the evidence; float64 (m,)."""
    totals = np.arange(int(table.asked.max(initial=0)) + 1)
    known = _totals(asked[:, None], totals[None, :])  # (cells, totals)
    known[:, 0] = known[asked == 0] = 0.0

    return np.asarray(known.ravel().take(table.asked + np.arange(len(asked)) * len(totals)).sum(1))


def _totals(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray(
        gammaln(PRIOR + first) + gammaln(PRIOR + second) - gammaln(PRIOR) - gammaln(PRIOR + first + second)
    )
