"""
Pool rows to which the fewest peers give the source's label: what it says there, it says alone.

Needs no true labels, but answers of honest unrelated models; the mistakes that many models share, which
`misclassified` cannot tell from the source's own, come last here.
"""

from collections.abc import Sequence

import numpy as np
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.errors import UsageError
from probe_match.fingerprinting.probing import labels_of, suite_of
from probe_match.fingerprinting.records import Pool, ProbeSuite

KINDS = ("tabular", "image", "text")
NEEDS = "label"


def generate(source: Client, pool: Pool, *, n: int, seed: int, peers: Sequence[Client] = ()) -> ProbeSuite:
    """
    At most n distinct pool rows, those where the fewest peers agree with the source first, ties in random
    order.

    peers: honest models of the same task, at least one. Asks the source len(pool) + n questions and every
    peer len(pool). Raises UsageError without peers.
    """
    if not peers:
        raise UsageError(
            "rare compares the source with honest models of the same task and got none; "
            "pass peers=[...], a client for each"
        )
    rng = np.random.default_rng(seed)
    own = labels_of(source, pool, pool.x)
    agreeing = np.sum([labels_of(peer, pool, pool.x) == own for peer in peers], axis=0)
    rarest_first = np.lexsort((rng.random(len(pool)), agreeing))

    return suite_of("rare", source, pool, pool.take(rarest_first[:n]).x, seed=seed, peers=len(peers))
