"""
What is made of a source: its own file behind an endpoint, changed copies, and models trained on its answers.

Each function lists attacks by name; nothing is trained before an attack's maker is called, with a seed and an empty
graph.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import onnx_graphs as graphs
import tabular_attacks as attacks
from tabular_tasks import Task, fit

TEMPERATURE: Final = 3.0
NOISE: Final = 0.1  # of each feature's standard deviation
FLIPPED: Final = 0.1  # of a thief's labels

Maker = Callable[[int, graphs.Graph], str]  # from a seed and an empty graph to the name of the answers
Attack = tuple[str, str, Maker]  # name, the thief's learner or "", what makes it


class Asked:
    """A source as its thief sees it. probabilities of a kernel machine: the softmax of its decision values."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def labels(self, x: np.ndarray) -> np.ndarray:
        """Labels int (n,), or values float (n,)."""
        return np.asarray(self.model.predict(x))

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Probabilities float (n, k)."""
        if hasattr(self.model, "predict_proba"):
            return np.asarray(self.model.predict_proba(x))
        values = self.model.decision_function(x)
        values = np.stack([0 * values, values], 1) if values.ndim == 1 else values
        powers = np.exp(values - values.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True))


def endpoints(task: Task, source: Any) -> list[Attack]:
    """The source's own file behind an endpoint that changes inputs or answers."""
    k = task.classes
    unit = 1.0 if k else float(task.owner[1].std())  # a regressor's decimals are of its values' spread

    def behind(change: Callable[[graphs.Graph, str], str]) -> Maker:
        return lambda seed, graph: change(graph, graphs.answer(graph, source, k))

    made: list[Attack] = [
        ("copy", "", behind(lambda graph, answers: answers)),
        ("round-1", "", behind(lambda graph, answers: graphs.rounded(graph, answers, unit / 10))),
        ("round-2", "", behind(lambda graph, answers: graphs.rounded(graph, answers, unit / 100))),
        ("input-noise", "", lambda seed, g: graphs.answer(g, source, k, graphs.noisy(g, NOISE * task.sd, seed))),
    ]
    if k:
        made.append(("temperature", "", behind(lambda graph, answers: graphs.tempered(graph, answers, TEMPERATURE))))
    else:
        made.append(("affine", "", behind(lambda graph, answers: graphs.affine(graph, answers, 0.9, 0.2 * unit))))
    return made


def altered(task: Task, source: Any, learner: str, x: np.ndarray, y: np.ndarray, own: int) -> Iterator[Attack]:
    """Copies whose training went on or whose weights were changed. x, y, own: the source's training rows and seed."""
    half = len(task.thief[0]) // 2
    more = [np.concatenate([mine, theirs[:half]]) for mine, theirs in zip((x, y), task.thief, strict=True)]

    def changed(make: Callable[[int], Any]) -> Maker:
        return lambda seed, graph: graphs.answer(graph, make(seed), task.classes)

    yield "refit", "", changed(lambda seed: fit(learner, *more, own))
    if learner != "kernel" and not (learner == "linear" and task.classes == 0):
        yield "warm-start", "", changed(lambda seed: attacks.continued(source, *task.thief, seed))
    if learner != "kernel":  # without its vectors of least weight it is no model any more: its offset no longer fits
        yield "prune-30", "", changed(lambda seed: attacks.pruned(source, 0.3, seed))
        yield "prune-60", "", changed(lambda seed: attacks.pruned(source, 0.6, seed))
    if learner in ("forest", "trees", "boosting"):
        yield "prune-leaves", "", changed(lambda seed: attacks.collapsed(source, 0.6))
    yield "quantise-8bit", "", changed(lambda seed: attacks.quantised(source, 256))
    yield "quantise-2bit", "", changed(lambda seed: attacks.quantised(source, 4))


def extracted(task: Task, source: Asked, number: int) -> Iterator[Attack]:
    """Thieves who ask a classifier about their own inputs and train on what it says."""
    x, k = task.thief[0], task.classes

    def on(ask: Callable[[int], Any], learner: str, soft: bool = False) -> Maker:
        def make(seed: int, graph: graphs.Graph) -> str:
            answers = graphs.answer(graph, fit(learner, *ask(seed), seed, soft=soft), k)
            return graphs.normalised(graph, answers) if soft else answers

        return make

    def flipped(seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        labels = source.labels(x)
        moved = (labels + rng.integers(1, k, len(x))) % k
        return x, np.where(rng.random(len(x)) < FLIPPED, moved, labels)

    def boundary(seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        labels = source.labels(x)
        a, b = rng.integers(len(x), size=(2, 20 * len(x)))
        apart = np.flatnonzero(labels[a] != labels[b])[: len(x) // 2]
        between = (x[a[apart]] + x[b[apart]]) / 2
        queries = np.concatenate([between, x[rng.permutation(len(x))[: len(x) // 2]]]).astype(np.float32)
        return queries, source.labels(queries)

    def plain(seed: int) -> tuple[np.ndarray, np.ndarray]:
        return x, source.labels(x)

    def soft(seed: int) -> tuple[np.ndarray, np.ndarray]:
        return x, source.scores(x)

    def together(seed: int, graph: graphs.Graph) -> str:
        return graphs.mean(graph, [on(plain, learner)(seed, graph) for learner in ("trees", "network")])

    for learner in ("forest", ("boosting", "trees")[number], "network", ("linear", "kernel")[number]):
        yield "extract-label", learner, on(plain, learner)
    for learner in (("forest", "trees")[number], ("network", "linear")[number]):
        yield "extract-prob", learner, on(soft, learner, soft=True)
    for learner in (("trees", "forest")[number], "network"):
        yield "extract-flip", learner, on(flipped, learner)
    for learner in (("forest", "trees")[number], ("network", "kernel")[number]):
        yield "extract-boundary", learner, on(boundary, learner)
    yield "ensemble", "", together


def distilled(task: Task, source: Asked, number: int) -> Iterator[Attack]:
    """Thieves who train on a regressor's answers to their own inputs, as they are or with noise on them."""
    x = task.thief[0]

    def on(noise: float, learner: str) -> Maker:
        def make(seed: int, graph: graphs.Graph) -> str:
            y = source.labels(x)
            y = y + noise * y.std() * np.random.default_rng(seed).normal(size=len(y))
            return graphs.answer(graph, fit(learner, x, y, seed), 0)

        return make

    def together(seed: int, graph: graphs.Graph) -> str:
        return graphs.mean(graph, [on(0, learner)(seed, graph) for learner in ("trees", "network")])

    for learner in ("forest", ("boosting", "trees")[number], "network", ("linear", "kernel")[number]):
        yield "distil", learner, on(0, learner)
    for learner in (("trees", "forest")[number], "network"):
        yield "distil-noise", learner, on(0.3, learner)
    yield "ensemble", "", together
