"""
A small model server for demonstrations and tests: the Open Inference Protocol, version 2, over HTTP/1.1.

It serves Python callables on the loopback interface with nothing but the standard library, answers like the
servers people run, and counts the rows it was asked, so that a query budget can be checked from the other
side. https://github.com/kserve/open-inference-protocol
"""

import contextlib
import json
import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from .errors import UsageError
from .loopback import Handler, Refused, Server

# float32 (m, *shape), or a list of m texts -> labels or numbers (m,), or scores (m, k)
Model = Callable[[Any], Any]
MAX_BODY: Final = 64 << 20
MAX_ROWS: Final = 4096
NUMBERS: Final = ("FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32")


class Address(str):
    """The base URL of a running server. rows: rows answered so far, per model."""

    __slots__ = ("rows",)
    rows: dict[str, int]


@contextlib.contextmanager
def serve(
    models: Mapping[str, Model], shape: tuple[int, ...], *, max_rows: int = MAX_ROWS, port: int = 0
) -> Iterator[Address]:
    """
    Serve models by name on 127.0.0.1 while the block runs; yields the base URL, `http://127.0.0.1:PORT`.

    shape: of one input, () for texts. max_rows: most rows in one request; more are refused with 400. port: 0 takes a
    free one. Every model is asked once about zeros, or the text "0", to say in its metadata what it answers.
    """
    server = _Server(models, shape, max_rows, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    address = Address(f"http://127.0.0.1:{server.server_address[1]}")
    address.rows = server.rows
    try:
        yield address
    finally:
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()


class _Server(Server):
    def __init__(self, models: Mapping[str, Model], shape: tuple[int, ...], max_rows: int, port: int) -> None:
        self.models = dict(models)
        self.shape = shape
        self.max_rows = max_rows
        self.rows = dict.fromkeys(models, 0)
        self.lock = threading.Lock()
        first: Any = np.zeros((1, *shape), np.float32) if shape else ["0"]
        self.outputs = {name: _output(np.asarray(model(first)), name) for name, model in models.items()}
        super().__init__(_Handler, port)


class _Handler(Handler):
    server: _Server
    most = MAX_BODY

    def get(self, path: str, _: bytes) -> Any:
        if path == "/v2":
            return {"name": "probe-match", "version": "2", "extensions": ["model_repository"]}
        if path in ("/v2/health/live", "/v2/health/ready"):
            return None
        name, rest = self._model(path)
        if rest == "/ready":
            return None
        if rest:
            raise Refused(404, f"nothing at {path}")
        datatype = "FP32" if self.server.shape else "BYTES"
        inputs = [{"name": "x", "datatype": datatype, "shape": [-1, *self.server.shape]}]
        outputs = [self.server.outputs[name]]
        return {"name": name, "versions": ["1"], "platform": "python", "inputs": inputs, "outputs": outputs}

    def post(self, path: str, body: bytes) -> Any:
        if path == "/v2/repository/index":
            return [{"name": name, "version": "1", "state": "READY"} for name in self.server.models]
        name, rest = self._model(path)
        if rest != "/infer":
            raise Refused(404, f"nothing at {path}")
        x = _rows(body, self.server.shape, self.server.max_rows)
        try:
            answer = np.asarray(self.server.models[name](x))
        except (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError, AttributeError) as error:
            raise Refused(500, f"model '{name}' failed: {type(error).__name__}: {error}") from error
        if answer.shape[:1] != (len(x),):
            raise Refused(500, f"model '{name}' answered shape {answer.shape} to {len(x)} rows")
        with self.server.lock:
            self.server.rows[name] += len(x)
        output = _output(answer, name)
        output["shape"] = [len(x), answer.shape[1] if answer.ndim == 2 else 1]
        values = answer.astype(str) if output["datatype"] == "BYTES" else answer
        output["data"] = values.ravel().tolist()
        return {"model_name": name, "model_version": "1", "outputs": [output]}

    def _model(self, path: str) -> tuple[str, str]:
        found = re.fullmatch(r"/v2/models/([^/]+)(?:/versions/1)?(/ready|/infer)?", path)
        if not found:
            raise Refused(404, f"nothing at {path}")
        if found[1] not in self.server.models:
            raise Refused(404, f"no model '{found[1]}'; there are {', '.join(self.server.models)}")
        return found[1], found[2] or ""


def _output(answer: np.ndarray, name: str) -> dict[str, Any]:
    if answer.ndim == 2 and answer.shape[1] > 1:
        return {"name": "probabilities", "datatype": "FP32", "shape": [-1, answer.shape[1]]}
    if answer.ndim not in (1, 2) or answer.dtype.kind not in "biufUSO":
        raise UsageError(f"expected labels or numbers (m,), or scores (m, k), from model '{name}', got {answer.shape}")
    kind = "BYTES" if answer.dtype.kind in "USO" else "FP32" if answer.dtype.kind == "f" else "INT64"

    return {"name": "predict" if kind == "FP32" else "labels", "datatype": kind, "shape": [-1, 1]}


def _rows(body: bytes, shape: tuple[int, ...], max_rows: int) -> np.ndarray | list[str]:
    """The float32 (m, *shape) rows, or the m texts, of an infer request, or Refused."""
    try:
        inputs = json.loads(body)["inputs"]
        given, dims = inputs[0], [int(size) for size in inputs[0]["shape"]]
        with np.errstate(over="ignore"):  # infinity is refused below
            data = np.asarray(given["data"], np.float32 if shape else object).ravel()
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as error:
        raise Refused(400, "expected a JSON body with one input of name, shape, datatype and data") from error
    if len(inputs) != 1 or given.get("datatype") not in (NUMBERS if shape else ("BYTES",)):
        wanted = "FP32" if shape else "BYTES"
        raise Refused(400, f"expected one input of datatype {wanted}, got {len(inputs)} of {given.get('datatype')}")
    if not (tuple(dims[1:]) == shape or (not shape and dims[1:] == [1])) or not dims or dims[0] < 1:
        raise Refused(400, f"expected shape {[-1, *shape]}, got {dims}")
    if dims[0] > max_rows:
        raise Refused(400, f"batch size must be <= {max_rows}, got {dims[0]}")
    if not shape:
        texts = [text for text in data.tolist() if isinstance(text, str)]
        if len(texts) != dims[0] or data.size != dims[0]:
            raise Refused(400, f"expected {dims[0]} texts for shape {dims}, got {len(texts)}")
        return texts
    if math.prod(dims) != data.size or not np.isfinite(data).all():
        raise Refused(400, f"expected {math.prod(dims)} finite numbers for shape {dims}, got {data.size}")

    return data.reshape(dims)
