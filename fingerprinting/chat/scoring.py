"""
Whose answers a language model's are: evidence for each known model from counts by cell.

Open set, what decides: how far the suspect stands out, nearer to a reference than to the others and nearer to it than
other known models are, each of these drawn to the suspect's number of answers, since few answers look far from
everything. Closed set, the log-likelihood ratio shown beside it: one reference against the mixture of all others.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.calibration import PValues, ranks, tails
from probe_match.fingerprinting.errors import NoAnswers
from probe_match.fingerprinting.verdicts import MIN_ANSWERED, Evidence
from scipy.special import logsumexp

from . import counting, single_token
from .counting import Table
from .records import Counts
from .single_token import Suspect
from .standing import peers, stand_out

FEWEST: Final = 0.5  # of the suspect's cells, below which a reference was asked too little to compare
COHORT: Final = 256  # known models that stand for honest suspects
GENUINE: Final = 64  # of them, that are also tried against the rest of their own answers
SHOWN: Final = 256  # references that get a p-value, the best
LIKENESS: Final = 5.0  # standard deviations that full likeness adds to standing out


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

    own: float64 (m, cells), see `single_token.likeness`. cohort: float64 (c, m), likeness of known models to the
    references, themselves being who: int (c,). honest: float64 (c, m), their scores, NaN of themselves. genuine: as in
    Scores. found: p-values of genuine.
    """

    table: Table
    own: np.ndarray
    who: np.ndarray
    cohort: np.ndarray
    honest: np.ndarray
    genuine: np.ndarray
    found: np.ndarray


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
    table = counting.tabulate(references, list(asked))
    names, m = table.names, len(table.names)
    own = np.array([single_token.own_evidence(*counting.rows_of(table, references[name]), table) for name in names])
    who = np.unique(np.linspace(0, m - 1, min(m, COHORT)).astype(int))
    drawn = [Suspect(*counting.rows_of(table, counting.thin(references[names[i]], asked, rng))) for i in who]
    cohort = np.array([single_token.likeness(one, table, own) for one in drawn])
    honest = peers(cohort, who) + LIKENESS * cohort
    genuine, tried = _genuine(references, table, own, cohort, who, asked, rng)
    found = np.array([tails(np.array([g]), _others(honest[:, i]))[0] for g, i in zip(genuine, tried, strict=True)])

    return Known(table, own, who, cohort, honest, genuine, found)


def score(suspect: Counts, known: Known, *, alpha: float) -> Scores:
    """Evidence for each reference; milliseconds for thousands of them."""
    table, m = known.table, len(known.table.names)
    given = Suspect(*counting.rows_of(table, suspect))
    likeness = single_token.likeness(given, table, known.own)
    scores = stand_out(likeness[None], known.cohort, known.who)[0] + LIKENESS * likeness
    nats = single_token.evidence(given, table)
    alike = 1 - single_token.divergence(given, table)
    order = np.argsort(-scores, kind="stable")
    power = float(np.mean(known.found * m <= alpha)) if len(known.found) else 0.0
    told = int(given.asked.sum()) >= MIN_ANSWERED
    whole = float(logsumexp(nats))

    evidence = []
    for j in order[:SHOWN]:
        honest = _others(known.honest[:, j])
        at = np.array([scores[j]])
        p = PValues(float(tails(at, honest)[0]), float(ranks(at, honest)[0])) if told and m > 2 else PValues(1.0, 1.0)
        nearest = int(np.nanargmax(known.honest[:, j])) if len(honest) else -1
        evidence.append(
            Evidence(
                reference=table.names[j],
                score=float(scores[j]),
                llr=float(nats[j] - _rest(whole, nats, j)) if m > 1 else float(nats[j]),
                p=p,
                beats_all=bool(m > 2 and scores[j] > honest.max(initial=-np.inf) and j == order[0]),
                peers=len(honest),
                agreement=float(np.nan_to_num(alike[j])),
                power=power,
                nearest_peer=(table.names[known.who[nearest]], float(honest.max())) if nearest >= 0 else None,
            )
        )

    return Scores(evidence, known.genuine, m, int((given.asked > 0).sum()))


def _genuine(
    references: Mapping[str, Counts],
    table: Table,
    own: np.ndarray,
    cohort: np.ndarray,
    who: np.ndarray,
    asked: Mapping[str, int],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of known models against the rest of their own answers, and which they are: float64 (t,), int (t,)."""
    rows = np.unique(np.linspace(0, len(who) - 1, min(len(who), GENUINE)).astype(int))
    parts, rests = {}, {}
    for row in rows:
        name = table.names[who[row]]
        whole = references[name]
        half = {cell: min(asked[cell], sum(whole[cell].values()) // 2) for cell in asked if cell in whole}
        parts[name] = counting.thin(whole, half, rng)
        rests[name] = counting.without({cell: whole[cell] for cell in half}, parts[name])
    kept = counting.tabulate(rests, table.cells)
    mine = np.array([single_token.own_evidence(*counting.rows_of(kept, rests[name]), kept) for name in kept.names])
    near = cohort[rows].copy()
    for t, row in enumerate(rows):
        part = Suspect(*counting.rows_of(kept, parts[table.names[who[row]]]))
        near[t, who[row]] = single_token.likeness(part, kept, mine)[t]
    scores = stand_out(near, cohort, who, left_out=who[rows]) + LIKENESS * near

    return scores[np.arange(len(rows)), who[rows]], who[rows]


def _rest(whole: float, nats: np.ndarray, j: int) -> float:
    """Log mean likelihood under the others; exact where one dominates the sum."""
    if nats[j] > whole - 1e-6:
        return float(logsumexp(np.delete(nats, j)) - np.log(len(nats) - 1))
    return float(whole + np.log1p(-np.exp(nats[j] - whole)) - np.log(len(nats) - 1))


def _others(column: np.ndarray) -> np.ndarray:
    return column[~np.isnan(column)]
