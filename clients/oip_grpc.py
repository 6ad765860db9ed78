"""
The Open Inference Protocol, version 2, over gRPC: MLServer, KServe, Triton, OpenVINO Model Server.

`oip-grpc:host:8081/NAME`, with `/versions/V` where one is meant; `https://host:443/NAME` asks by TLS. What the client
learns on the way, and what counts as an answer, is as over REST (see `oip`).
"""

import re
from typing import Any, Final
from urllib.parse import unquote

from probe_match.fingerprinting.errors import TargetError, UsageError

from . import _json, _oip_messages
from ._calls import Calls
from ._oip_messages import SERVICE
from ._oip_wire import Model, read_metadata
from ._transport import Reply, checked
from .oip import PATIENCE, OIPClient

ADDRESS: Final = re.compile(r"(https?://[^/]+)(?:/v2/models)?/([^/]+)(?:/versions/([^/]+))?/?")


class OIPGrpcClient(OIPClient):
    """One model at one address."""

    def __init__(self, url: str, name: str, version: str, model: Model, calls: Calls) -> None:
        super().__init__(url, model, calls)
        self.target: str = f"oip-grpc:{url}"
        self._name, self._version = name, version
        self._calls = calls

    def describe(self) -> dict[str, str]:
        """What the server says of itself and the model, for people; asks only for that."""
        told = {"models": self._name, "input": f"{self._model.input} {self._datatype}"}
        reply = self._calls.look(f"{SERVICE}/ServerMetadata", b"")
        if reply.ok:
            told["server"] = _json.printable(" ".join(_oip_messages.read_server(reply.body, self.target)), 60)
        if self._model.outputs:
            told["outputs"] = _json.printable(", ".join(self._model.outputs), 100)

        return told

    def _send(self, body: dict[str, Any]) -> Reply:
        return self._calls.call(f"{SERVICE}/ModelInfer", _oip_messages.infer(self._name, self._version, body))

    def _value(self, reply: Reply) -> Any:
        return _oip_messages.read_infer(reply.body, self.target)


def connect(where: str, *, timeout: float = 30.0) -> OIPGrpcClient:
    """The model at `host:port/NAME`. Asks for readiness and metadata, nothing that counts as a query."""
    url = where if "://" in where else f"http://{where}"
    found = ADDRESS.fullmatch(checked(url))
    if found is None:
        raise UsageError(f"expected oip-grpc:host:port/NAME, got '{where[:200]}'; the protocol lists no models")
    root, name, version = found[1], unquote(found[2]), unquote(found[3] or "")
    calls = Calls(root, timeout=timeout, patience=PATIENCE)
    try:
        asked = _oip_messages.named(name, version)
        ready = calls.look(f"{SERVICE}/ModelReady", asked)
        if ready.ok and not _oip_messages.read_ready(ready.body):
            raise TargetError(f"the model '{name}' at {root} is not ready; try again later")
        reply = calls.look(f"{SERVICE}/ModelMetadata", asked)
        if not reply.ok and reply.status != 501:
            raise TargetError(f"no model at {url}; check its name") if reply.status == 404 else calls.complaint(reply)
        told = _oip_messages.read_metadata(reply.body, url) if reply.ok else {}
        return OIPGrpcClient(url, name, version, read_metadata(told, url), calls)
    except BaseException:
        calls.close()
        raise
