"""
How near a language model's answers are to those of known ones: divergence of counts, cell by cell, normalised twice.

The mean Jensen-Shannon divergence over cells is the published statistic ("One Token Is Enough", Bruckner, arXiv
2607.10252). What decides is how far it stands out: among the suspect's own divergences, and among those of the other
references, drawn to the suspect's numbers of answers, since few answers look far from everything. Beside it stands a
Dirichlet-multinomial likelihood ratio of one reference against the mixture of the others.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.cohort import above_own_level, stand_out
from probe_match.fingerprinting.errors import NoAnswers
from probe_match.fingerprinting.verdicts import Evidence
from scipy.special import gammaln, logsumexp, stdtr

from .records import Counts

LEAST: Final = 0.005  # bits; divergences that differ by less tell no model from another
PRIOR: Final = 2.0  # answers' worth of the pooled odds, that every reference is smoothed with
FEWEST: Final = 0.5  # of the suspect's cells, below which a reference was asked too little to compare
COHORT: Final = 256  # references compared in full


class Scores(NamedTuple):
    """
    evidence: per reference compared in full, best first. genuine: standardised scores of references against the rest of
    their own answers, float64 (≤ m,). searched: references that could be compared. cells: of the suspect, that were.
    """

    evidence: list[Evidence]
    genuine: np.ndarray
    searched: int
    cells: int


def score_counts(suspect: Counts, references: Mapping[str, Counts], *, alpha: float, seed: int = 0) -> Scores:
    """
    Evidence for each reference from counts by cell. Raises NoAnswers where nothing can be compared.

    Of many references the nearest COHORT are compared in full, which makes it harder to stand out and not easier.
    alpha: at which power is told. seed: of the draws that stand for honest suspects.
    """
    cells = [cell for cell in suspect if sum(suspect[cell].values())]
    names = [
        name
        for name, counts in references.items()
        if cells and sum(bool(counts.get(cell)) for cell in cells) >= FEWEST * len(cells)
    ]
    if not names:
        raise NoAnswers("the target and the references share no answered question; collect again")
    tables = [_table(cell, suspect, references, names) for cell in cells]
    searched = len(names)
    if searched > COHORT:
        near = _mean([_divergence(mine[None], known) for known, mine in tables])[0]
        kept = np.sort(np.argsort(near, kind="stable")[:COHORT])
        names, tables = [names[i] for i in kept], [(known[kept], mine) for known, mine in tables]

    rng = np.random.default_rng(seed)
    between, own = [], []
    for known, mine in tables:
        drawn = _draw(known, int(mine.sum()), rng)
        between.append(_divergence(np.vstack([drawn, mine]), known))
        own.append(_paired(drawn, known - drawn))
    near, alike = -_mean(between), -_mean(own)
    likelihood = np.sum([_log_likelihood(mine, known) for known, mine in tables], axis=0)
    llr = np.array([likelihood[j] - _log_mean(np.delete(likelihood, j)) for j in range(len(names))])
    answers = sum(int(mine.sum()) for _, mine in tables)
    evidence = stand_out(near, llr, 1 + near[-1], names, answers, LEAST, "classes")
    genuine = _genuine(near[:-1], alike)
    power = _power(genuine, searched, alpha)

    return Scores([e._replace(power=power) for e in evidence], genuine, searched, len(cells))


def _table(
    cell: str, suspect: Counts, references: Mapping[str, Counts], names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of one cell over all answers that anyone gave: int64 (m, v) of the references and (v,) of the suspect."""
    rows = [references[name].get(cell, {}) for name in names]
    answers = sorted({answer for row in [*rows, suspect[cell]] for answer in row})
    index = {answer: i for i, answer in enumerate(answers)}
    known = np.zeros((len(rows), len(answers)), np.int64)
    for i, row in enumerate(rows):
        for answer, count in row.items():
            known[i, index[answer]] = count
    mine = np.zeros(len(answers), np.int64)
    for answer, count in suspect[cell].items():
        mine[index[answer]] = count

    return known, mine


def _draw(known: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """As many answers of each reference as a suspect gave, without replacement; all where it has fewer, int (m, v)."""
    return np.stack([rng.multivariate_hypergeometric(row, min(size, int(row.sum()))) for row in known])


def _divergence(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergences of counts (s, v) from (m, v): bits, float64 (s, m) in [0, 1], NaN without any."""
    p, q = _shares(a), _shares(b)
    mixed = np.stack([_entropy((row + q) / 2) for row in p])
    both = (a.sum(1) > 0)[:, None] & (b.sum(1) > 0)

    return np.asarray(np.where(both, mixed - (_entropy(p)[:, None] + _entropy(q)) / 2, np.nan))


def _paired(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Divergences of counts row by row: (s, v) twice -> (s,)."""
    p, q = _shares(a), _shares(b)
    both = (a.sum(1) > 0) & (b.sum(1) > 0)

    return np.asarray(np.where(both, _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2, np.nan))


def _shares(counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts / np.maximum(counts.sum(-1, keepdims=True), 1))


def _entropy(p: np.ndarray) -> np.ndarray:
    return np.asarray(-(p * np.log2(np.where(p > 0, p, 1.0))).sum(-1))


def _log_likelihood(mine: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Of the suspect's counts (v,) under each reference's (m, v), smoothed by the pooled odds; nats, float64 (m,)."""
    pooled = (known.sum(0) + 1.0) / (known.sum() + known.shape[1])
    weights = known + PRIOR * pooled
    total = weights.sum(1)
    likely = gammaln(total) - gammaln(total + mine.sum()) + (gammaln(weights + mine) - gammaln(weights)).sum(1)

    return np.asarray(np.where(known.sum(1) > 0, likely, np.median(likely)))  # unasked is neither for nor against


def _log_mean(values: np.ndarray) -> float:
    return float(logsumexp(values) - np.log(len(values))) if len(values) else 0.0


def _genuine(near: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Each reference against the rest of its own answers, scored as `stand_out` scores a suspect; float64 (≤ m,)."""
    m = len(near)
    above = above_own_level(near)
    out = []
    for i in np.flatnonzero(np.isfinite(own)) if m > 2 else ():
        others = np.delete(np.arange(m), i)
        spread = max(float(above[others, i].std(ddof=1)), LEAST)
        out.append((own[i] - near[i, others].mean() - above[others, i].mean()) / spread)

    return np.array(out)


def _power(genuine: np.ndarray, searched: int, alpha: float) -> float:
    """Share of the references that so many answers of their own would find, by the tail of as many honest others."""
    m = searched - 1
    if m < 2 or not len(genuine):
        return 0.0
    p = stdtr(m - 1, -genuine / np.sqrt(1 + 1 / m))

    return float(np.mean(p * searched <= alpha))


def _mean(parts: list[np.ndarray]) -> np.ndarray:
    """Mean over cells, without those a model did not answer; 1 where it answered none of them."""
    stacked = np.stack(parts)
    count = np.isfinite(stacked).sum(0)

    return np.asarray(np.where(count > 0, np.nansum(stacked, axis=0) / np.maximum(count, 1), 1.0))
