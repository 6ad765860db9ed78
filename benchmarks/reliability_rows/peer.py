"""A server of raw bytes on loopback, for whatever a server may send."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

Request = tuple[str, str, dict[str, str], bytes]  # method, path, headers, body


class Peer:
    """A raw socket server on loopback: `answer(connection, request)` writes whatever it likes."""

    def __init__(self, answer: Callable[[socket.socket, Request], None]) -> None:
        self.requests: list[Request] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Hang up on everyone."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                thread = threading.Thread(target=self._talk, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _talk(self, connection: socket.socket) -> None:
        # ValueError: a handshake of TLS, where plain text is spoken
        with contextlib.suppress(OSError, ValueError), connection, connection.makefile("rb") as file:
            while line := file.readline():
                method, path, _ = line.decode().split()
                headers = {}
                while field := file.readline().strip():
                    name, _, value = field.decode().partition(": ")
                    headers[name.lower()] = value
                request = (method, path, headers, file.read(int(headers.get("content-length", 0))))
                self.requests.append(request)
                self._answer(connection, request)


@contextlib.contextmanager
def peer(answer: Callable[[socket.socket, Request], None]) -> Iterator[Peer]:
    """A running server."""
    server = Peer(answer)
    try:
        yield server
    finally:
        server.close()


def http(status: int, body: bytes | Any, *headers: str) -> bytes:
    """An answer; what is no bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = "\r\n".join((f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}", *headers, "", ""))
    return head.encode() + data


def send(*parts: bytes, pause: float = 0.0) -> Callable[[socket.socket, Request], None]:
    """Always answers with these bytes, then hangs up."""

    def answer(connection: socket.socket, _: Request) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        connection.shutdown(socket.SHUT_WR)

    return answer


def endless(head: bytes, part: bytes, pause: float = 0.0) -> Callable[[socket.socket, Request], None]:
    """Sends a head, then the same part for ever."""

    def answer(connection: socket.socket, _: Request) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(part)
            time.sleep(pause)

    return answer
