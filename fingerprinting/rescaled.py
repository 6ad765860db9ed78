"""
Answers that are the claimed model's own after a simple calculation: rounded, at another temperature, or rescaled.

Such a wrapper is almost exact to tell where scores are shown: what is left after the calculation is no more than the
noise of a runtime. By labels alone, rounding shows as ties.
"""

from typing import Final

import numpy as np

from .records import Change, Fragile, Responses

FEWEST: Final = 6  # probes from which a fit of two numbers says something
LEFT: Final = 1e-3  # of the answers' spread, in a wrapper's fit
OTHER: Final = 0.01  # by which a temperature must differ from 1
SURE: Final = 0.99
SURE_SCORE: Final = 1e-4  # probabilities below this, or so near 1, are worth too few digits for log-odds
PLAIN: Final = 20  # noises that a step of rounding is at least, as anything is near a multiple of less
FINER: Final = 40  # parts of the smallest gap between answers that are tried as a step
STEPS: Final = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)  # to which an endpoint may round before it decides
ASTRAY: Final = 0.02  # of the labels, where a score is as near to one multiple as to the next
EXPLAINED: Final = 4  # answers that rounding must explain for every one that it does not
COARSEST: Final = 0.5  # of the spread of the answers, that a step of rounding can be


def grid(its: np.ndarray, own: np.ndarray, tolerance: float, widest: float | None = None) -> float:
    """
    The step to whose multiples a model's scores or numbers were rounded, 0 where they are not; (m, k) both.

    Only where rounding explains every answer: a changed model that rounds is a changed model. widest: what answers may
    span, as they do themselves unless told.
    """
    values = np.unique(its.astype(np.float64))
    off = float(np.abs(its - own).max())
    gaps = np.diff(values)
    gaps = gaps[gaps > 2 * tolerance]
    if off <= tolerance:
        return 0.0
    largest = COARSEST * (float(np.ptp(own)) if widest is None else widest)
    steps = 10.0 ** np.arange(-6, 7)
    if len(gaps):
        steps = np.concatenate([steps, gaps.min() / np.arange(1, FINER)])
    for step in sorted(steps[(steps >= PLAIN * tolerance) & (steps <= largest)], reverse=True):
        for start in (0.0, values[0]):
            multiples = (values - start) / step
            on = np.abs(multiples - np.round(multiples)).max() * step <= 2 * tolerance
            if on and off <= step / 2 + tolerance:
                return float(step)
    return 0.0


def told(fragile: Fragile, asked: Responses, tolerance: float) -> Change | None:
    """A wrapper that explains every answer, or None."""
    own, its = fragile.answers.score, asked.score
    if own is None or its is None or own.shape != its.shape:
        return None
    rows = np.flatnonzero(asked.answered & fragile.answers.answered)
    if len(rows) < FEWEST:
        return None
    a, b = own[rows].astype(float), its[rows].astype(float)
    if fragile.suite.spec.output == "number":
        slope, offset = np.polyfit(a[:, 0], b[:, 0], 1)
        left = np.abs(slope * a[:, 0] + offset - b[:, 0]).max()
        return wrapped("rescaled") if slope > 0 and left <= max(2 * tolerance, 1e-4 * float(np.ptp(b))) else None
    if (asked.label[rows] != fragile.answers.label[rows]).any():
        return None
    usable = (a > SURE_SCORE) & (b > SURE_SCORE)
    usable &= usable.sum(1, keepdims=True) > 1  # log-odds are between two
    if usable.any(1).sum() < FEWEST:
        return None
    x, y = (_around_mean(np.log(np.where(usable, v, 1.0)), usable) for v in (a, b))
    slope = float((x * y).sum() / max(float((x * x).sum()), 1e-12))
    left = float(np.sqrt(((y - slope * x) ** 2).mean()) / max(float(y.std()), 1e-12))

    return wrapped("temperature") if slope > 0 and left <= LEFT and abs(slope - 1) > OTHER else None


def rounded_labels(fragile: Fragile, asked: Responses) -> Change | None:
    """
    Labels that are the source's scores, rounded, with ties going to the first class; None where they are not.

    What an endpoint that rounds before it decides answers near a boundary, though it shows labels alone.
    """
    own = fragile.answers.score
    rows = np.flatnonzero(asked.answered & fragile.answers.answered)
    shown = asked.score is not None  # scores would be rounded, too, and were looked at
    if own is None or shown or fragile.suite.spec.output == "number" or len(rows) < FEWEST:
        return None
    changed = int((asked.label[rows] != fragile.answers.label[rows]).sum())
    for step in STEPS:
        likeliest = np.round(own[rows].astype(float) / step).argmax(1)
        left = int((likeliest != asked.label[rows]).sum())
        if left <= ASTRAY * len(rows) and EXPLAINED * left <= changed:
            return wrapped("rounded")
    return None


def _around_mean(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Usable values less their row's mean, 0 elsewhere; (m, k)."""
    mean = (values * usable).sum(1, keepdims=True) / np.maximum(usable.sum(1, keepdims=True), 1)
    return np.asarray((values - mean) * usable)


def wrapped(how: str) -> Change:
    """A kind of change that leaves the model as it is."""
    return Change(f"wrapped ({how})", SURE, {f"wrapped ({how})": SURE, "any other": round(1 - SURE, 6)})
