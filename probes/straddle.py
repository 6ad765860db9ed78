"""
Pairs of rows just below and just above a threshold of the source: for trees and every other step function.

One feature of a pool row is swept over values the pool holds; where the source's label changes, bisection
finds the step. A copy of the model steps at the same place, another model, even of the same data, steps
elsewhere. A regressor's largest step in each sweep is taken.
"""

import numpy as np
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.probing import labels_of, numbers_of, suite_of, values_of
from probe_match.fingerprinting.records import Pool, ProbeSuite

from ._search import bisect

KINDS = ("tabular",)
NEEDS = "label"
ROUNDS = 4
SWEEPING = 25  # questions per probe spent on finding steps; the rest goes into bisection


def generate(source: Client, pool: Pool, *, n: int, seed: int, grid: int = 12, steps: int = 16) -> ProbeSuite:
    """
    At most n probes, two by two: below and above a step, the same row but for one numeric feature.

    grid: values per sweep, quantiles of the feature in the pool. steps: halvings of the way between two of
    them. Asks at most n (SWEEPING + steps / 2 + 1.5) questions, and ROUNDS grids where n is small. Raises
    BadData without numeric features or where no sweep changed a label.
    """
    rng = np.random.default_rng(seed)
    x = numbers_of("straddle", pool, KINDS)
    features = np.flatnonzero(pool.spec.numeric)
    if len(features) == 0:
        raise BadData("straddle sweeps numeric features and the pool has none; use mixed or misclassified")
    values = np.quantile(x[:, features], np.linspace(0, 1, grid), axis=0).astype(np.float32)
    pairs, sweeps = (n + 1) // 2, max(ROUNDS, n * SWEEPING // grid)
    steps_found = _find_steps(source, pool, x, features, values, pairs, sweeps, rng)
    if len(steps_found) == 0:
        raise BadData(
            f"no single feature changed the answer of {source.target} in {sweeps} sweeps; "
            "ask for more probes, or use midpoints"
        )

    row, feature, at = _one_feature_after_another(rng.permutation(steps_found))[:pairs].T
    start, end = x[row], x[row]
    start[np.arange(len(row)), features[feature]] = values[at, feature]
    end[np.arange(len(row)), features[feature]] = values[at + 1, feature]
    below, above = bisect(source, pool, start, end, _answers(source, pool, start), steps)
    inputs = np.stack([below, above], 1).reshape(-1, *pool.spec.shape)[:n]

    return suite_of("straddle", source, pool, inputs, seed=seed, grid=grid, steps=steps)


def _find_steps(
    source: Client,
    pool: Pool,
    x: np.ndarray,
    features: np.ndarray,
    values: np.ndarray,
    enough: int,
    sweeps: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """
    Distinct steps, int (steps, 3): row of x, index into features, and the grid value after which it comes.

    Features that showed a step in earlier rounds are swept more often later: many tell the source nothing.
    """
    grid, width = values.shape
    found = np.empty((0, 3), int)
    tried, hit = np.zeros(width), np.zeros(width)
    for _ in range(ROUNDS):
        m = sweeps // ROUNDS
        odds = (hit + 1) / (tried + 2)
        row = rng.integers(0, len(x), m)
        feature = rng.choice(width, m, p=odds / odds.sum())
        swept = np.repeat(x[row], grid, axis=0)
        swept[np.arange(m * grid), np.repeat(features[feature], grid)] = values[:, feature].T.ravel()
        answers = _answers(source, pool, swept).reshape(m, grid)
        changed = answers[:, 1:] != answers[:, :-1]
        if pool.spec.output == "number":
            change = np.abs(np.diff(answers, axis=1))
            changed &= change == change.max(1, keepdims=True)
        sweep, at = np.nonzero(changed)
        found = np.unique(np.concatenate([found, np.stack([row[sweep], feature[sweep], at], 1)]), axis=0)
        if len(found) >= enough and len(np.unique(found[:, 1])) == width:
            break
        np.add.at(tried, feature, 1)
        np.add.at(hit, feature[np.unique(sweep)], 1)

    return found


def _answers(source: Client, pool: Pool, inputs: np.ndarray) -> np.ndarray:
    return (values_of if pool.spec.output == "number" else labels_of)(source, pool, inputs)


def _one_feature_after_another(found: np.ndarray) -> np.ndarray:
    """The steps reordered so that every feature had its turn before any has its next."""
    feature = found[:, 1]
    turn = np.zeros(len(found), int)
    for f in np.unique(feature):
        mine = feature == f
        turn[mine] = np.arange(mine.sum())

    return found[np.argsort(turn, kind="stable")]
