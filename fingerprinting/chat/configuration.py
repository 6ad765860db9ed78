"""
What changed about an endpoint without its weights: a system prompt, a template, a sampling temperature.

The server's own count of prompt tokens tells of words that were put above ours: it grows by the same number whatever is
asked. Another tokenizer shows in differences that vary with the question. A temperature raises all odds of a cell to
one power, p(answer) ~ q(answer)^(1/T), which a change of weights does not.
"""

from typing import Final, NamedTuple

import numpy as np
from scipy.special import gammaln, logsumexp

from .counting import Table
from .records import Transcript

TEMPERATURES: Final = np.array([0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 3.0])
DRAWS: Final = 400  # of the bootstrap
SMOOTHING: Final = 0.5


class Counted(NamedTuple):
    """
    Prompt tokens now less those before, by cell. offset: their median, 0 where nothing was counted. constant: whether
    all cells differ by just that. known: whether both sides counted at all.
    """

    offset: int
    constant: bool
    known: bool


def prompt_tokens(earlier: Transcript, new: Transcript) -> Counted:
    """How the server's count of our questions' tokens changed."""
    differences = []
    for cell in new.answers:
        old, now = (
            [answer.prompt_tokens for answer in transcript.answers.get(cell, ()) if answer.prompt_tokens >= 0]
            for transcript in (earlier, new)
        )
        if old and now:
            differences.append(int(np.median(now)) - int(np.median(old)))
    if not differences:
        return Counted(0, constant=True, known=False)
    offset = int(np.median(differences))

    return Counted(offset, constant=all(difference == offset for difference in differences), known=True)


class Fit(NamedTuple):
    """temperature: its inverse is the power to which odds were raised. p: of the fit, small if none explains them."""

    temperature: float
    p: float


def temperature(cells: list[Table], rng: np.random.Generator) -> Fit:
    """
    The temperature, in units of the earlier one, under which new answers are likeliest, and whether it explains them.

    The p-value is a parametric bootstrap's, over the earlier answers as well, since their odds are only estimated.
    """
    likelihoods = np.array([_log_likelihoods(table.earlier, table.new) for table in cells]).sum(0)
    best = int(likelihoods.argmax())
    observed = sum(_surprise(table.earlier, table.new, best) for table in cells)
    drawn = np.zeros(DRAWS)
    for table in cells:
        truth = (table.earlier + SMOOTHING) / (table.earlier + SMOOTHING).sum()
        powered = _powered(truth)[best]
        for i in range(DRAWS):
            old = rng.multinomial(int(table.earlier.sum()), truth)
            drawn[i] += _surprise(old, rng.multinomial(int(table.new.sum()), powered), best)

    return Fit(float(TEMPERATURES[best]), float((1 + (drawn >= observed).sum()) / (DRAWS + 1)))


def is_greedy_no_more(steady: list[Table]) -> float:
    """Share of the cells that were answered alike every time and now are not, in [0, 1]."""
    once = [table for table in steady if np.count_nonzero(table.earlier) == 1]

    return float(np.mean([np.count_nonzero(table.new) > 1 for table in once])) if once else 0.0


def _powered(odds: np.ndarray) -> np.ndarray:
    """float64 (k,) -> (temperatures, k)."""
    logs = np.log(odds) / TEMPERATURES[:, None]

    return np.exp(logs - logsumexp(logs, axis=1, keepdims=True))


def _log_likelihoods(earlier: np.ndarray, new: np.ndarray) -> np.ndarray:
    """float64 (temperatures,)."""
    odds = (earlier + SMOOTHING) / (earlier + SMOOTHING).sum()

    return np.asarray(np.log(_powered(odds)) @ new)


def _surprise(earlier: np.ndarray, new: np.ndarray, at: int) -> float:
    """How much likelier new counts are under free odds than at one temperature: nats."""
    free = gammaln(new.sum() + 1) + gammaln(len(new) * 0.5) - gammaln(new.sum() + len(new) * 0.5)
    free += (gammaln(new + 0.5) - gammaln(0.5) - gammaln(new + 1)).sum()
    fitted = gammaln(new.sum() + 1) - gammaln(new + 1).sum() + _log_likelihoods(earlier, new)[at]

    return float(free - fitted)
