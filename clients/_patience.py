"""
Waiting where a server says that it is asked too fast or too busy, for all threads of one target, and not for ever.

A request refused with 429, 503 or 529 was not answered and is not paid for, so that sending it again is safe. Servers
say how long to wait in `Retry-After` (seconds or a date; RFC 9110, section 10.2.3), in `retry-after-ms`, in a gateway's
`llm_provider-retry-after`, in one of the many forms of `x-ratelimit-reset`, or not at all.
"""

import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Final, Protocol, TypeVar

BUSY: Final = (429, 503, 529)
FIRST_WAIT: Final = 1.0  # seconds, doubled each time, where the server does not say
LONGEST_WAIT: Final = 30.0
MOST_TRIES: Final = 8  # of one request; a server may say "wait 0 seconds" for ever
UNSAID_503: Final = 2  # tries where a server is out of service and does not say for how long: some mean a bad input
SPENT: Final = b"insufficient_quota"  # OpenAI's code of a 429 that no waiting mends
RESETS: Final = re.compile(r"(?:x-)?ratelimit-reset(?:-(?P<after>\w+))?|[a-z]+-ratelimit-(?P<before>\w+)-reset")
UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Answered(Protocol):
    """What patience looks at in a reply."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Header fields, names in lower case."""

    @property
    def body(self) -> bytes:
        """What was sent after them."""


Reply = TypeVar("Reply", bound=Answered)


class Patience:
    """limit: seconds that one request may wait in all. When one thread is told to wait, the others wait too."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._open_at = 0.0  # time.monotonic() before which nothing is sent

    def persist(self, send: Callable[[], Reply], *, most: float = float("inf")) -> Reply:
        """
        The first reply that is not "too busy", or that one where waiting longer is pointless. most: seconds that are
        left for the audit as a whole.
        """
        spent, tries, limit = 0.0, 0, min(self.limit, most)
        while True:
            spent += self._wait_for_the_others(limit - spent)
            reply = send()
            tries += 1
            if reply.status not in BUSY or SPENT in reply.body or self._over.is_set():
                return reply
            asked = told_to_wait(reply.headers)
            longest = min(FIRST_WAIT * 2 ** (tries - 1), LONGEST_WAIT)
            pause = longest * random.uniform(0.8, 1.2) if asked is None else asked
            allowed = UNSAID_503 if asked is None and reply.status == 503 else MOST_TRIES
            if spent + pause > limit or tries >= allowed:
                return reply
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
        told = _seconds(headers.get(name, "").strip())
        if told is not None:
            return told
    waits = []
    for name, value in headers.items():
        found = RESETS.fullmatch(name)
        if found and _is_used_up(headers, found["after"] or found["before"]):
            waits.append(_reset(value.strip()))

    return max((wait for wait in waits if wait is not None), default=None)


def _is_used_up(headers: Mapping[str, str], what: str | None) -> bool:
    """Whether the limit that a reset is of is the one that was reached; unsaid means yes."""
    names = [name for name in headers if "ratelimit-" in name and "remaining" in name]
    of_it = [name for name in names if what is None or what in name.split("-")]

    return all((_number(headers[name]) or 0) < 1 for name in of_it)


def _reset(text: str) -> float | None:
    """Seconds until a reset: `20`, `1m30.5s`, `20ms`, a date, or the seconds (or ms) since 1970 when it is."""
    value = _number(text, 1e14)
    if value is not None:
        since = value / 1000 if value > 1e11 else value
        return max(0.0, since - time.time()) if since > 1e9 else since
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text[:64])
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * UNITS[unit] for number, unit in parts)
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00") if "-" in text else "")
    except ValueError:
        return _seconds(text)

    return _until(when)


def _seconds(text: str) -> float | None:
    """Seconds of a Retry-After: a number or an HTTP date."""
    value = _number(text)
    if value is not None or not re.search("[a-zA-Z]", text):
        return value
    try:
        return _until(parsedate_to_datetime(text))
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _until(when: datetime) -> float:
    when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return max(0.0, (when - datetime.now(timezone.utc)).total_seconds())


def _number(text: str, most: float = 1e9) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < most else None
