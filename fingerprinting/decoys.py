"""
Decoys: inputs like everybody's put between the probes, whose answers count for nothing.

An endpoint that watches for audits looks for bursts of unusual questions (PRADA; Juuti et al., EuroS&P 2019). Between
enough usual ones there is no burst. Decoys are drawn once each, in a random place among the probes of their round; they
are paid for from the same budget.
"""

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from .errors import UsageError
from .records import Pool, ProbeSuite

SHARE: Final = 0.5  # of all questions


@dataclass(eq=False)
class Decoys:
    """rows: natural inputs, not used up yet. share: of the questions that are decoys. put: how many were asked."""

    pool: Pool
    rng: np.random.Generator
    share: float = SHARE
    put: int = 0
    _owed: float = 0.0
    _left: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise UsageError(f"expected a share of decoys between 0 and 1, got {self.share:g}")
        self._left = self.rng.permutation(len(self.pool)).tolist()

    def room(self, budget: int) -> int:
        """Of so many questions, how many may be probes."""
        each = self.share / (1 - self.share)
        probes = int(budget * (1 - self.share))
        while probes + 1 + int((probes + 1) * each + 1e-9) <= budget:
            probes += 1

        return probes

    def among(
        self, probes: np.ndarray | Sequence[str], suite: ProbeSuite
    ) -> tuple[np.ndarray | Sequence[str], np.ndarray]:
        """The probes with decoys between them, and the places of the probes, int (m,). Raises UsageError."""
        spec, its = suite.spec, self.pool.spec
        if not spec.accepts(its) or spec.categories != its.categories:
            raise UsageError(f"expected decoys of the probes' input, {spec.kind} {spec.shape}; got others")
        self._owed += len(probes) * self.share / (1 - self.share) + 1e-9
        count = min(int(self._owed), len(self._left))
        self._owed -= int(self._owed)
        drawn, self._left = self._left[:count], self._left[count:]
        order = self.rng.permutation(len(probes) + count)
        places = np.sort(np.argsort(order)[: len(probes)])  # in the order in which the probes stand
        between = np.setdiff1d(np.arange(len(order)), places)
        if isinstance(probes, np.ndarray):
            mixed = np.empty((len(order), *probes.shape[1:]), probes.dtype)
            mixed[places], mixed[between] = probes, np.asarray(self.pool.x)[drawn]
            return mixed, places
        texts = [""] * len(order)
        for place, text in zip(places.tolist(), probes, strict=True):
            texts[place] = text
        for place, row in zip(between.tolist(), drawn, strict=True):
            texts[place] = str(self.pool.x[row])

        return texts, places


_current: ContextVar[Decoys | None] = ContextVar("decoys", default=None)


def current() -> Decoys | None:
    """The decoys for what is collected now."""
    return _current.get()


def room(budget: int) -> int:
    """Of so many questions, how many may be probes now."""
    decoys = _current.get()
    return budget if decoys is None else decoys.room(budget)


def put() -> int:
    """How many decoys were asked so far."""
    decoys = _current.get()
    return 0 if decoys is None else decoys.put


@contextlib.contextmanager
def using(decoys: Decoys | None) -> Iterator[None]:
    """Put these between all probes that are collected in the block."""
    token = _current.set(decoys)
    try:
        yield
    finally:
        _current.reset(token)
