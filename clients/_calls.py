"""
The transport for gRPC: the same deadlines, limits, secrets and ledger as for plain HTTP, over HTTP/2.

A call has one deadline for all of it, a cap on the answer and no redirects; the library compresses nothing and sends
nothing again. The name is looked up once and the address that was checked is the one connected to (see `_dialling`).
"""

import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else a server's misbehaviour writes to our standard error
import grpc
from probe_match.fingerprinting import errands, network
from probe_match.fingerprinting.errors import TargetError, UsageError
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from . import _json
from ._dialling import NotSent, dial
from ._keys import PROXY, proxy_for
from ._transport import AGENT, CA_BUNDLE, Reply, Transport

# What a status amounts to in HTTP (google.rpc.Code). Those that are missing say nothing of whether there was an answer.
STATUS: Final = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403, "NOT_FOUND": 404, "ABORTED": 409, "ALREADY_EXISTS": 409, "RESOURCE_EXHAUSTED": 429,
    "UNKNOWN": 500, "INTERNAL": 500, "DATA_LOSS": 500, "UNIMPLEMENTED": 501,
}  # fmt: skip
BROKEN: Final = ("RST_STREAM", "Stream removed", "Socket closed", "HTTP/2", "http2", "transport")  # the library's words
TOO_LARGE: Final = "larger than max"


class Calls(Transport):
    """All calls to one server; `where` of the base class, http(s)://host:port, says which and whether by TLS."""

    def __init__(self, root: str, *, timeout: float, patience: float) -> None:
        super().__init__(timeout=timeout, site=root, patience=patience)
        if proxy_for(network.current().proxy) is not None:
            raise UsageError(f"a proxy cannot be used for gRPC; leave out --proxy and {PROXY}, or ask over REST")
        self._root = root
        self._opening = threading.Lock()
        self._channel: Any = None

    def call(self, method: str, message: bytes) -> Reply:
        """What a method answers to a message that may be paid for; sent once, unless the server is too busy."""
        most = errands.current().seconds_left()
        return self._patience.persist(lambda: self._counted(self._root + method, message), most=most)

    def look(self, method: str, message: bytes) -> Reply:
        """What a method that costs nothing answers."""
        return self._patience.persist(lambda: self._fetch("POST", self._root + method, message))

    def close(self) -> None:
        """End what is under way, and the connection."""
        super().close()
        with self._opening:
            if self._channel is not None:
                self._channel.close()

    def _fetch(self, method: str, url: str, body: bytes | None, more: Mapping[str, str] = {}) -> Reply:
        channel = self._open()
        ask = channel.unary_unary(url.removeprefix(self._root))  # bytes as they are, both ways
        metadata = [(name.lower(), value) for name, value in {**self._auth.fields(), **more}.items()]
        try:
            answer, call = ask.with_call(body, timeout=self.timeout, metadata=metadata)
        except grpc.RpcError as error:
            return self._failed(error, url)
        except ValueError as error:
            raise TargetError(f"the connection to {self._root} is closed") from error

        return Reply(url, 200, self._secrets.struck_bytes(answer, keep_length=True), self._fields(call))

    def _failed(self, error: Any, url: str) -> Reply:
        """What a server refused with. Raises TargetError where it did not say so itself, or may not have."""
        code, said = error.code().name, self.shown(error.details() or "")
        if code == "DEADLINE_EXCEEDED":
            raise TargetError(f"expected an answer from {url} within {self.timeout:g} s, got none; raise --timeout")
        status = STATUS.get(code)
        if code == "RESOURCE_EXHAUSTED" and TOO_LARGE in said:
            if str(self._most) in said:
                raise TargetError(f"{url} answers more than {self._most >> 20} MiB; ask for less at once")
            status = 413  # it was the request
        if status is None or any(word in said for word in BROKEN):
            raise TargetError(f"expected a whole answer from {url}, got {code}: {said[:120] or 'no text'}")

        return Reply(url, status, said.encode(), self._fields(error))

    def _fields(self, call: Any) -> dict[str, str]:
        """Trailing metadata that are texts."""
        found = [(str(name), value) for name, value, *_ in call.trailing_metadata() or ()]
        return {name: self._secrets.struck(value) for name, value in found if isinstance(value, str)}

    def _open(self) -> Any:
        with self._opening:
            if self._channel is None:
                self._channel = self._opened()
            return self._channel

    def _opened(self) -> Any:
        parts = urlsplit(self._root)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        try:
            # Whether anybody listens is found out here, so that no call can fail for it later and be in doubt.
            with dial(host, port, self.timeout, allow_private=self._allow_private) as found:
                address = found.getpeername()[0]
        except OSError as error:
            why = "no such host; check the name" if isinstance(error, socket.gaierror) else "is the server running?"
            raise NotSent(f"cannot reach {self._root}: {_json.printable(str(error), 120)}; {why}") from error
        target = f"ipv6:[{address}]:{port}" if ":" in address else f"ipv4:{address}:{port}"
        options: list[tuple[str, Any]] = [
            ("grpc.default_authority", parts.netloc), ("grpc.primary_user_agent", AGENT), ("grpc.enable_retries", 0),
            ("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", self._most),
            ("grpc.max_send_message_length", -1), ("grpc.service_config_disable_resolution", 1),
            ("grpc.use_local_subchannel_pool", 1), ("grpc.compression_enabled_algorithms_bitset", 1),
        ]  # fmt: skip
        if parts.scheme == "http":
            return grpc.insecure_channel(target, options)
        trusted = grpc.ssl_channel_credentials(Path(os.environ.get(CA_BUNDLE) or DEFAULT_CA_BUNDLE_PATH).read_bytes())

        return grpc.secure_channel(target, trusted, [*options, ("grpc.ssl_target_name_override", host)])
