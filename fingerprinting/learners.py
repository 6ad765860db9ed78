"""
Cheap model classes from which peers and shadows are made: scikit-learn for tables, text and flat data.

A learner is trained on labels, or on score rows (probability extraction), and answers with labels and scores. Where
torch is installed, images of 16 x 16 pixels and more are learnt by the small networks of `networks`.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, Final, cast

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import MultinomialNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from .records import InputSpec
from .threads import one_thread
from .wording import Wording

Labels = np.ndarray  # int16 (m,)
Scores = np.ndarray  # float16 (m, k)
MAX_ROWS: Final = 6000  # more rows make peers slower, not more telling


def _trees(make: Callable[..., Any], seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return make(
        n_estimators=40,
        min_samples_leaf=int(rng.integers(1, 7)),
        max_features=("sqrt", "sqrt", 0.3, 0.6)[rng.integers(4)],
        max_depth=(None, None, 10, 6)[rng.integers(4)],
        bootstrap=bool(rng.integers(2)),
        random_state=seed,
    )


def _boosting(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return HistGradientBoostingClassifier(
        max_iter=int(rng.integers(12, 31)),
        learning_rate=float(rng.uniform(0.08, 0.3)),
        max_leaf_nodes=int(rng.integers(5, 24)),
        l2_regularization=float(rng.choice([0.0, 1.0, 10.0])),
        random_state=seed,
    )


def _network(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return MLPClassifier(
        ((24,), (64,), (96,), (32, 32))[rng.integers(4)],
        alpha=float(10 ** rng.uniform(-5, 0)),
        activation=("relu", "tanh")[rng.integers(2)],
        learning_rate_init=float(rng.choice([0.001, 0.003, 0.006])),
        max_iter=int(rng.integers(30, 81)),
        random_state=seed,
    )


def _spread(seed: int, low: float, high: float) -> float:
    return float(10 ** np.random.default_rng(seed).uniform(low, high))


# Classifiers by name: a seed makes one. How they are tuned is drawn too, as widely as honest people tune: models tuned
# in a way no peer is look like nobody but the source.
CLASSIFIERS: Final[dict[str, Callable[[int], Any]]] = {
    "forest": lambda s: _trees(RandomForestClassifier, s),
    "network": _network,
    "trees": lambda s: _trees(ExtraTreesClassifier, s),
    "boosting": _boosting,
    "linear": lambda s: LogisticRegression(C=_spread(s, -2, 1.5), max_iter=200),
    "kernel": lambda s: SVC(C=_spread(s, -0.7, 1.5), random_state=s),
}
# Regressors on score rows, for probability extraction.
REGRESSORS: Final[dict[str, Callable[[int], Any]]] = {
    "forest": lambda s: RandomForestRegressor(40, max_features=0.4, random_state=s),
    "network": lambda s: MLPRegressor(hidden_layer_sizes=(64,), max_iter=60, random_state=s),
    "trees": lambda s: ExtraTreesRegressor(40, random_state=s),
    "linear": lambda s: Ridge(1.0),
}
FAMILY: Final = {
    "RandomForest": "forest", "ExtraTrees": "trees", "MLP": "network", "HistGradientBoosting": "boosting",
    "GradientBoosting": "boosting", "SVC": "kernel", "SVR": "kernel", "LogisticRegression": "linear",
    "LinearRegression": "linear", "LinearSVC": "linear", "Ridge": "linear", "RidgeCV": "linear", "SGD": "linear",
    "KNeighbors": "neighbours", "MultinomialNB": "bayes", "ComplementNB": "bayes",
}  # fmt: skip
OWN: Final = "own"  # the source's own class, other seeds
NETWORKS: Final = ("plain", "residual", "wide", "deep")  # shapes in `networks`, which needs torch
NETWORK_SIDE: Final = 16  # pixels a side from which on networks learn more than flat pixels teach
SCALED: Final = ("network", "linear", "kernel")
TEXT: Final[dict[str, Callable[[int], Any]]] = {
    "linear": lambda s: LogisticRegression(C=[1.0, 5.0, 25.0][s % 3], max_iter=50),
    "bayes": lambda s: MultinomialNB(alpha=[0.02, 0.1, 0.5][s % 3]),
    "network": lambda s: MLPClassifier((32 << s % 2,), max_iter=40 + 20 * (s % 3), random_state=s),
    "forest": lambda s: RandomForestClassifier(40, min_samples_leaf=1 + s % 3, random_state=s),
    "pairs": lambda s: MultinomialNB(alpha=[0.02, 0.1, 0.5][s % 3]),
    "characters": lambda s: LogisticRegression(C=[2.0, 10.0, 50.0][s % 3], max_iter=50),
}
# Regressors on score rows; the other learners of texts fall back on the linear one.
TEXT_REGRESSORS: Final[dict[str, Callable[[int], Any]]] = {
    "linear": lambda s: Ridge([0.3, 1.0, 3.0][s % 3], solver="sparse_cg"),
    "network": lambda s: MLPRegressor(hidden_layer_sizes=(32,), max_iter=60, random_state=s),
    "forest": lambda s: RandomForestRegressor(40, max_features="sqrt", random_state=s),
}
COUNTED: Final = {"pairs": "pairs", "characters": "characters"}  # what of a text a learner reads, words unless said
FEATURES: Final = {"network": 2500}  # most that a learner reads: a network's weights cost as many steps as they are


def names(spec: InputSpec, classes: int, rows: int) -> tuple[str, ...]:
    """Learners that fit this input, without those that would be slow on it."""
    if spec.kind in ("text", "chat"):
        return tuple(TEXT)
    if image_networks(spec):
        return NETWORKS
    slow = set()
    if classes > 20:  # boosting grows one tree per class and round
        slow.add("boosting")
    if rows > 3000:  # kernels are quadratic in the rows
        slow.add("kernel")
    return tuple(name for name in CLASSIFIERS if name not in slow)


def counted(texts: tuple[str, ...], names: Sequence[str]) -> Wording:
    """What these learners read of texts, counted once for all that are trained on some and asked others of them."""
    return Wording(texts).prepare(sorted({COUNTED.get(name, "words") for name in names}))


def image_networks(spec: InputSpec) -> bool:
    """Whether inputs are images large enough for networks, and torch is there to train them."""
    if spec.kind != "image":
        return False
    sides = [size for axis, size in enumerate(spec.shape) if axis != spec.channel_axis]
    return min(sides) >= NETWORK_SIDE and find_spec("torch") is not None


def needs_torch(learner: str, own: Any) -> bool:
    """Whether a learner is a torch network, to be trained in this process. own: as for `train`."""
    return learner in NETWORKS or (learner == OWN and not isinstance(own, BaseEstimator))


def train(
    learner: str,
    spec: InputSpec,
    x: np.ndarray | tuple[str, ...],
    target: np.ndarray,
    k: int,
    seed: int,
    own: Any = None,
    wording: Wording | None = None,
) -> Callable[[np.ndarray | tuple[str, ...]], tuple[Labels, Scores]]:
    """
    Fit one learner to labels (int (m,)) or score rows (float (m, k)); returns its answering function.

    own: what the learner "own" stands for, where the source is at hand: an unfitted scikit-learn estimator of its
    class, or a client of its torch module as `networks.fresh` makes it. wording: counts of texts, x and what will be
    asked among them, which spare counting them for every model.
    Classes that do not occur among the labels get score 0.
    """
    rng = np.random.default_rng(seed)
    if len(x) > MAX_ROWS:
        rows = rng.choice(len(x), MAX_ROWS, replace=False)
        x = x[rows] if isinstance(x, np.ndarray) else tuple(x[i] for i in rows)
        target = target[rows]
    soft = target.ndim == 2
    if soft and target.shape[1] < k:  # the source may know fewer classes than the pool
        target = np.pad(target, ((0, 0), (0, k - target.shape[1])))
    if needs_torch(learner, own):
        from . import networks

        assert isinstance(x, np.ndarray)
        return cast(Any, networks.train(learner, spec, x, target, k, seed, own))
    read: Callable[[Any], Any] = flat
    if learner == OWN and not soft:
        model = reseeded(own, seed)
    elif isinstance(x, tuple):
        wording = wording or Wording(x)
        read = wording.reader(COUNTED.get(learner, "words"), x, FEATURES.get(learner, 20_000))
        usual = TEXT_REGRESSORS["linear"]
        model = (TEXT_REGRESSORS.get(learner, usual) if soft else TEXT[learner])(seed)
    else:
        known = REGRESSORS if soft else CLASSIFIERS
        estimator = known[learner if not soft or learner in REGRESSORS else "forest"](seed)
        model = Pipeline([*preparation(learner, spec), ("model", estimator)])
    # One thread each: models this small lose more to waiting for each other's threads than they gain.
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")  # an unconverged peer is an honest peer still
        model.fit(read(x), target)

    def answer(inputs: np.ndarray | tuple[str, ...]) -> tuple[Labels, Scores]:
        labels = None
        with one_thread():
            if soft:
                scores = np.clip(model.predict(read(inputs)), 0, None)
            elif hasattr(model, "predict_proba"):
                scores = np.zeros((len(inputs), k))
                scores[:, model.classes_] = model.predict_proba(read(inputs))
            else:
                labels = model.predict(read(inputs))  # of classes with equal votes the first, whatever the values say
                scores = np.eye(k)[labels]
                if hasattr(model, "decision_function") and not _by_pairs(model):
                    scores[:, model.classes_] = _as_served(model.decision_function(read(inputs)))
        scores = scores / np.maximum(scores.sum(1, keepdims=True), 1e-9)
        return (scores.argmax(1) if labels is None else labels).astype(np.int16), scores.astype(np.float16)

    return answer


def _by_pairs(model: Any) -> bool:
    """Whether its decision values are of pairs of classes, which say nothing of one class."""
    shapes = [value for name, value in model.get_params().items() if name.split("__")[-1] == "decision_function_shape"]
    return "ovo" in shapes


def _as_served(values: np.ndarray) -> np.ndarray:
    """Decision values (m, k), or (m,) of two classes, as probabilities: as whoever serves such a model shows them."""
    values = np.stack([np.zeros(len(values)), values], 1) if values.ndim == 1 else values
    return np.asarray(softmax(values, axis=1))


def family(estimator: Any) -> str | None:
    """The learner that a scikit-learn estimator, alone, in a pipeline or behind a scaled target, is of; or None."""
    while (inner := getattr(estimator, "regressor", None)) is not None or hasattr(estimator, "steps"):
        estimator = inner if inner is not None else estimator.steps[-1][1]
    return FAMILY.get(re.sub("(Classifier|Regressor)$", "", type(estimator).__name__))


def flat(x: np.ndarray | tuple[str, ...]) -> Any:
    """Inputs as scikit-learn takes them: rows of numbers, or a list of texts."""
    return x.reshape(len(x), -1) if isinstance(x, np.ndarray) else list(x)


def preparation(learner: str, spec: InputSpec) -> list[tuple[str, Any]]:
    """The steps of a pipeline that come before the learner: categories and scales."""
    steps: list[tuple[str, Any]] = []
    if any(spec.categories):
        from sklearn.compose import ColumnTransformer

        encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        steps.append(("columns", ColumnTransformer([("values", encode, ~spec.numeric)], remainder="passthrough")))
    if learner in SCALED:
        steps.append(("scale", StandardScaler()))
    return steps


def reseeded(estimator: Any, seed: int) -> Any:
    """An unfitted estimator of the same class and settings, with another seed."""
    fresh = clone(estimator)
    seeds = {name: seed % (1 << 31) for name in fresh.get_params() if name.split("__")[-1] == "random_state"}
    return fresh.set_params(**seeds)
