"""
Cheap regressors from which peers and shadows of a regressor are made.

A learner is fitted to true measurements, or to the source's values, and answers with numbers. Where a class is
sensitive to the scale of what it learns, that is scaled inside.
"""

import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from threadpoolctl import threadpool_limits

from .learners import MAX_ROWS, OWN, flat, preparation, reseeded
from .records import InputSpec

Inputs = np.ndarray | tuple[str, ...]
# By name: a seed makes one. Settings differ from seed to seed, as they do among honest models.
REGRESSORS: Final[dict[str, Callable[[int], Any]]] = {
    "forest": lambda s: RandomForestRegressor(
        40, min_samples_leaf=1 + 2 * (s % 2), max_features=[1.0, 0.5, 0.33][s % 3], random_state=s
    ),
    "boosting": lambda s: HistGradientBoostingRegressor(
        max_iter=[50, 100][s % 2], learning_rate=[0.05, 0.1, 0.1][s % 3], random_state=s
    ),
    "network": lambda s: MLPRegressor(
        hidden_layer_sizes=((32,), (64,), (100,), (32, 32))[s % 4], max_iter=[60, 120, 200][s % 3], random_state=s
    ),
    "trees": lambda s: ExtraTreesRegressor(
        40, min_samples_leaf=1 + 2 * (s % 2), max_features=[1.0, 0.5, 0.33][s % 3], random_state=s
    ),
    "linear": lambda s: Ridge(10.0 ** (s % 5 - 1)),
    "kernel": lambda s: SVR(C=[0.5, 1.0, 5.0, 20.0][s % 4], epsilon=[0.05, 0.1][s % 2]),
    "neighbours": lambda s: KNeighborsRegressor([5, 8, 12][s % 3], weights="distance" if s % 2 else "uniform"),
}
SCALED: Final = ("network", "linear", "kernel", "neighbours")
SCALED_TARGET: Final = ("network", "kernel")
KERNEL_ROWS: Final = 3000  # kernels are quadratic in the rows
PERTURBED: Final = 0.1  # standard deviations of the values


def names(spec: InputSpec, rows: int) -> tuple[str, ...]:
    """Learners that fit this input, without those that would be slow on it."""
    return tuple(name for name in REGRESSORS if name != "kernel" or rows <= KERNEL_ROWS)


def train(
    learner: str, spec: InputSpec, x: Inputs, target: np.ndarray, seed: int, own: Any = None
) -> Callable[[Inputs], np.ndarray]:
    """
    Fit one learner to measurements, float (m,); returns its answering function, float32 (n,).

    own: what the learner "own" stands for, an estimator of the source's class.
    """
    rng = np.random.default_rng(seed)
    if len(x) > MAX_ROWS:
        rows = rng.choice(len(x), MAX_ROWS, replace=False)
        x = x[rows] if isinstance(x, np.ndarray) else tuple(x[i] for i in rows)
        target = target[rows]
    if learner == OWN:
        model = reseeded(own, seed)
    else:
        steps = [step for step in preparation(learner, spec) if step[0] != "scale"]
        scale = learner in SCALED
        model = Pipeline(
            [*steps, *([("scale", StandardScaler())] if scale else []), ("model", REGRESSORS[learner](seed))]
        )
        if learner in SCALED_TARGET:
            model = TransformedTargetRegressor(model, transformer=StandardScaler())
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # an unconverged peer is an honest peer still
        model.fit(flat(x), target)

    def answer(inputs: Inputs) -> np.ndarray:
        with threadpool_limits(1), np.errstate(over="ignore"):
            values = np.asarray(model.predict(flat(inputs)), np.float64).reshape(len(inputs))
        low, high = target.min(), target.max()
        reach = 10 * max(high - low, 1e-30)  # an honest peer may be wild; one that diverged says nothing
        return np.clip(np.nan_to_num(values), low - reach, high + reach).astype(np.float32)

    return answer


def disguised(values: np.ndarray, how: str, rng: np.random.Generator) -> np.ndarray:
    """
    Values (n,) as a thief may receive or return them.

    "perturbed": with noise of a tenth of their standard deviation. "rounded": to two digits of it. Else as they are.
    """
    spread = float(values.std()) or 1.0
    if how == "perturbed":
        return values + rng.normal(0, PERTURBED * spread, values.shape)
    if how == "rounded":
        step = 10.0 ** (np.floor(np.log10(spread)) - 1)
        return np.asarray(np.round(values / step) * step)
    return values
