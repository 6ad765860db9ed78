"""A scripted language model server on loopback, for the dialects and the bad manners that no server here has."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """One request. headers: names in lower case. body: parsed JSON, None for a GET."""

    path: str
    headers: dict[str, str]
    body: Any


class Said(NamedTuple):
    """What the script answers; body is sent as JSON unless it is bytes."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = MappingProxyType({})


class Scripted(NamedTuple):
    """A running server and what it was asked."""

    url: str
    asked: list[Asked]

    def bodies(self) -> list[Any]:
        """What was posted, in order."""
        return [one.body for one in self.asked if one.body is not None]


Script = Callable[[Asked], Said]


@contextmanager
def scripted(script: Script) -> Iterator[Scripted]:
    """A server that answers by `script` for as long as the block runs."""
    asked: list[Asked] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # header and body are two packets, and the client acknowledges late

        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: Any) -> None:
            one = Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            with lock:
                asked.append(one)
            said = script(one)
            data = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
            self.send_response(said.status)
            for name, value in ({"Content-Type": "application/json"} | dict(said.headers)).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Scripted(f"http://127.0.0.1:{server.server_address[1]}", asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def completion(text: str | None, finish: str = "stop", **more: Any) -> dict[str, Any]:
    """A chat completion as OpenAI gives it; `message` and `usage` in more replace or extend it."""
    message = {"role": "assistant", "content": text} | more.pop("message", {})
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": more.pop("logprobs", None)}
    usage = {"prompt_tokens": 11, "completion_tokens": 2} | more.pop("usage", {})
    return {"id": "c1", "object": "chat.completion", "model": "m-1", "choices": [choice], "usage": usage} | more


def error(message: str, status: int = 400, code: str | None = None, **headers: str) -> Said:
    """An error as OpenAI gives it."""
    return Said({"error": {"message": message, "type": "error", "param": None, "code": code}}, status, headers)
