"""
Points where the source changes its mind between two pool rows, found by bisection with labels alone.

A boundary is where models of the same task differ most. Works on anything that answers: trees, text vectors,
remote services of one's own; the cheapest generator that reaches the boundary. A regressor has no boundary: its
points are those halfway between two rows, where what it made of the gaps in its data shows.
"""

import numpy as np
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.probing import distinct, labels_of, numbers_of, suite_of
from probe_match.fingerprinting.records import Pool, ProbeSuite

from ._search import bisect, interpolate, partners

KINDS = ("tabular", "image")
NEEDS = "label"


def generate(source: Client, pool: Pool, *, n: int, seed: int, steps: int = 20) -> ProbeSuite:
    """
    At most n distinct points within 2^-steps of the way of a label change, alternately on either side of it.

    Categorical columns switch one after another on the way (see `interpolate`). Asks at most min(len(pool),
    max(10 n, 500)) + n (steps + 1) questions, n for a regressor. Raises BadData where the source gives one label only.
    """
    rng = np.random.default_rng(seed)
    x = numbers_of("midpoints", pool, KINDS)
    if pool.spec.output == "number":
        first = np.resize(rng.permutation(len(x)), n)
        second = (first + rng.integers(1, len(x), n)) % len(x)
        halfway = interpolate(pool.spec, x[first], x[second], np.full(n, 0.5))
        return suite_of("midpoints", source, pool, distinct(halfway), seed=seed, steps=0)
    x = x[rng.permutation(len(x))[: max(10 * n, 500)]]
    labels = labels_of(source, pool, x)
    first = np.resize(rng.permutation(len(x)), n)
    second = partners(labels, first, rng)
    before, after = bisect(source, pool, x[first], x[second], labels[first], steps)
    before[1::2] = after[1::2]

    return suite_of("midpoints", source, pool, distinct(before), seed=seed, steps=steps)
