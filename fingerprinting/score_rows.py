"""
Scores as endpoints give them, in any order, by name, rounded or as logits, as rows of probabilities.

What fits no row is a TargetError that says what was expected and what came.
"""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from .errors import TargetError

if TYPE_CHECKING:
    from .answers import Client

LARGEST: Final = 1e30  # score; sums of larger ones are beyond float32


def rows_of(scores: np.ndarray, m: int, classes: Sequence[str], client: "Client") -> np.ndarray:
    """
    float32 (m, k), summing to 1 where the model gives probabilities, in the order of `classes`.

    scores: what a client gave, see `answers.Answers`. Raises TargetError saying what does not fit.
    """
    if scores.dtype.kind in "UO" and scores.shape == (m,):
        return _by_class(scores, classes, client.target)
    if scores.dtype.kind not in "fiu":
        raise TargetError(f"expected numbers as scores from {client.target}, got {scores.dtype}")
    if scores.shape == (m, 1):
        scores = scores[:, 0]
    if scores.shape == (m,):
        if (scores < -1e-3).any() or (scores > 1 + 1e-3).any():
            raise TargetError(
                f"expected labels or probabilities from {client.target}, got one number per input, such as "
                f"{scores[np.abs(scores - 0.5).argmax()]:.4g}; a regressor is compared with regressors only"
            )
        scores = np.stack([1 - scores, scores], 1)  # the one probability of a binary classifier
    if scores.ndim != 2 or len(scores) != m or scores.shape[1] == 0:
        raise TargetError(f"expected {m} rows of scores from {client.target}, got an answer of shape {scores.shape}")
    scores = _limited(scores)
    require_finite(scores, client)
    scores = _as_probabilities(scores, client.target)
    if classes and client.classes and tuple(client.classes) != tuple(classes):
        scores = _reordered(scores, classes, client)
    if classes and scores.shape[1] != len(classes):
        raise TargetError(f"expected scores for {len(classes)} classes from {client.target}, got {scores.shape[1]}")

    return scores


def _by_class(rows: np.ndarray, classes: Sequence[str], target: str) -> np.ndarray:
    """
    float32 (m, k): scores that came by class, in the order of `classes`, or of the integers that the names are.

    rows: m texts of JSON objects. NaN where a class is not shown. Raises TargetError for names nobody knows.
    """
    try:
        named = [{str(name): float(score) for name, score in json.loads(row).items()} for row in rows.tolist()]
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise TargetError(
            f"expected numbers as scores from {target}, or scores by class, got texts ({str(error)[:80]})"
        ) from error
    names = list(dict.fromkeys(name for row in named for name in row))
    column = {name: i for i, name in enumerate(classes)} if classes else _numbered(names, target)
    strangers = [name for name in names if name not in column]
    if strangers:
        raise TargetError(f"{target} scores the class {strangers[0][:40]!r}; known are {', '.join(classes[:12])}")
    filled = np.full((len(named), len(classes) or max(column.values(), default=0) + 1), np.nan)
    for i, row in enumerate(named):
        for name, score in row.items():
            filled[i, column[name]] = score
    scores = _limited(filled)
    if not np.isfinite(scores).any(1).all() or np.isinf(scores).any():
        raise TargetError(f"expected finite scores by class from {target}, got none for some inputs")
    total = np.nansum(scores, 1)
    room = max(0.02, _step(np.nan_to_num(scores)) / 2 * scores.shape[1] + 1e-3)
    partly = bool(np.isnan(scores).any()) or not classes  # of classes nobody listed, some may never have been shown
    if not partly or (np.nanmin(scores) < -1e-3 and scores.shape[1] > 1 and not np.isnan(scores).any()):
        return _as_probabilities(scores, target)
    if np.nanmin(scores) < -1e-3 or total.max() > 1 + room:
        raise TargetError(
            f"expected probabilities by class from {target}, got some that sum to {float(total.max()):.3g}"
        )

    return np.clip(scores, 0, 1)


def _numbered(names: Sequence[str], target: str) -> dict[str, int]:
    """Columns of classes that are called by number: "3", "3.0", "LABEL_3"."""
    found = {name: re.fullmatch(r"(?:label_|class_|class )?(\d{1,5})(?:\.0)?", name, re.IGNORECASE) for name in names}
    strange = [name for name, match in found.items() if match is None or int(match[1]) > 32_000]
    if strange:
        raise TargetError(
            f"expected scores of numbered classes from {target}, got the class {strange[0][:40]!r}; "
            "enroll with a pool whose labels are those names"
        )
    return {name: int(match[1]) for name, match in found.items() if match is not None}


def side_by_side(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Score rows (m, k) of several requests with as many columns each, where fewer classes were shown in some."""
    widest = max((part.shape[1] for part in parts), default=0)
    if len({part.shape[1] for part in parts}) < 2 or not any(np.isnan(part).any() for part in parts):
        return list(parts)
    return [np.pad(part, ((0, 0), (0, widest - part.shape[1])), constant_values=np.nan) for part in parts]


def _reordered(scores: np.ndarray, classes: Sequence[str], client: "Client") -> np.ndarray:
    """Columns in the order of `classes`, 0 where the model does not know a class."""
    if scores.shape[1] != len(client.classes):
        raise TargetError(
            f"expected scores for the {len(client.classes)} classes of {client.target}, got {scores.shape[1]}"
        )
    column = {name: j for j, name in enumerate(client.classes)}
    strangers = [name for name in client.classes if name not in classes]
    if strangers:
        raise TargetError(f"{client.target} scores the class {strangers[0]!r}; known are {', '.join(classes[:12])}")
    spread = np.zeros((len(scores), len(classes)), np.float32)
    for i, name in enumerate(classes):
        if name in column:
            spread[:, i] = scores[:, column[name]]

    return spread


def _as_probabilities(scores: np.ndarray, target: str) -> np.ndarray:
    total = scores.sum(1)
    within = (scores >= -1e-3).all() and (scores <= 1 + 1e-3).all()
    rounding = max(0.02, _step(scores) / 2 * scores.shape[1] + 1e-3)
    if within and (np.abs(total - 1) <= rounding).all():
        return np.clip(scores, 0, 1)
    if within:
        worst = float(total[np.abs(total - 1).argmax()])
        raise TargetError(f"expected probabilities that sum to 1 from {target}, got rows that sum to {worst:.3g}")
    shifted = scores - scores.max(1, keepdims=True)
    expd = np.exp(shifted)

    return np.asarray(expd / expd.sum(1, keepdims=True), np.float32)


def _limited(scores: np.ndarray) -> np.ndarray:
    """As float32, what is too large to be added up there infinite, which is said where it is looked at."""
    wide = scores.astype(np.float64, copy=False)
    return np.where(np.abs(wide) >= LARGEST, np.inf, wide).astype(np.float32)


def _step(scores: np.ndarray) -> float:
    """What scores are multiples of: .1 or .01 where an endpoint rounds to one or two decimals, else .01 at most."""
    tenths = np.abs(scores * 10 - np.round(scores * 10)).max(initial=0.0)

    return 0.1 if tenths < 1e-3 else 0.01


def require_finite(scores: np.ndarray, client: "Client") -> None:
    """Raises TargetError that counts the rows (m, k) with NaN or infinity."""
    bad = ~np.isfinite(scores).all(1)
    if bad.any():
        where = int(np.flatnonzero(bad)[0])
        raise TargetError(
            f"{client.target} answered NaN or infinity ({int(bad.sum())} of {len(scores)} rows, first at {where})"
        )
