"""
Copies of a model at hand, changed in the ways that happen to served models, each by its kind.

Fine-tuned on more rows, pruned, quantised, and fitted again. From them `verify` learns what each kind of change does to
the answers, so that there are many of each, from hardly to heavily changed and as different tools would change them. A
model that cannot be read is not changed: then kinds of change are told apart by retrained and distilled models alone.
An ONNX graph is pruned and quantised, but neither fine-tuned nor fitted again. The model itself is never touched.
"""

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.pipeline import Pipeline

from .answers import label_name
from .collect import ask
from .disguises import noisy
from .errors import BadData
from .plans import Inputs
from .records import Panel, Pool
from .threads import one_thread
from .weight_changes import cut_back, last_of, parts_of, prune, quantise

BITS: Final[dict[str, tuple[int, ...]]] = {
    "even": (8, 7, 6, 5, 4, 3, 2),
    "symmetric": (8, 7, 6, 5, 4, 3),
    "fitted": (4, 3, 2),
}
SHARES: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)  # of weights, or of trees, that are taken away
LEAVES: Final = (0.3, 0.45, 0.6, 0.75, 0.9)  # of the splits that become leaves
LONGER: Final = (0.1, 0.2, 0.4, 0.7)  # of a model's rounds or epochs that fine-tuning adds
REFITS: Final = ((1.0, 0.0), (0.9, 0.0), (0.8, 0.0), (1.0, 0.5), (1.0, 1.0), (0.9, 0.5))  # of its rows, of others
DRAWS: Final = 2  # of what is drawn: trees that go, rows that are tuned on
ROWS: Final = 0.7  # of the rows at hand that one fine-tuned copy sees
NOISES: Final = (0.02, 0.05, 0.1, 0.2)  # on inputs, in standard deviations; of texts, the share of words lost
Made = tuple[str, str, Any]  # kind, name, client


def altered(client: Any, train: Pool, inputs: Inputs, seed: int) -> Panel:
    """
    Answers of changed copies to some inputs, their kinds as families.

    Of a model that cannot be read, only those of itself with noise on its inputs.
    """
    made = changed(client, train, seed)
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


def changed(client: Any, train: Pool, seed: int) -> list[Made]:
    """Changed copies of a model at hand; none of one that cannot be read."""
    if hasattr(client, "module") and hasattr(client, "forward") and isinstance(train.x, np.ndarray):
        from . import tampering  # needs torch, which is there if the client is

        several = (
            tampering.copies(client, train, seed), tampering.gentle_copies(client, train, seed),
            tampering.cheap_copies(client),
        )  # fmt: skip
        return [(_kind(name), name, twin) for made in several for name, twin in made]
    if hasattr(client, "graph") and hasattr(client, "with_graph"):
        return list(_of_graph(client, seed))
    return list(_copies(client, train, seed)) if hasattr(client, "estimator") else []


def readable(client: Any) -> bool:
    """Whether a model's weights or trees are at hand, so that there are changed copies of it."""
    if hasattr(client, "module") and hasattr(client, "forward"):
        from . import fitting  # needs torch, which is there if the client is

        return fitting.twin_of(client) is not None
    if not hasattr(client, "estimator"):
        return False
    parts = parts_of(copy.deepcopy(client.estimator))

    return bool(parts.arrays) or parts.trees is not None


def reweighted(client: Any, train: Pool, seed: int) -> list[Made]:
    """
    Those of the changed copies that keep the model's weights or trees, more or less: all but fitted anew; none of a
    graph, whose copies evidence made before did not have.
    """
    if hasattr(client, "with_graph"):
        return []
    return [made for made in changed(client, train, seed) if made[0] != "retrained"]


def _kind(name: str) -> str:
    return "pruned" if "pruned" in name else "quantised" if "bits" in name else "fine-tuned"


def _of_graph(client: Any, seed: int) -> Iterator[Made]:
    """Copies of an ONNX graph; none where the package that reads graphs is missing or the runtime refuses them."""
    try:
        from . import graph_changes  # needs onnx
    except ImportError:
        return
    rng = np.random.default_rng([seed, 5])
    made = graph_changes.copies(client.graph, rng, shares=SHARES, leaves=LEAVES, bits=BITS)
    for kind, name, data in made:
        with contextlib.suppress(BadData):
            yield kind, name, client.with_graph(data)


def _copies(client: Any, train: Pool, seed: int) -> Iterator[Made]:
    def of(estimator: Any) -> Any:
        twin = copy.copy(client)
        twin.estimator = estimator
        return twin

    source = client.estimator
    rng = np.random.default_rng([seed, 5])
    for share in np.repeat(SHARES, DRAWS if parts_of(copy.deepcopy(source)).trees == "estimators_" else 1):
        twin = copy.deepcopy(source)
        if prune(parts_of(twin), share, rng):
            yield "pruned", f"{share:.0%} pruned", of(twin)
    for share in LEAVES:
        twin = copy.deepcopy(source)
        if cut_back(parts_of(twin), share):
            yield "pruned", f"{share:.0%} of splits pruned", of(twin)
    for how, bits in ((how, bits) for how, several in BITS.items() for bits in several):
        twin = copy.deepcopy(source)
        if quantise(parts_of(twin), bits, how):
            yield "quantised", f"rounded to {bits} bits, {how}", of(twin)
    its = np.ones(len(train), bool) if train.trained is None else train.trained
    fresh = np.flatnonzero(np.ones(len(train), bool) if its.all() else ~its)
    for i, longer in enumerate(np.repeat(LONGER, DRAWS)):
        rows = rng.permutation(fresh)[: round(ROWS * len(fresh))]
        tuned = _tuned(copy.deepcopy(source), train.take(rows), float(longer), seed + i)
        if tuned is not None:
            yield "fine-tuned", f"fine-tuned by {longer:.0%}", of(tuned)
    for own, others in REFITS:
        rows = np.concatenate([_some(rng, its, own), _some(rng, ~its, others)])
        refitted = (
            _refitted(source, train.take(rows), rng) if len(rows) < its.sum() or others or _seeds(source) else None
        )
        if refitted is not None:
            yield "retrained", f"fitted again to {own:.0%} of its rows", of(refitted)


def _some(rng: np.random.Generator, among: np.ndarray, share: float) -> np.ndarray:
    rows = np.flatnonzero(among)
    return np.asarray(rng.permutation(rows)[: round(share * len(rows))])


def _seeds(estimator: Any) -> list[str]:
    parameters = estimator.get_params() if hasattr(estimator, "get_params") else {}
    return [name for name in parameters if name.split("__")[-1] == "random_state"]


def _tuned(estimator: Any, rows: Pool, longer: float, seed: int) -> Any | None:
    """The estimator after more rounds on these rows; None where its class cannot go on."""
    model = last_of(estimator)
    more = _rounds(model, longer, seed)
    if more is None or rows.y is None:
        return None
    x: Any = rows.x if isinstance(rows.x, tuple) else rows.spec.decode(rows.x)
    y = _targets(estimator, rows)
    if y is None:
        return None
    outer = estimator
    if (scaled := getattr(estimator, "transformer_", None)) is not None:
        y, outer = scaled.transform(np.asarray(y)[:, None])[:, 0], estimator.regressor_
    if isinstance(outer, Pipeline):
        x = outer[:-1].transform(x)
    try:
        with warnings.catch_warnings(), one_thread():
            warnings.simplefilter("ignore")  # a few rounds do not converge
            model.set_params(warm_start=True, **more).fit(x, y)
    except ValueError:  # rows that lack a class, or an input that this class refuses to go on with
        return None

    return estimator


def _refitted(estimator: Any, rows: Pool, rng: np.random.Generator) -> Any | None:
    """The estimator's class fitted anew to these rows, with another seed where it has any; None where it cannot be."""
    y = None if rows.y is None else _targets(estimator, rows)
    if y is None:
        return None
    try:
        fresh = clone(estimator).set_params(**{name: int(rng.integers(1 << 31)) for name in _seeds(estimator)})
        with warnings.catch_warnings(), one_thread():
            warnings.simplefilter("ignore")  # nobody waits for the last digit
            return fresh.fit(rows.x if isinstance(rows.x, tuple) else rows.spec.decode(rows.x), y)
    except (TypeError, ValueError):  # no estimator that can be cloned, or rows that this class refuses
        return None


def _targets(estimator: Any, rows: Pool) -> np.ndarray | None:
    """What the estimator is to learn of rows; None where they lack a class, which would make it another model."""
    assert rows.y is not None
    if not is_classifier(estimator):
        return np.asarray(rows.y)
    known = {label_name(value): value for value in np.asarray(estimator.classes_).tolist()}
    names = rows.classes or tuple(str(i) for i in range(int(rows.y.max()) + 1))
    if sorted(names[i] for i in np.unique(rows.y)) != sorted(known):
        return None

    return np.array([known[names[i]] for i in rows.y])


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
