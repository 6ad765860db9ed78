"""
Fragile probes, which any change of the model moves: both sides of a boundary, as near as runtimes allow.

Sensitive samples (He, Zhang and Lee, CVPR 2019) are inputs where the answer depends most on the weights; with labels
alone that is where the margin is small beside its gradient with respect to the weights (edge points; Aramoon, Chen and
Qu, DAC 2021). Both sides of a boundary are taken, so that it is seen to move either way. A model that is the same and
computes in another runtime must answer the same: a probe keeps so far from the boundary that rounding its numbers, much
more coarsely than float32 does, never changed an answer. The opposite of probes for ownership, and never among those.
"""

from typing import Any

import numpy as np
from probe_match.fingerprinting.collect import Asked, Client, ask
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.probing import numbers, numbers_of, require_classes, suite_of, values_of
from probe_match.fingerprinting.records import Pool, ProbeSuite

from ._search import crossings, interpolate, partners

KINDS = ("tabular", "image")
NEEDS = "label"
STEPS = 22  # halvings of the way between two rows
DISTANCES = (
    1e-5,
    2e-5,
    5e-5,
    1e-4,
    2e-4,
    5e-4,
    1e-3,
    2.5e-3,
)  # from the boundary, in ways between two rows; the first steady one is taken
STEP_DISTANCE = 1e-4  # likewise, from a regressor's step
COARSE = 5e-7  # relative rounding of inputs that an answer must survive, 8 times float32's
FIRST_DRAWS = 2  # such roundings with which a distance is chosen
LEAST_MARGIN = 1e-4  # between the two likeliest classes, in median margins of the pool, both as log-odds
ABOVE_NOISE = 32  # standard deviations of a margin under rounding by which it must exceed 0
LEAST_STEP = 1e-4  # what a score may waver at most, or a regressor's answer, of what those vary
TOLERANCE = 2e-5  # of what a regressor's answers vary: what counts as the same number, at the least


def generate(source: Client, pool: Pool, *, n: int, seed: int, spread: int = 6, draws: int = 16) -> ProbeSuite:
    """
    At most n probes, two by two: this side and that of a boundary of the source, or of a regressor's largest step.

    spread: pairs looked for per pair kept, of which those that depend most on the weights stay (by gradient, of torch
    models) while pairs of classes take turns. draws: roundings that every kept probe survived; `params` counts them
    all as `checks`, and holds as `noise` the most that a score (or a regressor's number) moved. Asks about
    n spread (STEPS / 2 + 6) + n draws questions. Raises BadData where no boundary is found.
    """
    rng = np.random.default_rng(seed)
    x = numbers_of("sensitive", pool, KINDS)
    if pool.spec.output == "number":
        inputs, params = _steps(source, pool, x, n, spread, draws, rng)
    else:
        require_classes(pool)
        inputs, params = _edges(source, pool, x, n, spread, draws, rng)
    return suite_of("sensitive", source, pool, inputs, seed=seed, spread=spread, draws=draws, **params)


def _edges(
    source: Client, pool: Pool, x: np.ndarray, n: int, spread: int, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
    pairs = (n + 1) // 2
    known = ask(source, x, pool.spec, classes=pool.classes)
    rows = _in_turn(known.labels, rng)[np.arange(pairs * spread) % len(x)]
    a, b = x[rows], x[partners(known.labels, rows, rng)]
    low, high = crossings(source, pool, a, b, known.labels[rows], STEPS)
    floor = LEAST_MARGIN * float(np.median(_margins(known)))
    shape = pool.spec.shape
    sides = np.full((len(a), 2, *shape), np.nan, np.float32)
    far = np.full(len(a), np.inf)  # from the boundary
    for distance in DISTANCES:
        left = np.flatnonzero(np.isinf(far))
        if not len(left):
            break
        ends = [
            interpolate(pool.spec, a[left], b[left], np.clip(t, 0, 1))
            for t in (low[left] - distance, high[left] + distance)
        ]
        points = pool.spec.clip(np.stack(ends, 1).reshape(-1, *shape))
        steady, labels, _ = _steady(source, pool, points, FIRST_DRAWS, floor, rng)
        good = steady.reshape(-1, 2).all(1)
        good &= (labels.reshape(-1, 2)[:, 0] == known.labels[rows[left]]) & (np.diff(labels.reshape(-1, 2))[:, 0] != 0)
        sides[left[good]] = points.reshape(-1, 2, *shape)[good]
        far[left[good]] = distance
    found = np.isfinite(far)
    if not found.any():
        raise BadData(f"sensitive found no steady boundary of {source.target} between {len(a)} pairs of rows")
    points = sides[found].reshape(-1, *shape)
    steady, labels, noise = _steady(source, pool, points, draws, floor, rng)
    kept = np.flatnonzero(steady.reshape(-1, 2).all(1))
    if not len(kept):
        raise BadData(f"sensitive found no boundary of {source.target} that rounding leaves where it is")
    checks = int(draws * steady.sum())
    points, labels = points.reshape(-1, 2, *shape)[kept], np.sort(labels.reshape(-1, 2)[kept], 1)
    order = np.argsort(-_sensitivity(source, pool, points) / far[found][kept], kind="stable")
    _, between = np.unique(labels[order], axis=0, return_inverse=True)
    order = order[np.argsort(_turns(between.ravel()), kind="stable")][:pairs]

    return points[order].reshape(-1, *shape)[:n], {"checks": checks, "noise": noise}


def _steady(
    source: Client, pool: Pool, points: np.ndarray, draws: int, floor: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """Which points keep their label and a margin under rounding; their labels; and how far a score moved at most."""
    many = np.concatenate([points, *(pool.spec.clip(_rounded(points, pool, rng)) for _ in range(draws))])
    asked = ask(source, many, pool.spec, classes=pool.classes)
    labels = asked.labels.reshape(draws + 1, len(points))
    steady = (labels == labels[0]).all(0)
    noise = 0.0
    if asked.scores is not None:
        scores = asked.scores.reshape(draws + 1, len(points), -1)
        moved = np.nan_to_num(np.abs(scores - scores[0])).max((0, 2))
        margins = _margins(asked).reshape(draws + 1, len(points))
        steady &= moved <= LEAST_STEP
        steady &= margins[0] >= np.maximum(floor, ABOVE_NOISE * margins.std(0))
        noise = float(moved[steady].max(initial=0.0))

    return steady, labels[0], noise


def _margins(asked: Asked) -> np.ndarray:
    """Log-odds of the label against the likeliest other class, negative where another is likelier; (m,)."""
    if asked.scores is None:
        return np.ones(len(asked.labels))
    logits = np.log(np.clip(np.nan_to_num(asked.scores.astype(float)), 1e-7, None))
    labels = np.minimum(asked.labels, logits.shape[1] - 1)
    own = np.take_along_axis(logits, labels[:, None], 1)[:, 0]
    np.put_along_axis(logits, labels[:, None], -np.inf, 1)

    return np.asarray(own - logits.max(1))


def _rounded(points: np.ndarray, pool: Pool, rng: np.random.Generator) -> np.ndarray:
    moves = rng.uniform(-1, 1, points.shape) * COARSE
    if pool.spec.kind == "tabular":
        moves *= pool.spec.numeric.reshape(pool.spec.shape)

    return points * (1 + moves)


def _in_turn(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All rows, in an order in which the classes take turns; int (m,)."""
    order = rng.permutation(len(labels))

    return order[np.argsort(_turns(labels[order]), kind="stable")]


def _turns(groups: np.ndarray) -> np.ndarray:
    """How many of the same group came before; int (m,)."""
    turns = np.zeros(len(groups), int)
    for group in np.unique(groups):
        turns[groups == group] = np.arange((groups == group).sum())
    return turns


def _sensitivity(source: Client, pool: Pool, pairs: np.ndarray) -> np.ndarray:
    """
    Per pair of sides (m, 2, *shape), how far a small change of the weights moves the margin, in margins.

    Of a torch model by gradient; of others with scores the change is taken to be the same everywhere.
    """
    if hasattr(source, "module") and hasattr(source, "forward"):
        from ._weights import sensitivities  # needs torch, which is there if the source is

        return sensitivities(source, pairs[:, 0])
    asked = ask(source, pairs.reshape(-1, *pool.spec.shape), pool.spec, classes=pool.classes)

    return np.asarray(1 / np.maximum(_margins(asked).reshape(-1, 2).min(1), 1e-12))


def _steps(
    source: Client, pool: Pool, x: np.ndarray, n: int, spread: int, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
    """Of a regressor: both sides of its largest steps, and rows of the pool, in turn."""
    pairs = (n + 1) // 2
    a, b = (x[rng.integers(0, len(x), pairs * spread)] for _ in range(2))
    low, high = crossings(source, pool, a, b, np.zeros(len(a), int), STEPS)
    distance = STEP_DISTANCE
    sides = [interpolate(pool.spec, a, b, np.clip(t, 0, 1)) for t in (low - distance, high + distance)]
    points = pool.spec.clip(np.concatenate([*sides, x[rng.permutation(len(x))[: len(a)]]]))
    values = values_of(source, pool, x)
    unit = float(values.std())
    many = np.concatenate([points, *(pool.spec.clip(_rounded(points, pool, rng)) for _ in range(draws))])
    answers = numbers(ask(source, many, pool.spec)).reshape(draws + 1, len(points))
    moved = np.abs(answers - answers[0]).max(0)
    steady = moved <= LEAST_STEP * unit
    both = np.flatnonzero(steady[: len(a)] & steady[len(a) : 2 * len(a)])
    step = np.abs(answers[0, both] - answers[0, len(a) + both])
    both = both[np.argsort(-step, kind="stable")]
    rows = 2 * len(a) + np.flatnonzero(steady[2 * len(a) :])
    triples = [np.array([i, len(a) + i]) for i in both]
    order = [part for i in range(max(len(triples), len(rows))) for part in (triples[i : i + 1], [rows[i : i + 1]])]
    chosen = np.concatenate([np.ravel(part) for part in order if len(part)]).astype(int)[:n]
    if len(chosen) == 0:
        raise BadData(f"sensitive found no input of {source.target} whose number rounding leaves as it is")
    noise = max(float(moved[chosen].max()), TOLERANCE * unit)

    return points[chosen], {"checks": int(draws * len(chosen)), "noise": noise}
