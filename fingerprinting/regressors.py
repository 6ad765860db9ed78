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

from .learners import MAX_ROWS, OWN, flat, preparation, reseeded
from .records import InputSpec
from .threads import one_thread

Inputs = np.ndarray | tuple[str, ...]


def _trees(make: Callable[..., Any], seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return make(
        n_estimators=40,
        min_samples_leaf=int(rng.integers(1, 7)),
        max_features=(1.0, 0.8, 0.5, 0.33, "sqrt")[rng.integers(5)],
        max_depth=(None, None, 10, 6)[rng.integers(4)],
        bootstrap=bool(rng.integers(2)),
        random_state=seed,
    )


def _boosting(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return HistGradientBoostingRegressor(
        max_iter=int(rng.integers(20, 71)),
        learning_rate=float(rng.uniform(0.06, 0.3)),
        max_leaf_nodes=int(rng.integers(5, 24)),
        min_samples_leaf=int(rng.choice([5, 10, 20])),
        l2_regularization=float(rng.choice([0.0, 1.0, 10.0])),
        random_state=seed,
    )


def _network(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return MLPRegressor(
        hidden_layer_sizes=((24,), (64,), (96,), (32, 32))[rng.integers(4)],
        alpha=float(10 ** rng.uniform(-5, 0)),
        activation=("relu", "tanh")[rng.integers(2)],
        learning_rate_init=float(rng.choice([0.001, 0.003, 0.01])),
        max_iter=int(rng.integers(30, 121)),
        random_state=seed,
    )


def _power(seed: int, low: float, high: float) -> float:
    return float(10 ** np.random.default_rng(seed).uniform(low, high))


# By name: a seed makes one. How they are tuned is drawn too, as widely as honest people tune.
REGRESSORS: Final[dict[str, Callable[[int], Any]]] = {
    "forest": lambda s: _trees(RandomForestRegressor, s),
    "boosting": _boosting,
    "network": _network,
    "trees": lambda s: _trees(ExtraTreesRegressor, s),
    "linear": lambda s: Ridge(_power(s, -1.5, 2)),
    "kernel": lambda s: SVR(C=_power(s, -0.5, 1.5), epsilon=[0.05, 0.1][s % 2], kernel=["rbf", "rbf", "linear"][s % 3]),
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
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")  # an unconverged peer is an honest peer still
        model.fit(flat(x), target)

    def answer(inputs: Inputs) -> np.ndarray:
        with one_thread(), np.errstate(over="ignore"):
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
