"""
Searching with labels alone: pairs of rows on which the source differs, and bisection between them.

Everything moves all pairs at once, so a search of s steps costs s calls however many pairs there are.
"""

import numpy as np
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.probing import labels_of, values_of
from probe_match.fingerprinting.records import InputSpec, Pool


def partners(labels: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """
    For each of the rows, int (n,), a row that is labelled otherwise, uniform among those; labels: int (m,).

    Raises BadData where all labels are the same.
    """
    m = len(labels)
    if len(np.unique(labels)) < 2:
        raise BadData(
            f"expected two labels or more from the source, got one for all {m} rows looked at; "
            "use a pool of more classes"
        )
    by_label = np.argsort(labels, kind="stable")
    begin, end = (np.searchsorted(labels[by_label], labels[rows], side) for side in ("left", "right"))
    # Counting on from the end of a row's own label, modulo m, passes every row of another label exactly once.
    return np.asarray(by_label[(end + rng.integers(0, m - (end - begin))) % m])


def interpolate(spec: InputSpec, a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """
    Points at the fractions t on the ways from a to b; a, b: float32 (m, *shape), t: float64 (m,) from 0 to 1.

    Categories cannot be half of each: of c categorical columns the first ceil(t c) are b's, the others a's.
    """
    flat_a, flat_b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    # float64: near a boundary the two sides may be neighbouring floats.
    points = (flat_a + t[:, None] * (flat_b.astype(np.float64) - flat_a)).astype(np.float32)
    categorical = np.flatnonzero(~spec.numeric)
    if len(categorical):
        switched = np.arange(len(categorical)) < np.ceil(t * len(categorical))[:, None]
        points[:, categorical] = np.where(switched, flat_b[:, categorical], flat_a[:, categorical])

    return points.reshape(a.shape)


def bisect(
    source: Client, pool: Pool, a: np.ndarray, b: np.ndarray, labels: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """
    The two sides of a label change on the way from each a to its b, 2^-steps of the way apart.

    a, b: float32 (m, *shape); labels: int (m,), the source's for a, and not its for b. Returns float32 (m,
    *shape) twice: points still labelled as a, and points that are not. Asks m * steps questions in `steps`
    rounds. A regressor, whose labels are not looked at, is followed to the half in which it changes most.
    """
    low, high = crossings(source, pool, a, b, labels, steps)

    return interpolate(pool.spec, a, b, low), interpolate(pool.spec, a, b, high)


def crossings(
    source: Client, pool: Pool, a: np.ndarray, b: np.ndarray, labels: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """The fractions of the way, float64 (m,) twice, between which the label changes; arguments as for `bisect`."""
    low, high = np.zeros(len(a)), np.ones(len(a))
    if pool.spec.output == "number":
        return _largest_change(source, pool, a, b, steps)
    for _ in range(steps):
        middle = (low + high) / 2
        same = labels_of(source, pool, interpolate(pool.spec, a, b, middle)) == labels
        low, high = np.where(same, middle, low), np.where(same, high, middle)

    return low, high


def _largest_change(
    source: Client, pool: Pool, a: np.ndarray, b: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.zeros(len(a)), np.ones(len(a))
    at_low, at_high = values_of(source, pool, a), values_of(source, pool, b)
    for _ in range(steps):
        middle = (low + high) / 2
        value = values_of(source, pool, interpolate(pool.spec, a, b, middle))
        upper = np.abs(at_high - value) > np.abs(value - at_low)  # the larger change lies above the middle
        low, high = np.where(upper, middle, low), np.where(upper, high, middle)
        at_low, at_high = np.where(upper, value, at_low), np.where(upper, at_high, value)

    return low, high
