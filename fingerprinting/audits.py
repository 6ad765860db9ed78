"""
An audit: one target asked within limits, every question in a ledger; what guards both kinds of model share.

A guarded client (`guards`) asks like the one it holds, but reserves before it sends, writes down before and after, and
never asks again what the ledger knows.
"""

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal

from . import ledger_states
from .answers import Answers
from .budget import Budget, Limits
from .chat.records import Answer
from .errands import Errand
from .errors import BudgetSpent, UsageError
from .ledger import Ledger
from .ledger_states import Cost, Memory, Query

InDoubt = Literal["hold", "resend"]
UNITS: Final = {"s": 1000, "sec": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


class Audit:
    """
    What guards a target's questions. ledger: None keeps no record. in_doubt: what to do with queries of an earlier run
    that were sent and never answered. rate: most requests, as (number, milliseconds). offline: nothing is sent or
    written; the ledger answers what it can, and starts over where an input was asked less often.
    """

    def __init__(
        self,
        ledger: Ledger | None = None,
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        in_doubt: InDoubt = "hold",
        rate: tuple[int, int] | None = None,
        offline: bool = False,
    ) -> None:
        self.ledger = ledger
        self.offline = offline
        if ledger is not None and not offline:
            for came in ledger.departures.came:  # answers that a killed run did not get to write down
                ledger.add(came.kind, came.about, of=came.of, answer=came.answer, raw=came.raw)
            ledger.sync()
        self.memory: Memory = Memory() if ledger is None else ledger_states.remember(ledger)
        self.budget: Budget = Budget(limits, self.memory.spent)
        self.in_doubt = in_doubt
        self.stopped: BudgetSpent | None = None  # the limit that ended the asking
        self.reused: int = 0
        if ledger is not None and not offline:
            for seq in self.memory.unsent:
                ledger.add("refused", {"why": "never left", "cost": Cost()}, of=seq)
            for seq in self.memory.cut:
                ledger.add("doubt", {"why": "the run ended"}, of=seq)
            ledger.sync()  # before the departures of that run are forgotten
            ledger.departures.begin()
        self._rate = None if rate is None else _limiter(*rate)
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def ask_for(self, keys: Sequence[str]) -> tuple[list[int], list[Query | None]]:
        """
        Of queries that are about to be asked: how often each was before, and what the ledger knows of it. None is a
        query to send.
        """
        with self._lock:
            nth = []
            for key in keys:
                nth.append(self._seen[key])
                self._seen[key] += 1
        found = [self.memory.find(key, n, again=self.offline) for key, n in zip(keys, nth, strict=True)]
        known = [q if q and (q.state != "doubt" or self.in_doubt == "hold") else None for q in found]
        self.reused += sum(query is not None for query in known)
        if self.ledger is not None and not self.offline and None in known:
            left = [i for i, query in enumerate(known) if query is None]
            self.ledger.add("planned", {"keys": [keys[i] for i in left], "nth": [nth[i] for i in left]})

        return nth, known

    def grant(self, queries: int) -> int:
        """Of so many queries, how many may leave now, at least 1; they are reserved. Raises BudgetSpent."""
        while True:
            granted = max(1, self.budget.affordable(queries))
            try:
                self.reserve(Cost(granted))
                return granted
            except BudgetSpent:
                if granted == 1 or self.offline or self.budget.seconds_left() <= 0:
                    raise

    def reserve(self, cost: Cost) -> None:
        """Set aside what a request may cost. Raises BudgetSpent."""
        try:
            if self.offline:
                raise BudgetSpent("the ledger holds no further answer to this question")
            self.budget.reserve(cost)
        except BudgetSpent as spent:
            self.stopped = spent
            raise

    def send(self, keys: Sequence[str], nth: Sequence[int], cost: Cost) -> tuple[Errand, int]:
        """
        An errand for queries whose cost is reserved, and its entry in the ledger, which is on the disk.

        Raises DatabaseError where it could not be written down.
        """

        def again() -> None:
            self.reserve(cost)
            self._wait()

        seq, token = 0, ""
        if self.ledger is not None:
            told = json.dumps([self.ledger.about.get("id"), list(keys), list(nth)])
            token = hashlib.sha256(told.encode()).hexdigest()[:32]
            seq = self.ledger.add("sent", {"keys": list(keys), "nth": list(nth), "cost": cost})
            self.ledger.sync(seq)

        return Errand(again, self.budget.seconds_left, token), seq

    def leave(self, seq: int) -> None:
        """Return when the rate lets the queries of an entry leave. Raises BudgetSpent where the time ends before."""
        self._wait()
        if self.ledger is not None:
            self.ledger.departures.note_left(seq)

    def close_errand(
        self, errand: Errand, seq: int, kind: str, cost: Cost, *, answer: bytes = b"", why: str = "",
        used: Cost | None = None,
    ) -> None:  # fmt: skip
        """Write down what became of an errand. cost: reserved for each of its requests. used: None if not known."""
        requests = max(1, sum(attempt.left for attempt in errand.attempts))
        reserved = Cost().plus(cost, requests)
        if kind == "refused":
            used = Cost()
        if used is not None:
            self.budget.settle(reserved, used)
        if self.ledger is None:
            return
        told, raw = ledger_states.wire(errand)
        about: dict[str, Any] = {"requests": told, "cost": reserved if used is None else used}
        if why:
            about["why"] = why[:500]
        self.ledger.departures.note_came(kind, seq, about, answer, raw)
        self.ledger.add(kind, about, of=seq, answer=answer, raw=raw)

    def flush(self) -> None:
        """Return when everything is on the disk."""
        if self.ledger is not None and not self.offline:
            self.ledger.sync()

    def recall(self, queries: Sequence[tuple[int, Query]]) -> list[tuple[list[int], Answers]]:
        """Recorded answers to inputs, each with the caller's number."""
        return [] if self.ledger is None else list(ledger_states.recall(self.ledger, queries))

    def recall_chat(self, query: Query) -> Answer:
        """The recorded answer to one question."""
        assert self.ledger is not None
        packed = self.ledger.answer(query.seq)
        if not packed:
            return Answer("", "failed", error=query.why)
        return ledger_states.unpack_chat(packed, self.ledger)

    def close(self) -> None:
        """Close the ledger."""
        if self.ledger is not None:
            self.ledger.close()

    def _wait(self) -> None:
        try:
            while self._rate is not None and not self._rate.try_acquire("target", timeout=self._patience()):
                self.budget.require_time()
            self.budget.require_time()
        except BudgetSpent as spent:
            self.stopped = spent
            raise

    def _patience(self) -> float:
        return max(0.01, min(self.budget.seconds_left(), 3600.0))


def read_rate(text: str) -> tuple[int, int]:
    """`5/s`, `100/min`, `2/10s` as (requests, milliseconds). Raises UsageError."""
    found = re.fullmatch(r"(\d{1,6})(?:/(\d{0,5})(s|sec|min|m|h|d))?", text.strip())
    number, many, unit = found.groups() if found else ("0", None, None)
    span = int(many or 1) * UNITS[unit or "s"]
    if int(number) < 1 or span < 1:
        raise UsageError(f"expected a --rate such as 5/s, 100/min or 1/10s, got '{text[:40]}'")

    return int(number), span


def _limiter(number: int, milliseconds: int) -> Any:
    from pyrate_limiter import InMemoryBucket, Limiter, Rate  # here: 50 ms that only a rate costs

    return Limiter(InMemoryBucket([Rate(number, milliseconds)]))
