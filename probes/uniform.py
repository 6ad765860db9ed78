"""
Rows drawn uniformly from the pool: natural inputs, and the baseline that every other generator must beat.
"""

import numpy as np
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.probing import suite_of
from probe_match.fingerprinting.records import Pool, ProbeSuite

KINDS = ("tabular", "image", "text")
NEEDS = "pool"


def generate(source: Client, pool: Pool, *, n: int, seed: int) -> ProbeSuite:
    """At most n distinct pool rows."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(pool))[:n]

    return suite_of("uniform", source, pool, pool.take(rows).x, seed=seed)
