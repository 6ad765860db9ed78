"""
Whether a suspect calls the classes by other numbers, and which is which.

A copy behind an endpoint may permute its labels. Honest or not, a model of the task answers most probes as some known
model would; where a permutation makes the answers far likelier than they are as they stand, it is undone. The gain must
pay for having searched all k! permutations, so that an unusual model is not bent into a usual one.
"""

from typing import Final

import numpy as np
from scipy.special import gammaln

from .records import UNANSWERED

UNFORESEEN: Final = 0.1  # probability, spread over the classes, of an answer that no known model gives
DOUBT: Final = np.log(1000.0)  # nats beyond log k! before labels are renamed
STRANGE: Final = 5.0  # standard deviations by which answers fall short of a known model's likelihood


def plausible(frequency: np.ndarray, source: np.ndarray) -> np.ndarray:
    """
    How likely each class is as the answer of a model of the task, derived or not; float64 (n, k).

    frequency: float (n, k), how often honest models give each class. source: int (n,), what the source says.
    """
    n, k = frequency.shape
    own = np.zeros((n, k))
    own[np.arange(n), source] = 1.0

    return np.asarray((1 - UNFORESEEN) * (frequency + own) / 2 + UNFORESEEN / k)


def find(labels: np.ndarray, likelihood: np.ndarray) -> np.ndarray | None:
    """
    What each of a suspect's labels means, int (k,), or None where they may stand as they are.

    labels: int (n,), UNANSWERED or foreign ones say nothing. likelihood: float (n, k), see `plausible`. The permutation
    of largest likelihood is the assignment of Kuhn (1955); made-up answers stay strange under the best of them.
    """
    k = likelihood.shape[1]
    log = np.log(likelihood)
    gain = np.stack([log[labels == label].sum(0) for label in range(k)])
    from scipy.optimize import linear_sum_assignment  # takes a quarter of a second to load, and is seldom needed

    rows, meaning = linear_sum_assignment(gain, maximize=True)
    better = gain[rows, meaning].sum() - np.trace(gain)

    explained = better > gammaln(k + 1) + DOUBT and not is_strange(rename(labels, meaning), likelihood)

    return meaning if explained else None


def is_strange(labels: np.ndarray, likelihood: np.ndarray) -> bool:
    """
    Whether the answers are far less likely than a known model's would be: of another label space, or made up.

    Far is STRANGE standard deviations of the log-likelihood that answers drawn from `likelihood` would have.
    """
    n, k = likelihood.shape
    answered = labels != UNANSWERED
    known = (labels >= 0) & (labels < k)
    log = np.log(likelihood)
    given = np.where(known, log[np.arange(n), np.where(known, labels, 0)], np.log(UNFORESEEN / k))
    expected = (likelihood * log).sum(1)
    variance = (likelihood * log**2).sum(1) - expected**2
    short = float((expected - given)[answered].sum())

    return bool(short > STRANGE * np.sqrt(variance[answered].sum() + 1e-9))


def rename(labels: np.ndarray, meaning: np.ndarray) -> np.ndarray:
    """Labels by what they mean; int, same shape. UNANSWERED and foreign ones stay."""
    known = (labels >= 0) & (labels < len(meaning))
    return np.where(known, meaning[np.where(known, labels, 0)], labels)


def reorder(scores: np.ndarray, meaning: np.ndarray) -> np.ndarray:
    """Score columns in the order of what they mean; float (..., k)."""
    out = np.empty_like(scores)
    out[..., meaning] = scores
    return out
