"""
Which end of an edge is the parent.

A forest of nearness has no direction. Each edge gets odds from what is known of its ends; the root of a tree is drawn
from all of its edges' odds together, since with a root every edge points away from it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from probe_match.fingerprinting.records import UNANSWERED, About

from .members import Family

STATED: Final = 20.0  # nats for a parent that a reference states
REFERENCE: Final = 6.0  # the database is believed: its sources against suspects and derived references
COARSE: Final = 3.0  # rounding loses what nobody can put back
OLDER: Final = 1.0  # dates are often those of enrolment
SOUND: Final = 0.65  # share of disputed probes on which the parent says what most honest models say
MOST_DISPUTED: Final = 3.0
PLAIN: Final = 3  # decimals at which scores count as rounded


def odds(family: Family, edges: np.ndarray) -> np.ndarray:
    """For every edge (i, j), the log-odds that i is the parent; float64 (e,), nats."""
    labels = family.models.labels
    crowd = _crowd(family)
    coarse = _coarse(family)
    out = stated_odds(family.models.names, family.abouts, family.original, edges)
    for e, (i, j) in enumerate(edges):
        out[e] += COARSE * (float(coarse[j]) - float(coarse[i]))
        if crowd is not None:
            disputed = (labels[i] != labels[j]) & (labels[i] != UNANSWERED) & (labels[j] != UNANSWERED)
            more = int((disputed & (labels[i] == crowd)).sum()) - int((disputed & (labels[j] == crowd)).sum())
            out[e] += np.clip(more * np.log(SOUND / (1 - SOUND)), -MOST_DISPUTED, MOST_DISPUTED)

    return out


def stated_odds(names: Sequence[str], abouts: Sequence[About], original: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """As `odds`, by what the database says alone; float64 (e,), nats. original: bool (m,), see `members.originals`."""
    out = np.zeros(len(edges))
    for e, (i, j) in enumerate(edges):
        a, b = abouts[i], abouts[j]
        out[e] += STATED * (float(b.parent == names[i]) - float(a.parent == names[j]))
        out[e] += REFERENCE * (float(original[i]) - float(original[j]))
        if a.date and b.date:
            out[e] += OLDER * (float(a.date < b.date) - float(b.date < a.date))

    return out


def parents(m: int, edges: np.ndarray, odds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Every model's parent, int (m,), -1 for roots, and how surely the edge to it points that way, float (m,), 0.5 to 1.
    """
    neighbours: list[list[tuple[int, float]]] = [[] for _ in range(m)]
    for (i, j), log_odds in zip(edges.tolist(), odds.tolist(), strict=True):
        neighbours[i].append((j, log_odds))
        neighbours[j].append((i, -log_odds))
    parent, sure = np.full(m, -1), np.ones(m)
    seen = np.zeros(m, bool)
    for start in range(m):
        if seen[start]:
            continue
        order, above, weight = _walk(start, neighbours)
        seen[order] = True
        chance = np.exp(weight - weight.max())
        chance /= chance.sum()
        root = order[int(chance.argmax())]
        below = dict(zip(order, chance.tolist(), strict=True))  # chance that the root lies below, from `start`
        for node in reversed(order):
            if above[node] >= 0:
                below[above[node]] += below[node]
        again, over, _ = _walk(root, neighbours)
        for node in again[1:]:
            up = over[node]
            # From `start` the edge has one end below the other; the root's side of it is where the parent is.
            parent[node] = up
            sure[node] = 1 - below[node] if above[node] == up else below[up]

    return parent, sure


def _walk(start: int, neighbours: list[list[tuple[int, float]]]) -> tuple[list[int], dict[int, int], np.ndarray]:
    """A tree's nodes from one of them on, what each hangs on, and the log-weight of each as the root."""
    order, above, weight = [start], {start: -1}, {start: 0.0}
    for node in order:
        for other, log_odds in neighbours[node]:
            if other not in above:
                above[other] = node
                weight[other] = weight[node] - log_odds  # moving the root across turns this one edge
                order.append(other)

    return order, above, np.array([weight[node] for node in order])


def _crowd(family: Family) -> np.ndarray | None:
    """What most honest models say to each probe; int (n,), None of regressors."""
    if family.number or len(family.honest) == 0:
        return None
    labels = family.honest.labels
    k = int(labels.max()) + 1
    return np.stack([(labels == label).sum(0) for label in range(k)]).argmax(0)


def _coarse(family: Family) -> np.ndarray:
    """Models whose scores are rounded, none-or-all ones included; bool (m,)."""
    scores = family.models.scores
    if scores is None:
        return np.zeros(len(family.models), bool)
    given = np.nan_to_num(scores.astype(np.float64))
    return np.asarray(np.abs(given - np.round(given, PLAIN)).reshape(len(given), -1).max(1) < 1e-6)
