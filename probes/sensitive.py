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
from probe_match.fingerprinting.probing import log_odds, numbers, numbers_of, require_classes, suite_of, values_of
from probe_match.fingerprinting.records import Pool, ProbeSuite

from ._search import crossings, interpolate, partners
from ._texts import edges as text_edges

KINDS = ("tabular", "image", "text")
NEEDS = "label"
STEPS = 17  # halvings of the way between two rows
DISTANCES = (
    2e-5,
    5e-5,
    1e-4,
    2e-4,
    4e-4,
    8e-4,
    2e-3,
)  # from the boundary, in ways between two rows; the first steady one
STEP_DISTANCE = 1e-4  # likewise, from a regressor's step
COARSE = 5e-7  # relative rounding of inputs that an answer must survive, 8 times float32's
WIDER = 32  # times that, where scores follow the input: sums in float32 err by more than their inputs
FIRST_DRAWS = 1  # such roundings with which a distance is chosen
CHECKS = 1024  # such roundings at least that moved no answer of the suite: a rate of a thousandth
SPARE = 1.2  # pairs that are checked for every one that is kept
BALLAST = 16  # rows of the pool in every batch, without which logits near a boundary may look like probabilities
LEAST_MARGIN = 1e-4  # between the two likeliest classes, in median margins of the pool, both as log-odds
FAR = 8e-4  # distance from which a margin need not be known
SMALL = 500  # least margins that a margin near a boundary has at most, where it shrinks towards it
ABOVE_NOISE = 1  # standard deviations of a margin under rounding by which it must exceed 0
LEAST_STEP = 1e-4  # what a score may waver at most, or a regressor's answer, of what those vary
TOLERANCE = 2e-5  # of what a regressor's answers vary: what counts as the same number, at the least


def generate(source: Client, pool: Pool, *, n: int, seed: int, spread: int = 2, draws: int = 8) -> ProbeSuite:
    """
    At most n probes, two by two: this side and that of a boundary of the source, or of a regressor's largest step.

    spread: pairs looked for per pair kept, of which those that depend most on the weights stay (by gradient, of torch
    models) while pairs of classes take turns. draws: roundings that every kept probe survives, more for few probes;
    `params` counts them all as `checks`, and holds as `noise` the most that a score (or a regressor's number) moved.
    Asks some 20 spread + 1.2 draws questions per probe, and CHECKS. Raises BadData where no boundary is found.
    """
    rng = np.random.default_rng(seed)
    if isinstance(pool.x, tuple):
        texts, params = text_edges(source, pool, n=n, spread=spread, checks=CHECKS, floor=LEAST_MARGIN, rng=rng)
        return suite_of("sensitive", source, pool, texts, seed=seed, spread=spread, **params)
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
    pieces = _constant_in_pieces(source, pool, x[rows[:BALLAST]], rng)
    coarse = COARSE * (1 if pieces else WIDER)
    floor = LEAST_MARGIN * float(np.median(log_odds(known)))
    shape = pool.spec.shape
    sides = np.full((len(a), 2, *shape), np.nan, np.float32)
    far = np.full(len(a), np.inf)  # from the boundary
    sided = np.zeros((len(a), 2), np.int64)  # labels
    near = np.ones(len(a))  # the smaller margin
    for distance in DISTANCES:
        left = np.flatnonzero(np.isinf(far))
        if not len(left):
            continue
        ends = [
            interpolate(pool.spec, a[left], b[left], np.clip(t, 0, 1))
            for t in (low[left] - distance, high[left] + distance)
        ]
        points = pool.spec.clip(np.stack(ends, 1).reshape(-1, *shape))
        steady, labels, margins, _ = _steady(source, pool, points, FIRST_DRAWS, floor, coarse, rng)
        good = steady.reshape(-1, 2).all(1)
        good &= (labels.reshape(-1, 2)[:, 0] == known.labels[rows[left]]) & (np.diff(labels.reshape(-1, 2))[:, 0] != 0)
        sides[left[good]] = points.reshape(-1, 2, *shape)[good]
        if not pieces and distance < FAR:  # votes of pairs of classes jump, and nothing tells how near they are
            good &= margins.reshape(-1, 2).max(1) <= SMALL * floor
        far[left[good]], sided[left[good]] = distance, labels.reshape(-1, 2)[good]
        near[left[good]] = margins.reshape(-1, 2)[good].min(1)
    found = np.isfinite(far)
    if not found.any():
        raise BadData(f"sensitive found no steady boundary of {source.target} between {len(a)} pairs of rows")
    sides, far = sides[found], far[found]
    order = np.argsort(-_sensitivity(source, sides[:, 0], near[found]) / far, kind="stable")
    _, between = np.unique(np.sort(sided[found][order], 1), axis=0, return_inverse=True)
    order = order[np.argsort(_turns(between.ravel()), kind="stable")][: round(SPARE * pairs) + 1]
    points = sides[order].reshape(-1, *shape)
    draws = max(draws, -(-CHECKS // len(points)))
    steady, _, _, noise = _steady(source, pool, points, draws, floor, coarse, rng)
    kept = steady.reshape(-1, 2).all(1)
    if not kept.any():
        raise BadData(f"sensitive found no boundary of {source.target} that rounding leaves where it is")
    checks = int(draws * 2 * kept.sum())

    return sides[order][kept].reshape(-1, *shape)[:n], {"checks": checks, "noise": noise}


def _steady(
    source: Client, pool: Pool, points: np.ndarray, draws: int, floor: float, coarse: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Which points keep their label and a margin under rounding; labels; margins; and how far a score moved at most."""
    assert isinstance(pool.x, np.ndarray)
    rest = pool.spec.clip(pool.x[:BALLAST])
    many = np.concatenate([rest, points, *(pool.spec.clip(_rounded(points, pool, rng, coarse)) for _ in range(draws))])
    every = ask(source, many, pool.spec, classes=pool.classes)
    given = None if every.scores is None else every.scores[len(rest) :]
    asked = Asked(every.labels[len(rest) :], given)
    labels = asked.labels.reshape(draws + 1, len(points))
    steady = (labels == labels[0]).all(0)
    noise, margin = 0.0, np.ones(len(points))
    if given is not None:
        scores = given.reshape(draws + 1, len(points), given.shape[1])
        moved = np.nan_to_num(np.abs(scores - scores[0])).max((0, 2)) * COARSE / coarse
        margins = log_odds(asked).reshape(draws + 1, len(points))
        steady &= moved <= LEAST_STEP
        steady &= margins[0] >= np.maximum(floor, ABOVE_NOISE * margins.std(0))
        noise, margin = float(moved[steady].max(initial=0.0)), margins[0]

    return steady, labels[0], margin, noise


def _rounded(points: np.ndarray, pool: Pool, rng: np.random.Generator, coarse: float = COARSE) -> np.ndarray:
    moves = rng.uniform(-1, 1, points.shape) * coarse
    if pool.spec.kind == "tabular":
        moves *= pool.spec.numeric.reshape(pool.spec.shape)

    return points * (1 + moves)


def _constant_in_pieces(source: Client, pool: Pool, rows: np.ndarray, rng: np.random.Generator) -> bool:
    """Whether scores are shown and do not follow small moves of the input, as those of trees."""
    both = pool.spec.clip(np.concatenate([rows, _rounded(rows, pool, rng, WIDER * COARSE)]))
    scores = ask(source, both, pool.spec, classes=pool.classes).scores
    if scores is None:
        return False
    first, second = np.split(np.nan_to_num(scores), 2)

    return float(np.median(np.abs(first - second).max(1))) == 0.0


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


def _sensitivity(source: Client, points: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """
    How far a small change of the weights moves each margin, in margins; (m,).

    Of a torch model by gradient; of others the change is taken to be the same everywhere.
    """
    if hasattr(source, "module") and hasattr(source, "forward"):
        from ._weights import sensitivities  # needs torch, which is there if the source is

        return sensitivities(source, points)
    return np.asarray(1 / np.maximum(margins, 1e-12))


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
