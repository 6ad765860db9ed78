"""
Natural rows of which the source is least sure (FBI: Maho, Furon and Le Merrer, arXiv 2208.03169).

All good models agree on clear cases; on unclear ones they part, though nothing about the input looks odd. Each probe
keeps its true label where the pool has it, which `methods.mutual_information` compares answers with.
"""

import numpy as np
from probe_match.fingerprinting.collect import Client, ask
from probe_match.fingerprinting.errors import UsageError
from probe_match.fingerprinting.probing import require_classes, suite_of, with_notes
from probe_match.fingerprinting.records import Pool, ProbeSuite
from scipy.special import entr

KINDS = ("tabular", "image", "text")
NEEDS = "label"


def generate(source: Client, pool: Pool, *, n: int, seed: int, share: float = 0.2) -> ProbeSuite:
    """
    At most n pool rows, drawn from the share of them, 0 to 1, where the source's scores have the largest entropy.

    Where that share holds fewer than n, the n of largest entropy. A source that gives labels only is unsure of nothing
    that can be seen: its rows are drawn from the whole pool. Asks len(pool) + n questions.
    """
    if not 0 < share <= 1:
        raise UsageError(f"uncertain takes a share above 0 and at most 1, got {share}")
    require_classes(pool)
    rng = np.random.default_rng(seed)
    scores = ask(source, pool.x, pool.spec, classes=pool.classes).scores
    order = rng.permutation(len(pool))
    if scores is not None:
        least_sure = np.argsort(-entr(scores[order]).sum(1), kind="stable")
        order = rng.permutation(order[least_sure[: max(n, round(share * len(pool)))]])
    rows = order[:n]
    suite = suite_of("uncertain", source, pool, pool.take(rows).x, seed=seed, share=share, scored=scores is not None)

    return suite if pool.y is None else with_notes(suite, [str(label) for label in pool.y[rows]])
