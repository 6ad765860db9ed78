"""
What can be moved in an input, one feature at a time: columns of a table, regions of an image, words of a text.

A feature has a grid of values, and inputs can be given any of them while all else stays. On the grid the contributions
are defined: for numbers the quantiles of the pool, as Li, Turkington and Yazdani (2020) have it.
"""

import re
from collections import Counter
from typing import Final, Protocol

import numpy as np
from probe_match.fingerprinting.collect import Asked
from probe_match.fingerprinting.errors import UsageError
from probe_match.fingerprinting.plans import Inputs
from probe_match.fingerprinting.records import Pool

GRID: Final = 50  # quantiles of a numeric feature, from the least to the largest value
SIDE: Final = 4  # regions along each side of an image
WORDS: Final = 24  # words of texts that are looked at
WORD: Final = re.compile(r"\w+")


class Features(Protocol):
    """
    names: of the K features. grids: K arrays of values, float64, ascending. weights: K arrays, how often each value of
    the grid occurs, summing to 1. ordered: bool (K,), whether a line through the values means anything. size: rows of
    the pool.
    """

    size: int
    names: tuple[str, ...]
    grids: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]
    ordered: np.ndarray

    def describe(self) -> np.ndarray:
        """float64 (n, d): numbers for each row of the pool, on which a background should look like the whole."""

    def place(self, rows: np.ndarray, moved: dict[int, np.ndarray]) -> Inputs:
        """Inputs of pool rows, int (m,), with the named features set to the given values, float (m,) each."""

    def values(self, rows: np.ndarray, feature: int) -> np.ndarray:
        """The values that pool rows have of a feature; float64 (m,)."""


def features_of(pool: Pool) -> Features:
    """The features of a pool's kind of input. Raises UsageError for chat."""
    if pool.spec.kind == "tabular":
        return Columns(pool)
    if pool.spec.kind == "image":
        return Regions(pool)
    if pool.spec.kind == "text":
        return Words(pool)
    raise UsageError(f"expected a pool of tables, images or texts, got {pool.spec.kind}")


class Columns:
    """The columns of a table. A category is one of its values, without an order."""

    def __init__(self, pool: Pool) -> None:
        assert isinstance(pool.x, np.ndarray)
        self._x = pool.x.reshape(len(pool), -1)
        self._shape = pool.spec.shape
        self.size: int = len(pool)
        k = self._x.shape[1]
        self.names: tuple[str, ...] = pool.spec.features or tuple(f"x{i}" for i in range(k))
        self.ordered: np.ndarray = pool.spec.numeric
        grids: list[np.ndarray] = []
        weights: list[np.ndarray] = []
        for column, ordered in zip(self._x.T.astype(np.float64), self.ordered, strict=True):
            if ordered:
                grid, share = np.quantile(column, np.linspace(0, 1, GRID)), np.full(GRID, 1 / GRID)
            else:
                grid, counts = np.unique(column, return_counts=True)
                share = counts / counts.sum()
            grids.append(grid)
            weights.append(share)
        self.grids: tuple[np.ndarray, ...] = tuple(grids)
        self.weights: tuple[np.ndarray, ...] = tuple(weights)

    def describe(self) -> np.ndarray:
        """The columns, those of categories as one column of zeros and ones for each value."""
        parts = [
            column[:, None] if ordered else column[:, None] == grid
            for column, ordered, grid in zip(self._x.T, self.ordered, self.grids, strict=True)
        ]
        return np.concatenate(parts, axis=1).astype(np.float64)

    def place(self, rows: np.ndarray, moved: dict[int, np.ndarray]) -> Inputs:
        """See `Features`."""
        x = self._x[rows].copy()
        for feature, values in moved.items():
            x[:, feature] = values
        return x.reshape(len(rows), *self._shape)

    def values(self, rows: np.ndarray, feature: int) -> np.ndarray:
        """See `Features`."""
        return self._x[rows, feature].astype(np.float64)


class Regions:
    """
    A grid of regions of an image. A value from 0 to 1 mixes what the image shows there into what the mean image does.
    """

    def __init__(self, pool: Pool) -> None:
        assert isinstance(pool.x, np.ndarray)
        self._x = pool.x
        self._mean = pool.x.mean(0)
        self.size: int = len(pool)
        axes = [axis for axis in range(len(pool.spec.shape)) if axis != pool.spec.channel_axis]
        height, width = (pool.spec.shape[axis] for axis in axes)
        rows, columns = min(SIDE, height), min(SIDE, width)
        where = np.arange(height)[:, None] * rows // height * columns + np.arange(width) * columns // width
        shape = [1] * len(pool.spec.shape)
        for axis in axes:
            shape[axis] = pool.spec.shape[axis]
        self._region = np.broadcast_to(where.reshape(shape), pool.spec.shape)
        count = rows * columns
        self.names: tuple[str, ...] = tuple(f"row {i // columns + 1}, column {i % columns + 1}" for i in range(count))
        self.grids: tuple[np.ndarray, ...] = (np.linspace(0, 1, GRID),) * count
        self.weights: tuple[np.ndarray, ...] = (np.full(GRID, 1 / GRID),) * count
        self.ordered: np.ndarray = np.ones(count, bool)

    def describe(self) -> np.ndarray:
        """Mean brightness of every region."""
        flat, region = self._x.reshape(len(self._x), -1), self._region.reshape(-1)
        return np.stack([flat[:, region == i].mean(1) for i in range(len(self.names))], 1).astype(np.float64)

    def place(self, rows: np.ndarray, moved: dict[int, np.ndarray]) -> Inputs:
        """See `Features`."""
        share = np.ones((len(rows), *self._region.shape), np.float32)
        for feature, values in moved.items():
            at = self._region == feature
            share[:, at] = values[:, None]
        return (share * self._x[rows] + (1 - share) * self._mean).astype(np.float32)

    def values(self, rows: np.ndarray, feature: int) -> np.ndarray:
        """Images as they are show all of a region."""
        return np.ones(len(rows))


class Words:
    """The most frequent words of texts. A value of 0 leaves the word out, 1 leaves the text as it is."""

    def __init__(self, pool: Pool) -> None:
        assert isinstance(pool.x, tuple)
        self._texts = pool.x
        self.size: int = len(pool)
        found = [{word.lower() for word in WORD.findall(text)} for text in pool.x]
        counts = Counter(word for words in found for word in sorted(words))
        rare = [word for word, n in counts.most_common() if n < 0.9 * len(found)]  # words of all texts tell nothing
        self.names: tuple[str, ...] = tuple((rare or list(counts))[:WORDS])
        self._present = np.array([[word in words for word in self.names] for words in found], bool)
        self.grids: tuple[np.ndarray, ...] = (np.array([0.0, 1.0]),) * len(self.names)
        self.weights: tuple[np.ndarray, ...] = (np.array([0.5, 0.5]),) * len(self.names)
        self.ordered: np.ndarray = np.ones(len(self.names), bool)

    def describe(self) -> np.ndarray:
        """Which of the words every text holds."""
        return self._present.astype(np.float64)

    def place(self, rows: np.ndarray, moved: dict[int, np.ndarray]) -> Inputs:
        """See `Features`."""
        made = []
        for at, row in enumerate(rows):
            gone = {self.names[feature] for feature, values in moved.items() if values[at] < 0.5}
            text = self._texts[row]
            kept = WORD.sub(lambda word: "" if word[0].lower() in gone else word[0], text)  # noqa: B023 - used at once
            made.append(" ".join(kept.split()) or "-")
        return tuple(made)

    def values(self, rows: np.ndarray, feature: int) -> np.ndarray:
        """Texts as they are."""
        return np.ones(len(rows))


def background(features: Features, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """
    Pool rows that together look like the pool, and their weights: int (m,), float64 (m,) summing to 1.

    Of random subsets the one whose means and second moments are nearest; then weights that bring these nearer still,
    so that a handful of rows stands for the whole where a function depends on them smoothly. Rows may weigh nothing.
    """
    rng = np.random.default_rng([seed, 5])
    moments = _moments(features)
    subsets = [rng.permutation(features.size)[:rows] for _ in range(400)]
    chosen = np.sort(subsets[int(np.argmin([np.square(moments[subset].mean(0)).sum() for subset in subsets]))])
    weights = weights_of(features, chosen)
    kept = weights > 0

    return chosen[kept], weights[kept] / weights[kept].sum()


def weights_of(features: Features, chosen: np.ndarray) -> np.ndarray:
    """Weights of rows with which their moments come near the pool's, as alike as may be; float64 (m,)."""
    from scipy.optimize import nnls

    own, rows = _moments(features)[chosen], len(chosen)
    even = 0.1 * np.sqrt(own.shape[1])  # how strongly the weights are held to be alike
    system = np.concatenate([own.T, np.full((1, rows), 100.0), even * np.eye(rows)])
    weights, _ = nnls(system, np.concatenate([np.zeros(own.shape[1]), [100.0], np.full(rows, even / rows)]))

    return np.asarray(weights / weights.sum())


def _moments(features: Features) -> np.ndarray:
    """First and second moments of what describes each row, less the pool's; float64 (n, moments)."""
    described = features.describe()
    spread = described.std(0)
    z = (described - described.mean(0))[:, spread > 0] / spread[spread > 0]

    return np.concatenate([z, z**2 - 1], axis=1) if z.shape[1] else np.zeros((len(described), 1))


def answers_of(k: int, asked: Asked) -> np.ndarray:
    """Answers as numbers (m, outputs): probabilities, a regressor's number, or a one in the label's of k columns."""
    if asked.scores is not None:
        return asked.scores.astype(np.float64)
    return np.asarray(asked.labels[:, None] == np.arange(k), np.float64)
