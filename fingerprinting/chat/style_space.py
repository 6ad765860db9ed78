"""
Who writes like this: models enrolled by some answers each, without training anything anew for the next one.

Two systems, added. In the first, style numbers and the commonest pieces of answers, see `habits`, are measured in a
space where answers of one model scatter alike in all directions; the ratio is that of two Gaussians, the suspect's mean
around a reference's or around that of models in general (probabilistic linear discriminant analysis, Ioffe 2006). In
the second many more words count one by one, each by how often a reference uses it and models in general do (naive Bayes
on presence); as it takes words for independent it is far too sure, so that only its order among the references counts,
at a share of the first one's spread. Prompts of suspect and references need not be equal.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.errors import NoAnswers

from . import style
from .habits import KINDS, Kind

PRIOR: Final = 3.0  # answers that the habit of models in general counts for
COUNTED_SHARE: Final = 0.1  # of the space's spread over the references, which words one by one add
LEAST_RATE: Final = 1e-5
EXTREME: Final = 3.0  # standard deviations, beyond which a feature of one text says no more
RIDGE: Final = 4.0  # of the mean variance within models, added to it
FEWEST: Final = 3  # models, and answers of each, below which there is no space


class Space(NamedTuple):
    """
    vocabulary: the pieces looked for by kind, the commonest first. usual: float64 (v,), share of the answers of models
    in general that have each piece that counts. middle, scale: float64 (f,). rotate: float64 (f, r), after which a
    model's answers scatter with variance 1 around its mean. centre: float64 (r,). between: float64 (r,), variance
    between models.
    """

    vocabulary: tuple[tuple[str, ...], ...]
    usual: np.ndarray
    middle: np.ndarray
    scale: np.ndarray
    rotate: np.ndarray
    centre: np.ndarray
    between: np.ndarray


class Placed(NamedTuple):
    """Some texts. at: float64 (n, r) in the space. there: uint8 (n, v), which pieces that count each has."""

    at: np.ndarray
    there: np.ndarray


class Writer(NamedTuple):
    """A model by its answers. mean: float64 (r,) in the space. answers: how many. counts: int64 (v,), with a piece."""

    mean: np.ndarray
    answers: int
    counts: np.ndarray


class Known(NamedTuple):
    """
    Several writers. mean: float64 (m, r). answers: int64 (m, 1). odds: float64 (m, v), log ratio of the odds that an
    answer has a piece, theirs over those of models in general; silence: float64 (m,), of an answer that has none.
    """

    mean: np.ndarray
    answers: np.ndarray
    odds: np.ndarray
    silence: np.ndarray


def fit(models: Mapping[str, Sequence[str]]) -> Space:
    """A space from the answers of several models, at least FEWEST of each. Raises NoAnswers."""
    return learn(models)[0]


def learn(models: Mapping[str, Sequence[str]]) -> tuple[Space, dict[str, Placed]]:
    """As `fit`, and those models' texts placed in it, which then need not be read again. Raises NoAnswers."""
    kept = {name: texts for name, texts in models.items() if len(texts) >= FEWEST}
    if len(kept) < FEWEST:
        raise NoAnswers(f"expected {FEWEST} models with {FEWEST} texts each to learn style from, got {len(kept)}")
    found = [_commonest(kind, list(kept.values())) for kind in KINDS]
    vocabulary = tuple(pieces for pieces, _ in found)
    has = [list(by_kind) for by_kind in zip(*(there for _, there in found), strict=True)]
    counted = [np.hstack(_counted(by_kind)) for by_kind in has]
    usual = np.mean([some.mean(0) for some in counted], axis=0).clip(LEAST_RATE, 1 - LEAST_RATE)
    rows = [_rows(texts, by_kind) for texts, by_kind in zip(kept.values(), has, strict=True)]
    total = sum(map(len, rows))
    middle = sum(row.sum(0, dtype=float) for row in rows) / total
    scale = np.sqrt(sum(((row - middle) ** 2).sum(0) for row in rows) / total) + 1e-6
    rows = [_clipped(row, middle, scale) for row in rows]
    rotate, centre, between = _axes(rows)
    space = Space(vocabulary, usual, middle, scale, rotate, centre, between)
    placed = {
        name: Placed(row @ rotate - space.centre, some) for name, row, some in zip(kept, rows, counted, strict=True)
    }
    few = {name: place(texts, space) for name, texts in models.items() if name not in kept}

    return space, {name: (placed | few)[name] for name in models}


def place(texts: Sequence[str], space: Space) -> Placed:
    """What counts of some texts."""
    there = _there(texts, space.vocabulary)
    rows = _clipped(_rows(texts, there), space.middle, space.scale)
    return Placed(np.asarray(rows @ space.rotate - space.centre), np.hstack(_counted(there)))


def enroll(texts: Sequence[str], space: Space) -> Writer:
    """A model by its texts. Raises NoAnswers where there is none."""
    if not len(texts):
        raise NoAnswers("expected at least one text of the model, got none; collect again")
    return writer(place(texts, space))


def writer(placed: Placed) -> Writer:
    """The model that wrote some texts, at least one."""
    return Writer(placed.at.mean(0), len(placed.at), placed.there.sum(0, dtype=np.int64))


def gather(writers: Sequence[Writer], space: Space) -> Known:
    """Known models side by side, worked out once for all suspects."""
    answers = np.array([[writer.answers] for writer in writers])
    rate = (np.array([writer.counts for writer in writers]) + PRIOR * space.usual) / (answers + PRIOR)
    used, left = np.log(rate / space.usual), np.log((1 - rate) / (1 - space.usual))

    return Known(np.array([writer.mean for writer in writers]), answers, used - left, left.sum(1))


def log_ratio(suspect: Writer, known: Known, space: Space) -> np.ndarray:
    """Log-likelihood ratio of each known model against models in general, by both systems; float64 (m,), nats."""
    ratios, counted = gaussian_ratio(suspect, known, space), counted_ratio(suspect, known)
    spread = float(counted.std())
    if spread <= 0:
        return ratios
    return np.asarray(ratios + COUNTED_SHARE * ratios.std() * (counted - counted.mean()) / spread)


def gaussian_ratio(suspect: Writer, known: Known, space: Space) -> np.ndarray:
    """By the place of a suspect's mean in the space; float64 (m,), nats."""
    pull = space.between / (space.between + 1 / known.answers)  # (m, r): how far a mean of so few answers is believed
    one = 1 / suspect.answers + space.between * (1 - pull)
    any_ = 1 / suspect.answers + space.between
    near = (suspect.mean - known.mean * pull) ** 2 / one + np.log(one)
    far = suspect.mean**2 / any_ + np.log(any_)

    return np.asarray((far - near).sum(1) / 2)


def counted_ratio(suspect: Writer, known: Known) -> np.ndarray:
    """By words one by one, as if they were independent; float64 (m,), nats."""
    return np.asarray(known.odds @ suspect.counts + suspect.answers * known.silence)


def _axes(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions in which models differ, by how much their answers scatter: rotate, centre, between of a Space."""
    means = np.array([row.mean(0, dtype=float) for row in rows])
    within = np.zeros((means.shape[1], means.shape[1]))
    for row, mean in zip(rows, means, strict=True):
        apart = row - mean
        within += apart.T @ apart
    within /= sum(map(len, rows))
    within += RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    white = np.linalg.cholesky(np.linalg.inv(within))
    where = means @ white
    centre = where.mean(0)
    _, spread, axes = np.linalg.svd(where - centre, full_matrices=False)
    rank = len(rows) - 1
    noise = np.mean([1 / len(row) for row in rows])
    between = np.maximum(spread[:rank] ** 2 / rank - noise, 1e-4)

    return white @ axes[:rank].T, centre @ axes[:rank].T, between


def _there(texts: Sequence[str], vocabulary: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """Which pieces each text has; uint8 (n, v), one of each kind."""
    found = []
    for kind, pieces in zip(KINDS, vocabulary, strict=True):
        place = {piece: i for i, piece in enumerate(pieces)}
        there = np.zeros((len(texts), len(pieces)), np.uint8)
        for row, text in zip(there, texts, strict=True):
            row[[place[piece] for piece in kind.of(text) if piece in place]] = 1
        found.append(there)
    return found


def _rows(texts: Sequence[str], there: Sequence[np.ndarray]) -> np.ndarray:
    """What is measured in the space; float32 (n, f), as hundreds of models with hundreds of answers are a lot."""
    commonest = [has[:, : kind.measured] for kind, has in zip(KINDS, there, strict=True)]
    return np.hstack([*commonest, style.features(texts)], dtype=np.float32)


def _clipped(rows: np.ndarray, middle: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.clip((rows - middle) / scale, -EXTREME, EXTREME, dtype=np.float32)


def _counted(by_kind: Sequence[Any]) -> list[Any]:
    """What there is of the kinds that count one by one."""
    return [some for kind, some in zip(KINDS, by_kind, strict=True) if kind.counted]


def _commonest(kind: Kind, models: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """The pieces of a kind that are looked for, those of the most texts, and which of them texts have, see `_there`."""
    number: dict[str, int] = {}
    held = [
        [np.array([number.setdefault(piece, len(number)) for piece in kind.of(text)], np.int32) for text in texts]
        for texts in models
    ]
    pieces = list(number)
    seen = np.bincount(np.concatenate([some for texts in held for some in texts]), minlength=len(pieces))
    least = np.sort(seen)[-kind.kept :].min(initial=0)
    often = sorted(np.flatnonzero(seen >= least).tolist(), key=lambda i: (-seen[i], pieces[i]))[: kind.kept]
    column = np.full(len(pieces), len(often))  # the last one is of those that are not looked for
    column[often] = np.arange(len(often))
    has = []
    for texts in held:
        there = np.zeros((len(texts), len(often) + 1), np.uint8)
        for row, some in zip(there, texts, strict=True):
            row[column[some]] = 1
        has.append(there[:, :-1])

    return tuple(pieces[i] for i in often), has
