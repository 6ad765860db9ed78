"""
Waiting where a server says that it is asked too fast or too busy, for all threads of one target, and not for ever.

A request refused with 429, 503 or 529 was not answered and is not paid for, so that sending it again is safe. Servers
say how long to wait in `Retry-After` (seconds or a date; RFC 9110, section 10.2.3), in `retry-after-ms`, in a gateway's
`llm_provider-retry-after`, or not at all.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Final, Protocol, TypeVar

BUSY: Final = (429, 503, 529)
FIRST_WAIT: Final = 1.0  # seconds, doubled each time, where the server does not say
LONGEST_WAIT: Final = 30.0


class Answered(Protocol):
    """What patience looks at in a reply."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Header fields, names in lower case."""


Reply = TypeVar("Reply", bound=Answered)


class Patience:
    """limit: seconds that one request may wait in all. When one thread is told to wait, the others wait too."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._open_at = 0.0  # time.monotonic() before which nothing is sent

    def persist(self, send: Callable[[], Reply]) -> Reply:
        """The first reply that is not "too busy", or that one where waiting longer is pointless."""
        spent, tries = 0.0, 0
        while True:
            spent += self._wait_for_the_others(self.limit - spent)
            reply = send()
            if reply.status not in BUSY or self._over.is_set():
                return reply
            asked = told_to_wait(reply.headers)
            pause = min(FIRST_WAIT * 2**tries, LONGEST_WAIT) * random.uniform(0.8, 1.2) if asked is None else asked
            if spent + pause > self.limit:
                return reply
            tries += 1
            with self._lock:
                self._open_at = max(self._open_at, time.monotonic() + pause)
            spent += self._wait_for_the_others(pause)

    def stop(self) -> None:
        """Wake all that wait; from now on nothing is sent twice."""
        self._over.set()

    def _wait_for_the_others(self, most: float) -> float:
        with self._lock:
            pause = min(self._open_at - time.monotonic(), most)
        if pause <= 0:
            return 0.0
        self._over.wait(pause)
        return pause


def told_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds the server wants us to wait, 0 or more, or None where it does not say."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    for name in ("retry-after", "llm_provider-retry-after"):
        told = headers.get(name, "").strip()
        seconds = _number(told)
        if seconds is not None:
            return seconds
        try:
            when = parsedate_to_datetime(told) if told else None
        except (TypeError, ValueError, IndexError, OverflowError):
            continue
        if when is not None:
            when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
            return max(0.0, (when - datetime.now(timezone.utc)).total_seconds())

    return None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None
