"""
Any JSON server, by a template: BentoML, LitServe, Ray Serve, Azure ML, TorchServe, vetiver, Cog, or a server of yours.

`rest:PRESET@http://host:port/route`, `rest:FILE.json@http://…`, or `rest:FILE.json` where the file names the `url`.
Templates are described in `_template`; the presets are small files under `data/presets/`.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.errors import InputRefused, TargetError, UsageError

from . import _json, _template
from ._rows import BATCH, PATIENCE, RowsClient, value_of
from ._shapes import normalise
from ._template import Template
from ._transport import Reply, Transport, checked


def connect(where: str, *, timeout: float = 30.0) -> RowsClient:
    """The model behind a template. Asks only what the template wants learnt, nothing that counts as a query."""
    name, at, url = where.partition("@")
    template = _template.load(name)
    url = checked((url if at else template.url).rstrip("/") or "nothing")
    bad = tuple(template.failed.get("status", ()))
    transport = Transport(
        timeout=timeout, site=url, key_header=template.key_header, patience=0.0 if 503 in bad else PATIENCE
    )
    try:
        known = {f"${gap}": _learnt(transport, url, gap, ask) for gap, ask in template.learn.items() if gap != "PATH"}
        if not urlsplit(url).path:
            path = _route(transport, url, template) if "PATH" in template.learn else template.path
            if not path:
                raise UsageError(f"expected rest:{name}@{url}/ROUTE, got no ROUTE; give the address that is posted to")
            url += path
        if "ARGUMENT" in template.learn and "$ARGUMENT" in known:
            known["$ARGUMENT"] = _argument(transport, url, template)
        return RowsClient(
            f"rest:{name}@{url}", url, transport,
            [lambda part: _template.filled(template.request, _template.values_for(part, known))],
            lambda reply, m: _read(reply, m, template),
            batch=1 if template.one else template.batch or BATCH,
            facts={"server": template.about or name}, bad=bad, busy=tuple(template.failed.get("busy", ())),
        )  # fmt: skip
    except BaseException:
        transport.close()
        raise


def detect(url: str, *, timeout: float = 30.0) -> str | None:
    """What follows `rest:` for a bare URL of a server that a preset's signs tell, else None."""
    transport = Transport(timeout=timeout, site=checked(url))
    seen: dict[str, Reply | None] = {}
    try:
        parts = urlsplit(url)
        root = f"{parts.scheme}://{parts.netloc}"
        for name in _template.presets():
            for sign in _template.load(name).signs:
                path = sign["get"]
                if path not in seen:
                    seen[path] = _glance(transport, root + path)
                reply = seen[path]
                if reply is not None and _shows(reply, sign):
                    return f"{name}@{url.rstrip('/')}"
        return None
    finally:
        transport.close()


def _glance(transport: Transport, url: str) -> Reply | None:
    """What a path answers; None where a server fails on paths it does not know."""
    try:
        return transport.get(url)
    except TargetError:
        return None


def _shows(reply: Reply, sign: Mapping[str, Any]) -> bool:
    if reply.status != sign.get("status", 200):
        return False
    if "header" in sign:
        name, pattern = sign["header"]
        if not re.search(pattern, reply.headers.get(name, "")):
            return False
    if "text" in sign and not re.search(sign["text"], _json.printable(reply.body, 2000)):
        return False
    value = _json.maybe(reply.body) if "json" in sign else None

    return "json" not in sign or (value is not None and bool(_template.find(sign["json"], value)))


def _learnt(transport: Transport, url: str, gap: str, ask: Mapping[str, str]) -> Any:
    """What a server says for a gap: names of columns where it is an object or a list, else one text."""
    parts = urlsplit(url)
    reply = transport.get(f"{parts.scheme}://{parts.netloc}{ask['get']}")
    if not reply.ok:
        raise transport.complaint(reply)
    found = _template.find(ask["find"].replace("$PATH", parts.path), reply.json())
    if not found:
        return None
    if gap == "COLUMNS":
        entries = found[0] if isinstance(found[0], list | dict) else found
        return [str(name) for name in entries]

    return next(iter(found[0]), None) if isinstance(found[0], dict | list) else found[0]


def _route(transport: Transport, url: str, template: Template) -> str:
    """The route of a server that lists them: the only one, or the only one that speaks of probabilities."""
    ask = template.learn["PATH"]
    reply = transport.get(url + ask["get"])
    if not reply.ok:
        raise transport.complaint(reply)
    found = _template.find(ask["find"], reply.json())
    routes = [str(route) for each in found for route in (each if isinstance(each, dict | list) else [each])]
    routes = [route for route in routes if route.startswith("/") and route.isprintable() and len(route) < 200]
    picked = routes if len(routes) == 1 else [route for route in routes if "prob" in route]
    if len(picked) != 1:
        which = f"it has {', '.join(routes[:12])}" if routes else "it lists none"
        raise UsageError(f"expected rest:{template.name}@{url}/ROUTE, got no ROUTE; {which}")

    return picked[0]


def _argument(transport: Transport, url: str, template: Template) -> str:
    name = _learnt(transport, url, "ARGUMENT", template.learn["ARGUMENT"])
    if not isinstance(name, str):
        raise UsageError(f"the server names no argument of {url}; check the route, or write a template of your own")
    return name


def _read(reply: Reply, m: int, template: Template) -> Answers:
    header, value = template.failed.get("header"), value_of(reply)
    if header and reply.headers.get(header[0], "").lower() == header[1].lower():
        raise InputRefused(f"{reply.url} says that it failed ({header[0]}: {header[1]})")
    failed = template.failed.get("json")
    said = [told for told in _template.find(failed, value) if told] if failed else []
    if said:
        raise InputRefused(f"{reply.url} says that it failed: {_json.printable(str(said[0]), 200)}")
    found = _template.find(template.answer, value)
    if not found:
        raise TargetError(
            f"expected {template.answer} in what {reply.url} answers, got {_json.printable(reply.body, 80)!r}"
        )
    names = _template.find(template.classes, value) if template.classes else []
    if len(names) == 1 and isinstance(names[0], list):
        names = names[0]
    answers = normalise(found[0] if len(found) == 1 else found, m, reply.url, names=[str(name) for name in names])
    labels = _template.find(template.labels, value) if template.labels else []
    if labels:
        return answers._replace(labels=normalise(labels[0] if len(labels) == 1 else labels, m, reply.url).labels)

    return answers
