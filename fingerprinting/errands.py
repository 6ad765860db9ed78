"""
One call of a client while it runs, and the requests that the transport sends for it.

Ledger and budget stand above a client and the wire below it. What they need to tell each other (a request is about to
leave, this is the answer byte by byte) would otherwise have to pass through every client there is.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Literal

# Refusals that come before any work is done, so that nobody pays for them: no or a wrong key, no such thing, too busy.
UNPAID: Final = (401, 402, 403, 404, 405, 407, 425, 429, 503, 529)
LOST: Final = (502, 504)  # a gateway that lost the answer of whoever stands behind it
Outcome = Literal["answered", "failed", "refused", "doubt"]


@dataclass
class Attempt:
    """
    One request. left: whether a byte of it may have been sent. status: of the answer, None where none came whole.
    body: raw bytes of the answer.
    """

    url: str
    left: bool = True
    status: int | None = None
    body: bytes = b""


@dataclass
class Errand:
    """
    again: called before every request but the first, which was allowed for when the errand began; may raise.
    seconds_left: for the audit it belongs to. token: the same for the same queries of the same ledger, so that a server
    that knows Idempotency-Key charges them once; "" without a ledger.
    """

    again: Callable[[], None] = lambda: None
    seconds_left: Callable[[], float] = lambda: float("inf")
    token: str = ""
    attempts: list[Attempt] = field(default_factory=list)

    def depart(self, url: str) -> Attempt:
        """A request that is about to be sent. Raises BudgetSpent where it may not be."""
        if any(attempt.left for attempt in self.attempts):
            self.again()
        self.attempts.append(Attempt(url))

        return self.attempts[-1]

    @property
    def answered(self) -> bool:
        """Whether a good answer came to any request, by its status: then nothing of the errand may be sent again."""
        return any(200 <= (attempt.status or 0) < 300 for attempt in self.attempts)

    def headers(self) -> dict[str, str]:
        """What goes along with the request that is about to leave."""
        return {"Idempotency-Key": f"{self.token}-{len(self.attempts)}"} if self.token else {}

    def outcome(self, *, failed: bool, unusable: bool = False) -> Outcome:
        """
        What became of it: answered; failed, after an answer that cannot be used; refused, so that nothing is paid and
        asking again is safe; doubt, where nobody can know. unusable: the target as a whole failed, not on a question.
        """
        if not failed:
            return "answered"
        if not self.attempts:  # a client that does not use our transport: it may have sent anything
            return "doubt"
        last = self.attempts[-1]
        if not last.left:
            return "refused"
        if last.status is None or last.status in LOST:
            return "doubt"

        return "refused" if last.status in UNPAID or (unusable and last.status >= 400) else "failed"


_under_way: ContextVar[Errand | None] = ContextVar("errand", default=None)


def current() -> Errand:
    """The errand of this thread; a new one that nobody looks at where there is none."""
    return _under_way.get() or Errand()


@contextlib.contextmanager
def run(errand: Errand) -> Iterator[Errand]:
    """Make this the errand of the thread for as long as the block runs."""
    token = _under_way.set(errand)
    try:
        yield errand
    finally:
        _under_way.reset(token)
