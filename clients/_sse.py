"""
Server-sent events of chat completions, put together into the one reply that a server without streaming gives.

https://html.spec.whatwg.org/multipage/server-sent-events.html, of which servers use the `data:` lines.
"""

from typing import Any

from probe_match.fingerprinting.errors import TargetError

from . import _json
from ._transport import Reply

THOUGHTS = ("reasoning_content", "reasoning", "thinking")


def is_stream(reply: Reply) -> bool:
    """Whether a reply is a stream of events, by its type or its first bytes."""
    streamed = "text/event-stream" in reply.headers.get("content-type", "").lower()
    return streamed or reply.body.lstrip()[:6] in (b"data: ", b"event:") or reply.body.startswith(b"data:")


def events(reply: Reply) -> list[Any]:
    """The JSON values of a stream, in order, up to [DONE]. Raises TargetError."""
    found, data = [], b""
    for line in [*reply.body.replace(b"\r\n", b"\n").split(b"\n"), b""]:
        if line.startswith(b"data:"):
            data += line[5:].strip()
        elif not line and data:
            if data == b"[DONE]":
                break
            found.append(_json.parse(data, reply.url))
            data = b""

    return found


def completion(reply: Reply) -> dict[str, Any]:
    """
    Chunks of a chat or text completion as one completion. Raises TargetError.

    A stream that ends without a reason to stop broke off: what came is kept, and its finish is "length".
    """
    text, thoughts, finish = "", "", None
    logprobs: list[Any] = []
    whole: dict[str, Any] = {}
    for event in events(reply):
        if not isinstance(event, dict):
            raise TargetError(
                f"expected chunks of a completion from {reply.url}, got {_json.printable(str(event), 60)}"
            )
        if event.get("error"):
            return {"error": event["error"]}
        whole |= {key: event[key] for key in ("model", "usage") if event.get(key)}
        for choice in _json.objects(event.get("choices")):
            if choice.get("index", 0) != 0:
                continue
            given = choice.get("delta")
            delta: dict[str, Any] = given if isinstance(given, dict) else {"content": choice.get("text")}
            said = delta.get("content")
            text += said if isinstance(said, str) else ""
            thoughts += next((delta[key] for key in THOUGHTS if isinstance(delta.get(key), str)), "")
            places = choice.get("logprobs")
            if isinstance(places, dict) and isinstance(places.get("content"), list):
                logprobs += places["content"]
            reason = choice.get("finish_reason")
            finish = reason if isinstance(reason, str) and reason else finish
    message = {"content": text, "reasoning_content": thoughts}
    choice = {"message": message, "text": text, "finish_reason": finish or "length", "logprobs": {"content": logprobs}}

    return {**whole, "choices": [choice]}
