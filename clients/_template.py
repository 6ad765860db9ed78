"""
How a server without a protocol is asked, as data: a request with gaps, and JSONPaths into what it answers.

A template is one JSON object, shipped under `data/presets/` or a file of the user's own:

    {"about": "…", "path": "/predict", "request": {"input": "$INPUTS"}, "answer": "$.output"}

`request` is any JSON. A text that is a gap is replaced: `$INPUTS` by all inputs of a request as nested lists,
`$RECORDS` by objects with the columns' names, `$INPUT` or `$CSV` by a single input, as a list or as numbers joined by
commas: then each request holds one. Every other gap is a name under `learn`, {"NAME": {"get": path, "find": JSONPath}},
asked of the server once; an object found gives its keys. `answer`, `classes`, `labels` are JSONPaths. `failed` says how
a server fails in spite of status 200, or by a status of its own: {"status": [503], "json": JSONPath, "header": [name,
value], "busy": [409]}. `key_header` is where a key goes if not into Authorization. `signs` are read-only requests that
tell the server: {"get": path, "json": JSONPath, "text": regular expression, "header": [name, regular expression]}; all
that are given hold.
"""

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.parser import parse
from probe_match.fingerprinting.errors import BadData, TargetError, UsageError

from . import _json
from ._rows import Inputs, listed

FIELDS: Final = {
    "about": str, "path": str, "request": object, "answer": str, "classes": str, "labels": str, "failed": dict,
    "learn": dict, "key_header": str, "signs": list, "batch": int, "url": str,
}  # fmt: skip
ONE: Final = ("$INPUT", "$CSV")
MOST_BYTES: Final = 1 << 20
PRESETS: Final = resources.files("probe_match.data") / "presets"


class Template(NamedTuple):
    """What the module's docstring describes. one: each request holds one input."""

    name: str
    about: str
    path: str
    request: Any
    answer: str
    classes: str
    labels: str
    failed: Mapping[str, Any]
    learn: Mapping[str, Mapping[str, str]]
    key_header: str
    signs: Sequence[Mapping[str, Any]]
    batch: int
    url: str

    @property
    def one(self) -> bool:
        """Whether each request holds a single input."""
        return bool(gaps(self.request) & set(ONE))


def presets() -> list[str]:
    """Names of the templates that are shipped, sorted."""
    return sorted(Path(file.name).stem for file in PRESETS.iterdir() if file.name.endswith(".json"))


def load(name: str) -> Template:
    """A shipped template by its name, or one of the user's own by its path. Raises UsageError, BadData."""
    if name in presets():
        return read((PRESETS / f"{name}.json").read_bytes(), name)
    path = Path(name)
    if path.suffix != ".json":
        raise UsageError(
            f"expected rest:PRESET@URL or rest:FILE.json, got '{name[:80]}'; presets: {', '.join(presets())}"
        )
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadData(f"the template {path} is larger than {MOST_BYTES >> 20} MiB; expected a few lines of JSON")
        return read(path.read_bytes(), str(path))
    except OSError as error:
        raise BadData(f"cannot read the template {path}: {error.strerror or error}") from error


def read(data: bytes, name: str) -> Template:
    """The template in a file. Raises BadData."""
    told = _json.parse(data, f"template {name}", BadData)
    if not isinstance(told, dict) or "request" not in told:
        raise BadData(f"expected an object with 'request' in template {name}, got {_json.printable(data, 60)!r}")
    for field, value in told.items():
        if field not in FIELDS or not isinstance(value, FIELDS[field]):
            raise BadData(f"template {name}: expected only {', '.join(FIELDS)}, each of its type; got '{field[:40]}'")
    template = Template(
        name, told.get("about", ""), told.get("path", ""), told["request"], told.get("answer", "$"),
        told.get("classes", ""), told.get("labels", ""), told.get("failed", {}), told.get("learn", {}),
        told.get("key_header", "Authorization"), told.get("signs", []), told.get("batch", 0), told.get("url", ""),
    )  # fmt: skip
    for path in (template.answer, template.classes, template.labels, str(template.failed.get("json", ""))):
        if path:
            compiled(path)
    unknown = gaps(template.request) - {"$INPUTS", "$RECORDS", *ONE} - {f"${name}" for name in template.learn}
    if unknown or not gaps(template.request) & {"$INPUTS", "$RECORDS", *ONE}:
        raise BadData(
            f"template {name}: expected one of $INPUTS, $RECORDS, $INPUT, $CSV and names under 'learn' in the request, "
            f"got {', '.join(sorted(unknown)) or 'none'}"
        )

    return template


def gaps(request: Any) -> set[str]:
    """Every text in a request that begins with a dollar."""
    if isinstance(request, dict):
        return {gap for item in request.items() for part in item for gap in gaps(part)}
    if isinstance(request, list):
        return {gap for part in request for gap in gaps(part)}
    return {request} if isinstance(request, str) and request.startswith("$") else set()


def filled(request: Any, values: Mapping[str, Any]) -> Any:
    """The request with its gaps filled; keys of objects are gaps, too."""
    if isinstance(request, dict):
        return {str(filled(key, values)): filled(value, values) for key, value in request.items()}
    if isinstance(request, list):
        return [filled(part, values) for part in request]
    return values.get(request, request) if isinstance(request, str) else request


def values_for(part: Inputs, known: Mapping[str, Any]) -> dict[str, Any]:
    """What the gaps stand for in a request for these inputs. known: what was learnt, by the gap."""
    rows = listed(part)
    values = {**known, "$INPUTS": rows, "$INPUT": rows[0]}
    first = np.asarray(rows[0]).ravel().tolist() if not isinstance(rows[0], str) else [rows[0]]
    values["$CSV"] = ",".join(str(value) for value in first)
    names = known.get("$COLUMNS")
    if isinstance(names, list):
        if len(names) != len(first):
            raise TargetError(f"expected inputs of {len(names)} columns ({', '.join(names[:5])}…), got {len(first)}")
        flat = [row if isinstance(row, list) else [row] for row in rows]
        values["$RECORDS"] = [dict(zip(names, row, strict=True)) for row in flat]

    return values


def compiled(path: str) -> Any:
    """A JSONPath, ready. Raises BadData for what is none."""
    try:
        return parse(path)
    except (JSONPathError, ValueError, AttributeError, TypeError) as error:
        raise BadData(f"expected a JSONPath such as $.output, got '{path[:80]}' ({str(error)[:80]})") from error


def find(path: str, value: Any) -> list[Any]:
    """What a JSONPath finds in a value, in order."""
    try:
        return [found.value for found in compiled(path).find(value)]
    except (TypeError, KeyError, IndexError, AttributeError, RecursionError, json.JSONDecodeError) as error:
        raise TargetError(f"the answer does not fit {path} ({str(error)[:80]})") from error
