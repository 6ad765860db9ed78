"""
Copies of a model at hand, changed in the ways that happen to served models, each by its kind.

Fine-tuned on more rows, pruned, quantised. From them `verify` learns what each kind of change does to the answers, so
that there are several of each, from hardly to heavily changed. A model that cannot be read is not changed: then kinds
of change are told apart by retrained and distilled models alone. The model itself is never touched.
"""

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from .answers import label_name
from .collect import ask
from .disguises import noisy
from .plans import Inputs
from .records import Panel, Pool

BITS: Final = (8, 6, 4, 3, 2)
SHARES: Final = (0.15, 0.3, 0.45, 0.6, 0.75)  # of weights, or of trees, that are taken away
LONGER: Final = (0.2, 0.4, 0.7)  # of a model's rounds or epochs that fine-tuning adds
DRAWS: Final = 2  # of what is drawn: trees that go, rows that are tuned on
ROWS: Final = 0.7  # of the rows at hand that one fine-tuned copy sees
NOISES: Final = (0.02, 0.05, 0.1, 0.2)  # on inputs, in standard deviations; of texts, the share of words lost
Made = tuple[str, str, Any]  # kind, name, client


class _Parts(NamedTuple):
    """model: the last step. arrays: its weights, changed in place. trees: what holds its trees, to be shortened."""

    model: Any
    arrays: list[np.ndarray]
    trees: str | None


def altered(client: Any, train: Pool, inputs: Inputs, seed: int) -> Panel:
    """
    Answers of changed copies to some inputs, their kinds as families.

    Of a model that cannot be read, only those of itself with noise on its inputs.
    """
    made: list[Made] = []
    if hasattr(client, "module") and hasattr(client, "forward") and isinstance(train.x, np.ndarray):
        from . import tampering  # needs torch, which is there if the client is

        made = [(_kind(name), name, twin) for name, twin in (*tampering.copies(client, train, seed),
                                                             *tampering.cheap_copies(client))]  # fmt: skip
    elif hasattr(client, "estimator"):
        made = list(_copies(client, train, seed))
    answers = [(kind, name, ask(twin, inputs, train.spec, classes=train.classes)) for kind, name, twin in made]
    rng = np.random.default_rng([seed, 6])
    for strength in NOISES:
        moved = noisy(inputs, train.spec, strength, rng)
        asked = ask(client, moved, train.spec, classes=train.classes)
        answers.append(("wrapped", f"input noise {strength:g}", asked))
    scores = [asked.scores for _, _, asked in answers if asked.scores is not None]
    exact = train.spec.output == "number"
    whole = len(scores) == len(answers) and scores[0].shape[1] <= 100

    return Panel(
        tuple(f"{name}, {i + 1}" for i, (_, name, _) in enumerate(answers)),
        ("shadow",) * len(answers),
        ("estimate",) * len(answers),
        np.stack([asked.labels for _, _, asked in answers]).astype(np.int16),
        np.stack(scores).astype(np.float32 if exact else np.float16) if whole else None,
        tuple(kind for kind, _, _ in answers),
    )


def _kind(name: str) -> str:
    return "pruned" if "pruned" in name else "quantised" if "bits" in name else "fine-tuned"


def _copies(client: Any, train: Pool, seed: int) -> Iterator[Made]:
    def of(estimator: Any) -> Any:
        twin = copy.copy(client)
        twin.estimator = estimator
        return twin

    source = client.estimator
    rng = np.random.default_rng([seed, 5])
    for share in np.repeat(SHARES, DRAWS if _parts(copy.deepcopy(source)).trees == "estimators_" else 1):
        twin = copy.deepcopy(source)
        if _prune(_parts(twin), share, rng):
            yield "pruned", f"{share:.0%} pruned", of(twin)
    for bits in BITS:
        twin = copy.deepcopy(source)
        if _quantise(_parts(twin), bits):
            yield "quantised", f"rounded to {bits} bits", of(twin)
    fresh = np.arange(len(train)) if train.trained is None or train.trained.all() else np.flatnonzero(~train.trained)
    for i, longer in enumerate(np.repeat(LONGER, DRAWS)):
        rows = rng.permutation(fresh)[: round(ROWS * len(fresh))]
        tuned = _tuned(copy.deepcopy(source), train.take(rows), float(longer), seed + i)
        if tuned is not None:
            yield "fine-tuned", f"fine-tuned by {longer:.0%}", of(tuned)


def _last(estimator: Any) -> Any:
    """The model at the end of searches, scaled targets and pipelines."""
    while True:
        inner = getattr(estimator, "best_estimator_", getattr(estimator, "regressor_", None))
        if inner is None and not isinstance(estimator, Pipeline):
            return estimator
        estimator = inner if inner is not None else estimator[-1]


def _parts(estimator: Any) -> _Parts:
    model = _last(estimator)
    own = vars(model)
    if isinstance(own.get("coefs_"), list):
        return _Parts(model, list(model.coefs_), None)
    if isinstance(own.get("_predictors"), list):  # histogram gradient boosting
        return _Parts(model, [], "_predictors")
    if isinstance(own.get("estimators_"), list) and hasattr(model, "apply"):
        return _Parts(model, [], "estimators_")
    if isinstance(own.get("_dual_coef_"), np.ndarray):
        model.dual_coef_ = model._dual_coef_ = np.array(model._dual_coef_)
        return _Parts(model, [model._dual_coef_], None)
    if isinstance(own.get("coef_"), np.ndarray) and own["coef_"].dtype.kind == "f":
        return _Parts(model, [model.coef_], None)
    return _Parts(model, [], None)


def _prune(parts: _Parts, share: float, rng: np.random.Generator) -> bool:
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


def _quantise(parts: _Parts, bits: int) -> bool:
    levels = 2**bits
    if parts.trees is None:
        for weights in parts.arrays:
            weights[...] = _even(weights, levels)
        return bool(parts.arrays)
    for tree in getattr(parts.model, parts.trees):
        for nodes in np.ravel(np.asarray(tree, object)):
            if parts.trees == "_predictors":
                inner, feature = nodes.nodes["is_leaf"] == 0, nodes.nodes["feature_idx"]
                threshold, value = nodes.nodes["num_threshold"], nodes.nodes["value"]
                value[~inner] = _even(value[~inner], levels)
            else:
                inner, feature = nodes.tree_.children_left >= 0, nodes.tree_.feature
                threshold, value = nodes.tree_.threshold, nodes.tree_.value
                value[...] = _even(value, levels)
                if value.shape[2] > 1:  # shares of classes
                    value /= np.maximum(value.sum(2, keepdims=True), 1e-12)
            for one in np.unique(feature[inner]):
                rows = inner & (feature == one)
                step = max(float(np.abs(threshold[rows]).max()), 1e-12) * 2 / levels
                threshold[rows] = np.round(threshold[rows] / step) * step
    return True


def _even(values: np.ndarray, levels: int) -> np.ndarray:
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    step = max(high - low, 1e-12) / (levels - 1)

    return np.asarray(low + np.round((values - low) / step) * step)


def _tuned(estimator: Any, rows: Pool, longer: float, seed: int) -> Any | None:
    """The estimator after more rounds on these rows; None where its class cannot go on."""
    model = _last(estimator)
    more = _rounds(model, longer, seed)
    if more is None or rows.y is None:
        return None
    x: Any = rows.x if isinstance(rows.x, tuple) else rows.spec.decode(rows.x)
    y: Any = rows.y
    if is_classifier(estimator):
        known = {label_name(value): value for value in np.asarray(estimator.classes_).tolist()}
        names = rows.classes or tuple(str(i) for i in range(int(rows.y.max()) + 1))
        if sorted(names[i] for i in np.unique(rows.y)) != sorted(known):
            return None  # rows that lack a class would make it another model
        y = np.array([known[names[i]] for i in rows.y])
    outer = estimator
    if (scaled := getattr(estimator, "transformer_", None)) is not None:
        y, outer = scaled.transform(np.asarray(y)[:, None])[:, 0], estimator.regressor_
    if isinstance(outer, Pipeline):
        x = outer[:-1].transform(x)
    try:
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore")  # a few rounds do not converge
            model.set_params(warm_start=True, **more).fit(x, y)
    except ValueError:  # rows that lack a class, or an input that this class refuses to go on with
        return None

    return estimator


def _rounds(model: Any, longer: float, seed: int) -> dict[str, Any] | None:
    """Parameters with which a warm start goes on by a share of what the model was trained."""
    known: dict[str, Callable[[], dict[str, Any]]] = {
        "n_estimators": lambda: {"n_estimators": round((1 + longer) * len(model.estimators_)) + 1},
        "max_iter": lambda: {"max_iter": max(2, round(longer * 20))},
    }
    parameters = model.get_params() if hasattr(model, "get_params") else {}
    if "warm_start" not in parameters:
        return None
    if hasattr(model, "_predictors"):
        return {"max_iter": round((1 + longer) * model.n_iter_) + 1}
    name = next((name for name in known if name in parameters), None)
    if name is None or (name == "n_estimators" and not hasattr(model, "estimators_")):
        return None
    seeds = {"random_state": seed} if "random_state" in parameters else {}

    return {**known[name](), **seeds}
