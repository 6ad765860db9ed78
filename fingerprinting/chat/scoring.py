"""
Whose answers a language model's are: evidence for each known model from counts by cell.

Open set, what decides: how far the suspect stands out, nearer to a reference than to the others and nearer to it than
other known models are, each of these drawn to the suspect's number of answers, see `known`. Closed set, the
log-likelihood ratio shown beside it: one reference against the mixture of all others.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.calibration import ENOUGH, PValues, ranks
from probe_match.fingerprinting.errors import NoAnswers
from probe_match.fingerprinting.verdicts import MIN_ANSWERED, Evidence
from scipy.special import logsumexp

from . import known as knowing
from . import single_token, tallies
from .known import Honest, Known
from .off_form import without
from .records import Counts
from .single_token import Suspect
from .standing import beyond

FEWEST: Final = 0.5  # of the suspect's cells, below which a reference was asked too little to compare
SHOWN: Final = 256  # references that get a p-value, the best
UPPER_SQUARE: Final = 2.555  # mean squared distance from the median of the upper half of a Gumbel distribution

Prepare = Callable[[Known, np.ndarray], Honest]  # what honest suspects score who answer so often a cell


class Looks(NamedTuple):
    """
    When else it is judged whether the answers so far are enough. earlier: counts at each look before this one. later:
    answers by cell that are planned for each look after it.
    """

    earlier: Sequence[Counts] = ()
    later: Sequence[Mapping[str, int]] = ()


class Scores(NamedTuple):
    """
    evidence: per reference compared in full, best first. genuine: scores of references against the rest of their own
    answers, float64 (≤ m,). searched: references that could be compared. cells: of the suspect, that were. relative:
    how often a model that is missing scores as much though its relatives are known, by rank among the known ones; in
    (0, 1], 1 where these are too few. P-values of the evidence are of models without known relatives.
    """

    evidence: list[Evidence]
    genuine: np.ndarray
    searched: int
    cells: int
    relative: float = 1.0


NO_LOOKS: Final = Looks()


def score_counts(suspect: Counts, references: Mapping[str, Counts], *, alpha: float, seed: int = 0) -> Scores:
    """
    Evidence for each reference from counts by cell. Raises NoAnswers where nothing can be compared.

    alpha: at which power is told. seed: of the draws that stand for honest suspects.
    """
    return score(suspect, knowing.know(references, seed=seed), alpha=alpha, seed=seed)


def score(
    suspect: Counts,
    known: Known,
    *,
    alpha: float,
    seed: int = 0,
    prepare: Prepare | None = None,
    looks: Looks = NO_LOOKS,
) -> Scores:
    """
    Evidence for each of the references. Raises NoAnswers where nothing can be compared.

    prepare: `known.honest`, or what remembers it: with that, milliseconds for thousands of references. looks: others
    than this one; p-values then hold at whichever of them asking stops.
    """
    if not known.off_form:
        suspect, looks = without(suspect), looks._replace(earlier=[without(before) for before in looks.earlier])
    columns, times, asked = tallies.rows_of(known.table, suspect)
    answered = (known.table.asked[:, asked > 0] > 0).sum(1) if asked.any() else np.zeros(0)
    rows = np.flatnonzero(answered >= FEWEST * (asked > 0).sum())
    if not len(rows):
        raise NoAnswers("the target and the references share no answered question; collect again")
    if len(rows) < len(known.table.names):
        known, prepare = knowing.comparable(known, rows), None  # columns stay as they are
    ready = partial(knowing.honest, seed=seed) if prepare is None else prepare
    honest = ready(known, asked)
    scored = _scored(Suspect(columns, times, asked), suspect, known, honest)
    if not looks.earlier and not looks.later:
        return _scores(scored, known, honest, (honest.best, honest.closest), scored.scores, alpha)
    strangers, relatives, paths = (_unit(some, honest) for some in (honest.best, honest.closest, scored.scores))
    for before in looks.earlier:
        given = Suspect(*tallies.rows_of(known.table, before))
        then = ready(known, given.asked)
        strangers = np.maximum(strangers, _unit(then.best, then))
        relatives = np.maximum(relatives, _unit(then.closest, then))
        paths = np.maximum(paths, _unit(_scored(given, before, known, then).scores, then))
    for planned in looks.later:
        then = ready(known, np.array([planned.get(cell, 0) for cell in known.table.cells]))
        strangers = np.maximum(strangers, _unit(then.best, then))
        relatives = np.maximum(relatives, _unit(then.closest, then))

    return _scores(scored, known, honest, (strangers, relatives), paths, alpha)


class _Scored(NamedTuple):
    suspect: Suspect
    nats: np.ndarray
    scores: np.ndarray
    alike: np.ndarray


def _scored(suspect: Suspect, counts: Counts, known: Known, honest: Honest) -> _Scored:
    met = single_token.meet(suspect, known.table)
    nats = single_token.evidence(met)
    own = single_token.repeats(*tallies.all_rows(counts, known.table.cells))
    likeness, bonus = knowing.near(met, own, known, nats)

    return _Scored(suspect, nats, beyond(likeness, honest.level) + bonus, 1 - single_token.divergence(met))


def _unit(scores: np.ndarray, honest: Honest) -> np.ndarray:
    """
    On a scale that the looks share: 0 the middle of the honest models' highest scores at that look, 1 where the
    strangest tenth of them begins. By their spread, early looks would have the highest peaks and late ones name nobody.
    """
    if len(honest.best) < 2:
        return scores
    middle, high = np.quantile(honest.best, [0.5, 0.9])

    return np.asarray((scores - middle) / max(float(high - middle), 1e-9))


def _scores(
    scored: _Scored,
    known: Known,
    honest: Honest,
    peaks: tuple[np.ndarray, np.ndarray],
    paths: np.ndarray,
    alpha: float,
) -> Scores:
    """
    peaks: float (≤ c,) twice, the highest that each honest model reaches for any reference at any look, without its
    relatives and with them. paths: float (m,), the highest of the suspect for each reference so far.
    """
    names, m = known.table.names, len(known.table.names)
    suspect, nats, scores, alike = scored
    order = np.argsort(-scores, kind="stable")[:SHOWN]
    power = float(np.mean(family_wise(honest.genuine, honest.best) <= alpha)) if len(honest.genuine) else 0.0
    enough = int(suspect.asked.sum()) >= MIN_ANSWERED and m > 2
    p = _p_values(paths[order], peaks[0], m) if enough else [PValues(1.0, 1.0)] * len(order)
    # By rank alone: no tail fitted to strangers says how near versions of one model come.
    relative = float(ranks(paths[order[:1]], peaks[1])[0]) if enough and len(peaks[1]) >= ENOUGH else 1.0
    whole = float(logsumexp(nats))

    evidence = [
        Evidence(
            reference=names[j],
            score=float(scores[j]),
            llr=float(nats[j] - _rest(whole, nats, j)) if m > 1 else float(nats[j]),
            p=p[i],
            beats_all=bool(i == 0 and m > 2 and scores[j] > honest.most[j]),
            peers=int(honest.level.number[j]),
            agreement=float(np.nan_to_num(alike[j])),
            power=power,
            nearest_peer=(names[honest.nearest[j]], float(honest.most[j])) if m > 1 else None,
        )
        for i, j in enumerate(order)
    ]

    return Scores(evidence, honest.genuine, m, int((suspect.asked > 0).sum()), relative)


def _p_values(scores: np.ndarray, best: np.ndarray, searched: int) -> list[PValues]:
    """
    How often a model of no reference scores as much for any; as if for one, since others correct for the search.

    best: float (c,), what honest models score for the reference they are nearest to.
    """
    tail, rank = family_wise(scores, best), ranks(scores, best)
    sides = [-np.expm1(np.log1p(-np.minimum(p, 1 - 1e-12)) / searched) for p in (tail, rank)]
    return [PValues(max(float(a), 1e-300), float(b)) for a, b in zip(*sides, strict=True)]


def family_wise(scores: np.ndarray, best: np.ndarray) -> np.ndarray:
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


def _rest(whole: float, nats: np.ndarray, j: int) -> float:
    """Log mean likelihood under the others; exact where one dominates the sum."""
    if nats[j] > whole - 1e-6:
        return float(logsumexp(np.delete(nats, j)) - np.log(len(nats) - 1))
    return float(whole + np.log1p(-np.exp(nats[j] - whole)) - np.log(len(nats) - 1))
