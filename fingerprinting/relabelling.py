"""
Labels as somebody else's collection of the same task would have them, for peers that stand in for strangers.

The wrong and doubtful labels of other people's data lie elsewhere. Peers that all learn one pool are misled by the same
of its rows; a stranger is not, and agrees there with the source as copies do. So some peers learn labels drawn anew,
from what models say of a row that they were not shown: the parametric bootstrap (Efron and Tibshirani 1993, section
6.5) with cross-fitted probabilities.
"""

from typing import Final

import numpy as np
from joblib import delayed
from scipy.optimize import minimize_scalar

from . import backends, learners
from .joining import rows_of, together
from .plans import Inputs
from .records import InputSpec, Pool
from .wording import Wording

FOLDS: Final = 4
FLOOR: Final = 1e-4  # no label is impossible
POWERS: Final = (0.25, 8.0)  # within which the probabilities are sharpened or flattened


def chances(train: Pool, held: Pool, k: int, seed: int, *, jobs: int = 1) -> np.ndarray | None:
    """
    How likely each label is in each row, by models of several classes fitted to other rows; float64 (n, k), the rows of
    train and then of held.

    Sharpened or flattened by the one power under which the given labels are likeliest. k: classes. jobs: processes.
    None where no two classes have two rows each, and for images that networks learn, which would cost as much as the
    peers.
    """
    assert train.y is not None
    assert held.y is not None
    x, y = together([train.x, held.x]), np.concatenate([train.y, held.y])
    if learners.image_networks(train.spec) or (np.bincount(y) > 1).sum() < 2:
        return None
    n = len(y)
    fold = np.empty(n, int)
    by_class = np.lexsort((np.random.default_rng([seed, 3]).random(n), y))
    fold[by_class] = np.arange(n) % FOLDS  # so that every fold has its share of each class
    names = learners.names(train.spec, k, len(train))
    wording = None if isinstance(x, np.ndarray) else learners.counted(x, names)
    work = [
        delayed(_unseen)(name, train.spec, x, y, fold == part, k, seed + part, wording)
        for part in range(FOLDS)
        for name in names
    ]
    total = np.zeros((n, k))
    for i, scores in enumerate(backends.run(work, jobs, shared=[x], short=True)):
        total[fold == i // len(names)] += scores
    found = np.maximum(total / len(names), FLOOR)
    best = minimize_scalar(lambda power: -np.log(_sharpened(found, power)[np.arange(n), y]).mean(), bounds=POWERS)

    return _sharpened(found, float(best.x))


def drawn(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One label a row, by its chances, float (m, k); int64 (m,)."""
    return np.asarray((chances.cumsum(1) >= rng.random((len(chances), 1))).argmax(1), np.int64)


def _unseen(
    name: str, spec: InputSpec, x: Inputs, y: np.ndarray, asked: np.ndarray, k: int, seed: int, wording: Wording | None
) -> np.ndarray:
    taught, others = (rows_of(x, np.flatnonzero(rows)) for rows in (~asked, asked))
    return learners.train(name, spec, taught, y[~asked], k, seed, wording=wording)(others)[1].astype(float)


def _sharpened(chances: np.ndarray, power: float) -> np.ndarray:
    raised = chances**power
    return np.asarray(raised / raised.sum(1, keepdims=True))
