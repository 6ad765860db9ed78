"""
Limits that hold: queries, tokens, dollars and seconds are reserved before anything is sent.

What is reserved is the most that a query can cost; what it did cost is known afterwards, and the rest is given back. So
a limit may be left unused by a little, and is never passed.
"""

import threading
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from .errors import BudgetSpent, UsageError
from .ledger_states import Cost

KINDS: Final = ("queries", "tokens", "dollars")


class Limits(NamedTuple):
    """What an audit may cost at most; None is without limit."""

    queries: int | None = None
    tokens: int | None = None
    dollars: float | None = None
    seconds: float | None = None

    def __bool__(self) -> bool:
        return any(limit is not None for limit in self)


class Budget:
    """What is left of the limits, for all threads of one audit. spent: what earlier runs of it have cost."""

    def __init__(self, limits: Limits, spent: Cost = Cost()) -> None:  # noqa: B008 - frozen
        self.limits = limits
        self.spent: Cost = spent
        self._lock = threading.Lock()
        self._ends = None if limits.seconds is None else time.monotonic() + limits.seconds

    def reserve(self, most: Cost, *, why: str = "--max-cost") -> None:
        """Set aside what a question may cost. Raises BudgetSpent, and sets nothing aside, where it is not left."""
        self.require_time()
        with self._lock:
            total = self.spent.plus(most)
            for kind, value, limit in zip(KINDS, total, self.limits, strict=False):
                if limit is not None and value > limit * (1 + 1e-12):
                    raise BudgetSpent(
                        f"{why} {kind}={limit:g} leaves no room for another question, which may cost "
                        f"{getattr(most, kind):.6g}; what was answered is kept"
                    )
            self.spent = total

    def settle(self, reserved: Cost, used: Cost) -> None:
        """Give back what was reserved and not used."""
        with self._lock:
            self.spent = self.spent.plus(reserved, -1).plus(used)

    def affordable(self, queries: int) -> int:
        """Of so many queries, how many are left."""
        if self.limits.queries is None:
            return queries
        with self._lock:
            return max(0, min(queries, self.limits.queries - self.spent.queries))

    def seconds_left(self) -> float:
        """Seconds until the time is over, infinite without a limit."""
        return float("inf") if self._ends is None else self._ends - time.monotonic()

    def require_time(self) -> None:
        """Raise BudgetSpent where the time is over."""
        if self.seconds_left() <= 0:
            raise BudgetSpent(f"--max-seconds {self.limits.seconds:g} are over; what was answered is kept")


def read_limits(costs: Sequence[str], seconds: float | None = None) -> Limits:
    """Limits out of `queries=500`, `tokens=20000`, `dollars=1.50`. Raises UsageError."""
    found: dict[str, float] = {}
    for cost in costs:
        kind, _, text = cost.partition("=")
        try:
            value = float(text)
            if kind not in KINDS or not 0 <= value < 1e15 or (kind != "dollars" and not value.is_integer()):
                raise ValueError
        except ValueError:
            raise UsageError(f"expected --max-cost queries=N, tokens=N or dollars=X, got '{cost[:60]}'") from None
        found[kind] = min(value, found.get(kind, value))
    queries, tokens = (None if kind not in found else int(found[kind]) for kind in ("queries", "tokens"))

    return Limits(queries, tokens, found.get("dollars"), seconds)
