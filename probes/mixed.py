"""
Two rows in one: a box of one image in another (CutMix; SAC-m, Guan, Liang, He, NeurIPS 2022), a table row
with some columns of another, or the first words of one text and the last of another.

Inputs for which no right answer exists, so that a model's answer is its own. No labels, no gradients, no
search.
"""

import numpy as np
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.errors import BadData, UsageError
from probe_match.fingerprinting.probing import distinct, numbers_of, suite_of
from probe_match.fingerprinting.records import InputSpec, Pool, ProbeSuite

from ._image import from_planes, to_planes
from ._pieces import pieces, span, splice

KINDS = ("tabular", "image", "text")
NEEDS = "pool"


def generate(source: Client, pool: Pool, *, n: int, seed: int, share: float = 0.3, box: str = "random") -> ProbeSuite:
    """
    At most n distinct mixtures of two pool rows.

    share: of the image's area, of the columns or of the words, that comes from the second row, between 0 and 1. box:
    "centre" or "random", where in an image. Half of all images are mirrored before they are mixed. Asks n
    questions.
    """
    if not 0 < share < 1 or box not in ("random", "centre"):
        raise UsageError(f"mixed takes a share between 0 and 1 and a random or centre box, got {share} and '{box}'")
    if len(pool) < 2:
        raise BadData(f"mixed needs a pool of at least 2 rows, got {len(pool)}")
    rng = np.random.default_rng(seed)
    first = np.resize(rng.permutation(len(pool)), n)
    second = (first + rng.integers(1, len(pool), n)) % len(pool)
    if isinstance(pool.x, tuple):
        pairs = [(pieces(pool.x[i]), pieces(pool.x[j])) for i, j in zip(first, second, strict=True)]
        texts = dict.fromkeys(splice(a, b, round(share * span(a, b))) for a, b in pairs)
        return suite_of("mixed", source, pool, tuple(texts), seed=seed, share=share)
    x = numbers_of("mixed", pool, KINDS)
    if pool.spec.kind == "image":
        inputs = _cut_and_paste(pool.spec, x[first], x[second], share, box, rng)
    else:
        inputs = _swap_columns(x[first], x[second], share, rng)

    return suite_of("mixed", source, pool, distinct(inputs), seed=seed, share=share, box=box)


def _cut_and_paste(
    spec: InputSpec, a: np.ndarray, b: np.ndarray, share: float, box: str, rng: np.random.Generator
) -> np.ndarray:
    planes = [to_planes(spec, images) for images in (a, b)]
    n, _, height, width = planes[0].shape
    for i, images in enumerate(planes):
        mirrored = rng.integers(0, 2, (n, 1, 1, 1))
        planes[i] = np.where(mirrored == 1, images[..., ::-1], images)
    sides = [int(np.clip(round(side * share**0.5), 1, side)) for side in (height, width)]
    inside = []
    for side, cut in zip((height, width), sides, strict=True):
        middle = np.full(n, (side - cut) // 2)
        start = middle if box == "centre" else rng.integers(0, side - cut + 1, n)
        at = np.arange(side)
        inside.append((at >= start[:, None]) & (at < start[:, None] + cut))
    window = inside[0][:, None, :, None] & inside[1][:, None, None, :]

    return from_planes(spec, np.where(window, planes[1], planes[0]))


def _swap_columns(a: np.ndarray, b: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    columns = a.shape[1]
    count = int(np.clip(round(columns * share), 1, max(columns - 1, 1)))
    rank = rng.random(a.shape).argsort(1)

    return np.where(rank < count, b, a)
