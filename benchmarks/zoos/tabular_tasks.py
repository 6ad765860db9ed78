"""
The tasks of the tabular zoo and the model classes that owners, thieves and strangers train on them.

A task's rows are split four ways, disjoint: the owner's training rows, the thief's, the strangers' and spare rows of
the owner's.
"""

import hashlib
import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn import datasets
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from threadpoolctl import threadpool_limits

LEARNERS: Final = ("linear", "forest", "trees", "boosting", "kernel", "network")
SEEDS: Final = (0, 1)  # two sources of each class
SCALED: Final = ("linear", "kernel", "network")
SHARES: Final = (0.3, 0.25, 0.3, 0.15)  # owner, thief, strangers, spare; equal parts where rows are plenty
CLASSIFIER: Final = {
    "linear": LogisticRegression, "forest": RandomForestClassifier, "trees": ExtraTreesClassifier,
    "boosting": HistGradientBoostingClassifier, "kernel": SVC, "network": MLPClassifier,
}  # fmt: skip
REGRESSOR: Final = {
    "linear": Ridge, "forest": RandomForestRegressor, "trees": ExtraTreesRegressor,
    "boosting": HistGradientBoostingRegressor, "kernel": SVR, "network": MLPRegressor,
}  # fmt: skip
TASKS: Final[dict[str, Any]] = {
    "digits": lambda: datasets.load_digits(return_X_y=True),
    "breast-cancer": lambda: datasets.load_breast_cancer(return_X_y=True),
    "wine": lambda: datasets.load_wine(return_X_y=True),
    "noisy5": lambda: datasets.make_classification(
        6400, 20, n_informative=10, n_classes=5, n_clusters_per_class=3, flip_y=0.04, random_state=0
    ),
    "noisy3": lambda: datasets.make_classification(
        6400, 12, n_informative=6, n_redundant=2, n_classes=3, n_clusters_per_class=2, flip_y=0.15, class_sep=0.8,
        random_state=1,
    ),
    "diabetes": lambda: datasets.load_diabetes(return_X_y=True),
    "noisy-regression": lambda: datasets.make_regression(
        4000, 15, n_informative=10, noise=60.0, effective_rank=None, random_state=2
    ),
}  # fmt: skip
REGRESSION: Final = ("diabetes", "noisy-regression")

Rows = tuple[np.ndarray, np.ndarray]  # x float32 (n, features), y int64 or float64 (n,)


@dataclass(frozen=True)
class Task:
    """A task's rows, split. classes: k, or 0 for regression. low, high: float32 (features,), over all rows."""

    name: str
    classes: int
    owner: Rows
    thief: Rows
    strangers: Rows
    spare: Rows
    low: np.ndarray
    high: np.ndarray

    @property
    def sd(self) -> np.ndarray:
        """Standard deviation of each feature on the thief's rows, float32 (features,)."""
        return np.asarray(self.thief[0].std(0), np.float32)


def load(name: str, seed: int, rows: int | None = None) -> Task:
    """A task by name, split by seed (classes in equal shares), each part cut to that many rows where rows is given."""
    x, y = TASKS[name]()
    x, first = np.unique(x.astype(np.float32), axis=0, return_index=True)
    y = y[first]
    k = 0 if name in REGRESSION else int(y.max()) + 1
    y = y.astype(np.int64) if k else y.astype(np.float64)
    rng = np.random.default_rng(seed_of(name, "split", seed))
    order = rng.permutation(len(x))
    if k:  # dealt out class by class in turn, every stretch of rows has each class in its share
        rank = np.empty(len(x))
        for label in range(k):
            members = order[y[order] == label]
            rank[members] = (np.arange(len(members)) + rng.random()) / len(members)
        order = np.argsort(rank, kind="stable")
    shares = (0.25,) * 4 if name.startswith("noisy") else SHARES
    cuts = np.round(np.cumsum(shares)[:-1] * len(x)).astype(int)
    parts = [(x[part[:rows]], y[part[:rows]]) for part in np.split(order, cuts)]

    return Task(name, k, *parts, low=x.min(0), high=x.max(0))


def seed_of(*parts: Any) -> int:
    """A seed below 2**31 from names and numbers: the same on every machine, whatever else is built."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:4], "big") >> 1


def fit(learner: str, x: np.ndarray, y: np.ndarray, seed: int, *, soft: bool = False, vary: bool = False) -> Any:
    """
    A fitted model. y: int (n,) labels for a classifier, float (n,) for a regressor.

    soft: y is rows of probabilities, float (n, k), for a regressor. vary: other hyper-parameters than the sources',
    drawn by seed.
    """
    regression = soft or y.dtype.kind == "f"
    chosen = _settings(learner, len(x), 0 if regression else int(y.max()) + 1)
    if vary:
        chosen |= _varied(learner, chosen, np.random.default_rng(seed), regression)
    if learner not in ("linear", "kernel"):
        chosen["random_state"] = seed
    if regression:
        chosen = {name: value for name, value in chosen.items() if name not in ("break_ties", "class_weight")}
        if learner == "linear":
            chosen = {"alpha": 1 / chosen["C"]}
    model = (REGRESSOR if regression else CLASSIFIER)[learner](**chosen)
    if learner in SCALED:
        model = make_pipeline(StandardScaler(), model)
    if regression and not soft and learner in ("kernel", "network"):
        model = TransformedTargetRegressor(model, transformer=StandardScaler())
    return fit_quietly(model, x, y)


def fit_quietly(model: Any, x: np.ndarray, y: np.ndarray) -> Any:
    """Fit on one thread; a model that has not converged is a model still."""
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        return model.fit(x, y)


def _settings(learner: str, rows: int, k: int) -> dict[str, Any]:
    if learner in ("forest", "trees"):
        return {"n_estimators": 50, "min_samples_leaf": 3 if rows > 800 else 1}
    return {
        "linear": {"C": 1.0} | ({"max_iter": 300} if k else {}),
        "boosting": {"max_iter": 20 if k > 5 else 40, "max_leaf_nodes": 8 if k > 5 else 15, "learning_rate": 0.15,
                     "min_samples_leaf": 20 if rows > 300 else 5},
        "kernel": {"C": 2.0, "break_ties": True},
        "network": {"hidden_layer_sizes": (64,), "max_iter": 60 if rows > 800 else 120, "learning_rate_init": 0.003,
                    "batch_size": min(64, rows)},
    }[learner]  # fmt: skip


def _varied(learner: str, chosen: dict[str, Any], rng: np.random.Generator, regression: bool) -> dict[str, Any]:
    if learner in ("forest", "trees"):
        return {
            "n_estimators": int(rng.choice([30, 50, 70])),
            "min_samples_leaf": chosen["min_samples_leaf"] + int(rng.integers(4)),
            "max_features": [0.3, 0.5, 0.8, "sqrt"][rng.integers(4)],
            "max_depth": [6, 10, None][rng.integers(3)],
            "bootstrap": bool(rng.integers(2)),
        }
    if learner == "boosting":
        return {
            "max_iter": max(10, int(chosen["max_iter"] * rng.uniform(0.5, 1.2))),
            "max_leaf_nodes": int(rng.integers(4, 9 if chosen["max_leaf_nodes"] == 8 else 25)),
            "learning_rate": float(rng.uniform(0.08, 0.3)),
            "l2_regularization": float(rng.choice([0.0, 1.0, 10.0])),
            "max_features": float(rng.choice([0.4, 0.7, 1.0])),
        }
    if learner == "network":
        return {
            "hidden_layer_sizes": [(24,), (48,), (96,), (32, 32), (64, 24)][rng.integers(5)],
            "max_iter": int(chosen["max_iter"] * rng.uniform(0.4, 1.3)),
            "alpha": float(10 ** rng.uniform(-5, 0)),
            "activation": ["relu", "tanh"][rng.integers(2)],
        }
    c = {"C": float(10 ** rng.uniform(-2, 1.5))}
    if learner == "kernel":
        return c | {"C": float(10 ** rng.uniform(-0.3, 1.5)), "kernel": ["rbf", "rbf", "linear"][rng.integers(3)]}
    return c if regression else c | {"class_weight": [None, "balanced"][rng.integers(2)]}
