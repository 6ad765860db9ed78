"""
What the small servers of this program share: HTTP/1.1 with JSON on the loopback interface, bounded and silent.

For demonstrations, benchmarks and tests, with nothing but the standard library.
"""

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Final

IDLE_SECONDS: Final = 30.0


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """An answer of another status than 200, with its reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Server(ThreadingHTTPServer):
    """A server on 127.0.0.1 that can end the connections which clients keep open. port: 0 takes a free one."""

    daemon_threads = False  # server_close waits for the threads, once hang_up has ended what they wait for
    request_queue_size = 128

    def __init__(self, handler: type["Handler"], port: int) -> None:
        self._guard = threading.Lock()
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, and remember it."""
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that is over."""
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep open."""
        with self._guard:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away is none of the user's business."""


class Handler(BaseHTTPRequestHandler):
    """JSON in, JSON out: what `get` and `post` return for a path and a body. None is an empty body. most: bytes."""

    most = 64 << 20
    protocol_version = "HTTP/1.1"
    server_version = "probe-match"
    sys_version = ""
    timeout: ClassVar[float | None] = IDLE_SECONDS
    close_connection: bool
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True

    def get(self, path: str, body: bytes) -> Any:
        """The answer to a GET. Raises Refused."""
        raise Refused(404, f"nothing at {path}")

    def post(self, path: str, body: bytes) -> Any:
        """The answer to a POST. Raises Refused."""
        raise Refused(404, f"nothing at {path}")

    def complaint(self, error: Refused) -> Any:
        """What is sent where something is refused."""
        return {"error": str(error)}

    def do_GET(self) -> None:
        """Answer a GET."""
        self._reply(self.get)

    def do_POST(self) -> None:
        """Answer a POST."""
        self._reply(self.post)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""

    def _reply(self, answer: Callable[[str, bytes], Any]) -> None:
        try:
            body = self._body()
            status, value = 200, answer(self.path.split("?")[0].rstrip("/"), body)
        except Refused as error:
            status, value = error.status, self.complaint(error)
        data = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if not re.fullmatch(r"\d{1,12}", length) or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # where the body ends is unknown, so nothing after it can be read
            raise Refused(411, "expected a Content-Length")
        if int(length) > self.most:
            self.close_connection = True
            raise Refused(413, f"request of {length} bytes; at most {self.most} are read")
        return self.rfile.read(int(length))
