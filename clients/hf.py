"""
Text classification as Hugging Face's tools serve it: text-embeddings-inference, infinity, pipelines behind endpoints.

`hf:http://host:8080`, with `#MODEL` where a server holds several. All answer lists of a label and its score, sorted by
score, so that everything goes by label.
"""

from typing import Any

from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.errors import TargetError, UsageError

from . import _json
from ._rows import PATIENCE, Inputs, RowsClient, value_of
from ._shapes import normalise
from ._transport import Reply, Transport, checked

TEXTS_AT_ONCE = 32  # what text-embeddings-inference takes unless told otherwise


def connect(where: str, *, timeout: float = 30.0) -> RowsClient:
    """The classifier at a URL. Asks what the server is, nothing that counts as a query."""
    url, _, model = where.partition("#")
    url = checked(url.rstrip("/"))
    transport = Transport(timeout=timeout, site=url, patience=PATIENCE)
    try:
        info = _info(transport, url)
        if info is not None:
            most = info.get("max_client_batch_size")
            facts = {"server": f"text-embeddings-inference {_json.printable(str(info.get('version', '')), 20)}".strip()}
            facts["models"] = _json.printable(str(info.get("model_id", "")), 100)
            return RowsClient(
                f"hf:{url}", f"{url}/predict", transport, [_tei], _read, shape=(),
                batch=most if isinstance(most, int) and 0 < most <= 4096 else TEXTS_AT_ONCE, facts=facts,
            )  # fmt: skip
        names = _infinity(transport, url)
        if names:
            if not model and len(names) > 1:
                raise UsageError(f"expected hf:{url}#MODEL, got no MODEL; it serves {', '.join(names[:12])}")
            chosen = model or names[0]
            return RowsClient(
                f"hf:{url}#{chosen}", f"{url}/classify", transport, [_named(chosen)], _read_data, shape=(),
                batch=TEXTS_AT_ONCE, facts={"server": "infinity", "models": ", ".join(names)},
            )  # fmt: skip
        return RowsClient(f"hf:{where}", url, transport, [_all_scores, _tei], _read, shape=(), batch=TEXTS_AT_ONCE)
    except BaseException:
        transport.close()
        raise


def detect(url: str, *, timeout: float = 30.0) -> str | None:
    """What follows `hf:` for a bare URL, or None where the server speaks something else."""
    transport = Transport(timeout=timeout, site=checked(url))
    try:
        root = url.rstrip("/")
        return root if _info(transport, root) is not None or _infinity(transport, root) else None
    finally:
        transport.close()


def _info(transport: Transport, url: str) -> dict[str, Any] | None:
    """What text-embeddings-inference says of a classifier."""
    told = _told(transport, f"{url}/info")
    kind = told.get("model_type") if isinstance(told, dict) else None

    return (
        told if isinstance(told, dict) and isinstance(kind, dict) and {"classifier", "reranker"} & set(kind) else None
    )


def _infinity(transport: Transport, url: str) -> list[str]:
    """Classifiers that infinity lists."""
    told = _told(transport, f"{url}/models")
    entries = _json.objects(told.get("data") if isinstance(told, dict) else None)
    able = [entry for entry in entries if "classify" in (entry.get("capabilities") or ())]

    return [_json.printable(str(entry.get("id", "")), 100) for entry in able if entry.get("owned_by") == "infinity"][
        :50
    ]


def _told(transport: Transport, url: str) -> Any:
    reply = transport.get(url)
    if reply.status in (401, 403):
        raise transport.complaint(reply)
    return _json.maybe(reply.body) if reply.ok else None


def _tei(part: Inputs) -> Any:
    return {"inputs": [[text] for text in _texts(part)], "truncate": True}


def _all_scores(part: Inputs) -> Any:
    """As the pipelines' own servers take it; top_k null asks for every class."""
    return {"inputs": _texts(part), "parameters": {"top_k": None, "truncation": True}}


def _named(model: str) -> Any:
    return lambda part: {"model": model, "input": _texts(part)}


def _texts(part: Inputs) -> list[str]:
    if not all(isinstance(text, str) for text in part):
        raise TargetError("a text classifier takes texts; use a pool of texts")
    return [str(text) for text in part]


def _read(reply: Reply, m: int) -> Answers:
    return normalise(value_of(reply), m, reply.url)


def _read_data(reply: Reply, m: int) -> Answers:
    value = value_of(reply)
    if not isinstance(value, dict) or "data" not in value:
        raise TargetError(f"expected data from {reply.url}, got {_json.printable(reply.body, 80)!r}")
    return normalise(value["data"], m, reply.url)
