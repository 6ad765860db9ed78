"""
Answers of a cell as counts, and two statistics of how far new counts are from earlier ones.

`tv_distance` is the mean total variation of B3IT (Chauvin et al., 2602.11083). `log_ratio` weighs two stories by their
Dirichlet-multinomial likelihoods: the new answers come from the earlier ones' odds, or from any odds. It knows that
three equal answers say more where answers used to be even than where they always were the same.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy.special import gammaln

from . import sequential
from .records import USABLE, Transcript

# Pseudo-counts: of an answer never seen, if the earlier odds hold; of each answer, if any odds may.
UNSEEN: Final = 0.2
ANY: Final = 0.5


class Table(NamedTuple):
    """earlier, new: int64 (k,), how often each of the k answers of a cell was given."""

    earlier: np.ndarray
    new: np.ndarray


def tables(earlier: Transcript, new: Transcript) -> dict[str, Table]:
    """One table a cell that both answered. Answers that cannot be used count as one more answer, by their status."""
    out = {}
    for cell in new.answers:
        old, now = (_words(transcript, cell) for transcript in (earlier, new))
        if old and now:
            kinds = {word: i for i, word in enumerate(dict.fromkeys(old + now))}
            counts = (np.bincount([kinds[word] for word in words], minlength=len(kinds)) for words in (old, now))
            out[cell] = Table(*counts)

    return out


def tv_distance(earlier: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Total variation between shares: int (…, k) twice -> float64 (…) in [0, 1]."""
    return np.asarray(0.5 * np.abs(earlier / earlier.sum(-1, keepdims=True) - new / new.sum(-1, keepdims=True)).sum(-1))


def log_ratio(earlier: np.ndarray, new: np.ndarray) -> np.ndarray:
    """How much likelier the new counts are under odds of their own than under the earlier ones': nats, float64 (…)."""
    k, n, m = new.shape[-1], earlier.sum(-1), new.sum(-1)
    whole = _log_gamma(int((n + m).max()), UNSEEN)
    own = _log_gamma(int(m.max()), ANY)
    free = gammaln(k * ANY) - gammaln(k * ANY + m) + (own[new] - own[0]).sum(-1)
    same = gammaln(n + k * UNSEEN) - gammaln(n + m + k * UNSEEN) + (whole[earlier + new] - whole[earlier]).sum(-1)

    return np.asarray(free - same)


def relabelled(table: Table, rng: np.random.Generator, times: int) -> Table:
    """The same answers with "earlier" and "new" dealt out at random: int64 (times, k) each."""
    whole = table.earlier + table.new
    new = rng.multivariate_hypergeometric(whole, int(table.new.sum()), size=times)

    return Table(whole - new, new)


def round_p(cells: Sequence[Table], rng: np.random.Generator, *, statistic: str = "log-ratio") -> float:
    """The rank of a round's statistic, summed over cells, among relabelings within cells. See `sequential`."""
    score = {"log-ratio": log_ratio, "tv": tv_distance}[statistic]
    observed = sum(float(score(*table)) for table in cells)
    others = np.sum([score(*relabelled(table, rng, sequential.RELABELINGS)) for table in cells], axis=0)

    return sequential.rank_p(observed, others, rng)


def _log_gamma(most: int, prior: float) -> np.ndarray:
    """Log Gamma(prior + j) for counts j = 0 .. most: looking up is faster than computing a million of them."""
    return np.asarray(gammaln(prior + np.arange(most + 1)))


def _words(transcript: Transcript, cell: str) -> list[str]:
    return [
        f"said {answer.text}" if answer.status in USABLE else answer.status
        for answer in transcript.answers.get(cell, ())
        if answer.status != "failed"
    ]
