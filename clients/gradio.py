"""
Gradio apps, such as Hugging Face Spaces: `gradio:http://host:7860`, with `#/NAME` where an app has several endpoints.

A call is two requests: one hands over the input and gets a ticket, one reads the events until the answer is there. Done
here and not by `gradio_client`, which would go past the transport: it follows redirects, has no deadline for a whole
request and downloads what an answer points to. Understood are endpoints that take one JSON value, table or text, or one
number per feature. https://www.gradio.app/guides/querying-gradio-apps-with-curl
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import numpy as np
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.errors import InputRefused, TargetError, UsageError
from probe_match.fingerprinting.records import Access

from . import _json, _outputs
from ._rows import Inputs
from ._shapes import normalise
from ._transport import Reply, Transport, checked

TEXTS: Final = ("textbox", "text")
SINGLE: Final = ("number", "slider", "dropdown", "radio", "checkbox", "textbox")  # one component per feature
PATIENCE: Final = 60.0


class GradioClient:
    """One endpoint of an app, asked one input at a time."""

    classes: tuple[str, ...] = ()
    batch = 1

    def __init__(self, root: str, prefix: str, name: str, kinds: Sequence[str], transport: Transport) -> None:
        self.target: str = f"gradio:{root}#{name}"
        self.access: Access = "scores"  # unknown before the first answer
        self.shape: tuple[int, ...] | None = () if len(kinds) == 1 and kinds[0] in TEXTS else None
        if len(kinds) > 1:
            self.shape = (len(kinds),)
        self.facts: dict[str, str] = {"server": "Gradio", "input": ", ".join(kinds)}
        self._url = f"{root}{prefix}/call/{quote(name.lstrip('/'))}"
        self._kinds = tuple(kinds)
        self._transport = transport

    def ask(self, inputs: Inputs) -> Answers:
        """Answers to m inputs, one after the other. Raises TargetError, InputRefused where the app fails on one."""
        return _outputs.joined([self._answer(row) for row in inputs])

    def close(self) -> None:
        """Close the connections kept open."""
        self._transport.close()

    def _answer(self, row: Any) -> Answers:
        ticket = self._transport.post(self._url, {"data": _arguments(row, self._kinds)})
        if not ticket.ok:
            raise self._transport.complaint(ticket)
        value = ticket.json()
        event = value.get("event_id") if isinstance(value, dict) else None
        if not isinstance(event, str) or not re.fullmatch(r"[\w-]{1,100}", event):
            raise TargetError(f"expected an event_id from {self._url}, got {_json.printable(ticket.body, 80)!r}")
        events = self._transport.get(f"{self._url}/{event}")
        if not events.ok:
            raise self._transport.complaint(events)
        data = _completed(events, self._transport)

        return normalise(data[0] if isinstance(data, list) and data else data, 1, self._url)


def connect(where: str, *, timeout: float = 30.0) -> GradioClient:
    """An app's endpoint. Reads what the app says of itself, nothing that counts as a query."""
    root, _, name = where.partition("#")
    root = checked(root.rstrip("/"))
    transport = Transport(timeout=timeout, site=root, patience=PATIENCE)
    try:
        prefix, endpoints = _endpoints(transport, root)
        usable = {key: kinds for key, kinds in endpoints.items() if _is_usable(kinds)}
        chosen = f"/{name.lstrip('/')}" if name else next(iter(usable)) if len(usable) == 1 else ""
        if chosen not in usable:
            shown = ", ".join(f"{key} ({' '.join(kinds)})" for key, kinds in endpoints.items()) or "none"
            raise UsageError(f"expected gradio:{root}#/NAME with values or a text to put in; the app has {shown[:300]}")
        return GradioClient(root, prefix, chosen, usable[chosen], transport)
    except BaseException:
        transport.close()
        raise


def detect(url: str, *, timeout: float = 30.0) -> str | None:
    """What follows `gradio:` for a bare URL, or None where the server speaks something else."""
    transport = Transport(timeout=timeout, site=checked(url))
    try:
        root = url.rstrip("/")
        for path in ("/gradio_api/info", "/info"):
            reply = transport.get(root + path)
            if reply.status in (401, 403):
                raise transport.complaint(reply)
            told = _json.maybe(reply.body) if reply.ok else None
            if isinstance(told, dict) and isinstance(told.get("named_endpoints"), dict):
                return root
        return None
    finally:
        transport.close()


def _endpoints(transport: Transport, root: str) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Prefix of the paths, and what each named endpoint takes, as kinds of components in lower case."""
    for prefix in ("/gradio_api", ""):
        reply = transport.get(f"{root}{prefix}/info")
        if reply.status in (401, 403):
            raise transport.complaint(reply)
        told = _json.maybe(reply.body) if reply.ok else None
        named = told.get("named_endpoints") if isinstance(told, dict) else None
        if isinstance(named, dict):
            found = {}
            for name, endpoint in list(named.items())[:100]:
                parameters = _json.objects(endpoint.get("parameters") if isinstance(endpoint, dict) else None)
                kinds = tuple(_json.printable(str(p.get("component", "")), 30).lower() for p in parameters)
                found[_json.printable(name, 100)] = kinds
            return prefix, found
    raise TargetError(f"expected a Gradio app at {root}, got a server that does not describe one")


def _is_usable(kinds: Sequence[str]) -> bool:
    return bool(kinds) and (kinds in (("json",), ("dataframe",)) or all(kind in SINGLE for kind in kinds))


def _arguments(row: Any, kinds: Sequence[str]) -> list[Any]:
    if isinstance(row, str):
        return [row]
    values = np.asarray(row)
    if tuple(kinds) == ("json",):
        return [values.tolist()]
    flat = values.ravel().tolist()
    if tuple(kinds) == ("dataframe",):
        return [{"headers": [str(i) for i in range(len(flat))], "data": [flat]}]
    if len(flat) != len(kinds):
        if len(kinds) == 1 and kinds[0] in TEXTS:
            return [",".join(str(value) for value in flat)]
        raise TargetError(f"the app takes {len(kinds)} values, the probes have {len(flat)}")
    return flat


def _completed(reply: Reply, transport: Transport) -> Any:
    """The data of the last event of a stream; an error event is a refusal of the input."""
    event, data = "", b""
    for line in reply.body.replace(b"\r\n", b"\n").split(b"\n"):
        if line.startswith(b"event:"):
            event = line[6:].strip().decode("ascii", "replace")
        elif line.startswith(b"data:") and event in ("complete", "error"):
            data = line[5:].strip()
    if event == "error":
        said: Any = _json.maybe(data)
        said = said.get("error") if isinstance(said, Mapping) else said
        raise InputRefused(f"{reply.url} says that it failed: {transport.shown(str(said or 'no reason given'))}")
    if event != "complete":
        raise TargetError(f"expected a complete event from {reply.url}, got {_json.printable(reply.body, 80)!r}")

    return _json.parse(data, reply.url)
