"""
The log-probability test of change (LT; Chauvin et al., 2512.03816): do the first token's log-probabilities still agree?

Each call gives the likeliest tokens; a token missing from a call gets the least log-probability of that call. `plain`
is the published statistic, the mean absolute difference of the two sides' means. `scaled` measures each token's
difference in units of its own noise from call to call, so that tokens that never waver count for what they tell.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from . import sequential
from .records import Answer, Transcript

NOISE_FLOOR: Final = 1e-4  # nats; servers print log-probabilities to about this
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
    earlier: Transcript, new: Transcript, rng: np.random.Generator, *, statistic: str = "scaled"
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
        measure = _scaled if statistic == "scaled" else _plain
        observed += float(measure(values, is_new[None])[0])
        for start in range(0, len(others), MOST_ROWS):
            rows = min(MOST_ROWS, len(others) - start)
            others[start : start + rows] += measure(values, rng.permuted(np.tile(is_new, (rows, 1)), axis=1))
        cells += 1

    return sequential.rank_p(observed, others, rng) if cells else None


def distance(earlier: Transcript, new: Transcript, *, statistic: str = "scaled") -> float:
    """The statistic itself, averaged over cells that both answered with log-probabilities; 0 without any."""
    measure, found = _scaled if statistic == "scaled" else _plain, []
    for cell in new.answers:
        values, _ = matrix([*earlier.answers.get(cell, ()), *new.answers[cell]])
        here = sum(bool(answer.logprobs) for answer in new.answers[cell])
        if 0 < here < len(values):
            found.append(float(measure(values, (np.arange(len(values)) >= len(values) - here)[None])[0]))

    return float(np.mean(found)) if found else 0.0


def _means(values: np.ndarray, is_new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (is_new @ values) / is_new.sum(1, keepdims=True), (~is_new @ values) / (~is_new).sum(1, keepdims=True)


def _plain(values: np.ndarray, is_new: np.ndarray) -> np.ndarray:
    new, old = _means(values, is_new)

    return np.asarray(np.abs(new - old).mean(1))


def _scaled(values: np.ndarray, is_new: np.ndarray) -> np.ndarray:
    """Mean over tokens of the log of (1 + F): large where any token moved by much more than it wavers."""
    new, old = _means(values, is_new)
    n, m = is_new.sum(1, keepdims=True), (~is_new).sum(1, keepdims=True)
    between = (new - old) ** 2 * n * m / (n + m)
    whole = ((values - values.mean(0)) ** 2).sum(0)
    within = np.maximum(whole - between, 0) / np.maximum(n + m - 2, 1) + NOISE_FLOOR**2

    return np.asarray(np.log1p(between / within).mean(1))
