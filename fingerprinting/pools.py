"""
Pools from files and arrays: inputs an owner has at hand, checked at the door.

A pool is distinct texts, or distinct rows of finite numbers within bounds, at least MIN_ROWS of them.
"""

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from . import storage, texts
from .errors import BadData
from .records import InputSpec, Pool
from .tables import read_csv

MIN_ROWS: Final = 20  # fewer leave nothing to choose probes from
Bound = float | Sequence[float]


def load_pool(
    file: str | Path,
    *,
    label: str | None = None,
    text: str | None = None,
    drop_duplicates: bool = False,
    regression: bool = False,
) -> Pool:
    """
    The pool in a file.

    .npz: `x` (n, *shape) of numbers, or (n,) of texts, and, where labels are known, `y` (n,). .csv: a table, see
    `tables.read_csv`, or texts, see `texts.from_csv`. .jsonl: texts, see `texts.from_jsonl`.
    label, text: name of the label and of the text column, key or array. drop_duplicates: keep the first of equal rows
    instead of refusing them. regression: see `make_pool`. Raises BadData, in one line that names the file, where it is
    missing, broken or unusable.
    """
    path = Path(file)
    source, suffix = f"pool {path}", path.suffix.lower()
    if suffix not in (".npz", ".csv", ".jsonl"):
        raise BadData(f"{source}: expected a file ending in .npz, .csv or .jsonl, got '{path.suffix}'; convert it")
    data = storage.read_file(path, "pool")
    made: dict[str, Any] = {"drop_duplicates": drop_duplicates, "regression": regression, "source": source}
    if suffix == ".npz":
        return _from_arrays(storage.read_npz(data, source), label, text, made)
    read = texts.from_jsonl if suffix == ".jsonl" else texts.from_csv
    found = read(data, source, label, text)
    if found is not None:
        return make_pool(found.x, found.y, **made)
    table = read_csv(data, source, label)

    return make_pool(table.x, table.y, features=table.features, categories=table.categories, **made)


def _from_arrays(arrays: dict[str, np.ndarray], label: str | None, text: str | None, made: Mapping[str, Any]) -> Pool:
    source = made["source"]
    for name in (text or "x", label):
        if name is not None and name not in arrays:
            raise BadData(
                f"{source}: expected an array '{name}', got {', '.join(sorted(arrays)) or 'none'}; "
                "save it with numpy.savez(file, x=..., y=...)"
            )

    return make_pool(arrays[text or "x"], arrays.get(label or "y"), trained=arrays.get("trained"), **made)


def make_pool(
    x: Any,
    y: Any = None,
    *,
    bounds: tuple[Bound, Bound] | None = None,
    classes: Sequence[str] | None = None,
    features: Sequence[str] = (),
    categories: Sequence[Sequence[str]] = (),
    trained: Any = None,
    drop_duplicates: bool = False,
    regression: bool = False,
    source: str = "pool",
) -> Pool:
    """
    A pool of arrays at hand.

    x: numbers (n, features), or images (n, h, w), (n, c, h, w) or (n, h, w, c); uint8 images are scaled to [0, 1]
    unless bounds are given. Or n texts, which have no bounds, features and categories. y: integers or names (n,);
    numbers that are not all whole make a pool for regressors, as does `regression`, which is for whole ones.
    bounds: lowest and highest value, one number or one per feature; without them 0 and 1 for images within, else what
    was observed. classes: names that integers in y are indices of; without them 0 to k-1 stay plain and anything else
    is named after itself, in sorted order. features, categories: as in InputSpec, x holding codes. trained: bool (n,),
    the rows that the source was trained on, where that is known. source: what errors call the pool. Raises BadData.
    """
    rows = texts.check_texts(x, source) if texts.are_texts(x) else _rows(x, source, scaled=bounds is None)
    labels = None if y is None else _label_array(y, len(rows), source, regression)
    kept = _distinct(rows if isinstance(rows, tuple) else _row_digests(rows), source, drop_duplicates)
    if len(kept) < MIN_ROWS:
        raise BadData(f"{source}: expected at least {MIN_ROWS} distinct rows, got {len(kept)}; add some")
    number = regression or (labels is not None and labels.dtype == np.float64)
    if isinstance(rows, tuple):
        if number:
            raise BadData(
                f"{source}: expected classes for texts, got measurements; regressors of texts are not covered"
            )
        rows, spec = tuple(rows[i] for i in kept), InputSpec("text")
    else:
        rows = rows[kept]
        spec = _spec(rows, bounds, tuple(features), tuple(tuple(c) for c in categories), source)
        if number:
            measured = _of_numbers(spec, rows, None if labels is None else labels[kept], classes, source)
            return replace(measured, trained=None if trained is None else _mask(trained, len(x), source)[kept])
    names = tuple(str(name) for name in classes or ())
    if len(set(names)) < len(names):
        raise BadData(f"{source}: expected distinct class names, got {', '.join(names[:12])}; rename one")
    if labels is None:
        return Pool(spec, rows, None, names)
    codes, names = _codes(labels[kept], names, source)

    return Pool(spec, rows, codes, names, None if trained is None else _mask(trained, len(x), source)[kept])


def _mask(trained: Any, n: int, source: str) -> np.ndarray:
    mask = np.asarray(trained)
    if mask.dtype != bool or mask.shape != (n,) or not mask.any():
        raise BadData(
            f"{source}: expected one true or false per row as trained, some true, got {mask.dtype} {mask.shape}"
        )
    return mask


def _rows(x: Any, source: str, *, scaled: bool) -> np.ndarray:
    """float32 (n, *shape), finite."""
    try:
        x = np.asarray(x)
    except ValueError as error:
        raise BadData(f"{source}: expected rows of one shape as x, got different ones ({error})") from error
    if x.dtype.kind not in "fiub":
        raise BadData(f"{source}: expected numbers as x, got {x.dtype}; encode them, or use .csv for words")
    if x.ndim not in (2, 3, 4) or x.size == 0:
        raise BadData(
            f"{source}: expected x as (n, features) or images (n, h, w), (n, c, h, w) or (n, h, w, c), "
            f"got {x.shape}; reshape it"
        )
    with np.errstate(over="ignore"):  # what does not fit float32 becomes infinite and is reported below
        rows = x.astype(np.float32)
    bad = ~np.isfinite(rows)
    if bad.any():
        where = ", ".join(str(i) for i in np.argwhere(bad)[0])
        raise BadData(
            f"{source}: expected finite float32 numbers, got {int(bad.sum())} NaN or infinite, first at x[{where}]; "
            "fill them or remove the rows"
        )
    if scaled and x.dtype == np.uint8 and x.ndim > 2:
        rows /= 255

    return np.asarray(rows)


def _row_digests(rows: np.ndarray) -> list[bytes]:
    flat = np.ascontiguousarray(rows.reshape(len(rows), -1) + np.float32(0))  # -0.0 is 0.0
    return [hashlib.sha256(row).digest() for row in flat]  # eight times faster than sorting rows of pixels


def _distinct(rows: Sequence[Hashable], source: str, drop: bool) -> np.ndarray:
    """Int (m,): the first of each set of equal rows, in order."""
    seen: dict[Hashable, int] = {}
    for i, row in enumerate(rows):
        seen.setdefault(row, i)
    first = np.array(list(seen.values()))
    extra = len(rows) - len(first)
    if extra and not drop:
        raise BadData(
            f"{source}: expected distinct rows, got {extra} duplicates of {len(rows)}; "
            "remove them or pass --drop-duplicates"
        )

    return first


def _spec(
    rows: np.ndarray,
    bounds: tuple[Bound, Bound] | None,
    features: tuple[str, ...],
    categories: tuple[tuple[str, ...], ...],
    source: str,
) -> InputSpec:
    low, high = _observed(rows) if bounds is None else (np.ravel(np.asarray(b, float)) for b in bounds)
    spec = InputSpec(
        "tabular" if rows.ndim == 2 else "image",
        rows.shape[1:],
        tuple(low.tolist()),
        tuple(high.tolist()),
        features,
        categories,
    )
    if (low > high).any():
        raise BadData(f"{source}: expected bounds as lowest and highest, got {bounds}; swap them")
    outside = np.argwhere(spec.clip(rows) != rows)
    if len(outside):
        where = tuple(outside[0])
        raise BadData(
            f"{source}: expected x within its bounds, got {len(outside)} values outside, first {rows[where]:g} "
            f"at x[{', '.join(map(str, where))}]; widen the bounds or scale x"
        )

    return spec


def _observed(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if rows.ndim == 2:
        return rows.min(0), rows.max(0)
    low, high = rows.min(keepdims=True).ravel(), rows.max(keepdims=True).ravel()

    return (np.zeros(1), np.ones(1)) if low[0] >= 0 and high[0] <= 1 else (low, high)


def _of_numbers(
    spec: InputSpec, rows: np.ndarray, y: np.ndarray | None, classes: Sequence[str] | None, source: str
) -> Pool:
    if classes:
        raise BadData(f"{source}: expected labels of the classes {', '.join(classes[:5])}, got measurements as y")
    if y is not None and np.ptp(y) == 0:
        raise BadData(f"{source}: expected measurements that differ as y, got only {y[0]:g}; add others")

    return Pool(replace(spec, output="number"), rows, y)


def _label_array(y: Any, n: int, source: str, regression: bool) -> np.ndarray:
    """int64 or str (n,), or float64 of measurements."""
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape != (n,):
        raise BadData(f"{source}: expected one label per row of x ({n}), got labels of shape {y.shape}")
    words = y.dtype.kind == "U" or (y.dtype == object and all(isinstance(name, str) for name in y.tolist()))
    if words and regression:
        raise BadData(f"{source}: expected numbers as y for a regressor, got words; name another column with --label")
    if words:
        return np.asarray(y.astype(str))
    if y.dtype.kind not in "fiub":
        raise BadData(f"{source}: expected integers or names as labels, got {y.dtype}; convert them")
    bad = np.flatnonzero(~np.isfinite(y))
    if len(bad):
        raise BadData(
            f"{source}: expected labels or finite measurements as y, got {y[bad[0]]:g} in row {bad[0]} "
            f"({len(bad)} such); fill them or remove the rows"
        )

    return np.asarray(y.astype(np.float64 if regression or (y != np.floor(y)).any() else np.int64))


def _codes(y: np.ndarray, names: tuple[str, ...], source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """int64 (n,) codes and the names they are indices of, or () where labels are plain 0 to k-1."""
    found, codes = np.unique(y, return_inverse=True)
    if len(found) < 2:
        raise BadData(f"{source}: expected labels of at least two classes, got only {found[0]!s}; add others")
    numbers = y.dtype == np.int64
    if names:
        index: dict[Any, int] = {i if numbers else name: i for i, name in enumerate(names)}
        strangers = [str(label) for label in found.tolist() if label not in index]
        if strangers:
            raise BadData(
                f"{source}: expected labels among the {len(names)} classes {', '.join(names[:12])}, "
                f"got {', '.join(strangers[:5])}; name every class"
            )
        return np.array([index[label] for label in found.tolist()], np.int64)[codes], names
    if numbers and found[0] == 0 and found[-1] == len(found) - 1:
        return y, ()

    return codes.astype(np.int64), tuple(str(name) for name in found.tolist())
