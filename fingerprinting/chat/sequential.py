"""
Anytime-valid monitoring: has anything changed, looked at after every round, for ever, with one error rate.

A round's answers and all earlier ones are exchangeable while nothing changes, whatever noise the endpoint has, so the
rank of a round's statistic among random relabelings is uniform, and ranks of successive rounds are independent if each
round joins the earlier ones (conformal test martingales; Vovk et al., 2021). Bets against uniformity then grow
only if something changed: P(the wealth ever reaches 1/alpha) <= alpha (Ville). Bets of several sizes are begun at every
round, each with its share of the stake, so that a change after a long quiet is found as well.
"""

from typing import Final

import numpy as np
from scipy.special import logsumexp

# A bet of size k pays k * p^(k-1) on a p-value: small k bets on few very small ones, k = 1 does not bet.
BETS: Final = np.array([0.05, 0.1, 0.2, 0.4, 0.7])
RELABELINGS: Final = 9999
FIRST_SHARE: Final = 0.5  # of the stake for bets begun at the first round; the rest falls off as 1/k(k+1)


def rank_p(observed: float, relabelled: np.ndarray, rng: np.random.Generator) -> float:
    """
    Uniform on (0, 1) if the observed statistic is one more of the relabelled ones; small where it is larger.

    relabelled: float64 (b,). Ties are broken at random, else p-values of coarse statistics would not be uniform.
    """
    close = 1e-9 * max(1.0, abs(observed))
    larger = int((relabelled > observed + close).sum())
    equal = int((relabelled >= observed - close).sum()) - larger

    return float((larger + (equal + 1) * rng.uniform(1e-12, 1)) / (len(relabelled) + 1))


def log_wealth(p: np.ndarray) -> np.ndarray:
    """
    Log of the e-process after each round, float64 (t,), from the rounds' p-values, float64 (t,).

    exp of it is a martingale of mean 1 if nothing ever changes.
    """
    p = np.clip(np.asarray(p, float), 1e-12, 1)
    t = len(p)
    begun = np.arange(1, t + 1)
    share = (1 - FIRST_SHARE) / (begun * (begun + 1.0))
    share[:1] += FIRST_SHARE
    gains = np.cumsum(np.log(BETS)[:, None] + (BETS[:, None] - 1) * np.log(p), axis=1)  # (bets, t)
    before = np.concatenate([np.zeros((len(BETS), 1)), gains[:, :-1]], 1)
    # A bet begun at round k has gained what its size gained in all, less what it had gained before k.
    running = gains + np.logaddexp.accumulate(np.log(share) - before, axis=1) - np.log(len(BETS))
    kept = np.maximum(1 - np.cumsum(share), 0)  # the stake of bets not yet begun

    return np.asarray(np.logaddexp(logsumexp(running, axis=0), np.log(kept + 1e-300)))
