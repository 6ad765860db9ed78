"""
Whatever JSON a model server answers, as labels and scores: one reading for all protocols that do not fix the form.

Known are matrices, flat data with a shape, one object or list per input, columns by name, label/score lists sorted as
the server likes, top-k texts ("0.99:3"), parallel lists of classes and scores, bare labels and single numbers. What
comes by label stays by label: such scores are texts, one JSON object {class: score} per input, which `answers.check`
puts in order and in which a class may be missing. Positions count only where nothing is named.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from probe_match.fingerprinting.answers import Answers, label_name
from probe_match.fingerprinting.errors import TargetError

from . import _json, _outputs

LABEL: Final = ("label", "class", "class_name", "category", "predicted_label", "prediction", "name")
SCORE: Final = ("score", "confidence", "probability", "prob", "value")
CLASSES: Final = ("classes", "labels", "class_names", "categories")
SCORES: Final = ("scores", "probabilities", "confidences", "probs", "predict_proba", "probability")
TOP: Final = re.compile(r"(-?\d+(?:\.\d+)?(?:[eE]-?\d+)?):([^:]{1,100})(?::(.{1,100}))?")  # Triton: score:index[:label]
Row = dict[str, float] | list[float] | str | float | int


def normalise(value: Any, m: int, source: str, *, names: Sequence[str] = ()) -> Answers:
    """
    Labels and scores of m inputs in what a server answered.

    names: of the columns, where the server says them elsewhere. Raises TargetError where the value is nothing of this.
    """
    try:
        return _normalised(value, m, source, names)
    except RecursionError as error:
        raise TargetError(f"expected labels or scores from {source}, got something nested too deeply") from error


def _normalised(value: Any, m: int, source: str, names: Sequence[str]) -> Answers:
    if isinstance(value, dict):
        whole = _tensor(value, m, source) or _columns(value, m, source)
        if whole is not None:
            return whole
    read = [_readable(item, source) for item in _per_input(value, m, source)]
    rows = [row for row in read if not isinstance(row, TargetError | None)]
    wrong = [row for row in read if isinstance(row, TargetError)]
    if not rows and wrong:
        raise wrong[0]
    usual, of = Counter(_form(row) for row in rows).most_common(1)[0] if rows else (None, 0)
    if 2 * of <= len(rows):
        usual = None  # as many of one form as of another: an error, said below
    fine = np.array([not isinstance(row, TargetError | None) and usual in (None, _form(row)) for row in read])
    rows = [row for row in rows if usual in (None, _form(row))]
    if names and all(isinstance(row, list) and len(row) == len(names) for row in rows):
        rows = [dict(zip(map(label_name, names), row, strict=True)) for row in rows if isinstance(row, list)]

    return _in_place(_gathered(rows, source) if rows else Answers(np.zeros(0), None), fine)


def _readable(item: Any, source: str) -> Row | TargetError | None:
    """What was answered to one input: None where nothing was, the error where it cannot be read."""
    if item in (None, [], {}) or (isinstance(item, list) and all(entry is None for entry in item)):
        return None
    if isinstance(item, dict) and set(item) == {"error"}:
        return None
    try:
        return _row(item, source)
    except TargetError as error:
        return error


def _form(row: Row) -> str:
    """What kind of answer it is; those to one batch are alike."""
    return f"list of {len(row)}" if isinstance(row, list) else "classes" if isinstance(row, dict) else "label"


def _in_place(answers: Answers, fine: np.ndarray) -> Answers:
    """The answers to the inputs in `fine`, bool (m,), and what says "none" for the others."""
    if fine.all():
        return answers
    placed: list[np.ndarray | None] = []
    for part in answers:
        if part is None:
            placed.append(None)
            continue
        number = part.dtype.kind in "biuf"
        nothing = np.nan if number else "{}" if part is answers.scores else None
        whole = np.full((len(fine), *part.shape[1:]), nothing, np.float64 if number else object)
        whole[fine] = part
        placed.append(whole.astype(str) if nothing == "{}" else whole)

    return Answers(*placed)


def _per_input(value: Any, m: int, source: str) -> list[Any]:
    """One item per input; a server that was sent one input may leave the list around its answer away."""
    if m == 1 and not (isinstance(value, list) and len(value) == 1):
        return [value]
    if isinstance(value, list) and len(value) == m:
        return value
    if isinstance(value, list) and value and len(value) % m == 0 and all(_is_top(item) for item in value):
        k = len(value) // m  # top-k texts of all inputs, one after the other
        return [value[start : start + k] for start in range(0, len(value), k)]
    if isinstance(value, list) and len(value) == 1:
        return _per_input(value[0], m, source)
    came = f"{len(value)}" if isinstance(value, list) else _shown(value)
    raise TargetError(f"expected {m} answers from {source}, got {came}")


def _row(item: Any, source: str) -> Row:
    """What was answered to one input: scores by class, scores by position, a label, or a number."""
    while isinstance(item, list) and len(item) == 1 and isinstance(item[0], list | dict):
        item = item[0]
    if isinstance(item, dict):
        return _named(item, source)
    if isinstance(item, list):
        if item and all(isinstance(entry, dict) for entry in item):
            pairs = [_pair(entry) for entry in item]
            if all(pair is not None for pair in pairs):
                return _by_label([pair for pair in pairs if pair is not None], source)
        if item and all(_is_top(entry) for entry in item):
            found = [match for entry in item if (match := TOP.fullmatch(entry))]
            return _by_label([(one[3] or one[2], float(one[1])) for one in found], source)
        if any(_is_number(entry) for entry in item) and all(entry is None or _is_number(entry) for entry in item):
            item = [math.nan if entry is None else entry for entry in item]  # as some write NaN
            return item if len(item) > 1 else item[0]
        if len(item) == 1:
            return _row(item[0], source)
    elif _is_top(item):
        return _row([item], source)
    elif isinstance(item, str | bool) or _is_number(item):
        return _label(item, source)

    raise TargetError(f"expected a label or scores per input from {source}, got {_shown(item)}")


def _named(item: dict[str, Any], source: str) -> Row:
    """One object for one input, in the forms that servers use."""
    listed, scores = _first(item, CLASSES), _first(item, SCORES)
    if isinstance(scores, list) and isinstance(listed, list) and len(listed) == len(scores) and scores:
        return _by_label([(label_name(name), score) for name, score in zip(listed, scores, strict=True)], source)
    if isinstance(scores, list | dict) and scores:
        return _row(scores, source)
    pair = _pair(item)
    if pair is not None:
        return _by_label([pair], source)
    if item and all(_is_number(score) for score in item.values()) and (len(item) > 1 or not _first(item, LABEL)):
        return _by_label(list(item.items()), source)
    label = _first(item, LABEL)
    if len(item) == 1 and isinstance(next(iter(item.values())), list | dict):
        return _row(next(iter(item.values())), source)
    if isinstance(label, str | bool) or _is_number(label):
        return _label(label, source)
    raise TargetError(f"expected a label or scores per input from {source}, got {_shown(item)}")


def _tensor(value: dict[str, Any], m: int, source: str) -> Answers | None:
    """Flat data with its shape."""
    shape, data = value.get("shape"), value.get("data")
    if not isinstance(shape, list) or not isinstance(data, list):
        return None
    sizes = [int(size) for size in shape if _is_number(size)]
    flat = all(not isinstance(item, list) for item in data)
    if len(sizes) != len(shape) or (flat and math.prod(sizes) != len(data)) or not sizes or sizes[0] != m:
        raise TargetError(f"expected data of {m} rows from {source}, got shape {_shown(shape)} and {len(data)} values")
    if flat and len(sizes) > 1:
        width = math.prod(sizes[1:])
        data = [data[start : start + width] for start in range(0, len(data), width)]

    return normalise(data, m, source)


def _columns(value: dict[str, Any], m: int, source: str) -> Answers | None:
    """An object of lists over the inputs: named outputs, or one column of scores per class."""
    lists = {name: column for name, column in value.items() if isinstance(column, list)}
    listed = next((lists.pop(name) for name in CLASSES if name in lists and len(lists) > 1), None)
    if not lists or any(len(column) != m for column in lists.values()):
        if listed is not None and m > 1:
            matrix = _first(value, SCORES)
            if isinstance(matrix, list) and len(matrix) == m:
                return normalise(matrix, m, source, names=[label_name(name) for name in listed])
        return None
    if m == 1 and listed is not None and not isinstance(next(iter(lists.values()))[0], list):
        return None  # classes and scores of a single input, side by side
    matrix = _first(lists, SCORES)
    if matrix is not None:
        width = max((len(row) for row in matrix if isinstance(row, list)), default=1)
        called = listed is not None and len(listed) == width and not (len(listed) == m and "labels" in value)
        names = listed if called and listed is not None else ()
        labels = _first(lists, LABEL) if called or listed is None or len(listed) != m else listed
        scores = normalise(matrix, m, source, names=[label_name(name) for name in names])
        return scores._replace(labels=None if labels is None else normalise(labels, m, source).labels)
    if len(lists) == 1:
        return normalise(next(iter(lists.values())), m, source)
    if all(entry is None or _is_number(entry) for column in lists.values() for entry in column):
        rows = [dict(zip(lists, entries, strict=True)) for entries in zip(*lists.values(), strict=True)]
        return normalise(rows, m, source)
    label = _first(lists, LABEL)

    return None if label is None else normalise(label, m, source)


def _gathered(rows: Sequence[Row], source: str) -> Answers:
    if all(isinstance(row, dict) for row in rows):
        return Answers(None, np.array([json.dumps(row) for row in rows]))
    if all(isinstance(row, list) for row in rows):
        widths = {len(row) for row in rows if isinstance(row, list)}
        if len(widths) > 1:
            raise TargetError(f"expected as many scores for each input from {source}, got {sorted(widths)[:4]}")
        return _outputs.read({"scores": np.array(rows, np.float64)}, len(rows), source)
    if any(isinstance(row, dict | list) for row in rows):
        raise TargetError(
            f"expected answers of one form from {source}, got scores for some inputs and labels for others"
        )
    if any(isinstance(row, str) for row in rows):
        return Answers(np.array([label_name(row) for row in rows], object), None)

    return _outputs.read({"labels": np.array(rows)}, len(rows), source)


def _by_label(pairs: Sequence[tuple[str, Any]], source: str) -> dict[str, float]:
    found = {name: score for name, score in pairs if _is_number(score) and math.isfinite(score) and len(name) <= 200}
    if len(found) != len(pairs) or not pairs:
        raise TargetError(f"expected one finite score for each class from {source}, got {_shown(pairs)}")
    return {name: float(score) for name, score in found.items()}


def _pair(entry: dict[str, Any]) -> tuple[str, Any] | None:
    label, score = _first(entry, LABEL), _first(entry, SCORE)
    if isinstance(label, str | int | float) and _is_number(score):
        return label_name(label), score
    return None


def _label(item: Any, source: str) -> str | float | int:
    if isinstance(item, str) and (len(item) > 200 or not item.isprintable()):
        raise TargetError(f"expected a label from {source}, got {_shown(item)}")
    if isinstance(item, float) and not math.isfinite(item):
        raise TargetError(f"expected a finite number from {source}, got {item}")
    return int(item) if isinstance(item, bool) else item


def _first(entry: dict[str, Any], names: Sequence[str]) -> Any:
    """The value of the first of these names that there is, whatever their case."""
    lowered = {key.lower(): value for key, value in entry.items()}
    return next((lowered[name] for name in names if lowered.get(name) is not None), None)


def _is_top(item: Any) -> bool:
    return isinstance(item, str) and len(item) < 300 and TOP.fullmatch(item) is not None


def _is_number(item: Any) -> bool:
    return isinstance(item, int | float) and not isinstance(item, bool)


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {_json.printable(repr(value)[:400], 80)}"
