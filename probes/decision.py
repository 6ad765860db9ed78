"""
Boundary points as close to a pool row as labels alone can bring them (HopSkipJump; Chen, Jordan, Wainwright,
S&P 2020).

From a boundary point found by bisection, small random moves tell which way the boundary faces (alg. 1 and eq.
16 there); a step along it and another bisection bring the point nearer to where it came from. Probes of
`midpoints` lie halfway between two rows, these lie next to one, and so look natural.
"""

import numpy as np
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.probing import distinct, labels_of, numbers_of, pairs_in, side_by_side, suite_of
from probe_match.fingerprinting.records import Pool, ProbeSuite

from ._search import bisect, partners

KINDS = ("tabular", "image")
NEEDS = "label"
PARTNERS = 16  # rows of another label of which the nearest is walked to
FIRST, NEXT, HALVINGS = 10, 7, 4  # steps of the first and later bisections; sizes tried per move
RADIUS = 0.1  # of the random moves, as a share of the distance


def generate(
    source: Client, pool: Pool, *, n: int, seed: int, iterations: int = 2, samples: int = 10, paired: bool = False
) -> ProbeSuite:
    """
    At most n distinct points just outside the region of a pool row's label, moved towards that row.

    iterations: moves; samples: random directions per move. paired: each point preceded by its row, n // 2 pairs of
    distinct rows (for `methods.decision_distance`). Asks at most min(len(pool), max(4 n, 256)) +
    n (FIRST + iterations (samples + HALVINGS + NEXT) + 1) questions, 53 n by default.
    Raises BadData where the source gives one label only.
    """
    rng = np.random.default_rng(seed)
    x = numbers_of("decision", pool, KINDS)
    scale = scale_of(pool, x)
    x = x[rng.permutation(len(x))[: max(4 * n, 256)]]
    labels = labels_of(source, pool, x)
    order = rng.permutation(len(x))
    first = order[: pairs_in(n)] if paired else np.resize(order, n)
    second = partners(labels, first, rng)
    for _ in range(PARTNERS - 1):
        other = partners(labels, first, rng)
        nearer = distance(x[first], x[other], scale) < distance(x[first], x[second], scale)
        second = np.where(nearer, other, second)
    _, points = bisect(source, pool, x[first], x[second], labels[first], FIRST)
    for t in range(iterations):
        points = approach(
            source, pool, x[first], labels[first], points, scale,
            samples=samples, shrink=1 / np.sqrt(t + 1), rng=rng,
        )  # fmt: skip
    if paired:
        inputs = side_by_side(x[first], points)
        return suite_of(
            "decision", source, pool, inputs, seed=seed, iterations=iterations, samples=samples, pairs="neighbours"
        )

    return suite_of("decision", source, pool, distinct(points), seed=seed, iterations=iterations, samples=samples)


def approach(
    source: Client,
    pool: Pool,
    origin: np.ndarray,
    labels: np.ndarray,
    points: np.ndarray,
    scale: np.ndarray,
    *,
    samples: int,
    shrink: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """
    The points moved once along the boundary and back towards their origins; never farther from them than
    before.

    origin, points: float32 (m, *shape); labels: int (m,), the source's for the origins, not its for the
    points. shrink: length of the move as a share of the distance.
    """
    far = distance(origin, points, scale)
    facing = _facing(source, pool, labels, points, far, scale, samples, rng)
    moved = points.copy()
    pending = np.arange(len(points))
    length = far * shrink
    for _ in range(HALVINGS):
        tried = pool.spec.clip(points[pending] + _rows(length[pending], facing) * facing[pending] * scale)
        outside = labels_of(source, pool, tried) != labels[pending]
        moved[pending[outside]] = tried[outside]
        pending = pending[~outside]
        length = length / 2
    _, closer = bisect(source, pool, origin, moved, labels, NEXT)

    return np.where(_rows(distance(origin, closer, scale) < far, points), closer, points)


def _facing(
    source: Client,
    pool: Pool,
    labels: np.ndarray,
    points: np.ndarray,
    far: np.ndarray,
    scale: np.ndarray,
    samples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """
    float32 (m, *shape): unit vectors, in units of scale, estimated to point away from the source's label.
    """
    total, signed, signs = np.zeros_like(points), np.zeros_like(points), np.zeros(len(points))
    for _ in range(samples):
        noise = rng.standard_normal(points.shape, np.float32) * (scale > 0)
        tried = pool.spec.clip(points + _rows(RADIUS * far, points) * _unit(noise) * scale)
        # What was tried, after clipping, not what was meant to be.
        step = _in_units(tried - points, scale)
        sign = np.where(labels_of(source, pool, tried) != labels, 1.0, -1.0)
        total, signed, signs = total + step, signed + _rows(sign, step) * step, signs + sign
    # Minus the mean, as in eq. 16: less variance. Where all signs agree that would leave nothing.
    mean = signs / max(samples, 1)
    mean = np.where(np.abs(mean) == 1, 0, mean)

    return _unit(signed - _rows(mean, total) * total)


def scale_of(pool: Pool, x: np.ndarray) -> np.ndarray:
    """
    float32 (*shape): the unit of length per feature, 0 where a feature cannot move.

    The bounds' width for images, the standard deviation in the pool for tables, 0 for categories.
    """
    spec = pool.spec
    if spec.kind == "image":
        width = np.asarray(spec.high, np.float32) - np.asarray(spec.low, np.float32)
        return np.broadcast_to(width if len(width) == 1 else width.reshape(spec.shape), spec.shape)

    return np.where(spec.numeric, x.std(0), 0).astype(np.float32)


def distance(a: np.ndarray, b: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """
    float64 (m,): Euclidean in units of scale, where every feature without a unit that differs counts as one.
    """
    steps = np.where(scale > 0, _in_units(b - a, scale), a != b).reshape(len(a), -1)

    return np.asarray(np.sqrt(np.square(steps, dtype=np.float64).sum(1)))


def _in_units(steps: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.divide(steps, scale, out=np.zeros_like(steps), where=scale > 0)


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.square(vectors.reshape(len(vectors), -1)).sum(1))

    return vectors / _rows(np.maximum(length, 1e-12), vectors).astype(np.float32)


def _rows(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """One value per row, shaped to multiply (m, *shape)."""
    return values.reshape(-1, *[1] * (like.ndim - 1)).astype(bool if values.dtype == bool else np.float32)
