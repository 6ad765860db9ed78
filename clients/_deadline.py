"""
Deadlines that hold: connections whose socket is shut from outside when the time is over.

A socket's timeout is about silence; a server that sends one byte a second never trips it. Here every connection says
which socket it uses to the flight it serves, and one thread, which lives as long as something is under way, cuts the
flights that are late, whatever their phase: TLS, head or body.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ._dialling import dial

TICK: Final = 0.05  # seconds by which a flight may be late
IDLE: Final = 0.2  # seconds without a flight after which the watch ends

_thread = threading.local()  # .flight: what the current thread is sending; connections live in urllib3's pools


class Flight:
    """One request on its way. seconds: it may take. departed: whether any byte of it may have reached the server."""

    def __init__(self, seconds: float, *, allow_private: bool = False) -> None:
        self.over = threading.Event()
        self.departed = False
        self.allow_private = allow_private
        self.ends = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._copy: socket.socket | None = None

    def left(self) -> float:
        """Seconds to its deadline. Raises TimeoutError where it is past."""
        seconds = self.ends - time.monotonic()
        if seconds <= 0 or self.over.is_set():
            raise TimeoutError("the deadline passed before the request was sent")
        return seconds

    def connecting(self, opened: socket.socket) -> None:
        """Note a copy of a new socket, because TLS takes the socket's place away while it shakes hands."""
        copy = opened.dup()
        self.use(copy)
        self._copy = copy

    def use(self, opened: socket.socket | None) -> None:
        """Note the socket that a cut must shut; TimeoutError where the cut came first."""
        with self._lock:
            self._socket = opened
            self._drop_copy()
            if self.over.is_set():
                raise TimeoutError("the deadline passed before the request was sent")

    def land(self) -> None:
        """Let go of the socket."""
        with self._lock:
            self._socket = None
            self._drop_copy()

    def _drop_copy(self) -> None:
        if self._copy is not None:
            self._copy.close()
            self._copy = None

    def cut(self) -> None:
        """Shut the socket, which wakes the thread that reads from it."""
        with self._lock:
            self.over.set()
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)


class _Watch:
    """Cuts flights that are late."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: set[Flight] = set()
        self._thread: threading.Thread | None = None

    def add(self, flight: Flight) -> None:
        with self._lock:
            self._flights.add(flight)
            if self._thread is None or not self._thread.is_alive():  # a fork keeps no threads
                self._thread = threading.Thread(target=self._look, name="deadlines", daemon=True)
                self._thread.start()

    def remove(self, flight: Flight) -> None:
        with self._lock:
            self._flights.discard(flight)

    def _look(self) -> None:
        quiet = time.monotonic()
        while True:
            time.sleep(TICK)
            now = time.monotonic()
            with self._lock:
                late = [flight for flight in self._flights if flight.ends <= now]
                self._flights.difference_update(late)
                if self._flights or late:
                    quiet = now
                elif now - quiet > IDLE:
                    self._thread = None
                    return
            for flight in late:
                flight.cut()


_watch = _Watch()


@contextlib.contextmanager
def flying(flight: Flight) -> Iterator[None]:
    """Make this the flight of the current thread, and have it cut when it is late."""
    _thread.flight = flight
    _watch.add(flight)
    try:
        yield
    finally:
        _watch.remove(flight)
        flight.land()
        _thread.flight = None


class _Cut:
    """What both kinds of connection do differently."""

    sock: Any
    host: str
    port: int
    proxy: Any
    _dns_host: str

    def _new_conn(self) -> socket.socket:
        flight: Flight = _thread.flight
        try:
            allow = flight.allow_private or self.proxy is not None  # the user named the proxy
            opened = dial(self._dns_host, self.port, flight.left(), allow_private=allow)
        except socket.gaierror as error:
            raise urllib3.exceptions.NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]
        except TimeoutError as error:
            raise urllib3.exceptions.ConnectTimeoutError(self, f"no connection to {self.host}") from error
        except OSError as error:
            raise urllib3.exceptions.NewConnectionError(self, f"no connection ({error})") from error  # type: ignore[arg-type]
        flight.connecting(opened)
        return opened

    def _sending(self, connect: Any, data: Any) -> None:
        flight: Flight = _thread.flight
        if self.sock is None:
            connect()
        if not getattr(self, "_tunnelling", False):
            flight.use(self.sock)
            flight.departed = True


class _Plain(_Cut, HTTPConnection):
    def send(self, data: Any) -> None:
        self._sending(self.connect, data)
        super().send(data)


class _Secure(_Cut, HTTPSConnection):
    _tunnelling = False

    def _tunnel(self) -> None:
        self._tunnelling = True  # the request for a tunnel goes to the proxy and is none of the target's
        try:
            super()._tunnel()
        finally:
            self._tunnelling = False

    def send(self, data: Any) -> None:
        self._sending(self.connect, data)
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

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """As the base class does, with our pools."""
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
        return manager
