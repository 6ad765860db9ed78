"""
Targets as users write them: `client:where`, a bare path, or a bare URL.

A bare path goes by its suffix; a bare URL is asked what it speaks.
"""

import inspect
from pathlib import Path
from typing import Any, Final

from . import registry
from .chat.records import ChatClient
from .collect import Client
from .errors import BadData, TargetError, UsageError

SUFFIXES: Final = {
    ".onnx": "onnx", ".skops": "sklearn", ".joblib": "sklearn", ".pkl": "sklearn", ".pickle": "sklearn",
    ".pt2": "torch", ".pt": "torch", ".pth": "torch", ".jsonl": "replay", ".npz": "replay",
    ".json": "replay",
}  # fmt: skip
# Clients that can tell whether a bare URL speaks their protocol, in order of asking: infinity's list of models looks
# like OpenAI's but for one word.
SPEAKERS: Final = ("oip", "v1", "hf", "openai", "mlflow", "gradio", "rest")


def open_target(target: str, *, allow_pickle: bool = False, timeout: float = 30.0) -> Client:
    """
    The client for a target that takes inputs and gives labels or numbers.

    allow_pickle: load model files that run code. timeout: seconds for one request. Raises UsageError for a
    target that says no client, BadData for a file that cannot be read, TargetError for an endpoint that
    cannot be reached.
    """
    client = open_any(target, allow_pickle=allow_pickle, timeout=timeout)
    if isinstance(client, ChatClient):
        client.close()
        raise UsageError(f"{target[:200]} is a language model; this needs a model that takes inputs and gives labels")

    return client


def open_chat(target: str, *, timeout: float = 60.0, concurrency: int | None = None) -> ChatClient:
    """
    The client for a language model. timeout: seconds for one request. concurrency: questions under way at once, None
    for the client's own number. Raises as `open_target` does.
    """
    client = open_any(target, timeout=timeout, concurrency=concurrency)
    if not isinstance(client, ChatClient):
        client.close()
        raise UsageError(f"{target[:200]} is no language model; expected one such as openai:https://host/v1#model")

    return client


def open_any(
    target: str, *, allow_pickle: bool = False, timeout: float = 30.0, concurrency: int | None = None
) -> Client | ChatClient:
    """The client for a target, of whatever kind."""
    options: dict[str, Any] = {"allow_pickle": allow_pickle, "timeout": timeout}
    if concurrency is not None:
        options["concurrency"] = concurrency
    if not target.strip():
        raise UsageError("expected a target such as oip:http://host/v2/models/NAME or model.onnx, got nothing")
    if target.lower().startswith(("http://", "https://")) and "#" in target:
        return _open("openai", target, options)  # only a language model's address names a model behind a #
    if target.lower().startswith(("http://", "https://")):
        return _open(*_ask_what_it_speaks(target, options), options)
    name, colon, where = target.partition(":")
    suffix = Path(target).suffix.lower()
    if colon and (_is_client(name) or not (suffix in SUFFIXES and Path(target).exists())):
        if not where:
            raise UsageError(f"expected {name}:where, got '{name}:' and nothing after it")
        return _open(name, where, options)
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        what = "a file" if Path(target).exists() else "no file and no client"
        raise UsageError(f"expected client:where, a URL or a file ({known}), got '{target[:200]}', which is {what}")
    if not Path(target).is_file():
        raise BadData(f"no model file at '{target[:200]}'; check the path")

    return _open(SUFFIXES[suffix], target, options)


def _open(name: str, where: str, options: dict[str, Any]) -> Client | ChatClient:
    module = registry.load("clients", name)
    if not callable(getattr(module, "connect", None)):
        raise UsageError(f"expected connect(where) in the client '{name}', got a module without it")
    taken = inspect.signature(module.connect).parameters
    client: Client | ChatClient = module.connect(where, **{key: options[key] for key in options if key in taken})

    return client


def _ask_what_it_speaks(url: str, options: dict[str, Any]) -> tuple[str, str]:
    for name in SPEAKERS:
        where = registry.load("clients", name).detect(url, timeout=options["timeout"])
        if where:
            return name, where
    forms = ", ".join(f"{name}:URL" for name in SPEAKERS)
    raise TargetError(f"the server does not say which protocol it speaks; name it: {forms}")


def _is_client(name: str) -> bool:
    return name.replace("-", "_") in registry.available("clients")
