"""
Are two sets of answers spread alike, cell by cell? An exact test by relabelling, and how much it would notice.

It minds everything that changes answers: weights, system prompt, temperature.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from probe_match.fingerprinting.errors import NoAnswers
from scipy.special import xlogy

from .records import Counts

RELABELINGS: Final = 2000
QUICK: Final = 400  # of them, where one more or less decides nothing
SWAPPED: Final = 0.5  # of answers that a changed model would give otherwise, for the power of a verification


def change_p(counts: Counts, known: Counts, rng: np.random.Generator, times: int = RELABELINGS) -> float:
    """
    How often answers dealt out at random between the target and the reference, within cells, differ as much; (0, 1].

    The statistic is the likelihood ratio (G) of two distributions per cell against one.
    """
    tables = [_pair(counts[cell], known[cell]) for cell in counts if known.get(cell)]
    if not tables:
        raise NoAnswers("the target and the claimed model share no answered question; collect again")
    observed = sum(float(_g(mine, theirs)) for mine, theirs in tables)
    dealt = np.zeros(times)
    for mine, theirs in tables:
        whole = mine + theirs
        new = rng.multivariate_hypergeometric(whole, int(mine.sum()), size=times)
        dealt += _g(new, whole - new)

    return float((1 + (dealt >= observed - 1e-9).sum()) / (times + 1))


def verification_power(
    counts: Counts, known: Counts, alpha: float, rng: np.random.Generator, trials: int = 40
) -> float:
    """Share of targets found, that answer as often as this one and half of the time what the known model never said."""
    found = 0
    for _ in range(trials):
        changed = {}
        for cell, some in counts.items():
            if known.get(cell):
                answers = list(known[cell])
                odds = np.array([known[cell][answer] for answer in answers], float)
                n = sum(some.values())
                others = int(rng.binomial(n, SWAPPED))
                drawn = rng.multinomial(n - others, odds / odds.sum())
                changed[cell] = {a: int(c) for a, c in zip(answers, drawn, strict=True) if c} | {"\0": others}
        found += change_p(changed, known, rng, round(4 / alpha)) <= alpha
    return found / trials


def _pair(mine: Mapping[str, int], theirs: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    answers = sorted({*mine, *theirs})
    mine_, theirs_ = (np.array([some.get(answer, 0) for answer in answers], np.int64) for some in (mine, theirs))
    return mine_, theirs_


def _g(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Likelihood ratio of two distributions against one: int (…, v) twice -> nats, float64 (…)."""
    whole = mine + theirs
    apart = sum(xlogy(x, x).sum(-1) - xlogy(x.sum(-1), x.sum(-1)) for x in (mine, theirs))

    return np.asarray(apart - xlogy(whole, whole).sum(-1) + xlogy(whole.sum(-1), whole.sum(-1)))
