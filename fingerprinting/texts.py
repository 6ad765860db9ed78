"""
Texts as inputs, from files and lists: what every model can be sent, checked at the door.

A text is sent as it stands, so what a server would refuse or a file would lose is refused here: nothing at all, control
characters, half of a surrogate pair, or more than MAX_CHARACTERS.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from .errors import BadData
from .tables import label_column, numbers, read_rows

COLUMN: Final = "text"
MAX_CHARACTERS: Final = 20_000  # some 5,000 tokens: more than classifiers of texts read
# Tab and line breaks are text. NUL ends a string in C, and NumPy's arrays lose it at the end.
UNSENDABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Texts(NamedTuple):
    """x: n texts, as they stood. y: labels int64, float64 or str (n,), or None."""

    x: tuple[str, ...]
    y: np.ndarray | None


def are_texts(x: Any) -> bool:
    """Whether inputs are texts rather than rows of numbers: a sequence or a one-dimensional array of str."""
    if isinstance(x, np.ndarray):
        return x.ndim == 1 and (x.dtype.kind == "U" or (x.dtype == object and len(x) > 0 and isinstance(x[0], str)))
    return isinstance(x, Sequence) and len(x) > 0 and isinstance(x[0], str)


def check_texts(x: Sequence[Any], source: str) -> tuple[str, ...]:
    """The texts of a pool, each of which can be sent. Raises BadData that names the first that cannot."""
    texts = tuple(x.tolist() if isinstance(x, np.ndarray) else x)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadData(f"{source}: expected a text in row {i + 1}, got {type(text).__name__}; give texts alone")
        if not text.strip():
            raise BadData(f"{source}: expected words in row {i + 1}, got an empty text; remove the row")
        if len(text) > MAX_CHARACTERS:
            raise BadData(
                f"{source}: expected texts of at most {MAX_CHARACTERS} characters, got {len(text)} in row {i + 1}; "
                "cut it"
            )
        if found := UNSENDABLE.search(text):
            raise BadData(
                f"{source}: expected characters that a server takes, got U+{ord(found[0]):04X} in row {i + 1}, "
                f"character {found.start() + 1}; remove it"
            )

    return texts


def from_csv(data: bytes, source: str, label: str | None, column: str | None) -> Texts | None:
    """
    The texts of a table, or None where it is a table of features.

    column: the one that holds the texts, all but it and the label left out; by default one called text that holds more
    than numbers, and then no other column may be there. label: as in `read_csv`. Raises BadData.
    """
    names, rows = read_rows(data, source)
    cells = list(zip(*rows, strict=True))
    if column is not None and column not in names:
        raise BadData(
            f"{source}: expected a text column '{column}', got {', '.join(names[:12])}{', …' * (len(names) > 12)}; "
            "name one of them"
        )
    at = next((i for i, name in enumerate(names) if name.lower() == COLUMN), None)
    if column is not None:
        at = names.index(column)
    elif at is None or numbers(cells[at], names[at], source) is not None:
        return None
    y_at = label_column(names, source, label)
    if y_at == at:
        raise BadData(f"{source}: expected a label column beside the texts, got '{names[at]}' as both; name another")
    others = [name for i, name in enumerate(names) if i not in (at, y_at)]
    if column is None and others:
        raise BadData(
            f"{source}: expected '{names[at]}' and a label alone, got also {', '.join(others[:5])}; name the label "
            f"column with label, or the text column with text to leave the others out"
        )
    y = None
    if y_at is not None:
        if "" in cells[y_at]:
            raise BadData(f"{source}: expected a label in row {cells[y_at].index('') + 1}, got an empty cell; fill it")
        values = numbers(cells[y_at], names[y_at], source)
        y = np.array(cells[y_at]) if values is None else values

    return Texts(cells[at], y)


def from_jsonl(data: bytes, source: str, label: str | None, column: str | None) -> Texts:
    """
    The texts of a file with one JSON object a line, `{"text": "…", "label": …}` unless other keys are named.

    All lines have a label or none has. Raises BadData.
    """
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise BadData(
            f"{source}: expected UTF-8 text, got another encoding ({error.reason}); save it as UTF-8"
        ) from error
    texts: list[str] = []
    labels: list[Any] = []
    wanted, named = column or COLUMN, label or "label"
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        entry = _object(line, number, source)
        if not isinstance(entry.get(wanted), str):
            held = ", ".join(map(str, list(entry)[:8])) or "nothing"
            raise BadData(f"{source}: expected a text under '{wanted}' in line {number}, got {held[:100]!r}; add it")
        texts.append(entry[wanted])
        labels.append(entry.get(named))
    if not texts:
        raise BadData(f"{source}: expected one JSON object a line, got no line; write the texts into it")
    known = [value is not None for value in labels]
    if not any(known):
        if label is not None:
            raise BadData(f"{source}: expected a label under '{label}' in every line, got none; name its key")
        return Texts(tuple(texts), None)
    if not all(known):
        raise BadData(
            f"{source}: expected a label under '{named}' in every line, got none in {known.count(False)} of "
            f"{len(known)}; add them or remove all"
        )
    kinds = {bool if isinstance(value, bool) else str if isinstance(value, str) else type(value) for value in labels}
    if not (kinds == {str} or kinds <= {int, float, bool}):
        raise BadData(f"{source}: expected names or whole numbers as labels, got values of several kinds; use one")

    return Texts(tuple(texts), np.array(labels))


def _object(line: str, number: int, source: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadData(f"{source}: expected JSON in line {number}, got another thing ({error}); mend it") from error
    if not isinstance(entry, dict):
        raise BadData(
            f'{source}: expected an object such as {{"text": "…", "label": 1}} in line {number}, '
            f"got {type(entry).__name__}; write one a line"
        )
    return entry
