"""
Probes that nobody picked: points on both sides of the owner's boundary, on ways between rows that a secret key draws.

A way leads from one row of the pool to another that the owner's model labels otherwise; bisection finds where on it the
label changes, and half a gap before and after that point lie the two sides. A model *reads* 0 at a point where it still
gives the first row's label, else 1. On the owner's model the two sides read 0 and 1; an honest model, whose boundary
lies elsewhere, mostly reads the same on both.

Statistics:

- `targeted`: of each way one side is asked, which the key's *registered bit* says. A model hits where it reads that
  bit. What reads the same on both sides hits with probability 1/2 exactly, bit by bit, whatever rows, models and peers
  a claimant may have chosen: bits are drawn after all that was committed to. (After FIT-Print, arXiv 2501.15509:
  what is claimed is a target registered before, not whatever models happen to answer alike.)
- `crossings`: both sides are asked, and a model hits where it reads 0 and 1. It needs fewer questions, and its error
  rate rests on the peers alone: for screening.

This file is version 1 of the generator `segments`. What it draws is never changed: bundles of every release are
verified with it, so a better way of drawing gets a new version beside it.
"""

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData, UsageError
from probe_match.fingerprinting.records import UNANSWERED, InputSpec

from . import keys

Statistic = Literal["targeted", "crossings"]
STEPS: Final = 12  # of bisection: a place is known to 2^-12 of the way
MOST: Final = 1 << 16
Ask = Callable[[np.ndarray], np.ndarray]  # float32 (m, *shape) -> int64 (m,) labels


class Generator(NamedTuple):
    """
    How probes are made. ways: that are asked about. candidates: ways to choose them from, those that the fewest
    choosing peers cross. gap: between the two sides, as a share of the way.
    """

    statistic: Statistic
    ways: int = 1024
    candidates: int = 4096
    gap: float = 0.12
    name: str = "segments"
    version: int = 1

    @property
    def questions(self) -> int:
        """Probes that the suspect is asked."""
        return self.ways * (2 if self.statistic == "crossings" else 1)

    @property
    def digest(self) -> str:
        """`sha256:…` of all of it."""
        return storage.sha256(storage.canonical_json(self._asdict()))


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
        generator = Generator(**value)
        known = (generator.name, generator.version) == ("segments", 1) and generator.statistic in get_args(Statistic)
        sizes = type(generator.ways) is int and type(generator.candidates) is int
        if not (known and sizes and 8 <= generator.ways <= generator.candidates <= MOST and 0 < generator.gap <= 1):
            raise ValueError
    except (TypeError, ValueError):
        raise BadData(
            f"expected the generator segments, version 1, 8 to {MOST} ways among as many candidates or more, and a gap "
            f"of at most 1, got {str(value)[:200]}; probes are derived from key and beacon, no list of them is taken"
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

    Of c categorical columns the first ceil(at c) are the second row's, the others the first's.
    """
    a, b = (x[rows].reshape(len(rows), -1) for rows in (ways.first, ways.second))
    moved = (a + at[:, None] * (b.astype(np.float64) - a)).astype(np.float32)
    categorical = np.flatnonzero(~spec.numeric)
    if len(categorical):
        switched = np.arange(len(categorical)) < np.ceil(at * len(categorical))[:, None]
        moved[:, categorical] = np.where(switched, b[:, categorical], a[:, categorical])

    return moved.reshape(len(at), *x.shape[1:])


def sides(spec: InputSpec, x: np.ndarray, ways: Ways, places: np.ndarray, gap: float) -> np.ndarray:
    """Both sides of every way, first those before the change, then those after it; float32 (2 m, *shape)."""
    middle = (places + 0.5) / (1 << STEPS)
    return np.concatenate([points(spec, x, ways, np.clip(middle + half, 0, 1)) for half in (-gap / 2, gap / 2)])


def read(labels: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Readings of labels int (…, m): 0 for the first row's label, 1 for any other, UNANSWERED; int64."""
    return np.where(labels == UNANSWERED, UNANSWERED, (labels != base).astype(np.int64))


def choose(own: np.ndarray, peers: np.ndarray, inputs: np.ndarray, ways: int) -> np.ndarray:
    """
    Ways that the owner's model crosses and the fewest choosing peers do, ties in the order drawn; int64 (ways,).

    own: readings int (2, m) of both sides. peers: int (p, 2, m). inputs: float32 (2 m, *shape), the sides; ways with a
    side that occurred before are passed over, as nothing is asked twice. Raises UsageError where too few are left.
    """
    _, firsts = np.unique(inputs.reshape(len(inputs), -1), axis=0, return_index=True)
    fresh = np.isin(np.arange(len(inputs)), firsts).reshape(2, -1).all(0)
    crossed = (own[0] == 0) & (own[1] == 1) & fresh
    if crossed.sum() < ways:
        raise UsageError(
            f"expected {ways} ways on which the model's label changes across the gap, found {int(crossed.sum())} of "
            f"{len(crossed)}; use fewer --ways, more candidates or another --gap"
        )
    shared = ((peers[:, 0] == 0) & (peers[:, 1] == 1)).sum(0) if len(peers) else np.zeros(len(crossed), int)

    return np.argsort(np.where(crossed, shared, len(peers) + 1), kind="stable")[:ways]


def asked(generator: Generator, ways: Ways, chosen: np.ndarray) -> np.ndarray:
    """Rows of `sides` that are probes, int64 (questions,): of each way the side of its bit, or one after the other."""
    m = len(ways.first)
    if generator.statistic == "targeted":
        return np.asarray(chosen + m * ways.bits[chosen])
    return np.stack([chosen, chosen + m], 1).reshape(-1)


def hits(generator: Generator, ways: Ways, chosen: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Bool (…, ways): on which ways models hit. labels: int (…, questions), in the order of `asked`."""
    if generator.statistic == "targeted":
        return np.asarray(read(labels, ways.base[chosen]) == ways.bits[chosen])
    before, after = (read(labels[..., side::2], ways.base[chosen]) for side in (0, 1))

    return np.asarray((before == 0) & (after == 1))


def order(seed: bytes, questions: int) -> np.ndarray:
    """The order in which probes are sent, int64 (questions,), drawn from the key so that no server reads a ranking."""
    return np.argsort(keys.draws(seed, "order", questions), kind="stable")
