"""
The `instances` and `predictions` protocol: TensorFlow Serving, KServe V1, Vertex AI.

`v1:http://host:8501/v1/models/NAME`, with `/versions/V` where one is meant, or a Vertex endpoint
(`v1:https://REGION-aiplatform.googleapis.com/v1/projects/…/endpoints/ID`, with an access token as key).
https://www.tensorflow.org/tfx/serving/api_rest
"""

import re
from typing import Any
from urllib.parse import quote

from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.errors import TargetError, UsageError

from . import _json
from ._rows import PATIENCE, RowsClient, listed, value_of
from ._shapes import normalise
from ._transport import Reply, Transport, checked

PATH = re.compile(r"(.*?)/v1/models/([^/:]+)((?:/versions/[^/:]+|/labels/[^/:]+)?)(:predict)?/?")
VERTEX = re.compile(r"(https?://.*/endpoints/[^/:]+)(:predict)?/?")


def connect(where: str, *, timeout: float = 30.0) -> RowsClient:
    """The model at a URL, or the only one that a server lists. Asks for its state, nothing that counts as a query."""
    transport = Transport(timeout=timeout, site=checked(where), patience=PATIENCE)
    try:
        url = _model_url(transport, where)
        facts, shape = ({}, None) if VERTEX.fullmatch(url) else _described(transport, url)
        return RowsClient(
            f"v1:{url}", f"{url}:predict", transport, [lambda part: {"instances": listed(part)}], _read,
            shape=shape, facts=facts,
        )  # fmt: skip
    except BaseException:
        transport.close()
        raise


def detect(url: str, *, timeout: float = 30.0) -> str | None:
    """What follows `v1:` for a bare URL, or None where the server speaks something else."""
    if PATH.fullmatch(checked(url)) or (VERTEX.fullmatch(url) and "aiplatform" in url):
        return url
    transport = Transport(timeout=timeout, site=url)
    try:
        return url if _names(transport, _root(url)) else None
    finally:
        transport.close()


def _model_url(transport: Transport, where: str) -> str:
    for known in (PATH, VERTEX):
        if found := known.fullmatch(where):
            return where[: -len(":predict")] if found[found.re.groups] else where.rstrip("/")
    root = _root(where)
    names = _names(transport, root)
    if len(names) != 1:
        which = f"it serves {', '.join(names)}" if names else "it does not list its models"
        raise UsageError(f"expected v1:{root}/v1/models/NAME, got no NAME; {which}")

    return f"{root}/v1/models/{quote(names[0], safe='')}"


def _root(url: str) -> str:
    return re.sub(r"/v1(/models)?$", "", url.rstrip("/"))


def _names(transport: Transport, root: str) -> list[str]:
    reply = transport.get(f"{root}/v1/models")
    if reply.status in (401, 403):
        raise transport.complaint(reply)
    listed_ = _json.maybe(reply.body) if reply.ok else None
    names = listed_.get("models") if isinstance(listed_, dict) else None

    return (
        [n for n in names if isinstance(n, str) and n.isprintable() and 0 < len(n) < 100][:50]
        if isinstance(names, list)
        else []
    )


def _described(transport: Transport, url: str) -> tuple[dict[str, str], tuple[int, ...] | None]:
    """What is said of a model, and the shape of one input where TensorFlow Serving gives its signature."""
    state = transport.get(url)
    if state.status == 404:
        names = _names(transport, _root(url.partition("/v1/models/")[0]))
        served = f"; it serves {', '.join(names)}" if names else "; check the model's name"
        raise TargetError(f"no model at {url}{served}")
    if not state.ok:
        raise transport.complaint(state)
    told = _json.maybe(state.body)
    if not isinstance(told, dict) or "model_version_status" not in told:
        return {"server": "V1"}, None
    metadata = transport.get(f"{url}/metadata")

    return {"server": "TensorFlow Serving"}, _signature(_json.maybe(metadata.body)) if metadata.ok else None


def _signature(told: Any) -> tuple[int, ...] | None:
    for key in ("metadata", "signature_def", "signature_def", "serving_default", "inputs"):
        told = told.get(key) if isinstance(told, dict) else None
    entry = next(iter(told.values())) if isinstance(told, dict) and len(told) == 1 else None
    dims = entry.get("tensor_shape", {}).get("dim") if isinstance(entry, dict) else None
    try:
        sizes = [int(dim["size"]) for dim in dims] if isinstance(dims, list) else []
    except (TypeError, KeyError, ValueError):
        return None

    return tuple(sizes[1:]) if len(sizes) > 1 and min(sizes[1:]) > 0 else None


def _read(reply: Reply, m: int) -> Answers:
    value = value_of(reply)
    if not isinstance(value, dict) or not {"predictions", "outputs"} & set(value):
        raise TargetError(f"expected predictions from {reply.url}, got {_json.printable(reply.body, 80)!r}")

    return normalise(value.get("predictions", value.get("outputs")), m, reply.url)
