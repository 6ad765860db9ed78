"""
Who may use the console: sessions of browsers, and the token of the environment.

A browser keeps the number of its session, in a cookie that scripts cannot read, and nothing else: neither the token nor
any key. Each session has a word of its own that every form must bring back, so that no other page can send one.
"""

import hmac
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

LASTS: Final = 12 * 3600.0  # seconds
MOST: Final = 1000  # sessions


@dataclass(frozen=True)
class Session:
    """A browser. form: what its forms bring back. trusted: it has given the token, or none is wanted."""

    number: str
    form: str
    trusted: bool
    begun: float = field(default_factory=time.monotonic)


class Door:
    """Sessions, in memory: a console that starts again knows nobody."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        """Whether anybody may enter: on this machine alone, where no token is set."""
        return not self._token

    def session(self, number: str) -> Session | None:
        """The session of that number, unless it is over."""
        with self._lock:
            found = self._sessions.get(number)
            return found if found is not None and time.monotonic() - found.begun < LASTS else None

    def begin(self, *, trusted: bool) -> Session:
        """A new session."""
        session = Session(secrets.token_urlsafe(32), secrets.token_urlsafe(32), trusted)
        with self._lock:
            self._sessions[session.number] = session
            while len(self._sessions) > MOST:
                self._sessions.popitem(last=False)
        return session

    def end(self, number: str) -> None:
        """Forget a session."""
        with self._lock:
            self._sessions.pop(number, None)

    def knows(self, token: str) -> bool:
        """Whether somebody gave the token."""
        return not self.open and hmac.compare_digest(token.encode(errors="replace"), self._token)


def brought_back(session: Session, word: str) -> bool:
    """Whether a form brought its session's word back."""
    return hmac.compare_digest(word.encode(errors="replace"), session.form.encode())
