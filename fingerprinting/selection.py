"""
Which candidate probes to keep: those that tell a derived model from an honest peer, and not the same thing twice.

A probe is worth the Kullback-Leibler divergence between "derived" and "peer" of whether the source's label comes back.
Peers count by their model class, the one that agrees with the source most: a suspect may be of any. Of the shadows,
those trained on the source's answers count, as copies of its weights repeat its answers anyway. Greedy selection
discounts probes whose outcomes over the known models correlate with one already taken.
"""

import numpy as np

from .likelihood import estimate_rates
from .records import Panel

REDUNDANCY = 0.8  # a probe that repeats another's outcome exactly keeps a fifth of its worth
FAMILY_STRENGTH = 4.0  # peers of a class are few: the rate of all peers counts as that many more
FEW_EXTRACTED = 4  # below this many shadows trained on the source's answers, all shadows count


def worth(source: np.ndarray, panel: Panel, k: int) -> np.ndarray:
    """
    Divergence in nats per candidate; float64 (n,). source: int (n,), what it answers. panel: over the same candidates;
    peers that calibrate do not count.
    """
    labels = panel.labels.astype(int)
    peers, shadows = panel.rows("peer", "select", "estimate"), panel.rows("shadow")
    extracted = shadows[[bool(panel.family(i)) for i in shadows]]
    rates = estimate_rates(source, labels[peers], labels[extracted if len(extracted) >= FEW_EXTRACTED else shadows], k)
    overall = rates.frequency[np.arange(len(source)), source]
    p0 = overall.copy()
    families = np.array([panel.family(i) for i in peers])
    for family in np.unique(families):
        own = labels[peers[families == family]] == source
        p0 = np.maximum(p0, (own.sum(0) + FAMILY_STRENGTH * overall) / (len(own) + FAMILY_STRENGTH))
    p1 = rates.retention + (1 - rates.retention) * p0

    return np.asarray(p1 * np.log(p1 / p0) + (1 - p1) * np.log((1 - p1) / (1 - p0)))


def choose(source: np.ndarray, panel: Panel, k: int, n: int) -> np.ndarray:
    """At most n candidates, most telling first; int (n,). Arguments as for `worth`."""
    value = worth(source, panel, k)
    order = np.argsort(-value, kind="stable")[: 16 * n]
    known = np.concatenate([panel.rows("shadow"), panel.rows("peer", "select", "estimate")])
    outcome = (panel.labels[known][:, order] == source[order]).astype(float)
    outcome -= outcome.mean(0)
    outcome /= np.linalg.norm(outcome, axis=0) + 1e-9

    taken = [0]
    overlap = np.abs(outcome.T @ outcome[:, 0])
    while len(taken) < min(n, len(order)):
        gain = value[order] * (1 - REDUNDANCY * overlap)
        gain[taken] = -np.inf
        taken.append(int(gain.argmax()))
        overlap = np.maximum(overlap, np.abs(outcome.T @ outcome[:, taken[-1]]))

    return order[taken]


def most_divided(panel: np.ndarray, n: int) -> np.ndarray:
    """At most n candidates on which the given models (int (m, candidates)) disagree most, by entropy; int (n,)."""
    return np.argsort(-_entropy(panel), kind="stable")[:n]


def spread(panel: np.ndarray, n: int) -> np.ndarray:
    """
    At most n candidates on which the given models (int (m, candidates)) differ most from each other; int (n,).

    For a suite that many references share: the entropy of the labels, diversified the same way.
    """
    entropy = _entropy(panel)
    order = np.argsort(-entropy, kind="stable")[: 8 * n]
    picked = panel[:, order]
    taken = [0]
    overlap = np.zeros(len(order))
    while len(taken) < min(n, len(order)):
        overlap = np.maximum(overlap, (picked == picked[:, [taken[-1]]]).mean(0) * REDUNDANCY)
        gain = entropy[order] * (1 - overlap)
        gain[taken] = -np.inf
        taken.append(int(gain.argmax()))

    return order[taken]


def _entropy(panel: np.ndarray) -> np.ndarray:
    share = np.stack([(panel == label).mean(0) for label in range(int(panel.max()) + 1)], 1)
    return np.asarray(-(share * np.log(np.maximum(share, 1e-12))).sum(1))
