"""
The log-probability test of change (LT; Chauvin et al., 2512.03816): do the first token's log-probabilities still agree?

Each call gives the likeliest tokens; a token missing from a call gets the least log-probability of that call. `plain`
is the published statistic, the mean absolute difference of the two sides' means. `whitened` measures the difference in
the directions in which calls waver, each in units of its wavering: the noise of tokens is correlated, a change is not
bound to follow it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from . import sequential
from .records import Answer, Transcript

NOISE_FLOOR: Final = 1e-4  # nats; servers print log-probabilities to about this
SHRINKAGE: Final = 0.1  # of the mean variance, added to that of each direction; chosen on TinyFam's start 0
MOST_ROWS: Final = 1024  # relabelings worked on at once


def matrix(answers: Sequence[Answer], tokens: Sequence[str] | None = None) -> tuple[np.ndarray, list[str]]:
    """
    Log-probabilities of the first output token: float64 (calls, tokens), and the tokens, all that any call named.

    Calls without log-probabilities are left out.
    """
    calls = [dict(answer.logprobs[0]) for answer in answers if answer.logprobs]
    names = list(tokens) if tokens is not None else list(dict.fromkeys(name for call in calls for name in call))
    rows = [[call.get(name, min(call.values())) for name in names] for call in calls]

    return np.array(rows, float).reshape(len(calls), len(names)), names


def round_p(
    earlier: Transcript, new: Transcript, rng: np.random.Generator, *, statistic: str = "whitened"
) -> float | None:
    """The rank of the statistic, averaged over tokens and cells, among relabelings of calls; None without any."""
    observed, others = 0.0, np.zeros(sequential.RELABELINGS)
    cells = 0
    for cell in new.answers:
        old, now = earlier.answers.get(cell, ()), new.answers[cell]
        values, _ = matrix([*old, *now])
        here = sum(bool(answer.logprobs) for answer in now)
        if not 0 < here < len(values):
            continue
        is_new = np.arange(len(values)) >= len(values) - here
        measure = _whitened if statistic == "whitened" else _plain
        observed += float(measure(values, is_new[None])[0])
        for start in range(0, len(others), MOST_ROWS):
            rows = min(MOST_ROWS, len(others) - start)
            others[start : start + rows] += measure(values, rng.permuted(np.tile(is_new, (rows, 1)), axis=1))
        cells += 1

    return sequential.rank_p(observed, others, rng) if cells else None


def distance(earlier: Transcript, new: Transcript, *, statistic: str = "whitened") -> float:
    """The statistic itself, averaged over cells that both answered with log-probabilities; 0 without any."""
    measure, found = _whitened if statistic == "whitened" else _plain, []
    for cell in new.answers:
        values, _ = matrix([*earlier.answers.get(cell, ()), *new.answers[cell]])
        here = sum(bool(answer.logprobs) for answer in new.answers[cell])
        if 0 < here < len(values):
            found.append(float(measure(values, (np.arange(len(values)) >= len(values) - here)[None])[0]))

    return float(np.mean(found)) if found else 0.0


def _means(values: np.ndarray, is_new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    new, m = is_new.astype(float) @ values, is_new.sum(1, keepdims=True)

    return new / m, (values.sum(0) - new) / (len(values) - m)


def _plain(values: np.ndarray, is_new: np.ndarray) -> np.ndarray:
    new, old = _means(values, is_new)

    return np.asarray(np.abs(new - old).mean(1))


def _whitened(values: np.ndarray, is_new: np.ndarray) -> np.ndarray:
    """Squared length of the difference in units of the spread of all calls, which no relabeling changes."""
    centred = values - values.mean(0)
    variances, directions = np.linalg.eigh(centred.T @ centred / len(values))
    variances = np.maximum(variances, 0)
    scale = np.sqrt(variances + SHRINKAGE * variances.mean() + NOISE_FLOOR**2)
    new, old = _means(centred @ directions / scale, is_new)

    return np.asarray(((new - old) ** 2).sum(1))
