"""
What can be worked out about the references before a suspect answers: how much each shares with itself, which of them
nothing tells apart, and how well honest models score at so many answers. Worth keeping, see `prepared`.

Honest models are the references themselves, each drawn to the suspect's number of answers and compared with all others,
since few answers look far from everything.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy import sparse

from . import single_token, tallies
from .equality import change_p
from .records import Counts
from .single_token import Meeting, Suspect, meet
from .standing import Level, levels, peers, stand_out
from .tallies import Table

COHORT: Final = 256  # known models that stand for honest suspects
GENUINE: Final = 64  # of them, that are also tried against the rest of their own answers
RELATED: Final = 0.05  # of known models are no nearer to their own answers than relatives are to each other
FEW_GENUINE: Final = 8  # below this, nobody is taken for a relative
UNEQUAL: Final = 0.01  # chance of so large a difference between relatives, below which they are two models
RELABELINGS: Final = 200  # that tell it
TELLING: Final = 400  # answers of each, below which relatives are never taken for one model: too few to tell
TESTED: Final = 1000  # pairs of relatives, the nearest; others are taken for two models, which names fewer suspects
LOST: Final = 2  # answers of a cell, that may be fewer than another's for both to count as asked alike
LIKENESS: Final = 5.0  # standard deviations that full likeness adds to standing out
DISCREPANCY: Final = 20.0  # and that a discrepancy of 1 takes away, where many answers a cell show it well


class Known(NamedTuple):
    """
    own, within: float64 (m, cells), see `single_token.likeness` and `discrepancy`. who: int64 (c,), the references that
    stand for honest suspects. kin: bool (c, m), pairs as near to each other as a model is to its own answers, over all
    cells: versions or derivatives of one model, a family. same: bool (c, m), those of them that all their answers
    together do not tell apart: one model under two names. off_form: whether answers that were not of the form asked
    count among the others.
    """

    table: Table
    own: np.ndarray
    within: np.ndarray
    who: np.ndarray
    kin: np.ndarray
    same: np.ndarray
    off_form: bool = False


class Honest(NamedTuple):
    """
    At so many answers a cell. level: of other models' likeness to each reference. most: float64 (m,), the highest score
    of an honest model for each reference, -inf where there is none, and nearest: int64 (m,), which reference that is.
    best: float64 (≤ c,), the highest of each honest model for another family. closest: float64 (≤ c,), for another
    model, relatives included. genuine: float64 (≤ GENUINE,), scores of references against the rest of their answers.
    """

    level: Level
    most: np.ndarray
    nearest: np.ndarray
    best: np.ndarray
    closest: np.ndarray
    genuine: np.ndarray


def know(
    references: Mapping[str, Counts], cells: Sequence[str] | None = None, *, seed: int = 0, off_form: bool = False
) -> Known:
    """
    What all suspects share. cells: those that count, all if None. seed: of the draws that tell relatives. off_form:
    whether the counts tell of answers that were not of the form asked.
    """
    table = tallies.tabulate(references, cells)
    m = len(table.names)
    who = np.unique(np.linspace(0, m - 1, min(m, COHORT)).astype(np.int64))
    nobody = np.zeros((len(who), m), bool)
    own, within = single_token.all_own_evidence(table), single_token.all_repeats(table)
    known = Known(table, own, within, who, nobody, nobody, off_form)
    rng = np.random.default_rng(seed)
    scores, kin = _kin(known, table.asked.max(0), rng)

    return known._replace(kin=kin, same=_same(table, who, np.where(kin, scores, -np.inf), rng))


def honest(known: Known, asked: np.ndarray, *, seed: int = 0) -> Honest:
    """What honest suspects score who answer so often. asked: int (cells,)."""
    asked = levelled(asked)
    rng = np.random.default_rng(seed)
    cohort, bonus = _compared(known, asked, rng)
    scores = peers(cohort, known.who) + bonus
    kin = known.kin | known.same | _relatives(known, asked > 0, seed)  # of two tellings, each by chance misses some
    filled = np.where(kin, -np.inf, np.nan_to_num(scores, nan=-np.inf))
    best = _highest(filled)
    closest = _highest(np.where(known.same, -np.inf, np.nan_to_num(scores, nan=-np.inf)))
    genuine = _genuine(known, cohort, asked, rng)

    return Honest(levels(cohort, known.who), filled.max(0), known.who[filled.argmax(0)], best, closest, genuine)


def levelled(asked: np.ndarray) -> np.ndarray:
    """
    About the same number of answers where it matters little in which cells they came, as in a round cut short or with
    an answer lost here and there: the first cells have what is over, a quarter of them at a time. Suspects that were
    asked alike then share what is known. asked: int (cells,).
    """
    there = asked[asked > 0]
    if not len(there) or there.max() - there.min() > LOST:
        return asked
    quarters = max(round(4 * float(there.mean())), 4)
    out = np.zeros_like(asked)
    out[asked > 0] = quarters // 4 + (np.arange(len(there)) < round(len(there) * (quarters % 4) / 4))

    return out


def comparable(known: Known, rows: np.ndarray) -> Known:
    """What is known of some references only; rows: int (k,), ascending."""
    kept = np.isin(known.who, rows)
    table = tallies.some(known.table, rows)
    who = np.searchsorted(rows, known.who[kept])

    kin, same = known.kin[kept][:, rows], known.same[kept][:, rows]

    return Known(table, known.own[rows], known.within[rows], who, kin, same, known.off_form)


def near(met: Meeting, own: np.ndarray, known: Known, nats: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """
    Likeness to every reference, and what nearness by itself adds to standing out; float64 (m,) each.

    own: float64 (cells,), how often the suspect repeats itself, see `single_token.repeats`.
    """
    likeness = single_token.likeness(met, known.own, nats)
    apart = single_token.discrepancy(met, known.within, own)

    return likeness, LIKENESS * likeness - discrepancy_weight(met.suspect.asked) * apart


def discrepancy_weight(asked: np.ndarray) -> float:
    """What a discrepancy of 1 takes away; nothing at one answer a cell, which shows no variety. asked: int (cells,)."""
    n = float(asked[asked > 0].mean()) if asked.any() else 1.0
    return DISCREPANCY * (n - 1) / (n + 1)


def _compared(known: Known, asked: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """As `near`, of the references that stand for honest suspects, drawn to so many answers; float64 (c, m) each."""
    shape = (len(known.who), len(known.table.names))
    likeness, bonus = np.empty(shape), np.empty(shape)
    for i, model in enumerate(known.who):
        drawn, own = _drawn(known.table, model, tallies.thin_row(known.table, model, asked, rng))
        likeness[i], bonus[i] = near(meet(drawn, known.table), own, known)

    return likeness, bonus


def _drawn(table: Table, model: int, times: np.ndarray) -> tuple[Suspect, np.ndarray]:
    """A part of one model's answers as a suspect, and how often that repeats itself. times: int (t,)."""
    columns = tallies.row(table, model)[0][times > 0]
    times = times[times > 0]
    cell = table.cell[columns]
    asked = np.bincount(cell, times, len(table.cells)).astype(np.int64)

    return Suspect(columns, times, asked), single_token.repeats(times, cell, asked)


def _highest(scores: np.ndarray) -> np.ndarray:
    """Of each row, where it has any; float64 (≤ c,)."""
    highest = scores.max(1)
    return np.asarray(highest[np.isfinite(highest)])


def _relatives(known: Known, cells: np.ndarray, seed: int) -> np.ndarray:
    """Pairs that all answers in some cells do not tell apart: fewer leave more relatives. cells: bool (cells,)."""
    if cells[known.table.asked.any(0)].all():
        return known.kin
    return _kin(known, np.where(cells, known.table.asked.max(0), 0), np.random.default_rng(seed))[1]


def _kin(known: Known, asked: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a cohort's models and the references, and whether a model's against its own answers; (c, m) each."""
    likeness, bonus = _compared(known, asked, rng)
    themselves = _genuine(known, likeness, asked, rng)
    scores = peers(likeness, known.who) + bonus
    if len(themselves) < FEW_GENUINE:
        return scores, np.zeros(likeness.shape, bool)

    return scores, np.asarray(scores >= np.quantile(themselves, RELATED))


def _same(table: Table, who: np.ndarray, scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which relatives' many answers are spread alike, as far as a test tells; bool (c, m). scores: -inf of others."""
    same = np.zeros(scores.shape, bool)
    telling = table.asked.sum(1) >= TELLING
    scores = np.where(telling[who][:, None] & telling, scores, -np.inf)
    nearest = np.argsort(-scores, axis=None, kind="stable")[: min(TESTED, int(np.isfinite(scores).sum()))]
    for i, j in zip(*np.unravel_index(nearest, scores.shape), strict=True):
        mine, theirs = (_by_cell(table, model) for model in (who[i], j))
        same[i, j] = mine.keys() & theirs.keys() and change_p(mine, theirs, rng, RELABELINGS) > UNEQUAL

    return same


def _by_cell(table: Table, model: int) -> dict[str, dict[str, int]]:
    """One model's counts, each answer called by its column."""
    out: dict[str, dict[str, int]] = {}
    for column, times in zip(*tallies.row(table, model)[:2], strict=True):
        out.setdefault(table.cells[table.cell[column]], {})[str(column)] = int(times)
    return out


def _genuine(known: Known, cohort: np.ndarray, asked: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scores of known models against the rest of their own answers; float64 (≤ GENUINE,). cohort: float (c, m)."""
    table = known.table
    rows = np.unique(np.linspace(0, len(known.who) - 1, min(len(known.who), GENUINE)).astype(int))
    parts, rests = [], []
    for model in known.who[rows]:
        columns, times, whole = tallies.row(table, model)
        part = tallies.thin_row(table, model, np.minimum(asked, whole // 2), rng)
        parts.append(_drawn(table, model, part))
        rests.append(sparse.csr_matrix((times - part, (np.zeros(len(columns), int), columns)), (1, len(table.key))))
    kept = tallies.some(table, known.who[rows], sparse.vstack(rests, format="csr"))
    others = known._replace(table=kept, own=single_token.all_own_evidence(kept), within=single_token.all_repeats(kept))
    likeness, bonus = cohort[rows].copy(), np.zeros(len(rows))
    for t, (suspect, own) in enumerate(parts):
        alike, more = near(meet(suspect, kept), own, others)
        likeness[t, known.who[rows[t]]], bonus[t] = alike[t], more[t]
    scores = stand_out(likeness, cohort, known.who, left_out=known.who[rows])[np.arange(len(rows)), known.who[rows]]

    return np.asarray(scores + bonus)
