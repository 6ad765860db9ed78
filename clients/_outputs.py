"""
From named arrays to labels and scores: what servers and graphs give back is not said by any name they all
share.

An array with k > 1 columns is scores, one with a single column is labels, unless it holds fractions: then it
is the one probability of a binary classifier, or a regressor's numbers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.errors import TargetError


def read(outputs: Mapping[str, np.ndarray], m: int, target: str) -> Answers:
    """
    Labels (m,) and scores (m, k) among arrays of m rows, or TargetError if there are neither.

    Of several matrices the one named like probabilities is taken, else the first.
    """
    matrices: dict[str, np.ndarray] = {}
    columns: dict[str, np.ndarray] = {}
    for name, array in outputs.items():
        if m == 1 and array.ndim == 1 and len(array) > 1:
            array = array[None]  # some servers drop the batch axis of a single row
        if array.ndim == 0 or len(array) != m:
            raise TargetError(f"expected {m} rows from {target}, got '{name[:40]}' of shape {array.shape}")
        wide = [size for size in array.shape[1:] if size != 1]
        if not wide and array.size == m:
            columns[name] = array.reshape(m)
        elif len(wide) == 1 and array.dtype.kind in "fiu":
            matrices[name] = array.reshape(m, -1)

    likeliest = sorted(matrices, key=lambda name: "prob" not in name.lower())
    scores = matrices[likeliest[0]] if likeliest else None
    labels = next((column for column in columns.values() if not _fractions(column)), None)
    if scores is None and labels is None:
        if not columns:
            shapes = ", ".join(f"{name[:40]} {array.shape}" for name, array in outputs.items()) or "nothing"
            raise TargetError(f"expected labels or one row of scores per input from {target}, got {shapes}")
        return Answers(None, next(iter(columns.values())))

    return Answers(labels, scores)


def in_parts(run: Callable[[np.ndarray], Answers], inputs: np.ndarray, *, least: int, most: int) -> Answers:
    """
    The answers of a model that takes `least` to `most` rows at once: parts that are too short are padded with
    their last row, and what is answered to padding is cut off.
    """
    answers = []
    for start in range(0, len(inputs), most):
        part = inputs[start : start + most]
        answered = run(padded(part, least))
        answers.append(Answers(*(None if a is None else a[: len(part)] for a in answered)))

    return joined(answers)


def padded(rows: np.ndarray, least: int) -> np.ndarray:
    """At least `least` rows: the given ones, the last of them repeated."""
    missing = least - len(rows)
    return rows if missing <= 0 else np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)])


def joined(parts: Sequence[Answers]) -> Answers:
    """
    The answers to several batches as one; what is not in all of them is dropped.

    Of one column, a batch may hold whole numbers only and look like labels: beside fractions they are numbers.
    """
    columns = [part.labels if part.scores is None else part.scores for part in parts]
    if len({part.scores is None for part in parts}) == 2 and all(c is not None and c.ndim == 1 for c in columns):
        return Answers(None, _all(columns))
    labels, scores = ([getattr(part, what) for part in parts] for what in ("labels", "scores"))
    widths = {part.scores.shape[1:] for part in parts if part.scores is not None}
    if len(widths) > 1:
        raise TargetError(f"expected the same scores for all inputs, got rows of {_listed(widths)}")

    return Answers(_all(labels), _all(scores))


def unmistakable(values: np.ndarray) -> np.ndarray:
    """
    Decision values (m, k) or, of a binary classifier, (m,) as float32 (m, k) that no one takes for
    probabilities.

    Their softmax is unchanged, and the sigmoid of a single value. Rows that are probabilities stay as they
    are.
    """
    values = np.asarray(values, np.float32)
    if values.ndim == 1:
        values = np.stack([np.zeros_like(values), values], 1)
    elif ((values >= 0) & (values <= 1)).all() and np.allclose(values.sum(1), 1, atol=1e-3):
        return values

    return np.asarray(values - values.max(1, keepdims=True) - 1, np.float32)


def _all(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    given = [part for part in parts if part is not None]
    return np.concatenate(given) if len(given) == len(parts) else None


def _fractions(column: np.ndarray) -> bool:
    if column.dtype.kind != "f":
        return False
    given = column[np.isfinite(column)]  # an input that broke the model says nothing of the form
    return not np.array_equal(given, np.round(given))


def _listed(widths: Iterable[tuple[int, ...]]) -> str:
    return " and ".join(sorted(str(width) for width in widths))
