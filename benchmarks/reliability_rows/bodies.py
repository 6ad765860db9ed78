"""Row 8: answers of every kind that is none."""

import json
import random
import socket
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from probe_match.clients import oip
from probe_match.fingerprinting.audits import Audit
from probe_match.fingerprinting.errors import ProbeMatchError
from probe_match.fingerprinting.guards import GuardedClient
from probe_match.fingerprinting.ledger import open_ledger, read_ledger

from .peer import http, peer


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
