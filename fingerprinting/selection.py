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
TURNS = 4  # one probe in so many is chosen against changed weights
ORIGIN_STRENGTH = 2.0  # what is usual for candidates of one origin counts as so many peers
FEW_EXTRACTED = 4  # below this many shadows trained on the source's answers, all shadows count


def worth(source: np.ndarray, panel: Panel, k: int) -> np.ndarray:
    """
    Divergence in nats per candidate; float64 (n,). source: int (n,), what it answers. panel: over the same candidates;
    peers that calibrate do not count.
    """
    return divergences(source, panel, k)[-1]


def divergences(source: np.ndarray, panel: Panel, k: int, origins: np.ndarray | None = None) -> np.ndarray:
    """
    Divergence in nats per kind of theft and candidate; float64 (kinds, n). Arguments as for `choose`.

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
    if origins is not None:
        retention = np.stack([_retained(labels[kind] == source, overall, origins) for kind in kinds])
    else:
        retention = np.stack([of_kind.retention for of_kind in rates])
    overall = _as_usual(overall, len(peers), origins)
    p0 = overall.copy()
    families = np.array([panel.family(i) for i in peers])
    for family in np.unique(families):
        own = labels[peers[families == family]] == source
        p0 = np.maximum(p0, (own.sum(0) + FAMILY_STRENGTH * overall) / (len(own) + FAMILY_STRENGTH))
    p1 = retention + (1 - retention) * p0

    return np.asarray(p1 * np.log(p1 / p0) + (1 - p1) * np.log((1 - p1) / (1 - p0)))


def choose(source: np.ndarray, panel: Panel, k: int, n: int, origins: np.ndarray | None = None) -> np.ndarray:
    """
    At most n candidates, most telling first; int (n,). Arguments as for `worth`.

    origins: str (n,), how each candidate was made, or None. Every TURNS-th probe is the best one against changed
    weights, the others are those against extraction, which is harder to see.
    """
    value = divergences(source, panel, k, origins)
    order = np.unique(np.argsort(-value, axis=1, kind="stable")[:, : 16 * n])
    value = value[:, order]
    known = np.concatenate([panel.rows("shadow"), panel.rows("peer", "select", "estimate")])
    outcome = (panel.labels[known][:, order] == source[order]).astype(float)
    outcome -= outcome.mean(0)
    outcome /= np.linalg.norm(outcome, axis=0) + 1e-9

    taken: list[int] = []
    overlap = np.zeros(len(order))
    while len(taken) < min(n, len(order)):
        against = value[0 if len(taken) % TURNS == 1 else -1]
        gain = against * (1 - REDUNDANCY * overlap)
        gain[taken] = -np.inf
        taken.append(int(gain.argmax()))
        overlap = np.maximum(overlap, np.abs(outcome.T @ outcome[:, taken[-1]]))

    return np.asarray(order[taken])


def _retained(same: np.ndarray, chance: np.ndarray, origins: np.ndarray) -> np.ndarray:
    """Retention drawn towards what is usual for candidates of that origin, as in `estimate_rates`; float64 (n,)."""
    agree = _as_usual(same.mean(0), len(same), origins)
    return np.asarray(np.clip((agree - chance) / (1 - chance), 0.03, 0.97))


def _as_usual(rate: np.ndarray, peers: int, origins: np.ndarray | None) -> np.ndarray:
    """
    The peers' rates drawn towards what is usual for candidates of that origin; float64 (n,).

    Among thousands of rows that most honest models answer alike, the few on which no peer agrees with the source are so
    by luck; a point on the source's own boundary is not.
    """
    if origins is None:
        return rate
    usual = np.zeros(len(rate))
    for origin in np.unique(origins):
        usual[origins == origin] = rate[origins == origin].mean()

    return np.asarray((peers * rate + ORIGIN_STRENGTH * usual) / (peers + ORIGIN_STRENGTH))


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
