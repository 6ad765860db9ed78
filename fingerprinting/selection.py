"""
Which candidate probes to keep: those that tell a derived model from an honest peer, and not the same thing twice.

A probe is worth the Kullback-Leibler divergence between "derived" and "peer" of whether the source's label comes back.
Peers count by their model class, the one that agrees with the source most: a suspect may be of any. Shadows count by
the kind of theft, changed weights or extraction: those keep boundaries which these do not. Greedy selection discounts
probes whose outcomes over the known models correlate with one already taken.
"""

import numpy as np

from .likelihood import estimate_rates
from .records import Panel

REDUNDANCY = 0.8  # a probe that repeats another's outcome exactly keeps a fifth of its worth
FAMILY_STRENGTH = 8.0  # peers of a class are few: the rate of all peers counts as that many more
FEW_OF_A_KIND = 3  # changed copies, below which they do not count by themselves
ENOUGH_TOLD = 2.0  # nats; so much ahead, a kind of theft is nearly left out of account until the others catch up
FEW_EXTRACTED = 4  # below this many shadows trained on the source's answers, all shadows count


def worth(source: np.ndarray, panel: Panel, k: int) -> np.ndarray:
    """
    Divergence in nats per candidate; float64 (n,). source: int (n,), what it answers. panel: over the same candidates;
    peers that calibrate do not count.
    """
    return divergences(source, panel, k)[-1]


def divergences(source: np.ndarray, panel: Panel, k: int) -> np.ndarray:
    """
    Divergence in nats per kind of theft and candidate; float64 (kinds, n). Arguments as for `worth`.

    Kinds are changed weights and extraction, where there are enough shadows of both, else all together.
    """
    labels = panel.labels.astype(int)
    peers, shadows = panel.rows("peer", "select", "estimate"), panel.rows("shadow")
    extracted = np.array([bool(panel.family(i)) for i in shadows], bool)
    kinds = [shadows[~extracted], shadows[extracted]]
    if len(kinds[0]) < FEW_OF_A_KIND:
        kinds = kinds[1:]
    if len(kinds[-1]) < FEW_EXTRACTED:
        kinds = [shadows]
    rates = [estimate_rates(source, labels[peers], labels[kind], k) for kind in kinds]
    overall = rates[0].frequency[np.arange(len(source)), source]
    p0 = overall.copy()
    families = np.array([panel.family(i) for i in peers])
    for family in np.unique(families):
        own = labels[peers[families == family]] == source
        p0 = np.maximum(p0, (own.sum(0) + FAMILY_STRENGTH * overall) / (len(own) + FAMILY_STRENGTH))
    retention = np.stack([of_kind.retention for of_kind in rates])
    p1 = retention + (1 - retention) * p0

    return np.asarray(p1 * np.log(p1 / p0) + (1 - p1) * np.log((1 - p1) / (1 - p0)))


def choose(source: np.ndarray, panel: Panel, k: int, n: int) -> np.ndarray:
    """
    At most n candidates, most telling first; int (n,). Arguments as for `worth`.

    The next probe is the one that most lowers what is left to be told of each kind of theft, so that the first few
    cover all kinds.
    """
    value = divergences(source, panel, k)
    best = np.argsort(-value, axis=1, kind="stable")[:, : 16 * n // len(value)]
    order = np.unique(best)
    value = value[:, order]
    known = np.concatenate([panel.rows("shadow"), panel.rows("peer", "select", "estimate")])
    outcome = (panel.labels[known][:, order] == source[order]).astype(float)
    outcome -= outcome.mean(0)
    outcome /= np.linalg.norm(outcome, axis=0) + 1e-9

    taken: list[int] = []
    overlap = np.zeros(len(order))
    told = np.zeros(len(value))
    while len(taken) < min(n, len(order)):
        left = np.exp(-(told - told.min()) / ENOUGH_TOLD)
        new = (1 - REDUNDANCY * overlap) * value
        gain = left @ -np.expm1(-new / ENOUGH_TOLD)
        gain[taken] = -np.inf
        taken.append(int(gain.argmax()))
        told += new[:, taken[-1]]
        overlap = np.maximum(overlap, np.abs(outcome.T @ outcome[:, taken[-1]]))

    return np.asarray(order[taken])


def spread(panel: np.ndarray, n: int) -> np.ndarray:
    """
    At most n candidates on which the given models (int (m, candidates)) differ most from each other; int (n,).

    For a suite that many references share: the entropy of the labels, diversified the same way.
    """
    share = np.stack([(panel == label).mean(0) for label in range(int(panel.max()) + 1)], 1)
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
