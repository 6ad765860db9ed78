"""
Exact search among very many references by their answers to a public suite: each is compared, none is skipped.

Answers are kept probe by probe, one byte each where there are fewer than 255 classes, so that a search reads only the
rows of probes that were answered, block by block. A score is a sum over probes, so a block is one comparison and one
matrix product; nothing is approximated and no index has to be kept up to date.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np

from . import cohort
from .errors import NoAnswers
from .records import UNANSWERED
from .verdicts import Evidence

LARGE: Final = 1000  # references, from which on peers are drawn; up to that many, all are each other's peers
LEADERS: Final = 100  # references that evidence is given for, the likeliest
CLOSEST: Final = 3  # leaders whose own nearest references are peers, too
NEAREST: Final = 50  # of each
DRAWN: Final = 400  # further peers, by chance
BLOCK: Final = 1 << 13  # references at a time: 64 probes of them as float32 are 2 MiB, which a cache holds
MOST_CLASSES: Final = 255  # that a byte holds, with one value for no answer
THREADS: Final = 2
ROUNDING: Final = 1e-2  # nats, far more than sums of float32 are off


class Packed(NamedTuple):
    """
    The answers of m references to n probes. rows: uint8 or uint16 (n, m), the largest value where no answer came, maybe
    mapped from a file. counts: int64 (n, k), how many references gave each label.
    """

    rows: np.ndarray
    counts: np.ndarray

    @property
    def silent(self) -> int:
        """The value that stands for no answer."""
        return int(np.iinfo(self.rows.dtype).max)

    def labels(self, references: np.ndarray, probes: np.ndarray | None = None) -> np.ndarray:
        """int64 (references, probes), UNANSWERED where nothing came; to all probes if none are named."""
        rows = self.rows[:, references] if probes is None else self.rows[np.ix_(probes, references)]
        return np.where(rows == self.silent, UNANSWERED, rows.astype(np.int64)).T


def pack(labels: np.ndarray) -> Packed:
    """labels: int (m, n), UNANSWERED allowed."""
    k = max(int(labels.max(initial=0)) + 1, 1)
    kind = np.uint8 if k <= MOST_CLASSES else np.uint16
    silent = int(np.iinfo(kind).max)
    rows = np.ascontiguousarray(np.where(labels == UNANSWERED, silent, labels).astype(kind).T)

    return Packed(rows, count(rows, k))


def count(rows: np.ndarray, k: int) -> np.ndarray:
    """How often each label is given; rows: (n, m), returns int64 (n, k)."""
    return np.array([np.bincount(row, minlength=k)[:k] for row in rows], np.int64)


def scores(packed: Packed, labels: np.ndarray, retentions: np.ndarray = cohort.RETENTION) -> np.ndarray:
    """
    Log-likelihood ratio of a suspect's answers to every reference, the largest over the retentions: float32 (m,), nats.

    labels: int (n,), the suspect's, UNANSWERED allowed.
    """
    asked = np.flatnonzero(labels != UNANSWERED)
    given = labels[asked]
    rarity = _rarity(packed, labels, asked)
    p0 = rarity[np.arange(len(asked)), given][None]
    kept = np.asarray(retentions, float)[:, None]
    other = np.log(1 - kept)
    gain = np.log((kept + (1 - kept) * p0) / p0) - other  # of an equal answer over another one
    known = given < packed.silent  # no reference gives a label that a byte does not hold
    values = np.where(known, given, 0).astype(packed.rows.dtype)
    # Of a reference's own silences nothing is told, so they take back what another answer costs.
    gaps = np.flatnonzero(packed.counts[asked].sum(1) < packed.rows.shape[1])
    weights = np.hstack([np.where(known, gain, 0.0), np.repeat(-other, len(gaps), axis=1)]).astype(np.float32)
    base = np.float32(other * len(asked))
    m = packed.rows.shape[1]
    out = np.empty(m, np.float32)

    def block(start: int) -> None:
        stop = min(start + BLOCK, m)
        equal = np.empty((len(asked) + len(gaps), stop - start), np.float32)
        for i, row in enumerate(asked):
            np.equal(packed.rows[row, start:stop], values[i], out=equal[i])
        for i, gap in enumerate(gaps):
            np.equal(packed.rows[asked[gap], start:stop], packed.silent, out=equal[len(asked) + i])
        np.max(weights @ equal + base, axis=0, out=out[start:stop])

    starts = range(0, m, BLOCK)
    if len(starts) < 2 * THREADS:
        for start in starts:
            block(start)
    else:
        with ThreadPoolExecutor(THREADS) as threads:  # numpy lets others run while it computes
            list(threads.map(block, starts))

    return out


def nearest(packed: Packed, labels: np.ndarray, most: int) -> np.ndarray:
    """
    Indices, int (most,), of the references of the largest ratios, which are averaged over retentions; best first.

    The average lies within log(retentions) of the largest, so that the exact one is worked out for few.
    """
    top = scores(packed, labels)
    if len(top) > most:
        least = _largest(top, most).min() - np.log(len(cohort.RETENTION)) - ROUNDING
        candidates = np.flatnonzero(top >= least)
    else:
        candidates = np.arange(len(top))
    asked = np.flatnonzero(labels != UNANSWERED)
    exact = cohort.ratio(labels[asked][None], packed.labels(candidates, asked), _rarity(packed, labels, asked))[0]

    return candidates[np.lexsort((candidates, -exact))][:most]


def _largest(values: np.ndarray, most: int) -> np.ndarray:
    """The `most` largest, in no order, block by block: a sort of all would copy all."""
    kept = values[:0]
    for start in range(0, len(values), BLOCK):
        kept = np.concatenate([kept, values[start : start + BLOCK]])
        kept = np.partition(kept, -most)[-most:] if len(kept) > most else kept

    return kept


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
    rarity = _rarity(packed, labels, asked)
    suspect = labels[asked]
    near = cohort.agreement(np.vstack([known, suspect]), known, rarity)
    llr = cohort.ratio(suspect[None], known, rarity)[0]
    alike = np.asarray((known == suspect).mean(1))
    evidence = cohort.stand_out(near, llr, alike, [names[i] for i in chosen], len(asked), cohort.SPREAD, "classes")
    leading = {names[i] for i in leaders}

    return [one for one in evidence if one.reference in leading]


def _only(labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The answers to some probes alone."""
    out = np.full(len(labels), UNANSWERED)
    out[asked] = labels[asked]
    return out


def _rarity(packed: Packed, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """How often each label is given by references and suspect together, float64 (asked, k), smoothed as in `cohort`."""
    counts = packed.counts[asked].astype(float)
    k = max(counts.shape[1], int(labels[asked].max()) + 1)
    counts = np.pad(counts, ((0, 0), (0, k - counts.shape[1])))
    counts[np.arange(len(asked)), labels[asked]] += 1

    return np.asarray((counts + 2.0 / k) / (counts.sum(1, keepdims=True) + 2.0))
