"""Rows 2 and 4 to 8: retries, deadlines, memory, other origins, keys at rest and bodies of every kind."""

import contextlib
import gzip
import json
import os
import random
import socket
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from probe_match.clients import _patience, oip
from probe_match.clients._transport import Transport
from probe_match.clients.openai import OpenAIChat
from probe_match.fingerprinting.audits import Audit
from probe_match.fingerprinting.chat.records import Question
from probe_match.fingerprinting.errors import ProbeMatchError, TargetError
from probe_match.fingerprinting.guards import GuardedChat, GuardedClient
from probe_match.fingerprinting.ledger import open_ledger, read_ledger

from .peer import endless, http, peer, send

CANARY = "sk-canary-5f2d/+x"
FIELDS = ("Authorization", "X-Api-Key", "Api-Key", "Cookie", "X-Custom")


def retries() -> dict[str, Any]:
    """Row 2: scripted failures; how often each was sent, and how long it took."""
    cases: dict[str, tuple[bytes, int]] = {
        "429, wait 0": (http(429, {}, "Retry-After: 0"), _patience.MOST_TRIES),
        "429, wait a day": (http(429, {}, "Retry-After: 86400"), 1),
        "503 unsaid": (http(503, {}), 2),
        "500": (http(500, {}), 1),
        "500, told to retry": (http(500, {}, "X-Should-Retry: true"), 1),
        "502": (http(502, {}), 1),
        "200, told to retry": (http(200, {}, "X-Should-Retry: true", "Retry-After: 0"), 1),
        "200, no JSON": (http(200, b"<html>"), 1),
        "200, half a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", 1),
        "hung up": (b"", 1),
    }
    sent, longest, again = {}, 0.0, 0
    with mock.patch.object(_patience, "FIRST_WAIT", 0.05):
        for name, (answer, most) in cases.items():
            with peer(send(answer)) as server:
                started = time.monotonic()
                chat = OpenAIChat(server.url, "m", Transport(timeout=2), 1)
                with contextlib.suppress(TargetError):
                    chat.chat([Question("c", "f", "hello")])
                longest = max(longest, time.monotonic() - started)
                posts = len(server.requests)
            sent[name] = posts
            again += posts - 1 if name.startswith("200") else max(0, posts - most)

    return {"sent": sent, "sent_again_after_2xx_or_too_often": again, "longest_seconds": longest,
            "holds": again == 0 and longest < 3}  # fmt: skip


PRIVATE = ("127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def deadlines(rounds: int = 20, timeout: float = 0.5, only: str | None = None) -> dict[str, Any]:
    """Row 4: servers that never end; by how much the latest request was late."""
    servers: dict[str, Any] = {
        "silence": lambda c, r: time.sleep(4 * timeout),
        "drip of the head": endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.03),
        "drip of the body": endless(HEAD, b"1", 0.03),
        "drip without a length": endless(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"1", 0.03),
        "drip of chunks": endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n1\r\n", 0.03),
        "interim answers": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01),
        "stalled TLS": b"",
        "dripping TLS": b"\x02",
    }
    late: dict[str, float] = {}
    for name, answer in servers.items():
        if only not in (None, name):
            continue
        with _shaking(answer, 4 * timeout) if isinstance(answer, bytes) else peer(answer) as server:
            url = server.url.replace("http:", "https:") if "TLS" in name else server.url
            took = _at_once(lambda url=url: _timed(url, timeout), rounds)
        late[name] = max(took) - timeout

    return {"requests": rounds * len(late), "latest_by_seconds": late, "holds": max(late.values()) <= 0.5}


def _timed(url: str, timeout: float) -> float:
    transport, started = Transport(timeout=timeout), time.monotonic()
    with contextlib.suppress(TargetError):
        transport.post(url, {})
    return time.monotonic() - started


def _at_once(work: Callable[[], float], number: int) -> list[float]:
    took: list[float] = []
    threads = [threading.Thread(target=lambda: took.append(work())) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


class _Place:
    def __init__(self, url: str) -> None:
        self.url = url


@contextlib.contextmanager
def _shaking(drip: bytes, seconds: float) -> Iterator[_Place]:
    """A server that shakes hands byte by byte, or not at all."""
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(connection: socket.socket) -> None:
        until = time.monotonic() + seconds
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"\x16\x03\x03\x40\x00" if drip else b"")
            while time.monotonic() < until:
                connection.sendall(drip)
                time.sleep(0.03)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield _Place(f"http://127.0.0.1:{listener.getsockname()[1]}")
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def memory(megabytes: int = 512) -> dict[str, Any]:
    """Row 5: bombs, floods and endless bodies; MiB by which the largest process grew."""
    zeros = bytes(1 << 20)
    packer, deflater = zlib.compressobj(9, zlib.DEFLATED, 31), zlib.compressobj(9)
    bomb = b"".join(packer.compress(zeros) for _ in range(megabytes)) + packer.flush()
    flat = b"".join(deflater.compress(zeros) for _ in range(megabytes)) + deflater.flush()
    nested = bomb
    for _ in range(5):
        nested = gzip.compress(nested)
    size = (16 << 20) - 64
    answers: dict[str, Any] = {
        "gzip bomb": send(http(200, bomb, "Content-Encoding: gzip")),
        "gzip bomb unsaid": send(http(200, bomb)),
        "deflate bomb": send(http(200, flat, "Content-Encoding: deflate")),
        "br, said": send(http(200, b"x" * 1000, "Content-Encoding: br")),
        "zstd, said": send(http(200, b"x" * 1000, "Content-Encoding: zstd")),
        "six encodings": send(http(200, nested, "Content-Encoding: " + ", ".join(["gzip"] * 6))),
        "endless body": endless(b"HTTP/1.1 200 OK\r\n\r\n", b"1" * 65536),
        "endless chunks": endless(CHUNKED, b"10000\r\n" + b"1" * 65536 + b"\r\n"),
        "endless head": endless(b"HTTP/1.1 200 OK\r\nX: ", b"1" * 65536),
        "endless heads": endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        "deep JSON": send(http(200, b"[" * size)),
        "JSON of lists": send(http(200, b"[" + b"[]," * (size // 3) + b"1]")),
        "JSON of objects": send(http(200, b"[" + b"{}," * (size // 3) + b"1]")),
        "a length of terabytes": send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n" + b"1" * (1 << 20)),
    }
    grown = {name: _growth(answer) for name, answer in answers.items()}

    return {"grown_mib": grown, "largest_mib": max(grown.values()), "holds": max(grown.values()) <= 64}


def _growth(answer: Any) -> float:
    """MiB of peak memory that one request costs a fresh process."""
    with peer(answer) as server:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                transport = Transport(timeout=20)
                Path("/proc/self/clear_refs").write_text("5")
                before = _peak()
                with contextlib.suppress(TargetError):
                    transport.post(server.url, {}).json()
                os.write(writing, f"{_peak() - before}".encode())
                code = 0
            os._exit(code)
        os.close(writing)
        with os.fdopen(reading) as told:
            said = told.read()
        os.waitpid(child, 0)
    return float(said)


def _peak() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def origins() -> dict[str, Any]:
    """Row 6: redirects of five kinds to seven places, keys in five fields; bytes of the key anywhere but home."""
    strayed = posts_again = connects = 0
    with mock.patch.dict(os.environ, {"PROBE_MATCH_API_KEY": CANARY}), peer(send(http(200, {}))) as other:
        port = other.url.rpartition(":")[2]
        places = [f"{other.url}/", f"http://localhost:{port}/", f"//127.0.0.1:{port}/", f"https://127.0.0.1:{port}/",
                  f"http://me:{CANARY}@127.0.0.1:{port}/", "http://169.254.169.254/latest", "/again"]  # fmt: skip
        for status in (301, 302, 303, 307, 308):
            for place in places:
                with peer(send(http(status, b"", f"Location: {place}"))) as server:
                    transport = Transport(timeout=2, headers=dict.fromkeys(FIELDS, CANARY), key_header="X-Own-Key")
                    with contextlib.suppress(TargetError):
                        transport.post(server.url, {})
                    posts_again += len(server.requests) - 1
        strayed = sum(CANARY in repr(request) for request in other.requests)
        came = len(other.requests)
        resolver = mock.patch.object(
            socket, "getaddrinfo", lambda host, port, *a, **m: [(2, 1, 6, "", (names[host], port))]
        )
        names = {f"n{i}.test": address for i, address in enumerate(PRIVATE)}
        real = socket.socket.connect
        with resolver, mock.patch.object(socket.socket, "connect", lambda *a: (tried.append(a[1]), real(*a))[1]):
            tried: list[Any] = []
            for name in names:
                with contextlib.suppress(TargetError):
                    Transport(timeout=1).post(f"http://{name}:{port}/", {})
            connects = len(tried)

    return {"redirects": 35, "canaries_elsewhere": strayed, "requests_elsewhere": came, "posts_again": posts_again,
            "private_connects": connects, "holds": not (strayed or came or posts_again or connects)}  # fmt: skip


def at_rest() -> dict[str, Any]:
    """Row 7: an endpoint that echoes the key in every answer; files of the audit that hold it."""
    hits = searched = 0
    body = {"choices": [{"message": {"content": f"key {CANARY}"}, "finish_reason": "stop"}], "usage": {}}
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"PROBE_MATCH_API_KEY": CANARY}):
        for status in (200, 400, 500):
            with peer(send(http(status, body, f"X-Echo: {CANARY}"))) as server:
                ledger = open_ledger(Path(folder) / f"{status}.ledger", target=server.url)
                audit = Audit(ledger)
                chat = GuardedChat(OpenAIChat(server.url, "m", Transport(timeout=2), 1), audit)  # type: ignore[arg-type]
                told = ""
                try:
                    told = repr(chat.chat([Question("c", "f", "hello")] * 3))
                except ProbeMatchError as error:
                    told = repr(error)
                (Path(folder) / f"{status}.log").write_text(told + repr(vars(chat.client)))
                for file in Path(folder).iterdir():  # the log beside the ledger as well
                    searched += 1
                    hits += CANARY.encode() in file.read_bytes()
                audit.close()
    return {"files_searched": searched, "hits": hits, "holds": hits == 0 and searched > 6}


def bodies(number: int = 10_000, seed: int = 0) -> dict[str, Any]:
    """Row 8: hostile bodies; each an answer or one of our errors, and the same bytes in the ledger."""
    rng = random.Random(seed)
    good = json.dumps({"outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [0.25, 0.75]}]}).encode()
    made: list[bytes] = []

    def answer(connection: socket.socket, request: Any) -> None:
        if request[1].endswith("/infer"):
            made.append(_hostile(rng, good))
            connection.sendall(http(200, made[-1]))
        else:
            connection.sendall(
                http(200, {"name": "m", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]})
            )

    with tempfile.TemporaryDirectory() as folder, peer(answer) as server:
        client = oip.connect(f"{server.url}/v2/models/m")
        audit = Audit(open_ledger(Path(folder) / "a", target=client.target))
        guarded = GuardedClient(client, audit)
        outcomes = [_outcome(guarded, np.array([[i, 0]], np.float32)) for i in range(number)]
        uncaught = [told for told in outcomes if told]
        client.close()
        audit.close()
        with read_ledger(Path(folder) / "a") as book:
            raws = [entry.raw for entry in book.entries() if entry.kind in ("answered", "failed")]
        kept = sum(one == other for one, other in zip(raws, made, strict=True))

    return {"bodies": len(made), "uncaught": len(uncaught), "examples": uncaught[:3], "raw_bytes_kept": kept,
            "seed": seed, "holds": not uncaught and kept == len(made) == number}  # fmt: skip


def _outcome(client: GuardedClient, x: np.ndarray) -> str:
    """What is no answer and no error of ours."""
    try:
        client.ask(x)
    except ProbeMatchError:
        return ""
    except Exception as error:  # noqa: BLE001 - counted
        return f"{type(error).__name__}: {error}"[:200]
    return ""


CORPUS = [b"", b"null", b"[]", b"{}", b"NaN", b'"\\ud800"', b"\xff\xfe", b"\xef\xbb\xbf{}", b"<html>", b"1" * 5000,
          b"[" * 3000, b'{"outputs": {}}', b'{"outputs": [1]}', b"\x1b[31m", b"\0" * 40, b"=cmd|' /C calc'!A0",
          b'{"outputs":[{"name":"y","datatype":"BYTES","shape":[1],"data":["\\ud83d"]}]}',
          b'{"outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[1e999,0]}]}',
          b'{"outputs":[{"name":"y","datatype":"FP32","shape":[-1,2],"data":[0,0]}]}',
          b'{"outputs":[{"name":"y","shape":[1],"data":[99999999999999999999999]}]}',
          b'{"outputs":[{"name":"y","shape":["1"],"data":[true]}], "outputs": 3}']  # fmt: skip


def _hostile(rng: random.Random, good: bytes) -> bytes:
    """A body of the corpus, a good one with bytes changed, or noise."""
    kind = rng.random()
    if kind < 0.2:
        return rng.choice(CORPUS)
    if kind < 0.3:
        return rng.randbytes(rng.randrange(200))
    body = bytearray(rng.choice(CORPUS) if kind < 0.4 else good)
    for _ in range(rng.randrange(1, 6)):
        place = rng.randrange(len(body) + 1)
        body[place : place + rng.randrange(3)] = rng.choice(
            [b"", b'"', b"[", b"]", b"-", b"e9", b"null", rng.randbytes(2)]
        )

    return bytes(body)
