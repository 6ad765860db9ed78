"""
A model server that counts what it is asked, in a process of its own: waits, answers, remembers.

    python -m benchmarks.reliability_rows.counting WAIT      prints its port

A request is one row of JSON numbers; the first number of each input is its id. GET answers how often each id came, and
how often a new Idempotency-Key came for it.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from probe_match.clients._transport import Transport
from probe_match.fingerprinting.answers import Answers

ROOT = Path(__file__).parents[2]


async def serve(wait: float) -> None:
    """Serve until killed."""
    came: Counter[int] = Counter()
    billed: Counter[int] = Counter()
    tokens: set[str] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                if head.startswith("GET"):
                    value: Any = {"came": came, "billed": billed}
                else:
                    rows = json.loads(body)
                    ids = [int(row[0]) for row in rows]
                    came.update(ids)
                    token = fields.get("idempotency-key")
                    if token is None or token not in tokens:
                        billed.update(ids)
                        tokens.add(str(token))
                    if wait:
                        await asyncio.sleep(wait)
                    value = [i % 7 for i in ids]
                data = json.dumps(value).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


@contextlib.contextmanager
def counting(wait: float) -> Iterator[str]:
    """The URL of a running server."""
    command = [sys.executable, "-m", "benchmarks.reliability_rows.counting", str(wait)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/"
        finally:
            process.kill()


def counts(url: str) -> dict[str, Counter[int]]:
    """How often each id came and was billed."""
    with urlopen(url) as reply:
        told = json.load(reply)
    return {name: Counter({int(i): n for i, n in some.items()}) for name, some in told.items()}


class CountedClient:
    """The model behind such a server."""

    target = "counting:model"
    access = "label"
    shape = (4,)
    classes: tuple[str, ...] = ()

    def __init__(self, url: str, batch: int = 1, timeout: float = 30.0) -> None:
        self.batch = batch
        self.url = url
        self.transport = Transport(timeout=timeout)

    def ask(self, inputs: Any) -> Answers:
        """One request."""
        reply = self.transport.post(self.url, np.asarray(inputs).tolist())
        if not reply.ok:
            raise self.transport.complaint(reply)
        return Answers(np.array(reply.json()), None)

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()


def probes(n: int) -> np.ndarray:
    """float32 (n, 4); the first number is the id."""
    x = np.zeros((n, 4), np.float32)
    x[:, 0] = np.arange(n)
    return x


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
