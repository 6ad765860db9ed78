"""
Which candidate probes to keep: those that tell a derived model from an honest peer, and not the same thing twice.

A probe is worth the Kullback-Leibler divergence between "derived" and "peer" of whether the source's label comes back;
greedy selection discounts probes whose outcomes over the known models correlate with one already taken.
"""

import numpy as np

from .likelihood import estimate_rates

REDUNDANCY = 0.5  # a probe that repeats another's outcome exactly keeps half its worth


def worth(source: np.ndarray, peers: np.ndarray, shadows: np.ndarray, k: int) -> np.ndarray:
    """Divergence in nats per candidate; float64 (n,). source: int (n,), peers: int (m, n), shadows: int (s, n)."""
    rates = estimate_rates(source, peers, shadows, k)
    p0 = rates.frequency[np.arange(len(source)), source]
    p1 = rates.retention + (1 - rates.retention) * p0

    return np.asarray(p1 * np.log(p1 / p0) + (1 - p1) * np.log((1 - p1) / (1 - p0)))


def choose(source: np.ndarray, peers: np.ndarray, shadows: np.ndarray, k: int, n: int) -> np.ndarray:
    """At most n candidates, most telling first; int (n,)."""
    value = worth(source, peers, shadows, k)
    order = np.argsort(-value, kind="stable")[: 8 * n]
    outcome = np.concatenate([shadows == source, peers == source])[:, order].astype(float)
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


def spread(panel: np.ndarray, n: int) -> np.ndarray:
    """
    At most n candidates on which the given models (int (m, candidates)) differ most from each other; int (n,).

    For a suite that many references share: the entropy of the labels, diversified the same way.
    """
    k = int(panel.max()) + 1
    share = np.stack([(panel == label).mean(0) for label in range(k)], 1)
    entropy = -(share * np.log(np.maximum(share, 1e-12))).sum(1)
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
