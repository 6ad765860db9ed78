"""
Probes that nobody picked: points on both sides of the owner's boundary, on ways between rows that a secret key draws.

A way leads from one row of the pool to another that the owner's model labels otherwise; bisection finds where on it the
label changes. Some way before and after that place lie the two sides. A model *reads* 0 at a point where it still gives
the first row's label, else 1. On the owner's model the two sides read 0 and 1; an honest model, whose boundary lies
elsewhere, mostly reads the same on both.

Statistics:

- `targeted`: of each way one side is asked, which the key's *registered bit* says. A model hits where it reads that
  bit. What reads the same on both sides hits with probability 1/2 exactly, bit by bit, whatever rows, models and peers
  a claimant may have chosen: bits are drawn after all that was committed to. (After FIT-Print, arXiv 2501.15509:
  what is claimed is a target registered before, not whatever models happen to answer alike.)
- `crossings`: both sides are asked, and a model hits where it reads 0 and 1. It needs fewer questions, and its error
  rate rests on the peers alone: for screening.

Versions: 1 has both sides half a `gap` from the place, and asks about the ways that the fewest choosing peers cross. 2
has each side at the one of several `offsets` at which copies with changed weights still cross and peers do not: a way
whose boundary peers have farther on is asked about close before theirs, and anywhere before the owner's. Version 1 is
the case of one offset and no copies. What a version draws is never changed: bundles of every release are verified with
it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData, UsageError
from probe_match.fingerprinting.records import UNANSWERED, InputSpec

from . import keys

Statistic = Literal["targeted", "crossings"]
STEPS: Final = 12  # of bisection: a place is known to 2^-12 of the way
MOST: Final = 1 << 16
MOST_OFFSETS: Final = 8
GAP: Final = 0.12  # of version 1
OFFSETS: Final = (0.02, 0.125, 0.5)
FEW_WORDS: Final = 4  # texts of fewer, or without spaces, are spliced by characters
Ask = Callable[[np.ndarray], np.ndarray]  # float32 (m, *shape), or texts (m,) -> int64 (m,) labels


class Generator(NamedTuple):
    """
    How probes are made. ways: that are asked about. candidates: ways to choose them from. offsets: from the boundary to
    where a side may lie, as shares of the way.
    """

    statistic: Statistic
    ways: int = 1024
    candidates: int = 4096
    offsets: tuple[float, ...] = OFFSETS
    version: int = 2

    @property
    def questions(self) -> int:
        """Probes that the suspect is asked."""
        return self.ways * (2 if self.statistic == "crossings" else 1)

    @property
    def shadows(self) -> bool:
        """Whether changed copies of the owner's model choose among the ways."""
        return self.version > 1

    @property
    def digest(self) -> str:
        """`sha256:…` of all of it."""
        return storage.sha256(storage.canonical_json(self.to_json()))

    def to_json(self) -> dict[str, Any]:
        """As it stands in a commitment."""
        sides = {"offsets": list(self.offsets)} if self.shadows else {"gap": 2 * self.offsets[0]}
        told = {"statistic": self.statistic, "ways": self.ways, "candidates": self.candidates}
        return told | sides | {"name": "segments", "version": self.version}


def symmetric(statistic: Statistic, ways: int = 1024, candidates: int = 4096, gap: float = GAP) -> Generator:
    """The generator of version 1, for models whose weights cannot be changed. gap: between the two sides."""
    return Generator(statistic, ways, candidates, (gap / 2,), 1)


class Ways(NamedTuple):
    """
    first, second: int64 (m,), rows of the pool. base: int64 (m,), the first row's label. bits: int64 (m,), 0 or 1.
    """

    first: np.ndarray
    second: np.ndarray
    base: np.ndarray
    bits: np.ndarray


def checked(value: Any) -> Generator:
    """The generator in a commitment's JSON. Raises BadData for one that this version does not know."""
    try:
        statistic, ways, candidates, version = (value[n] for n in ("statistic", "ways", "candidates", "version"))
        offsets = (value["gap"] / 2,) if version == 1 else tuple(value["offsets"])
        generator = Generator(statistic, ways, candidates, offsets, version)
        sound = statistic in get_args(Statistic) and all(type(n) is int for n in (ways, candidates, version))
        sound = sound and version in (1, 2) and 8 <= ways <= candidates <= MOST and 1 <= len(offsets) <= MOST_OFFSETS
        sound = sound and all(type(at) is float and 0 < at <= 0.5 for at in offsets) and generator.to_json() == value
        if not sound:
            raise ValueError
    except (TypeError, ValueError, KeyError):
        raise BadData(
            f"expected the generator segments, version 1 or 2, 8 to {MOST} ways among as many candidates or more, and "
            f"a gap of at most 1, got {str(value)[:200]}; probes are derived from key and beacon, no list of them is "
            "taken"
        ) from None

    return generator


def draw(seed: bytes, labels: np.ndarray, count: int) -> Ways:
    """
    Ways between rows of which the owner's model gives different labels; labels: int64 (rows,), the model's for the
    pool.

    Raises UsageError where it gives one label only.
    """
    rows = len(labels)
    if len(np.unique(labels)) < 2:
        raise UsageError(f"expected two labels or more from the model, got one for all {rows} rows; use another pool")
    first = keys.below(keys.draws(seed, "first", count), rows)
    order = np.argsort(labels, kind="stable")
    begin, end = (np.searchsorted(labels[order], labels[first], side) for side in ("left", "right"))
    # Counting on from the end of a row's own label, modulo all rows, passes each row of another label once.
    step = keys.below(keys.draws(seed, "second", count), rows - (end - begin))
    bits = keys.below(keys.draws(seed, "bit", count), 2)

    return Ways(first, order[(end + step) % rows], labels[first], bits)


def locate(ask: Ask, spec: InputSpec, x: np.ndarray, ways: Ways) -> np.ndarray:
    """
    Where the label first found to change does, in 2^-STEPS of the way; int64 (m,), from 0 to below 2^STEPS.

    Each binary digit is one answer of the owner's model, so that the places are the whole record of the search.
    """
    low, high = np.zeros(len(ways.first), np.int64), np.full(len(ways.first), 1 << STEPS)
    for _ in range(STEPS):
        middle = (low + high) // 2
        same = ask(points(spec, x, ways, middle / (1 << STEPS))) == ways.base
        low, high = np.where(same, middle, low), np.where(same, high, middle)

    return low


def points(spec: InputSpec, x: np.ndarray, ways: Ways, at: np.ndarray) -> np.ndarray:
    """
    Inputs at the shares `at`, float64 (m,) in [0, 1], of the ways; float32 (m, *shape). x: float32 (rows, *shape).

    Of c categorical columns the first ceil(at c) are the second row's, the others the first's. Texts, object (rows,),
    begin with that share of the second and end with what is left of the first.
    """
    if spec.kind == "text":
        pairs = zip(x[ways.first], x[ways.second], at, strict=True)
        return np.array([_spliced(first, second, share) for first, second, share in pairs], object)
    a, b = (x[rows].reshape(len(rows), -1) for rows in (ways.first, ways.second))
    moved = (a + at[:, None] * (b.astype(np.float64) - a)).astype(np.float32)
    categorical = np.flatnonzero(~spec.numeric)
    if len(categorical):
        switched = np.arange(len(categorical)) < np.ceil(at * len(categorical))[:, None]
        moved[:, categorical] = np.where(switched, b[:, categorical], a[:, categorical])

    return moved.reshape(len(at), *x.shape[1:])


def _spliced(first: str, second: str, share: float) -> str:
    if share <= 0 or share >= 1:
        return second if share >= 1 else first
    a, b, between = first.split(), second.split(), " "
    if min(len(a), len(b)) < FEW_WORDS:
        a, b, between = list(first), list(second), ""

    return between.join(b[: int(share * len(b) + 0.5)] + a[int(share * len(a) + 0.5) :]) or first


def sides(
    spec: InputSpec, x: np.ndarray, ways: Ways, places: np.ndarray, offsets: tuple[float, ...]
) -> np.ndarray:  # fmt: skip
    """
    Where sides may lie: those before the change, offset by offset, then those after it; float32 (2 offsets m, *shape).
    """
    middle = (places + 0.5) / (1 << STEPS)
    signed = [-at for at in offsets] + list(offsets)

    return np.concatenate([points(spec, x, ways, np.clip(middle + at, 0, 1)) for at in signed])


def read(labels: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Readings of labels int (…, m): 0 for the first row's label, 1 for any other, UNANSWERED; int64."""
    return np.where(labels == UNANSWERED, UNANSWERED, (labels != base).astype(np.int64))


class Chosen(NamedTuple):
    """ways: int64 (n,), of the candidates. before, after: int64 (n,), where their sides lie, rows of `sides`."""

    ways: np.ndarray
    before: np.ndarray
    after: np.ndarray


def choose(
    own: np.ndarray, peers: Sequence[np.ndarray], shadows: np.ndarray, inputs: np.ndarray, ways: int
) -> Chosen:  # fmt: skip
    """The first so many ways of `ranked`. Raises UsageError where too few are left."""
    every = ranked(own, peers, shadows, inputs)
    if len(every.ways) < ways:
        raise UsageError(
            f"expected {ways} ways on which the model's label changes between the sides, found {len(every.ways)} of "
            f"{own.shape[-1]}; use fewer --ways, more candidates or another --gap"
        )

    return Chosen(*(some[:ways] for some in every))


def ranked(own: np.ndarray, peers: Sequence[np.ndarray], shadows: np.ndarray, inputs: np.ndarray) -> Chosen:
    """
    All ways that can be asked about, best first, ties in the order drawn, each with the pair of sides that tells most.

    own: readings int (2, offsets, m) of all sides. peers: of each kind of honest models, int (p, 2, offsets, m).
    shadows: likewise. inputs: float32 (2 offsets m, *shape), the sides; ways with a side that occurred before are
    passed over, as nothing is asked twice.
    """
    offsets, m = own.shape[1:]
    first, second = (side.ravel() for side in np.indices((offsets, offsets)))  # of every pair

    def crossed(readings: np.ndarray) -> np.ndarray:
        return np.asarray((readings[..., 0, first, :] == 0) & (readings[..., 1, second, :] == 1))

    worth = np.where(crossed(own), told_by(crossed(shadows), [crossed(some) for some in peers]), -np.inf)
    best, every = worth.argmax(0), np.arange(m)
    before, after = first[best] * m + every, (offsets + second[best]) * m + every
    pair = inputs[np.concatenate([before, after])]
    flat = pair if pair.dtype == object else pair.reshape(2 * m, -1)
    _, firsts = np.unique(flat, axis=None if flat.ndim == 1 else 0, return_index=True)
    fresh = np.isin(np.arange(2 * m), firsts).reshape(2, m).all(0)
    worth = np.where(fresh, worth[best, every], -np.inf)
    order = np.argsort(-worth, kind="stable")[: np.isfinite(worth).sum()]

    return Chosen(order, before[order], after[order])


def told_by(shadows: np.ndarray, peers: Sequence[np.ndarray]) -> np.ndarray:
    """
    What a registered bit tells a copy from an honest model by, in nats: the expected log-likelihood ratio of a hit,
    negative where honest models cross more often; of several kinds those that do most. shadows: bool (models, …), who
    crosses; peers: the same, of each kind.
    """
    copy, honest = _hitting(shadows), np.max([_hitting(some) for some in peers], axis=0)
    ratio = copy * np.log(copy / honest) + (1 - copy) * np.log((1 - copy) / (1 - honest))

    return np.asarray(np.sign(copy - honest) * ratio)


def _hitting(crossed: np.ndarray) -> np.ndarray:
    """How often models hit a bit, by how many cross; half of those hit that do not."""
    return np.asarray((1 + (crossed.sum(0) + 0.5) / (len(crossed) + 1)) / 2)


def asked(generator: Generator, ways: Ways, chosen: Chosen) -> np.ndarray:
    """Rows of `sides` that are probes, int64 (questions,): of each way the side of its bit, or one after the other."""
    if generator.statistic == "targeted":
        return np.where(ways.bits[chosen.ways] == 1, chosen.after, chosen.before)
    return np.stack([chosen.before, chosen.after], 1).reshape(-1)


def hits(generator: Generator, ways: Ways, chosen: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Bool (…, ways): on which ways models hit. labels: int (…, questions), in the order of `asked`."""
    if generator.statistic == "targeted":
        return np.asarray(read(labels, ways.base[chosen]) == ways.bits[chosen])
    before, after = (read(labels[..., side::2], ways.base[chosen]) for side in (0, 1))

    return np.asarray((before == 0) & (after == 1))


def order(seed: bytes, questions: int) -> np.ndarray:
    """The order in which probes are sent, int64 (questions,), drawn from the key so that no server reads a ranking."""
    return np.argsort(keys.draws(seed, "order", questions), kind="stable")
