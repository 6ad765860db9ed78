"""
Pool rows that the source gets wrong (AKH: Godinot, Le Merrer, Penzo, Taïani, Trédan, AAAI 2025).

Right answers are shared by all good models, mistakes are a model's own. The best published choice with labels
alone; needs nothing but a labelled pool, so it works on any kind of input.
"""

import numpy as np
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.probing import labels_of, suite_of
from probe_match.fingerprinting.records import Pool, ProbeSuite

KINDS = ("tabular", "image", "text")
NEEDS = "labels"


def generate(source: Client, pool: Pool, *, n: int, seed: int) -> ProbeSuite:
    """
    At most n distinct pool rows whose true label the source misses, in random order; fewer where it misses
    fewer.

    Asks len(pool) + n questions. Raises BadData where the pool has no labels or the source misses none.
    """
    if pool.y is None:
        raise BadData("misclassified needs the true labels of the pool, this one has none; add an array y to it")
    rng = np.random.default_rng(seed)
    wrong = np.flatnonzero(labels_of(source, pool, pool.x) != pool.y)
    if len(wrong) == 0:
        raise BadData(
            f"{source.target} is right on all {len(pool)} rows of the pool; "
            "use rows it was not trained on, or the generators rare or midpoints"
        )

    return suite_of("misclassified", source, pool, pool.take(rng.permutation(wrong)[:n]).x, seed=seed)
