"""
Both sides of a label change between texts, a word apart, for `sensitive`.

A text moves by whole words, so that its numbers cannot be rounded to see what another runtime would do. What can be
done is to ask in other company: how many texts share a batch, and how long they are, decides in which order a served
model adds its numbers up. Where scores are shown a margin must exceed a floor as well.
"""

from typing import Any, Final

import numpy as np
from probe_match.fingerprinting.collect import Client, ask
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.probing import log_odds, require_classes
from probe_match.fingerprinting.records import Pool

from .words import sides

BALLAST: Final = 16  # longest and shortest texts of the pool among which the probes are asked again
LEAST_STEP: Final = 1e-4  # what a score may waver at most


def edges(
    source: Client, pool: Pool, *, n: int, spread: int, checks: int, floor: float, rng: np.random.Generator
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """
    At most n texts, two by two, of smallest margins where scores are shown; and the parameters of the suite.

    spread: pairs looked for per pair kept. checks: answers in other company that were the same, at least. floor: of a
    margin, in median margins of the pool. Raises BadData where no pair is steady, or the source has one label only.
    """
    assert isinstance(pool.x, tuple)
    require_classes(pool)
    pairs = (n + 1) // 2
    found = list(dict.fromkeys(sides(source, pool, pairs * spread, rng)))
    texts = [text for pair in found for text in pair]
    if not texts:
        raise BadData(f"sensitive found no change of {source.target}'s label between the pool's texts")
    own = ask(source, texts, pool.spec, classes=pool.classes)
    known = ask(source, pool.x[: max(100, BALLAST)], pool.spec, classes=pool.classes)
    margin = log_odds(own)
    near = margin.reshape(-1, 2).min(1)
    good = (np.diff(own.labels.reshape(-1, 2))[:, 0] != 0) & (near >= floor * float(np.median(log_odds(known))))
    kept = np.flatnonzero(good)
    kept = kept[np.argsort(margin.reshape(-1, 2)[kept].max(1), kind="stable")][:pairs]
    by_length = sorted(pool.x, key=len)
    ballast = by_length[: BALLAST // 2] + by_length[-BALLAST // 2 :]
    draws = max(2, -(-checks // max(2 * len(kept), 1)))
    steady, noise = np.ones(len(kept), bool), 0.0
    for _ in range(draws):
        some = [texts[2 * i + side] for i in kept for side in (0, 1)]
        many = [*some, *ballast[: int(rng.integers(len(ballast) + 1))]]
        order = rng.permutation(len(many))
        again = ask(source, [many[i] for i in order], pool.spec, classes=pool.classes)
        back = np.argsort(order)[: len(some)]
        rows = np.stack([2 * kept, 2 * kept + 1], 1)
        steady &= (again.labels[back].reshape(-1, 2) == own.labels[rows]).all(1)
        if own.scores is not None and again.scores is not None:
            moved = np.nan_to_num(np.abs(again.scores[back] - own.scores[rows.ravel()])).max(1).reshape(-1, 2).max(1)
            steady &= moved <= LEAST_STEP
            noise = max(noise, float(moved[steady].max(initial=0.0)))
    if not steady.any():
        raise BadData(f"sensitive found no change of {source.target}'s label that stands when asked in other company")
    chosen = [text for i in kept[steady] for text in found[i]]

    return tuple(chosen[:n]), {"checks": int(draws * 2 * steady.sum()), "noise": noise}
