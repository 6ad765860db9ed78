"""
The Open Inference Protocol, version 2, over REST: MLServer, KServe, Triton, Seldon, TorchServe behind KServe.

`oip:http://host:8080/v2/models/NAME`, with `/versions/V` where one is meant. Servers differ in what they say
about a model and in what they refuse, so the client learns on the way: the datatype, the batch size, whether
probabilities can be had. https://github.com/kserve/open-inference-protocol
"""

import math
import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import numpy as np
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.errors import TargetError, UsageError
from probe_match.fingerprinting.records import Access

from . import _json, _outputs
from ._oip_wire import Model, datatype_wanted, read_answer, read_metadata, request, rows_allowed
from ._rows import require_usable, value_of
from ._transport import Reply, Transport, checked

BATCH: Final = 256
PATIENCE: Final = 60.0  # seconds that one request may wait where the server, or a gateway before it, is busy
VALUES: Final = 1_000_000  # numbers in one request: about 20 MB of JSON
PROBABILITIES: Final = (
    "predict",
    "predict_proba",
)  # MLServer's scikit-learn runtime gives only labels unless asked


class OIPClient:
    """One model behind one URL."""

    def __init__(self, url: str, model: Model, transport: Transport) -> None:
        self.target: str = f"oip:{url}"
        self.access: Access = "scores"  # unknown before the first answer
        self.shape: tuple[int, ...] | None = model.shape
        self.classes: tuple[str, ...] = ()
        self._url = url
        self._model = model
        self._transport = transport
        self._rows = model.fixed or BATCH
        self._datatype = model.datatype or "FP32"
        self._retyped = False  # one other datatype has been tried
        self._settled = False  # a request has been answered as it was put
        offered = not model.outputs or not set(PROBABILITIES).isdisjoint(model.outputs)
        self._wanted: tuple[str, ...] = PROBABILITIES if offered else ()

    @property
    def batch(self) -> int:
        """Most inputs in one request: what the server takes, at most a million numbers."""
        return self._model.fixed or max(1, min(self._rows, VALUES // max(math.prod(self.shape or ()), 1)))

    @batch.setter
    def batch(self, most: int) -> None:
        self._rows = most

    def ask(self, inputs: np.ndarray | Sequence[str]) -> Answers:
        """Answers to m inputs, one request where m is at most `batch`. Raises TargetError."""
        answers: list[Answers] = []
        start = 0
        while start < len(inputs):
            width = math.prod(inputs.shape[1:]) if isinstance(inputs, np.ndarray) else 1
            rows = self._model.fixed or max(1, min(self._rows, VALUES // max(width, 1)))
            part = inputs[start : start + rows]
            reply = self._infer(part)
            if not reply.ok:
                said = _json.printable(reply.body, 2000) if reply.status != 500 else ""
                self._rows = rows_allowed(said, len(part)) or self._rows
                raise self._transport.complaint(reply)
            answered = read_answer(self._value(reply), max(len(part), self._model.fixed or 0), self.target)
            answers.append(Answers(*(None if a is None else a[: len(part)] for a in answered)))
            require_usable(answers[-1], len(part), reply)
            start += len(part)

        return _outputs.joined(answers)

    def close(self) -> None:
        """Close the connections kept open."""
        self._transport.close()

    def describe(self) -> dict[str, str]:
        """What the server says of itself and the model, for people; asks only for that."""
        root = self._url.partition("/v2/models/")[0]
        server, config = (_json.maybe(self._transport.get(url).body) for url in (f"{root}/v2", f"{self._url}/config"))
        told = {}
        if isinstance(server, dict) and isinstance(server.get("name"), str):
            told["server"] = _json.printable(f"{server['name']} {server.get('version', '')}", 60)
        told["models"] = ", ".join(_names(self._transport, root)) or self._url.rpartition("/")[2]
        told["input"] = f"{self._model.input} {self._datatype}"
        if self._model.outputs:
            told["outputs"] = _json.printable(", ".join(self._model.outputs), 100)
        most = config.get("max_batch_size") if isinstance(config, dict) else None
        if isinstance(most, int) and most > 0:
            told["most rows"] = str(most)

        return told

    def _infer(self, part: np.ndarray | Sequence[str]) -> Reply:
        """One reply; before the first good one, also what other ways of asking give."""
        reply = self._post(part, self._datatype, self._wanted)
        if not reply.ok and not self._settled and reply.status in (400, 422, 500):
            reply = self._other_ways(part, reply)
        self._settled = self._settled or reply.ok

        return reply

    def _other_ways(self, part: np.ndarray | Sequence[str], reply: Reply) -> Reply:
        typed = isinstance(part, np.ndarray) and not self._retyped and reply.status != 500
        named = datatype_wanted(_json.printable(reply.body, 2000), self._datatype) if typed else None
        if named:
            self._retyped, self._datatype = True, named
            reply = self._post(part, named, self._wanted)
        ways: list[tuple[str, tuple[str, ...]]] = [(self._datatype, ())] if self._wanted else []
        if typed and not named and self._model.datatype is None:
            self._retyped = True
            ways += [("FP64", outputs) for outputs in dict.fromkeys((self._wanted, ()))]
        for datatype, outputs in ways if not reply.ok else ():
            again = self._post(part, datatype, outputs)
            if again.ok:
                self._datatype, self._wanted = datatype, outputs
                return again

        return reply

    def _post(self, part: np.ndarray | Sequence[str], datatype: str, outputs: Sequence[str]) -> Reply:
        if self._model.fixed and isinstance(part, np.ndarray):
            part = _outputs.padded(part, self._model.fixed)
        return self._send(request(self._model, datatype, part, outputs))

    def _send(self, body: dict[str, Any]) -> Reply:
        return self._transport.post(f"{self._url}/infer", body)

    def _value(self, reply: Reply) -> Any:
        return value_of(reply)


def connect(where: str, *, timeout: float = 30.0) -> OIPClient:
    """
    The model at a URL that ends in /v2/models/NAME, or the only model of a server.

    Asks for readiness and metadata, nothing that counts as a query. Raises TargetError where they do not
    come.
    """
    transport = Transport(timeout=timeout, patience=PATIENCE)
    try:
        root, url = _model_url(transport, where)
        ready = transport.get(f"{root}/v2/health/ready")
        if not ready.ok and ready.status not in (404, 405):
            raise transport.complaint(ready)
        reply = transport.get(url)
        if reply.status == 404:
            names = _names(transport, root)
            served = f"; it serves {', '.join(names)}" if names else "; check the model's name"
            raise TargetError(f"no model at {url}{served}")
        if not reply.ok:
            raise transport.complaint(reply)
        return OIPClient(url, read_metadata(reply.json(), url), transport)
    except BaseException:
        transport.close()
        raise


def detect(url: str, *, timeout: float = 30.0) -> str | None:
    """What follows `oip:` for a bare URL, or None where the server speaks something else."""
    root, path = _split(checked(url))
    transport = Transport(timeout=timeout)
    try:
        reply = transport.get(f"{root}/v2")
        if reply.status in (401, 403):
            raise transport.complaint(reply)
        if path:
            return url
        if not reply.ok:
            return None
        try:
            server = reply.json()
        except TargetError:
            return None  # a web page, say
        if not isinstance(server, dict) or not {"version", "extensions"} & set(server):
            return None
        return _model_url(transport, url)[1]
    finally:
        transport.close()


def _split(url: str) -> tuple[str, str]:
    """Root of the server and path of the model, "" where the URL names none."""
    found = re.fullmatch(r"(.*?)/v2/models/([^/]+)(/versions/[^/]+)?(/infer|/ready)?/?", url)
    if found:
        return found[1], f"/v2/models/{found[2]}{found[3] or ''}"

    return re.sub(r"/v2(/.*)?$", "", url.rstrip("/")), ""


def _model_url(transport: Transport, url: str) -> tuple[str, str]:
    root, path = _split(checked(url))
    if path:
        return root, root + path
    names = _names(transport, root)
    if len(names) != 1:
        which = f"it serves {', '.join(names)}" if names else "it does not list its models"
        raise UsageError(f"expected oip:{root}/v2/models/NAME, got no NAME; {which}")

    return root, f"{root}/v2/models/{quote(names[0], safe='')}"


def _names(transport: Transport, root: str) -> list[str]:
    """Models that the server lists, at most 50; none where it lists none."""
    reply = transport.post(f"{root}/v2/repository/index", {})
    try:
        index = reply.json() if reply.ok else None
    except TargetError:
        return []
    if not isinstance(index, list):  # KServe has no such index, but lists its models under its older protocol
        older = transport.get(f"{root}/v1/models")
        told = _json.maybe(older.body) if older.ok else None
        listed = told.get("models") if isinstance(told, dict) else None
        index = [{"name": name} for name in listed] if isinstance(listed, list) else []
    names = [entry.get("name") for entry in index if isinstance(entry, dict)]

    return [name for name in names if isinstance(name, str) and name.isprintable() and 0 < len(name) < 100][:50]
