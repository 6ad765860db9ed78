"""
Deadlines that hold: connections whose socket can be shut from outside.

A socket's timeout is about silence; a server that sends one byte a second never trips it. Here every
connection says which socket it uses to the flight it serves, so that whoever waits can cut the flight,
whatever its phase.
"""

import contextlib
import socket
import threading
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_thread = threading.local()  # .flight: what the current thread is sending; connections live in urllib3's pools


class Flight:
    """One request on its way, in a thread of its own. Cutting it ends the thread."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def board(self) -> None:
        """Make this the flight of the current thread."""
        _thread.flight = self

    def use(self, opened: socket.socket | None) -> None:
        """Note the socket that a cut must shut; TimeoutError where the cut came first."""
        with self._lock:
            self._socket = opened
            if self.over.is_set():
                raise TimeoutError("the deadline passed before the request was sent")

    def cut(self) -> None:
        """Shut the socket, which wakes the thread that reads from it."""
        with self._lock:
            self.over.set()
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)


class _Plain(HTTPConnection):
    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _thread.flight.use(self.sock)
        super().send(data)


class _Secure(HTTPSConnection):
    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _thread.flight.use(self.sock)
        super().send(data)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class Adapter(HTTPAdapter):
    """The adapter of `requests`, on connections that can be cut."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """As the base class does, with our pools."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
