"""
How much of a model's mind an endpoint shows: labels, the scores of the k likeliest classes, rounded scores, or all.

A suspect that shows less is compared with references and peers of which no more is looked at: their scores are cut to
the same classes and rounded to the same decimals first. Otherwise what an endpoint hides would count as a difference.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from .records import Panel, Reference, Responses, spread

Level = Literal["label", "top-k", "rounded", "scores"]
MOST_DECIMALS: Final = 4  # five digits are what a model in single precision is worth
TELLING: Final = 10  # scores strictly between 0 and 1 below which nobody can say whether they are rounded


class Information(NamedTuple):
    """top: classes shown to an input at most, None for all. decimals: digits after the point, None for all."""

    level: Level
    top: int | None = None
    decimals: int | None = None

    def __str__(self) -> str:
        """For people: `top-3, rounded to 2 decimals`."""
        parts = [f"top-{self.top}"] if self.top else []
        parts += [f"rounded to {self.decimals} decimals"] if self.decimals else []

        return ", ".join(parts) or ("labels only" if self.level == "label" else "all scores")


def shown(scores: np.ndarray | None) -> Information:
    """What scores (…, k) show, NaN where a class is not shown; rows of NaN alone are no answers. None: labels."""
    if scores is None or scores.shape[-1] < 2:
        return Information("label" if scores is None else "scores")
    rows = scores.reshape(-1, scores.shape[-1])
    rows = rows[~np.isnan(rows).all(1)]
    count = (~np.isnan(rows)).sum(1)
    top = int(count.max()) if len(rows) and count.min() < rows.shape[1] else None
    decimals = _decimals(rows[~np.isnan(rows)])

    return Information("top-k" if top else "rounded" if decimals else "scores", top, decimals)


def _decimals(values: np.ndarray) -> int | None:
    between = values[(values > 0) & (values < 1)].astype(np.float64)
    if len(between) < TELLING:
        return None
    for decimals in range(1, MOST_DECIMALS + 1):
        scaled = between * 10**decimals
        if (np.abs(scaled - np.round(scaled)) < 10**decimals * 2e-7 + 1e-9).all():
            return decimals
    return None


def as_shown(reference: Reference, responses: Responses) -> Reference:
    """The reference, its peers and its shadows as they would look if they showed what these responses show."""
    information = shown(responses.scores)
    number = reference.suite.spec.output == "number"

    return reference if number or information.level in ("label", "scores") else _cut(reference, information)


@lru_cache(64)
def _cut(reference: Reference, information: Information) -> Reference:
    panel: Panel | None = reference.panel
    if panel is not None and panel.scores is not None:
        panel = replace(panel, scores=_less(panel.scores, information))
    answers = reference.answers
    if answers.scores is not None:
        answers = replace(answers, scores=_less(answers.scores, information))

    return replace(reference, answers=answers, panel=panel)


def _less(scores: np.ndarray, information: Information) -> np.ndarray:
    """Scores (…, k) of which only so much is known; hidden classes share what is left evenly."""
    left: Any = scores.astype(np.float32)
    if information.top is not None and information.top < scores.shape[-1]:
        place = np.argsort(np.argsort(-left, axis=-1, kind="stable"), axis=-1)
        left = np.where(place < information.top, left, np.nan)
    if information.decimals is not None:
        left = np.round(left, information.decimals)

    return spread(left).astype(scores.dtype)


def widened(responses: Responses, k: int | None) -> Responses:
    """Responses whose scores have k columns, where fewer classes than there are have turned up so far."""
    scores = responses.scores
    if scores is None or k is None or scores.shape[2] >= k or shown(scores).top is None:
        return responses
    hidden = np.full((*scores.shape[:2], k - scores.shape[2]), np.nan, np.float32)

    return replace(responses, scores=np.concatenate([scores, hidden], axis=2))
