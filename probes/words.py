"""
Texts on the edge of a label, by splices and smallest word edits, beside natural texts and the source's errors.

The search moves whole words and needs labels alone. A splice, the first words of one text and the last of another,
is bisected until the source changes its mind. An edit deletes words or swaps in those of a text of another label, until
the label flips, and takes back what was not needed (in the spirit of TextFooler; Jin et al., AAAI 2020).
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.errors import UsageError
from probe_match.fingerprinting.probing import labels_of, suite_of
from probe_match.fingerprinting.records import Pool, ProbeSuite

from ._pieces import Pieces, joined, pieces, span, splice
from ._search import partners

KINDS: Final = ("text",)
NEEDS: Final = "label"
NATURAL: Final = 0.25  # of the probes; half of these are errors of the source, where true labels are known
DELETED: Final = 0.5  # of the edits delete a word, the others swap it for one of the other text
TRIED: Final = 2  # pairs per pair that is wanted: not every edit leads to another label
UNDOING: Final = 24  # rounds of taking back edits


def generate(source: Client, pool: Pool, *, n: int, seed: int) -> ProbeSuite:
    """
    At most n distinct texts: a quarter natural, the others two by two from either side of a label change.

    Asks at most min(len(pool), max(10 n, 500)) + 16 n questions about texts of up to 256 words. Raises BadData where
    the source gives one label only, UsageError for a pool of other inputs.
    """
    if not isinstance(pool.x, tuple) or pool.spec.kind not in KINDS:
        raise UsageError(f"words works on text inputs, this pool holds {pool.spec.kind}; use midpoints or mixed")
    rng = np.random.default_rng(seed)
    pool = pool.take(rng.permutation(len(pool))[: max(10 * n, 500)])
    labels = labels_of(source, pool, pool.x)
    natural = rng.permutation(len(pool))
    if pool.y is not None:
        wrong = np.flatnonzero(labels != pool.y)[: round(NATURAL * n / 2)]
        natural = np.concatenate([wrong, np.setdiff1d(natural, wrong, assume_unique=True)])
    changed = round((1 - NATURAL) * n)
    made = [str(pool.x[i]) for i in natural[: n - changed]]
    made += [text for pair in _pairs(source, pool, labels, -(-changed // 2), rng) for text in pair]

    return suite_of("words", source, pool, tuple(dict.fromkeys(text for text in made if text))[:n], seed=seed)


def sides(source: Client, pool: Pool, count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """
    At most `count` pairs of texts on either side of a label change, splices and edits by halves.

    Raises BadData where the source gives one label only.
    """
    return _pairs(source, pool, labels_of(source, pool, pool.x), count, rng)


def _pairs(
    source: Client, pool: Pool, labels: np.ndarray, count: int, rng: np.random.Generator
) -> list[tuple[str, str]]:
    parts = [pieces(str(text)) for text in pool.x]
    half = count // 2
    enough = count - half
    first = np.resize(rng.permutation(len(parts)), half + TRIED * enough)
    second = partners(labels, first, rng)
    a, b = [[parts[i] for i in rows] for rows in (first, second)]
    made = _spliced(source, pool, a[:half], b[:half], labels[first[:half]])
    made += _edited(source, pool, a[half:], b[half:], labels[first[half:]], enough, rng)

    return [(one, other) for one, other in zip(made[::2], made[1::2], strict=True) if one and other]


def _spliced(source: Client, pool: Pool, a: list[Pieces], b: list[Pieces], labels: np.ndarray) -> list[str]:
    """Both sides of a change of the source's label on the way from each a, labelled so, to its b, labelled not so."""
    last = [span(*pair) for pair in zip(a, b, strict=True)]
    low, high = _change(source, pool, labels, last, lambda i, step: splice(a[i], b[i], step))

    return [splice(a[i], b[i], step) for i in range(len(a)) for step in (low[i], high[i])]


def _edited(
    source: Client,
    pool: Pool,
    a: list[Pieces],
    b: list[Pieces],
    labels: np.ndarray,
    enough: int,
    rng: np.random.Generator,
) -> list[str]:
    """Of the first a that can be edited to another label: a text near it that is not, and one with few edits."""
    edits = [_edits(*pair, rng) for pair in zip(a, b, strict=True)]
    flips = labels_of(source, pool, [joined(new) for new, _ in edits]) != labels
    kept = np.flatnonzero(flips)[:enough]
    old, new, order = [a[i] for i in kept], [edits[i][0] for i in kept], [edits[i][1] for i in kept]
    labels = labels[kept]
    low, high = _change(
        source, pool, labels, [len(o) for o in order], lambda i, step: _apply(old[i], new[i], order[i][:step])
    )
    done = [list(order[i][: high[i]]) for i in range(len(kept))]
    near = [_apply(old[i], new[i], order[i][: low[i]]) for i in range(len(kept))]

    size = [max(1, len(d) // 2) for d in done]  # how many edits to take back at once: fewer after each that failed
    for _ in range(UNDOING):
        open_ = [i for i in range(len(done)) if len(done[i]) > 1]
        left = [sorted(rng.permutation(len(done[i]))[size[i] :].tolist()) for i in open_]
        tried = [[done[i][j] for j in rows] for i, rows in zip(open_, left, strict=True)]
        texts = [_apply(old[i], new[i], t) for i, t in zip(open_, tried, strict=True)]
        still = labels_of(source, pool, texts) != labels[open_]
        for i, fewer, text, flipped in zip(open_, tried, texts, still, strict=True):
            if flipped:
                done[i] = fewer
            else:
                near[i] = text
            size[i] = max(1, min(size[i] if flipped else size[i] // 2, len(done[i]) - 1))

    return [text for i in range(len(done)) for text in (near[i], _apply(old[i], new[i], done[i]))]


def _edits(a: Pieces, b: Pieces, rng: np.random.Generator) -> tuple[Pieces, np.ndarray]:
    """Per piece of a what an edit puts there, "" where it deletes, and the order of edits; at least one swaps."""
    new = [b[i] for i in rng.integers(0, len(b), len(a))]
    order = rng.permutation(len(a))
    for place in order[1:][rng.random(len(a) - 1) < DELETED]:
        new[place] = ""

    return new, order


def _apply(old: Pieces, new: Pieces, places: np.ndarray | list[int]) -> str:
    edited = list(old)
    for place in places:
        edited[place] = new[place]
    return joined(edited)


def _change(
    source: Client, pool: Pool, labels: np.ndarray, last: list[int], make: Callable[[int, int], str]
) -> tuple[np.ndarray, np.ndarray]:
    """
    Per way, two neighbouring steps: the text at the first has the way's label, that at the second another; int (m,).

    last: of each way the last step, whose text is labelled otherwise. make: the text of a way at a step.
    """
    low, high = np.zeros(len(last), int), np.array(last, int)
    while len(rows := np.flatnonzero(high - low > 1)):
        middle = (low[rows] + high[rows]) // 2
        asked = labels_of(source, pool, [make(i, step) for i, step in zip(rows.tolist(), middle.tolist(), strict=True)])
        same = asked == labels[rows]
        low[rows], high[rows] = np.where(same, middle, low[rows]), np.where(same, high[rows], middle)

    return low, high
