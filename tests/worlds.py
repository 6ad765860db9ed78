"""
A world in which models are owned, stolen and honestly made: noisy, so that every model has errors of its own.

An owner trains a forest on one half of the data; thieves ask it about the other half, which is in its log; honest
models are trained on true labels of either half. Everything is made once, when it is first asked for.
"""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
from probe_match.clients import function, sklearn
from probe_match.fingerprinting import registry
from probe_match.fingerprinting.enrolment import Enrolled, enroll, enroll_answers
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.records import About, Pool, ProbeSuite
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

FEATURES: Final = 16
CLASSES: Final = 6
OWNED: Final = slice(0, 500)  # the owner's half
ASKED: Final = slice(500, 1000)  # the half that thieves have
FRESH: Final = slice(1000, 1200)  # what nobody was trained on
Answer = Callable[[np.ndarray], np.ndarray]


@cache
def data() -> tuple[np.ndarray, np.ndarray]:
    """float32 (1200, features) and int64 (1200,)."""
    x, y = make_classification(
        1200, FEATURES, n_informative=14, n_redundant=2, n_classes=CLASSES, flip_y=0.05, random_state=0
    )
    return x.astype(np.float32), y.astype(np.int64)


@cache
def pool() -> Pool:
    """The owner's half, labelled."""
    x, y = data()
    return make_pool(x[OWNED], y[OWNED])


@cache
def source(seed: int = 1) -> Any:
    """A model that somebody owns."""
    return forest(seed).fit(data()[0][OWNED], data()[1][OWNED])


def forest(seed: int) -> Any:
    """Unfitted, as the owner's."""
    return RandomForestClassifier(40, random_state=seed)


def network(seed: int) -> Any:
    """Unfitted, of another class than the owner's."""
    return MLPClassifier((64,), max_iter=200, random_state=seed)


@cache
def copies(seed: int = 1) -> dict[str, Any]:
    """Thieves: other model classes trained on a source's answers to the half they have."""
    x = data()[0][ASKED]
    stolen = source(seed).predict(x)
    trees = ExtraTreesClassifier(30, min_samples_leaf=2, random_state=5)
    return {"trees": trees.fit(x, stolen), "network": fitted(network(2), x, stolen)}


@cache
def honest() -> dict[str, Any]:
    """Models of nobody's: the same data under another seed, and other data."""
    x, y = data()
    made = {}
    for seed in (10, 11):
        made[f"same data, forest {seed}"] = fitted(forest(seed), x[OWNED], y[OWNED])
        made[f"same data, network {seed}"] = fitted(network(seed), x[OWNED], y[OWNED])
        made[f"other data, forest {seed}"] = fitted(forest(seed), x[ASKED], y[ASKED])
        made[f"other data, network {seed}"] = fitted(network(seed), x[ASKED], y[ASKED])
    return made


def fitted(model: Any, x: np.ndarray, y: np.ndarray) -> Any:
    """The model, fitted; one that has not converged is a model still."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)


def generators() -> dict[str, Any]:
    """One that every source answers."""
    return {"midpoints": registry.load("probes", "midpoints").generate}


def client(answer: Answer, name: str = "model") -> function.FunctionClient:
    """A callable that says what inputs it takes."""
    return function.wrap(answer, name=name, shape=(FEATURES,))


class Counting:
    """A callable that counts the rows it is asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.rows = 0

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """The answers."""
        self.rows += len(inputs)
        return self.answer(inputs)


@cache
def public() -> ProbeSuite:
    """The suite that references share: fresh rows, on which models trained on the same data differ, too."""
    x, y = data()
    fresh = make_pool(x[FRESH], y[FRESH])
    return enroll_answers(client(source(0).predict), fresh, name="s0", about=About(), public=None).public


@cache
def enrolled(seed: int = 1, peers: int = 48, shadows: int = 8) -> Enrolled:
    """The source of that seed as reference `s<seed>`, enrolled by its owner, with the log of what thieves asked it."""
    return enroll(
        sklearn.wrap(source(seed)),
        pool(),
        name=f"s{seed}",
        about=About(),
        generators=generators(),
        log=data()[0][ASKED],
        public=None if seed == 0 else public(),
        peers=peers,
        shadows=shadows,
    )
