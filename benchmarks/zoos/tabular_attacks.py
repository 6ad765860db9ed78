"""What a thief who holds the file does to a scikit-learn model: continues its training, prunes or quantises it."""

import copy
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network._multilayer_perceptron import BaseMultilayerPerceptron
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC, SVR
from tabular_tasks import fit_quietly


def continued(source: Any, x: np.ndarray, y: np.ndarray, seed: int) -> Any | None:
    """A copy whose training goes on with other rows and their true labels; None where its class cannot."""
    model = copy.deepcopy(source)
    core = _core(model)
    if isinstance(model, TransformedTargetRegressor):
        y = model.transformer_.transform(y[:, None])[:, 0]
        pipeline = model.regressor_
    else:
        pipeline = model
    if isinstance(pipeline, Pipeline):
        x = pipeline[:-1].transform(x)
    if isinstance(core, BaseForest):
        more = {"n_estimators": round(1.4 * len(core.estimators_)), "random_state": seed}
    elif isinstance(core, BaseHistGradientBoosting):
        more = {"max_iter": round(1.4 * core.n_iter_)}
    elif isinstance(core, BaseMultilayerPerceptron):
        more = {"max_iter": 15, "random_state": seed}
    elif isinstance(core, LogisticRegression):
        more = {"max_iter": 4}  # to its end it would forget where it began
    else:
        return None
    fit_quietly(core.set_params(warm_start=True, **more), x, y)

    return model


def pruned(source: Any, share: float, seed: int = 0) -> Any:
    """A copy without that share of its trees (drawn, of boosting the last ones) or of its weights (the smallest)."""
    model = copy.deepcopy(source)
    core = _core(model)
    if isinstance(core, BaseForest):
        kept = round((1 - share) * len(core.estimators_))
        rows = np.sort(np.random.default_rng(seed).permutation(len(core.estimators_))[:kept])
        core.estimators_ = [core.estimators_[i] for i in rows]
    elif isinstance(core, BaseHistGradientBoosting):
        core._predictors = core._predictors[: round((1 - share) * len(core._predictors))]
    else:
        _set_weights(core, [_without_smallest(weights, share) for weights in _weights(core)])
    return model


def collapsed(source: Any, share: float) -> Any | None:
    """A copy whose splits of fewest rows, that share of all splits, became leaves; None where there are no trees."""
    model = copy.deepcopy(source)
    core = _core(model)
    if isinstance(core, BaseForest):
        for tree in (estimator.tree_ for estimator in core.estimators_):
            splits = np.flatnonzero(tree.children_left >= 0)
            cut = _fewest(tree.n_node_samples, splits, share)
            tree.children_left[cut] = tree.children_right[cut] = -1
    elif isinstance(core, BaseHistGradientBoosting):
        for nodes in (predictor.nodes for stage in core._predictors for predictor in stage):
            splits = np.flatnonzero(nodes["is_leaf"] == 0)
            cut = _fewest(nodes["count"], splits, share)
            nodes["is_leaf"][cut] = 1
            nodes["value"][cut] *= core.learning_rate  # kept unshrunk in splits
    else:
        return None
    return model


def quantised(source: Any, levels: int) -> Any:
    """
    A copy with few distinct weights: that many levels per array, even ones or, of 16 and fewer, fitted (Lloyd, 1982).

    Of trees the leaf values are so quantised, and the thresholds of a feature on 256 even levels.
    """
    model = copy.deepcopy(source)
    core = _core(model)
    if isinstance(core, BaseForest):
        trees = [estimator.tree_ for estimator in core.estimators_]
        for tree, value in zip(trees, _together([t.value for t in trees], levels), strict=True):
            tree.value[:] = value
        _snap([(t.feature, t.threshold, t.children_left >= 0) for t in trees])
    elif isinstance(core, BaseHistGradientBoosting):
        trees = [predictor.nodes for stage in core._predictors for predictor in stage]
        leaves = [nodes["is_leaf"] == 1 for nodes in trees]
        values = _together([nodes["value"][leaf] for nodes, leaf in zip(trees, leaves, strict=True)], levels)
        for nodes, leaf, value in zip(trees, leaves, values, strict=True):
            nodes["value"][leaf] = value
        _snap([(n["feature_idx"], n["num_threshold"], ~leaf) for n, leaf in zip(trees, leaves, strict=True)])
    else:
        _set_weights(core, [_few(weights, levels) for weights in _weights(core)])
    return model


def _core(model: Any) -> Any:
    while isinstance(model, Pipeline | TransformedTargetRegressor):
        model = model.regressor_ if isinstance(model, TransformedTargetRegressor) else model[-1]
    return model


def _weights(core: Any) -> list[np.ndarray]:
    if isinstance(core, BaseMultilayerPerceptron):
        return list(core.coefs_)
    return [core.dual_coef_ if isinstance(core, SVC | SVR) else core.coef_]


def _set_weights(core: Any, weights: list[np.ndarray]) -> None:
    if isinstance(core, BaseMultilayerPerceptron):
        core.coefs_ = weights
    elif isinstance(core, SVC | SVR):
        core.dual_coef_ = weights[0]  # what the graph is written from
    else:
        core.coef_ = weights[0]


def _without_smallest(weights: np.ndarray, share: float) -> np.ndarray:
    kept = np.ones(weights.size)
    kept[np.argsort(np.abs(weights).ravel(), kind="stable")[: round(share * weights.size)]] = 0
    return weights * kept.reshape(weights.shape)


def _fewest(counts: np.ndarray, splits: np.ndarray, share: float) -> np.ndarray:
    return splits[np.argsort(counts[splits], kind="stable")[: int(share * len(splits))]]


def _together(arrays: list[np.ndarray], levels: int) -> list[np.ndarray]:
    flat = _few(np.concatenate([array.ravel() for array in arrays]), levels)
    parts = np.split(flat, np.cumsum([array.size for array in arrays])[:-1])
    return [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]


def _few(values: np.ndarray, levels: int) -> np.ndarray:
    if levels > 16:  # with a level at 0, so that what is absent stays so
        step = max(float(np.abs(values).max()), 1e-12) / (levels // 2 - 1)
        return np.round(values / step) * step
    grid = np.linspace(float(values.min()), float(values.max()), levels)
    for _ in range(20):
        nearest = _nearest(values.ravel(), grid)
        sums, counts = (np.bincount(nearest, w, levels) for w in (values.ravel(), None))
        grid = np.where(counts > 0, sums / np.maximum(counts, 1), grid)
    return grid[_nearest(values, grid)]


def _nearest(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    return np.searchsorted((grid[1:] + grid[:-1]) / 2, values)


def _snap(trees: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    """Thresholds of each feature (feature, threshold, split mask per tree) onto 256 even levels, in place."""
    features = np.concatenate([feature[split] for feature, _, split in trees])
    thresholds = np.concatenate([threshold[split] for _, threshold, split in trees])
    if not len(features):
        return
    low, high = np.full((2, int(features.max()) + 1), np.inf)
    np.minimum.at(low, features, thresholds)
    np.minimum.at(high, features, -thresholds)
    step = np.maximum((-high - low) / 255, 1e-12)
    for feature, threshold, split in trees:
        on = feature[split]
        threshold[split] = low[on] + np.round((threshold[split] - low[on]) / step[on]) * step[on]
