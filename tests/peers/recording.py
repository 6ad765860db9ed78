"""
Exchanges with a real server, recorded once through a proxy and played back by a server of our own.

`python -m peers.recording NAME…` from the tests folder records; what is kept is what was sent and what came back, with
the headers that clients look at, in recordings/NAME.json.
"""

import contextlib
import http.client
import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
from probe_match.fingerprinting import collect
from probe_match.fingerprinting.errors import ProbeMatchError
from probe_match.fingerprinting.loopback import Handler, Server
from probe_match.fingerprinting.records import InputSpec
from probe_match.fingerprinting.targets import open_target

import peers

RECORDINGS: Final = Path(__file__).parent / "recordings"
KEPT: Final = ("content-type", "server", "x-ms-server-version", "x-ms-run-function-failed", "azureml-model-deployment")
DIGITS: Final = InputSpec("image", (64,))
INPUTS: Final = 8


class Proxy(Server):
    """Passes on to `upstream` and keeps every exchange; with exchanges given, plays those back instead."""

    def __init__(self, upstream: str = "", exchanges: list[dict[str, Any]] | None = None) -> None:
        self.upstream, self.exchanges = upstream, [] if exchanges is None else exchanges
        self.left = [dict(exchange) for exchange in self.exchanges]
        super().__init__(_Handler, 0)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(Handler):
    server: Proxy

    def do_GET(self) -> None:  # noqa: N802
        self._exchange("GET", b"")

    def do_POST(self) -> None:  # noqa: N802
        self._exchange("POST", self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _exchange(self, method: str, body: bytes) -> None:
        asked = {"method": method, "path": self.path, "body": body.decode()}
        found = self._passed_on(asked) if self.server.upstream else self._played(asked)
        data = found["answer"].encode()
        self.send_response(found["status"])
        for name, value in found["headers"].items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _passed_on(self, asked: dict[str, Any]) -> dict[str, Any]:
        upstream = http.client.HTTPConnection(urlsplit(self.server.upstream).netloc, timeout=60)
        upstream.request(asked["method"], asked["path"], asked["body"], {"Content-Type": "application/json"})
        reply = upstream.getresponse()
        headers = {name.lower(): value for name, value in reply.getheaders() if name.lower() in KEPT}
        found = {**asked, "status": reply.status, "headers": headers, "answer": reply.read().decode()}
        upstream.close()
        if len(found["answer"]) > 20_000:
            found["answer"] = found["answer"][:2000]  # a page for people
        self.server.exchanges.append(found)
        return found

    def _played(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The next exchange that was recorded for this request, else the last."""
        fits = [each for each in self.server.left if all(each[key] == asked[key] for key in asked)]
        if not fits:
            return {"status": 599, "headers": {}, "answer": f"never recorded: {asked}"[:300]}
        if len(fits) > 1:
            self.server.left.remove(fits[0])
        return fits[0]

    def send_response(self, code: int, message: str | None = None) -> None:
        """Without a Server line of our own: the recorded one tells who it is."""
        self.send_response_only(code, message)


@contextlib.contextmanager
def between(server: Proxy) -> Iterator[Proxy]:
    """The proxy while the block runs."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()


def conversation(name: str, url: str, inputs: np.ndarray) -> dict[str, Any]:
    """What a user does: find out what a bare URL speaks, ask some inputs, ask one that does not fit."""
    target = peers.PEERS[name].targets[-1].format(url=url)
    client = open_target(target)
    asked = collect.ask(client, inputs, DIGITS)
    try:
        client.ask(np.zeros((1, 5), np.float32))
        refusal = ""
    except ProbeMatchError as error:
        refusal = str(error)
    client.close()
    scores = None if asked.scores is None else np.where(np.isnan(asked.scores), -1, asked.scores).round(6).tolist()

    return {"target": client.target, "labels": asked.labels.tolist(), "scores": scores, "refusal": refusal}


def main() -> None:
    """Record the named peers."""
    source, x, _ = peers.model()
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            weights = Path(folder) / "weights.npz"
            peers.save(source, weights)
            with peers.running(name, Path(folder), weights) as url, between(Proxy(url)) as proxy:
                found = conversation(name, proxy.url, x[:INPUTS])
                kept = {
                    "server": " ".join(peers.PEERS[name].packages), "asked": x[:INPUTS].round(6).tolist(),
                    "found": json.loads(json.dumps(found).replace(proxy.url, "URL")),
                    "exchanges": json.loads(json.dumps(proxy.exchanges).replace(proxy.url, "URL")),
                }  # fmt: skip
        (RECORDINGS / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
