"""
What can be learnt of a target before any comparison: protocol, model, inputs, limits, and how much its answers show.

At most three probes are sent, one row each, and not through `collect`: what a refusal says is wanted here. Where the
target does not say what inputs it takes, the first probe asks for trouble: servers that refuse a row of one number
mostly name the number they want.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np

from .answers import Client, check
from .chat.records import ChatClient
from .errors import InputRefused, TargetError
from .information import shown
from .score_rows import side_by_side

SCHEMA: Final = "probe-match/inspection/1"
MOST: Final = 3
# "expecting 64 features", "expected shape (-1, 64)", "expects 64", "shape is 64", "expected 64 columns"
WANTED: Final = (
    re.compile(r"expect\w*\D{0,40}?(?:-1|None|\?)((?:\s*,\s*\d+)+)", re.IGNORECASE),
    re.compile(r"expect\w*\s+(?:inputs of\s+)?(\d+)\s+(?:features|columns|values|inputs)", re.IGNORECASE),
    re.compile(r"takes\s+(?:inputs of\s+)?(\d+)\s+(?:features|columns|values)"),
    re.compile(r"(?:but\D{0,60}expect\w*|must have|should have|needs)\D{0,20}(\d+)"),
)


@dataclass(frozen=True)
class Inspection:
    """
    client: the protocol's name. facts: what the server says of itself. shape: of one input, None if unknown. access:
    what the client can give at most. information: what the answers showed, "" where none came. sent: probes sent.
    example: the first answer, as text. refusal: why there was none.
    """

    target: str
    client: str
    kind: Literal["inputs", "language model"]
    facts: dict[str, str] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    classes: int | None = None
    batch: int | None = None
    access: str = ""
    information: str = ""
    sent: int = 0
    example: str = ""
    refusal: str = ""


def inspect(client: Client | ChatClient, name: str, *, shape: Sequence[int] | None = None) -> Inspection:
    """
    What the client knows and what at most three probes show. name: of the client. shape: of one input, where the user
    knows it and the server does not say.
    """
    facts: dict[str, str] = dict(getattr(client, "facts", {}))
    if callable(describe := getattr(client, "describe", None)):
        facts |= describe()
    if isinstance(client, ChatClient):
        notes = {"notes": "; ".join(client.notes)} if client.notes else {}
        return Inspection(client.target, name, "language model", facts | notes, access=client.access)
    known = client.shape if client.shape is not None else None if shape is None else tuple(shape)
    given: list[tuple[Any, np.ndarray | None]] = []
    sent, refusal = 0, ""
    rng = np.random.default_rng(0)
    while sent < MOST:
        probe = _probe((1,) if known is None else known, sent, rng)
        sent += 1
        try:
            raw = client.ask(probe)
            asked = check(raw, 1, (), client, _output(client))
        except InputRefused as error:
            refusal = str(error)
            wanted = wanted_shape(refusal)
            if wanted is None or wanted == known or known is not None:
                break
            known = wanted
            continue
        except TargetError as error:
            if not given and "known are" not in str(error) and "labels are those names" not in str(error):
                refusal = str(error)
                break
            given.append((_named(error), None))  # labels that have names, which a pool would know
            continue
        refusal, known = "", known or (probe.shape[1:] if isinstance(probe, np.ndarray) else ())
        label = None if raw.labels is None else raw.labels[0]
        given.append((int(asked.labels[0]) if label is None else label, asked.scores))
    scores = [some for _, some in given if some is not None]
    k = max((some.shape[1] for some in scores), default=0)
    rows = np.concatenate(side_by_side(scores)) if scores else None

    return Inspection(
        client.target, name, "inputs", facts, known, k if rows is not None and k > 1 else None,
        client.batch, "scores" if rows is not None else "label" if given else client.access,
        str(shown(rows)) if given else "", sent, _example(given), refusal,
    )  # fmt: skip


def wanted_shape(refusal: str) -> tuple[int, ...] | None:
    """The shape of one input that a refusal names, or None."""
    for pattern in WANTED:
        if found := pattern.search(refusal):
            sizes = tuple(int(size) for size in re.findall(r"\d+", found[1]))
            if sizes and min(sizes) > 0 and np.prod(sizes) < 1e7:
                return sizes
    return None


def to_json(found: Inspection) -> dict[str, Any]:
    """Plain values, schema `probe-match/inspection/1`."""
    return {
        "schema": SCHEMA,
        "target": found.target,
        "client": found.client,
        "kind": found.kind,
        "facts": found.facts,
        "shape": None if found.shape is None else list(found.shape),
        "classes": found.classes,
        "batch": found.batch,
        "access": found.access,
        "information": found.information,
        "probes": found.sent,
        "example": found.example,
        "refusal": found.refusal,
    }


def to_lines(found: Inspection) -> list[str]:
    """For people, a line per fact."""
    shape = (
        "unknown; --shape names it" if found.shape is None else "text" if found.shape == () else f"shape {found.shape}"
    )
    told = {"speaks": found.client, **found.facts}
    if found.kind == "inputs":
        told["takes"] = f"{shape}, {found.batch or 1} at once"
        told["shows"] = found.information + (f" of {found.classes} classes" if found.classes else "") or "nothing yet"
        told["answers"] = found.example or "none"
    else:
        told["gives"] = found.access
    told |= {"refuses": found.refusal} if found.refusal else {}
    told["probes"] = f"{found.sent} sent"

    return [found.target, *(f"  {name:<10}{value}" for name, value in told.items())]


def _probe(shape: tuple[int, ...], nth: int, rng: np.random.Generator) -> Any:
    """Nothing, then something: zeros and two draws between 0 and 1, or three short texts."""
    if shape == ():
        return [["probe", "a second, longer text to classify", "nothing of the kind"][nth]]
    return np.zeros((1, *shape), np.float32) if nth == 0 else rng.random((1, *shape), np.float32)


def _output(client: Client) -> Any:
    return "number" if getattr(client, "output", None) == "number" else "classes"


def _named(error: TargetError) -> str:
    found = re.search(r"(?:the class|the label|the text) '([^']{1,40})'", str(error))
    return found[1] if found else "a named class"


def _example(given: Sequence[tuple[Any, np.ndarray | None]]) -> str:
    if not given:
        return ""
    label, scores = given[0]
    if scores is None:
        return f"label {label}"
    return f"label {label}, likeliest score {float(np.nanmax(scores[0])):.4g}"
