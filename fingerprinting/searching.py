"""
Exact search among very many references by their answers to a public suite: each is compared, none is skipped.

A score is a sum over probes, and its terms differ by how rare an answer is. So equal answers are counted in few groups
of about one rarity, two operations on bytes for each probe, and the counts are weighed by small integers to one merit
a reference. How high a score can be at a merit is a fractional knapsack: it says which references might be among the
nearest, and those few are scored by the definition. Nothing is approximated and no index has to be kept up to date.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy.special import logsumexp

from . import cohort
from .errors import NoAnswers
from .packing import Packed
from .records import UNANSWERED
from .verdicts import Evidence

LARGE: Final = 1000  # references, from which on peers are drawn; up to that many, all are each other's peers
LEADERS: Final = 100  # references that evidence is given for, the likeliest
CLOSEST: Final = 3  # leaders whose own nearest references are peers, too
NEAREST: Final = 50  # of each
DRAWN: Final = 400  # further peers, by chance
BLOCK: Final = 1 << 18  # references at a time, so that counts stay in a cache and calls are few
GROUPS: Final = 8  # of rarity
COUNTED: Final = 255  # probes that a byte counts
MERIT: Final = 4095  # of all answers equal, about: steps fine enough that rounding costs little
WEIGHED: Final = 0.4  # the retention that merits are weighed at: of strangers, the nearest come nearest to it
HEAPS: Final = 1 << 12  # that hardly two of the nearest share
ROUNDING: Final = 1e-6  # nats, far more than sums of float64 are off


class Question(NamedTuple):
    """
    What is looked for. asked: int (t,), probes. given: int (t,), the suspect's labels. rarity: float64 (t, k), how
    often each label is given by references and suspect together, smoothed as in `cohort`.
    """

    asked: np.ndarray
    given: np.ndarray
    rarity: np.ndarray

    def gain(self, retention: float) -> np.ndarray:
        """What each equal answer adds over another one, nats, float64 (t,)."""
        p0 = self.rarity[np.arange(len(self.asked)), self.given]
        return np.asarray(np.log((retention + (1 - retention) * p0) / p0) - np.log(1 - retention))


def nearest(packed: Packed, labels: np.ndarray, most: int) -> np.ndarray:
    """
    Indices, int (most,), of the references of the largest `cohort.ratio`, best first.

    labels: int (n,), the suspect's, UNANSWERED allowed.
    """
    question = ask(packed, labels)
    m = packed.rows.shape[1]
    if m <= most:
        candidates = np.arange(m)
    else:
        weights = _weigh(packed, question)
        merits = _merits(packed, question, weights)
        first = np.flatnonzero(merits >= _reached(merits, most))
        least = float(np.partition(_roughly(packed, question, first), -most)[-most]) - ROUNDING
        enough = _enough(question, weights, min(int(packed.silences.max()), len(question.asked)), least)
        candidates = np.flatnonzero(merits >= int(enough.min()))  # numpy's int64 would widen a million merits
        silences = np.minimum(packed.silences[candidates], len(enough) - 1)
        candidates = candidates[merits[candidates] >= enough[silences]]
        candidates = candidates[_roughly(packed, question, candidates) >= least]
    exact = _ratio(packed, question, candidates)

    return candidates[np.lexsort((candidates, -exact))][:most]


def compare(labels: np.ndarray, packed: Packed, names: Sequence[str]) -> list[Evidence]:
    """
    Evidence for the likeliest references, best first, as `cohort.compare` gives it for all of few.

    Their peers are each other, the references nearest to the leading ones, and some drawn by chance. Those near to the
    suspect are more like the leaders than strangers are, which makes p-values larger, not smaller.
    """
    asked = np.flatnonzero(labels != UNANSWERED)
    if len(asked) == 0:
        raise NoAnswers(f"none of the {len(labels)} public probes was answered; collect again")
    leaders = nearest(packed, labels, LEADERS)
    own = [nearest(packed, _only(packed.labels(leaders[i : i + 1])[0], asked), NEAREST) for i in range(CLOSEST)]
    drawn = np.random.default_rng(0).choice(len(names), min(DRAWN, len(names)), replace=False)
    others = np.setdiff1d(np.concatenate([*own, drawn]), leaders)
    chosen = np.concatenate([leaders, others])
    known = packed.labels(chosen, asked)
    suspect, rarity = labels[asked], ask(packed, labels).rarity
    near = cohort.agreement(np.vstack([known, suspect]), known, rarity)
    llr = cohort.ratio(suspect[None], known, rarity)[0]
    alike = np.asarray((known == suspect).mean(1))
    called = [names[i] for i in chosen]

    return cohort.stand_out(near, llr, alike, called, len(asked), cohort.SPREAD, "classes", wanted=len(leaders))


def _only(labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The answers to some probes alone."""
    out = np.full(len(labels), UNANSWERED)
    out[asked] = labels[asked]
    return out


def ask(packed: Packed, labels: np.ndarray) -> Question:
    """A suspect's answers among those of the references."""
    asked = np.flatnonzero(labels != UNANSWERED)
    counts = packed.counts[asked].astype(float)
    k = max(counts.shape[1], int(labels[asked].max()) + 1)
    counts = np.pad(counts, ((0, 0), (0, k - counts.shape[1])))
    counts[np.arange(len(asked)), labels[asked]] += 1

    return Question(asked, labels[asked], np.asarray((counts + 2.0 / k) / (counts.sum(1, keepdims=True) + 2.0)))


def _weigh(packed: Packed, question: Question) -> np.ndarray:
    """uint16 (t,), what an equal answer adds to a merit: alike in a group, 0 of labels that no reference can have."""
    gain = question.gain(WEIGHED)
    group = np.ceil(gain / gain.max() * GROUPS).astype(np.intp)
    means = (np.bincount(group, gain) / np.maximum(np.bincount(group), 1))[group]

    return np.where(question.given < packed.silent, np.maximum(np.rint(means * MERIT / means.sum()), 1), 0).astype(
        np.uint16
    )


def _merits(packed: Packed, question: Question, weights: np.ndarray) -> np.ndarray:
    """The weights of each reference's equal answers added up, uint16 (m,)."""
    m = packed.rows.shape[1]
    merits = np.zeros(m, np.uint16)
    groups = [np.flatnonzero(weights == weight) for weight in np.unique(weights[weights > 0])]
    groups = [part for group in groups for part in np.split(group, range(COUNTED, len(group), COUNTED))]
    rows, values = np.asarray(packed.rows), question.given.astype(packed.rows.dtype)
    counts, weighed = np.empty(min(BLOCK, m), np.uint8), np.empty(min(BLOCK, m), np.uint16)
    equal = np.empty(min(BLOCK, m), bool)
    for start in range(0, m, BLOCK):
        block = slice(start, min(start + BLOCK, m))
        size = block.stop - start
        for group in groups:
            # Into what was just counted, as if it were truth values: one operation less.
            np.equal(rows[question.asked[group[0]], block], values[group[0]], out=counts[:size].view(bool))
            for i in group[1:]:
                np.equal(rows[question.asked[i], block], values[i], out=equal[:size])
                np.add(counts[:size], equal[:size].view(np.uint8), out=counts[:size])
            np.multiply(counts[:size], weights[group[0]], out=weighed[:size], dtype=np.uint16)
            np.add(merits[block], weighed[:size], out=merits[block])

    return merits


def _reached(merits: np.ndarray, most: int) -> int:
    """
    A merit that at least `most` references have, hardly more.

    Of the best of each of a few thousand heaps, of references that lie far from each other, `most` have it: in one pass
    over the merits, of which a partition makes several.
    """
    m = len(merits)
    heaps = min(m, max(HEAPS, most))
    deep = m // heaps
    best = merits[: heaps * deep].reshape(deep, heaps).max(0)

    return int(np.partition(best, heaps - most)[heaps - most])


def _enough(question: Question, weights: np.ndarray, silences: int, least: float) -> np.ndarray:
    """
    The smallest merit at which a reference's ratio might reach `least`, int64 (silences + 1,), by how many of its
    answers are missing.

    At most those equal answers explain a merit that give the most for their weight (Dantzig's bound of the knapsack).
    """
    terms = []
    for retention in cohort.RETENTION:
        gain = question.gain(retention)[weights > 0]
        order = np.argsort(-gain / weights[weights > 0])
        merit, most = (np.r_[0, np.cumsum(each[order])] for each in (weights[weights > 0].astype(np.int64), gain))
        others = (len(question.asked) - np.arange(silences + 1)) * np.log(1 - retention)
        terms.append((merit, most, others))
    low, high = np.zeros(silences + 1, np.int64), np.full(silences + 1, int(weights.sum()) + 1, np.int64)
    while (low < high).any():
        middle = (low + high) // 2
        parts = [np.interp(middle, merit, most) + others for merit, most, others in terms]
        reached = np.logaddexp.reduce(parts) - np.log(len(parts)) >= least
        low, high = np.where(reached | (low >= high), low, middle + 1), np.where(reached, middle, high)

    return low


def _roughly(packed: Packed, question: Question, references: np.ndarray) -> np.ndarray:
    """As `_ratio`, but for rounding, since a matrix product adds up in another order; quick for thousands."""
    rows = _answers(packed, question, references)
    others = np.log(1 - cohort.RETENTION)[:, None]
    parts = np.stack([question.gain(each) for each in cohort.RETENTION]) @ (rows == question.given[:, None]).astype(
        float
    )
    parts += others * (rows != packed.silent).sum(0)

    return np.asarray(np.logaddexp.reduce(parts) - np.log(len(parts)))


def _answers(packed: Packed, question: Question, references: np.ndarray) -> np.ndarray:
    """Row by row, since one look-up in both directions waits for memory twice as long; like `packed.rows` (t, r)."""
    rows = np.asarray(packed.rows)
    return np.stack([rows[probe].take(references) for probe in question.asked])


def _ratio(packed: Packed, question: Question, references: np.ndarray) -> np.ndarray:
    """As `cohort.ratio`, of few references, float64 (r,)."""
    rows = _answers(packed, question, references)
    equal, silent = rows == question.given[:, None], rows == packed.silent
    parts = []
    for retention in cohort.RETENTION:
        other = np.log(1 - retention)
        same = question.gain(retention) + other
        parts.append(np.where(silent, 0.0, np.where(equal, same[:, None], other)).sum(0))

    return np.asarray(logsumexp(parts, axis=0) - np.log(len(parts)))
