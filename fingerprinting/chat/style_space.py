"""
Who writes like this: models enrolled by some answers each, without training anything anew for the next one.

Style numbers, common words and the first words of an answer are measured in a space where answers of one model scatter
alike in all directions; the ratio is that of two Gaussians, the suspect's mean around a reference's or around that of
models in general (probabilistic linear discriminant analysis, Ioffe 2006). Prompts of suspect and references need not
be equal.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.errors import NoAnswers

from . import style

COMMON: Final = 400  # words and word pairs
OPENINGS: Final = 150  # words and word pairs that answers begin with
FIRST: Final = 4  # words of an answer that are its opening
OPENING: Final = 40  # characters, in which they are looked for
EXTREME: Final = 3.0  # standard deviations, beyond which a feature of one text says no more
RIDGE: Final = 1.0  # of the mean variance within models, added to it
FEWEST: Final = 3  # models, and answers of each, below which there is no space
PIECES: Final = re.compile(r"\w+|[^\w\s]")
OPENING_PIECES: Final = re.compile(r"\w+|[^\w\s]|\n+")
READ: Final = 6000  # characters of a text in which words are looked for


class Space(NamedTuple):
    """
    common, openings: the words and pairs looked for. middle, scale: float64 (f,). rotate: float64 (f, r), after which a
    model's answers scatter with variance 1 around its mean. centre: float64 (r,). between: float64 (r,), variance
    between models.
    """

    common: tuple[str, ...]
    openings: tuple[str, ...]
    middle: np.ndarray
    scale: np.ndarray
    rotate: np.ndarray
    centre: np.ndarray
    between: np.ndarray


class Writer(NamedTuple):
    """A model by its answers. mean: float64 (r,) in the space. answers: how many."""

    mean: np.ndarray
    answers: int


def fit(models: Mapping[str, Sequence[str]]) -> Space:
    """A space from the answers of several models, at least FEWEST of each. Raises NoAnswers."""
    kept = [texts for texts in models.values() if len(texts) >= FEWEST]
    if len(kept) < FEWEST:
        raise NoAnswers(f"expected {FEWEST} models with {FEWEST} texts each to learn style from, got {len(kept)}")
    common = _frequent((piece for texts in kept for text in texts for piece in _pieces(text)), COMMON)
    openings = _frequent((piece for texts in kept for text in texts for piece in _opening(text)), OPENINGS)
    rows = [_rows(texts, common, openings) for texts in kept]
    everything = np.concatenate(rows)
    middle, scale = everything.mean(0), everything.std(0) + 1e-6
    rows = [_clipped(row, middle, scale) for row in rows]
    means = np.array([row.mean(0) for row in rows])
    within = np.zeros((len(scale), len(scale)))
    for row, mean in zip(rows, means, strict=True):
        apart = row - mean
        within += apart.T @ apart
    within /= sum(map(len, rows))
    within += RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    white = np.linalg.cholesky(np.linalg.inv(within))
    placed = means @ white
    centre = placed.mean(0)
    _, spread, axes = np.linalg.svd(placed - centre, full_matrices=False)
    rank = len(kept) - 1
    noise = np.mean([1 / len(row) for row in rows])
    between = np.maximum(spread[:rank] ** 2 / rank - noise, 1e-4)
    rotate = white @ axes[:rank].T

    return Space(common, openings, middle, scale, rotate, centre @ axes[:rank].T, between)


def place(texts: Sequence[str], space: Space) -> np.ndarray:
    """Each text in the space; float64 (n, r)."""
    rows = _clipped(_rows(texts, space.common, space.openings), space.middle, space.scale)
    return np.asarray(rows @ space.rotate - space.centre)


def enroll(texts: Sequence[str], space: Space) -> Writer:
    """A model by its texts. Raises NoAnswers where there is none."""
    if not len(texts):
        raise NoAnswers("expected at least one text of the model, got none; collect again")
    return Writer(place(texts, space).mean(0), len(texts))


def log_ratio(suspect: Writer, known: Sequence[Writer], space: Space) -> np.ndarray:
    """Log-likelihood ratio of each known model against models in general; float64 (m,), nats."""
    means = np.array([writer.mean for writer in known])
    noise = 1 / np.array([[writer.answers] for writer in known])
    pull = space.between / (space.between + noise)  # (m, r): how far a mean of so few answers is believed
    one = 1 / suspect.answers + space.between * (1 - pull)
    any_ = 1 / suspect.answers + space.between
    near = (suspect.mean - means * pull) ** 2 / one + np.log(one)
    far = suspect.mean**2 / any_ + np.log(any_)

    return np.asarray((far - near).sum(1) / 2)


def _rows(texts: Sequence[str], common: Sequence[str], openings: Sequence[str]) -> np.ndarray:
    there = [[piece in found for piece in common] for found in map(_pieces, texts)]
    begun = [[piece in found for piece in openings] for found in map(_opening, texts)]
    parts = [np.array(there, float), np.array(begun, float)]
    return np.hstack([*(part.reshape(len(texts), -1) for part in parts), style.features(texts)])


def _clipped(rows: np.ndarray, middle: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.clip((rows - middle) / scale, -EXTREME, EXTREME)


def _frequent(pieces: Iterable[str], most: int) -> tuple[str, ...]:
    seen = Counter(pieces)
    return tuple(sorted(sorted(seen, key=lambda piece: (-seen[piece], piece))[:most]))


def _opening(text: str) -> set[str]:
    """The first words and pairs of them, as they are written: "Sure" and "sure" are two habits."""
    words = OPENING_PIECES.findall(" ".join(text[:OPENING].split(" ")[:FIRST]))
    return {*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))}


def _pieces(text: str) -> set[str]:
    words = PIECES.findall(text[:READ].lower())
    return {*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))}
