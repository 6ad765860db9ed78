"""
Second parents: models that were merged of two, or that two models taught.

Where a model departs from its first parent, and descends from that alone, it says the other's answer no more often than
honest models do that depart from it there.
"""

from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.calibration import corrected
from probe_match.fingerprinting.records import UNANSWERED

from .members import Family
from .trees import Forest

ALPHA: Final = 0.01
DISPUTED: Final = 5  # fewest probes on which a model must depart from its first parent


class Mix(NamedTuple):
    """child descends from `parent`, too; p: chance that honest models agree with that one as often, corrected."""

    child: int
    parent: int
    p: float


def second_parents(family: Family, forest: Forest, parent: np.ndarray) -> list[Mix]:
    """The second parents of a forest. parent: int (m,), -1 for roots. Of regressors none is looked for."""
    if family.number or len(family.honest) == 0:
        return []
    labels, honest = family.models.labels, family.honest.labels
    root = _roots(parent)
    found = []
    for child in np.flatnonzero(parent >= 0):
        first = labels[parent[child]]
        others = np.flatnonzero((forest.p[child] < ALPHA) & (root != root[child]))
        best = None
        for other in others:
            both = (labels[child] != first) & (labels[child] != UNANSWERED)
            both &= (labels[other] != UNANSWERED) & (first != UNANSWERED)
            if both.sum() < DISPUTED:
                continue
            departed = honest[:, both] != first[both]
            alike = departed & (honest[:, both] == labels[other][both])
            chance = np.where(labels[other] == first, 0.0, 1.0)[both] * (alike.sum(0) + 1) / (departed.sum(0) + 2)
            p = corrected(tail(chance, int((labels[child] == labels[other])[both].sum())), len(others))
            if p < ALPHA and (best is None or p < best.p):
                best = Mix(int(child), int(other), p)
        if best is not None:
            found.append(best)

    return found


def tail(chance: np.ndarray, hits: int) -> float:
    """P(at least `hits` of independent events happen), given the chance of each; exact."""
    of = np.ones(1)
    for p in chance:
        of = np.append(of, 0.0) * (1 - p) + np.insert(of, 0, 0.0) * p

    return float(min(1.0, of[hits:].sum()))


def _roots(parent: np.ndarray) -> np.ndarray:
    """The root above every model; int (m,)."""
    root = np.arange(len(parent))
    for _ in range(len(parent)):
        up = np.where(parent[root] >= 0, parent[root], root)
        if (up == root).all():
            break
        root = up

    return root
