"""JSON from strangers: whatever the bytes are, a value or one of our errors."""

import json
import re
from typing import Any, Final

from probe_match.fingerprinting.errors import ProbeMatchError, TargetError

# About what a value takes in memory once it is parsed, by the character that comes with each, in bytes. Ten characters
# of text can be a hundred times as much in objects.
WEIGHTS: Final = ((b"{", 240), (b"[", 64), (b",", 40), (b'"', 28))
MOST_MEMORY: Final = 40 << 20
SMALL: Final = 128 << 10  # bytes that cannot become that much


def parse(data: bytes, source: str, error: type[ProbeMatchError] = TargetError, *, finite: bool = True) -> Any:
    """
    The JSON value in `data`; `source` names it in the error.

    Raises `error` for anything but strict JSON in UTF-8: numbers of thousands of digits and nesting without end are
    refused like any other nonsense, so is what would fill the memory, and so are NaN and infinity unless not `finite`.
    """
    weight = sum(data.count(mark) * each for mark, each in WEIGHTS) if len(data) > SMALL else 0
    if weight > MOST_MEMORY:
        raise error(f"{source} holds more values than fit into {MOST_MEMORY >> 20} MiB; ask for less at once")
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse if finite else float)
    except (ValueError, RecursionError) as cause:  # bad UTF-8 and too many digits are ValueErrors
        reason = "nested too deeply" if isinstance(cause, RecursionError) else str(cause)[:120]
        raise error(f"expected JSON from {source}, got {printable(data, 60)!r} ({reason})") from cause


def maybe(data: bytes) -> Any:
    """The JSON value in `data`, or None where it is none: a web page, say."""
    try:
        return parse(data, "it")
    except TargetError:
        return None


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects in what should be a list of them; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def printable(text: bytes | str, most: int = 200) -> str:
    """At most `most` characters of a stranger's text on one line, without control characters and escapes."""
    if isinstance(text, bytes):
        text = text[: 8 * most].decode("utf-8", "replace")
    shown = "".join(c if c.isprintable() else " " for c in text[: 8 * most])

    return " ".join(shown.split())[:most]


def told(body: bytes) -> str:
    """What an error says, out of the shapes that servers use: {"error": {"message"}}, {"detail"}, {"message"}, text."""
    try:
        value = parse(body, "it")
    except TargetError:
        return printable(re.sub(rb"<[^>]*>", b" ", body[:4000]), 300)
    for _ in range(3):
        if isinstance(value, list) and value:
            value = value[0]
        if not isinstance(value, dict):
            break
        value = next((value[key] for key in ("error", "detail", "message", "msg") if value.get(key)), str(value))

    return printable(str(value), 300)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
