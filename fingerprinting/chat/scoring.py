"""
Whose answers a language model's are: evidence for each known model from counts by cell.

Open set, what decides: how far the suspect stands out, nearer to a reference than to the others and nearer to it than
other known models are, each of these drawn to the suspect's number of answers, since few answers look far from
everything. Closed set, the log-likelihood ratio shown beside it: one reference against the mixture of all others.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.calibration import ENOUGH, PValues, ranks
from probe_match.fingerprinting.errors import NoAnswers
from probe_match.fingerprinting.verdicts import MIN_ANSWERED, Evidence
from scipy.special import logsumexp

from . import single_token, tallies
from .records import Counts
from .single_token import Suspect
from .standing import Level, beyond, levels, peers, stand_out
from .tallies import Table

FEWEST: Final = 0.5  # of the suspect's cells, below which a reference was asked too little to compare
COHORT: Final = 256  # known models that stand for honest suspects
GENUINE: Final = 64  # of them, that are also tried against the rest of their own answers
SHOWN: Final = 256  # references that get a p-value, the best
RELATED: Final = 0.05  # of known models are no nearer to their own answers than relatives are to each other
UPPER_SQUARE: Final = 2.555  # mean squared distance from the median of the upper half of a Gumbel distribution
FEW_GENUINE: Final = 8  # below this, nobody is taken for a relative
LIKENESS: Final = 5.0  # standard deviations that full likeness adds to standing out
DISCREPANCY: Final = 20.0  # and that a discrepancy of 1 takes away, where many answers a cell show it well


class Scores(NamedTuple):
    """
    evidence: per reference compared in full, best first. genuine: scores of references against the rest of their own
    answers, float64 (≤ m,). searched: references that could be compared. cells: of the suspect, that were.
    """

    evidence: list[Evidence]
    genuine: np.ndarray
    searched: int
    cells: int


class Known(NamedTuple):
    """
    Everything about the references that can be worked out before the suspect is.

    own, within: float64 (m, cells), see `single_token.likeness` and `discrepancy`. who: int (c,), the references that
    stand for honest suspects.
    level: of the others' likeness to each reference. honest: float64 (c, m), their scores, NaN of themselves and of
    near relatives. best: float64 (≤ c,), the highest of each. genuine: as in Scores.
    """

    table: Table
    own: np.ndarray
    within: np.ndarray
    who: np.ndarray
    level: Level
    honest: np.ndarray
    best: np.ndarray
    genuine: np.ndarray


def score_counts(suspect: Counts, references: Mapping[str, Counts], *, alpha: float, seed: int = 0) -> Scores:
    """
    Evidence for each reference from counts by cell. Raises NoAnswers where nothing can be compared.

    alpha: at which power is told. seed: of the draws that stand for honest suspects.
    """
    asked = {cell: sum(suspect[cell].values()) for cell in suspect if sum(suspect[cell].values())}
    names = [
        name
        for name, counts in references.items()
        if asked and sum(bool(counts.get(cell)) for cell in asked) >= FEWEST * len(asked)
    ]
    if not names:
        raise NoAnswers("the target and the references share no answered question; collect again")

    return score(suspect, prepare({name: references[name] for name in names}, asked, seed=seed), alpha=alpha)


def prepare(references: Mapping[str, Counts], asked: Mapping[str, int], *, seed: int = 0) -> Known:
    """What is known before a suspect answers so many times per cell; worth keeping for the next suspect."""
    rng = np.random.default_rng(seed)
    table = tallies.tabulate(references, list(asked))
    m = len(table.names)
    selves = _selves(references, table)
    who = np.unique(np.linspace(0, m - 1, min(m, COHORT)).astype(int))
    cohort, bonus = _compared(references, table, selves, who, asked, rng)
    honest = peers(cohort, who) + bonus
    honest[_relatives(references, table, selves, who, rng)] = np.nan
    genuine = _genuine(references, table, cohort, who, asked, rng)
    alone = np.isnan(honest).all(1)

    return Known(table, *selves, who, levels(cohort, who), honest, np.nanmax(honest[~alone], axis=1), genuine)


def score(suspect: Counts, known: Known, *, alpha: float) -> Scores:
    """Evidence for each reference; milliseconds for thousands of them."""
    table, m = known.table, len(known.table.names)
    given = Suspect(*tallies.rows_of(table, suspect))
    nats = single_token.evidence(given, table)
    likeness, bonus = _near(suspect, given, table, (known.own, known.within), nats)
    scores = beyond(likeness, known.level) + bonus
    order = np.argsort(-scores, kind="stable")[:SHOWN]
    alike = 1 - single_token.divergence(given, tallies.some(table, order))
    power = float(np.mean(_family_wise(known.genuine, known.best) <= alpha)) if len(known.genuine) else 0.0
    enough = int(given.asked.sum()) >= MIN_ANSWERED and m > 2
    p = _p_values(scores[order], known.best, m) if enough else [PValues(1.0, 1.0)] * len(order)
    most = np.nan_to_num(known.honest[:, order], nan=-np.inf)
    nearest = most.argmax(0)
    whole = float(logsumexp(nats))

    evidence = [
        Evidence(
            reference=table.names[j],
            score=float(scores[j]),
            llr=float(nats[j] - _rest(whole, nats, j)) if m > 1 else float(nats[j]),
            p=p[i],
            beats_all=bool(i == 0 and m > 2 and scores[j] > most[:, i].max()),
            peers=int(known.level.number[j]),
            agreement=float(np.nan_to_num(alike[i])),
            power=power,
            nearest_peer=(table.names[known.who[nearest[i]]], float(most[nearest[i], i])) if m > 1 else None,
        )
        for i, j in enumerate(order)
    ]

    return Scores(evidence, known.genuine, m, int((given.asked > 0).sum()))


def _p_values(scores: np.ndarray, best: np.ndarray, searched: int) -> list[PValues]:
    """
    How often a model of no reference scores as much for any; as if for one, since others correct for the search.

    best: float (c,), what honest models score for the reference they are nearest to.
    """
    tail, rank = _family_wise(scores, best), ranks(scores, best)
    sides = [-np.expm1(np.log1p(-np.minimum(p, 1 - 1e-12)) / searched) for p in (tail, rank)]
    return [PValues(max(float(a), 1e-300), float(b)) for a, b in zip(*sides, strict=True)]


def _family_wise(scores: np.ndarray, best: np.ndarray) -> np.ndarray:
    """By rank where enough honest models stand behind it, else by a fitted tail."""
    return ranks(scores, best) if len(best) >= ENOUGH else tail_of_best(scores, best)


def tail_of_best(scores: np.ndarray, best: np.ndarray) -> np.ndarray:
    """
    How often the best of many honest scores is as high: the tail of a Gumbel distribution through the median and the
    upper half of those seen, its width taken one standard error wider; float64, as many as scores, 1 with fewer than
    three seen.

    The best of many leans to the right, so that a symmetric tail accuses three strangers in a hundred at 1 %. The lower
    half says how strange the strangest are, which is nobody's concern here.
    """
    m = len(best)
    if m < 3:
        return np.ones(len(scores))
    median = float(np.median(best))
    upper = best[best >= median] - median
    width = float(np.sqrt((upper**2).mean() / UPPER_SQUARE)) * (1 + 1 / np.sqrt(len(upper)))
    middle = median + np.log(np.log(2)) * max(width, 1e-9)

    return np.asarray(-np.expm1(-np.exp(-(scores - middle) / max(width, 1e-9))))


Selves = tuple[np.ndarray, np.ndarray]


def _selves(references: Mapping[str, Counts], table: Table) -> Selves:
    """What every reference shares with itself, and how often it repeats itself; float64 (m, cells) each."""
    own = [single_token.own_evidence(*tallies.rows_of(table, references[name]), table) for name in table.names]
    within = [single_token.repeats(*tallies.all_rows(references[name], table.cells)) for name in table.names]

    return np.array(own), np.array(within)


def _near(
    counts: Counts, given: Suspect, table: Table, selves: Selves, nats: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Likeness to every reference, and what nearness by itself adds to standing out; float64 (m,) each."""
    likeness = single_token.likeness(given, table, selves[0], nats)
    own = single_token.repeats(*tallies.all_rows(counts, table.cells))
    apart = single_token.discrepancy(given, table, selves[1], own)

    return likeness, LIKENESS * likeness - discrepancy_weight(given.asked) * apart


def discrepancy_weight(asked: np.ndarray) -> float:
    """What a discrepancy of 1 takes away; nothing at one answer a cell, which shows no variety. asked: int (cells,)."""
    n = float(asked[asked > 0].mean()) if asked.any() else 1.0
    return DISCREPANCY * (n - 1) / (n + 1)


def _compared(
    references: Mapping[str, Counts],
    table: Table,
    selves: Selves,
    who: np.ndarray,
    asked: Mapping[str, int],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """As `_near`, of some references drawn to so many answers; float64 (c, m) each."""
    drawn = [tallies.thin(references[table.names[i]], asked, rng) for i in who]
    near = [_near(one, Suspect(*tallies.rows_of(table, one)), table, selves) for one in drawn]

    return np.array([likeness for likeness, _ in near]), np.array([bonus for _, bonus in near])


def _relatives(
    references: Mapping[str, Counts], table: Table, selves: Selves, who: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """
    Pairs of references that all their answers together do not tell apart: other versions or derivatives of one model,
    which a verdict names in one breath; bool (c, m).
    """
    all_answers = {cell: int(most) for cell, most in zip(table.cells, table.asked.max(0), strict=True)}
    whole, bonus = _compared(references, table, selves, who, all_answers, rng)
    themselves = _genuine(references, table, whole, who, all_answers, rng)
    if len(themselves) < FEW_GENUINE:
        return np.zeros(whole.shape, bool)

    return np.asarray(peers(whole, who) + bonus >= np.quantile(themselves, RELATED))


def _genuine(
    references: Mapping[str, Counts],
    table: Table,
    cohort: np.ndarray,
    who: np.ndarray,
    asked: Mapping[str, int],
    rng: np.random.Generator,
) -> np.ndarray:
    """Scores of known models against the rest of their own answers; float64 (≤ t,)."""
    rows = np.unique(np.linspace(0, len(who) - 1, min(len(who), GENUINE)).astype(int))
    parts, rests = {}, {}
    for row in rows:
        name = table.names[who[row]]
        whole = references[name]
        half = {cell: min(asked[cell], sum(whole[cell].values()) // 2) for cell in asked if cell in whole}
        parts[name] = tallies.thin(whole, half, rng)
        rests[name] = tallies.without({cell: whole[cell] for cell in half}, parts[name])
    kept = tallies.tabulate(rests, table.cells)
    selves = _selves(rests, kept)
    near, bonus = cohort[rows].copy(), np.zeros(len(rows))
    for t, row in enumerate(rows):
        part = parts[table.names[who[row]]]
        likeness, more = _near(part, Suspect(*tallies.rows_of(kept, part)), kept, selves)
        near[t, who[row]], bonus[t] = likeness[t], more[t]
    scores = stand_out(near, cohort, who, left_out=who[rows])[np.arange(len(rows)), who[rows]]

    return np.asarray(scores + bonus)


def _rest(whole: float, nats: np.ndarray, j: int) -> float:
    """Log mean likelihood under the others; exact where one dominates the sum."""
    if nats[j] > whole - 1e-6:
        return float(logsumexp(np.delete(nats, j)) - np.log(len(nats) - 1))
    return float(whole + np.log1p(-np.exp(nats[j] - whole)) - np.log(len(nats) - 1))
