"""Servers of our own that speak the protocols of others, for a model given as a function; small and on loopback."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from probe_match.fingerprinting.loopback import Handler, Refused, Server

Model = Callable[[Any], np.ndarray]  # rows or texts -> scores (m, k)


class Dialects(Handler):
    """All protocols at once, each under its own paths."""

    server: "Speaker"

    def get(self, path: str, body: bytes) -> Any:
        """What a server says of itself."""
        self.server.seen.append(("GET", self.path, b"", dict(self.headers)))
        said = {
            "/v1/models": {"models": ["digits"]},
            "/v1/models/digits": {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]},
            "/v1/models/digits/metadata": SIGNATURE,
            "/ping": "", "/version": "3.17.2",
            "/info": {"model_id": "m", "version": "1.8", "model_type": {"classifier": {}}, "max_client_batch_size": 4},
            "/gradio_api/info": {"named_endpoints": {"/classify": {"parameters": [{"component": "Json"}]}}},
        }  # fmt: skip
        if self.server.only is not None and not path.startswith(self.server.only):
            raise Refused(404, "nothing here")
        if path in said:
            return said[path]
        if path.startswith("/gradio_api/call/classify/"):
            return self.server.tickets.pop(path.rpartition("/")[2])
        raise Refused(404, f"nothing at {path}")

    def post(self, path: str, body: bytes) -> Any:
        """Scores, in the form of the protocol."""
        self.server.seen.append(("POST", self.path, body, dict(self.headers)))
        try:
            return self._said(path, json.loads(body))
        except KeyError as error:
            raise Refused(400, f"expected the key {error}") from error

    def _said(self, path: str, told: Any) -> Any:
        if path == "/v1/models/digits:predict":
            return {"predictions": self._scores(told["instances"]).tolist()}
        if path == "/invocations":
            if set(told) == {"dataframe_split"} and self.server.columns:
                if told["dataframe_split"].get("columns") != self.server.columns:
                    raise Refused(400, f"Failed to enforce schema: Model is missing inputs {self.server.columns}.")
                return {"predictions": self._scores(told["dataframe_split"]["data"]).tolist()}
            if self.server.columns:
                raise Refused(400, f"Failed to enforce schema: Model is missing inputs {self.server.columns}.")
            return {"predictions": self._scores(told["inputs"]).tolist()}
        if path == "/predict":
            if len(told["inputs"]) > 4:
                raise Refused(413, "batch size 5 > maximum allowed batch size 4")
            return [_sorted(row) for row in self._scores([text for (text,) in told["inputs"]])]
        if path.startswith("/endpoints/"):
            if self.server.form and (not isinstance(told, dict) or self.server.form not in told):
                raise Refused(415, "unsupported body")
            return self._scores(told[self.server.form] if self.server.form else told).tolist()
        if path == "/gradio_api/call/classify":
            ticket = f"t{len(self.server.seen)}"
            try:
                scores = _sorted(self._scores([told["data"][0]])[0])
                answer = [{"label": scores[0]["label"], "confidences": [_confidence(entry) for entry in scores]}]
                self.server.tickets[ticket] = ("complete", answer)
            except Refused:
                self.server.tickets[ticket] = ("error", {"error": "no"})
            return {"event_id": ticket}
        if path == "/mine":
            return {"out": [{"p": row} for row in self._scores(told["rows"]).tolist()], "ok": True}
        raise Refused(404, f"nothing at {path}")

    def _scores(self, rows: Any) -> np.ndarray:
        try:
            return self.server.model(rows if isinstance(rows[0], str) else np.asarray(rows, np.float32))
        except (ValueError, TypeError, IndexError) as error:
            raise Refused(400, f"{type(error).__name__}: {error}") from error

    def _reply(self, answer: Any) -> None:
        if not self.path.startswith("/gradio_api/call/classify/"):
            super()._reply(answer)
            return
        event, value = self.get(self.path, b"")
        data = f"event: heartbeat\ndata: null\n\nevent: {event}\ndata: {json.dumps(value)}\n\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Speaker(Server):
    """seen: method, path, body and headers of each request. only: paths that are answered to GET, None for all."""

    def __init__(self, model: Model, only: str | None, columns: Sequence[str], form: str) -> None:
        self.model, self.only, self.columns, self.form = model, only, list(columns), form
        self.seen: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.tickets: dict[str, Any] = {}
        super().__init__(Dialects, 0)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextlib.contextmanager
def speaking(
    model: Model, *, only: str | None = None, columns: Sequence[str] = (), form: str = ""
) -> Iterator[Speaker]:
    """The server while the block runs. columns: that MLflow's model wants. form: key of SageMaker's body, if any."""
    server = Speaker(model, only, columns, form)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()


def _sorted(row: np.ndarray) -> list[dict[str, Any]]:
    return [{"label": f"LABEL_{i}", "score": float(row[i])} for i in np.argsort(-row)]


def _confidence(entry: dict[str, Any]) -> dict[str, Any]:
    return {"label": entry["label"].removeprefix("LABEL_"), "confidence": entry["score"]}


SIGNATURE = {
    "metadata": {
        "signature_def": {
            "signature_def": {
                "serving_default": {
                    "inputs": {
                        "x": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1"}, {"size": "64"}]}},
                    }
                }
            }
        }
    }
}
