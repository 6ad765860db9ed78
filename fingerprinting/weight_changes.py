"""
Changes to a fitted scikit-learn model's weights or trees, in place: pruned, cut back, or kept in few bits.

The ways are those of common tools: the smallest weights go (magnitude pruning; Han et al., NeurIPS 2015), splits of few
rows become leaves, numbers are rounded to even steps over their range or either side of 0, or to a fitted codebook
(Lloyd, IEEE Trans. Inf. Theory 1982).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline

THRESHOLDS: Final = 256  # levels to which the thresholds of one feature are rounded
LLOYD: Final = 20  # rounds in which a codebook is fitted


class Parts(NamedTuple):
    """model: the last step. arrays: its weights, changed in place. trees: the attribute with its trees, or None."""

    model: Any
    arrays: list[np.ndarray]
    trees: str | None


def parts_of(estimator: Any) -> Parts:
    """What of an estimator can be changed; neither arrays nor trees where nothing can."""
    model = last_of(estimator)
    own = vars(model)
    if isinstance(own.get("coefs_"), list):
        return Parts(model, list(model.coefs_), None)
    if isinstance(own.get("_predictors"), list):  # histogram gradient boosting
        return Parts(model, [], "_predictors")
    if isinstance(own.get("estimators_"), list) and hasattr(model, "apply"):
        return Parts(model, [], "estimators_")
    if isinstance(own.get("_dual_coef_"), np.ndarray):
        model.dual_coef_ = model._dual_coef_ = np.array(model._dual_coef_)
        return Parts(model, [model._dual_coef_], None)
    if isinstance(own.get("coef_"), np.ndarray) and own["coef_"].dtype.kind == "f":
        return Parts(model, [model.coef_], None)
    return Parts(model, [], None)


def last_of(estimator: Any) -> Any:
    """The model at the end of searches, scaled targets and pipelines."""
    while True:
        inner = getattr(estimator, "best_estimator_", getattr(estimator, "regressor_", None))
        if inner is None and not isinstance(estimator, Pipeline):
            return estimator
        estimator = inner if inner is not None else estimator[-1]


def prune(parts: Parts, share: float, rng: np.random.Generator) -> bool:
    """Take away a share of the smallest weights, or of the trees; False where there is nothing to take."""
    if parts.trees is not None:
        trees = getattr(parts.model, parts.trees)
        count = max(1, round((1 - share) * len(trees)))
        # Boosted trees correct those before them, so that only the last can go; a forest's are alike.
        kept = range(count) if parts.trees == "_predictors" else np.sort(rng.permutation(len(trees))[:count])
        setattr(parts.model, parts.trees, [trees[i] for i in kept])
        return len(trees) > count
    for weights in parts.arrays:
        smallest = np.argsort(np.abs(weights), axis=None, kind="stable")[: round(share * weights.size)]
        weights.flat[smallest] = 0
    return bool(parts.arrays)


def cut_back(parts: Parts, share: float) -> bool:
    """Make leaves of a share of the splits, those of fewest rows; False where there are no trees."""
    for tree in _nodes(parts):
        if parts.trees == "_predictors":
            nodes = tree.nodes
            cut = _fewest(nodes["count"], nodes["is_leaf"] == 0, share)
            nodes["is_leaf"][cut] = 1
            nodes["value"][cut] *= parts.model.learning_rate  # of splits it is kept without
        else:
            grown = tree.tree_
            cut = _fewest(grown.n_node_samples, grown.children_left >= 0, share)
            grown.children_left[cut] = grown.children_right[cut] = -1

    return parts.trees is not None


def quantise(parts: Parts, bits: int, how: str) -> bool:
    """Keep weights, or the values of leaves, in 2 ** bits levels, as `LEVELS` says how; False where there are none."""
    levels = LEVELS[how]
    if parts.trees is None:
        for weights in parts.arrays:
            weights[...] = levels(weights, 2**bits)
        return bool(parts.arrays)
    boosted = parts.trees == "_predictors"
    trees = [tree.nodes if boosted else tree.tree_ for tree in _nodes(parts)]
    leaves = [t["is_leaf"] == 1 if boosted else np.ones(len(t.value), bool) for t in trees]
    values = [t["value"][leaf] if boosted else t.value for t, leaf in zip(trees, leaves, strict=True)]
    flat = levels(np.concatenate([value.ravel() for value in values]), 2**bits)
    ends = np.cumsum([value.size for value in values])[:-1]
    for tree, leaf, old, new in zip(trees, leaves, values, np.split(flat, ends), strict=True):
        if boosted:
            tree["value"][leaf] = new
            continue
        tree.value[...] = new.reshape(old.shape)
        if old.shape[2] > 1:  # shares of classes
            tree.value[...] /= np.maximum(tree.value.sum(2, keepdims=True), 1e-12)
    snap(
        [(t["feature_idx"], t["num_threshold"], t["is_leaf"] == 0) for t in trees]
        if boosted
        else [(t.feature, t.threshold, t.children_left >= 0) for t in trees]
    )
    return True


def _nodes(parts: Parts) -> list[Any]:
    return [] if parts.trees is None else list(np.ravel(np.asarray(getattr(parts.model, parts.trees), object)))


def _fewest(counts: np.ndarray, split: np.ndarray, share: float) -> np.ndarray:
    splits = np.flatnonzero(split)
    return np.asarray(splits[np.argsort(counts[splits], kind="stable")[: int(share * len(splits))]])


def snap(trees: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    """Thresholds of each feature (feature, threshold, whether a split, of every tree) onto even levels, in place."""
    features = np.concatenate([feature[split] for feature, _, split in trees])
    thresholds = np.concatenate([threshold[split] for _, threshold, split in trees])
    for one in np.unique(features):
        own = thresholds[features == one]
        step = max(float(np.ptp(own)) / (THRESHOLDS - 1), 1e-12)
        for feature, threshold, split in trees:
            rows = split & (feature == one)
            threshold[rows] = own.min() + np.round((threshold[rows] - own.min()) / step) * step


def _even(values: np.ndarray, levels: int) -> np.ndarray:
    """Even steps from the least value, or 0, to the largest."""
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    step = max(high - low, 1e-12) / (levels - 1)

    return np.asarray(low + np.round((values - low) / step) * step)


def _symmetric(values: np.ndarray, levels: int) -> np.ndarray:
    """Even steps either side of 0, so that what is 0 stays so."""
    step = max(float(np.abs(values).max(initial=0.0)), 1e-12) / max(levels // 2 - 1, 1)

    return np.asarray(np.round(values / step) * step)


def _fitted(values: np.ndarray, levels: int) -> np.ndarray:
    """The nearest of levels that are each the mean of the values nearest to it."""
    if values.size == 0:
        return values
    grid = np.linspace(float(values.min()), float(values.max()), levels)
    for _ in range(LLOYD):
        nearest = np.searchsorted((grid[1:] + grid[:-1]) / 2, values.ravel())
        count = np.bincount(nearest, minlength=levels)
        grid = np.where(count > 0, np.bincount(nearest, values.ravel(), levels) / np.maximum(count, 1), grid)

    return np.asarray(grid[np.searchsorted((grid[1:] + grid[:-1]) / 2, values)])


LEVELS: Final[Mapping[str, Callable[[np.ndarray, int], np.ndarray]]] = {
    "even": _even, "symmetric": _symmetric, "fitted": _fitted,
}  # fmt: skip
