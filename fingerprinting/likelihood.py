"""
How likely a suspect's labels are if it derives from the source, and if it is an honest peer.

Per probe, a derived model repeats the source's label with a probability (its retention), else it answers as a peer
would; a peer answers from the peers' label frequencies; a model ruined by pruning or noise sometimes answers anything.
Retention and soundness differ from suspect to suspect, so both worlds are mixtures over one grid of (retention shift,
soundness), with weights learnt from shadows and from peers. One suspect's answers are thus correlated, as they are in
reality, and the ratio of the two mixtures is an e-process against the population of peers.

What is retained depends on the theft: copies of the weights keep the source's boundaries, which models trained on its
answers do not. So shadows of each kind have a retention of their own, and the grid has the kind as a third axis.
"""

from typing import Final, NamedTuple

import numpy as np
from scipy.special import expit, logsumexp

from .records import UNANSWERED

# Shifts of the retention's logit; the first is "retains nothing", as a peer that owes the source nothing.
SHIFTS: Final = np.array([-np.inf, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0])
# Soundness: the share of not retained answers that follow the peers rather than a random class.
SOUNDNESS: Final = np.array([1.0, 0.95, 0.85, 0.7, 0.5, 0.2])
# Prior weights of the shifts, in pseudo-models: most peers retain nothing; a derived model retains anything from -3 up.
PEER_PRIOR: Final = np.array([6.0, 2.0, 1.0, 0.5, 0.2, 0.0, 0.0, 0.0, 0.0])
DERIVED_PRIOR: Final = np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
PRIOR_STRENGTH: Final = 3.0
# Share of the derived mixture that stays at the prior: thieves need not resemble the shadows.
OPEN_SHARE: Final = 0.3
FEW_OF_A_KIND: Final = 3  # fewer shadows of a kind show no retention of their own


class Rates(NamedTuple):
    """frequency: float64 (n, k), how often peers give each label. retention: float64 (n,), in (0, 1)."""

    frequency: np.ndarray
    retention: np.ndarray


class Mixtures(NamedTuple):
    """
    rates of all shadows together, and the weights of the grid for peers and for derived models: float64 (grid,).

    kinds: the rates of each kind of shadow, at least one; the grid is kinds * shifts * soundness.
    """

    rates: Rates
    peer: np.ndarray
    derived: np.ndarray
    kinds: tuple[Rates, ...]


class Ratios(NamedTuple):
    """
    Logarithms of likelihood ratios of m models, nats. cumulative: float64 (m, n), after each probe.

    typical: float64 (m,), of the likelihoods of a typical probe, their geometric mean over those answered. The answers
    of one model hang together in more ways than a point of the grid knows, so that their product claims more than n
    probes can show and, the more of them there are, goes by whichever point fits best; the root does not (a generalised
    posterior of learning rate 1/n; Grünwald and van Ommen 2017). It ranks suspects, and claims nothing by its size.
    """

    cumulative: np.ndarray
    typical: np.ndarray


def estimate_rates(source: np.ndarray, peers: np.ndarray, shadows: np.ndarray, k: int) -> Rates:
    """
    Shrunk label frequencies and retention.

    source: int (n,). peers: int (m, n). shadows: int (s, n). Frequencies are shrunk towards the overall mix of labels
    with the weight of two peers, retention towards its mean over the probes with the weight of three shadows.
    """
    counts = np.stack([(peers == label).sum(0) for label in range(k)], 1).astype(float)
    overall = 0.5 / k + 0.5 * (counts.mean(0) / len(peers) if len(peers) else 1 / k)
    frequency = (counts + 2 * overall) / (counts.sum(1, keepdims=True) + 2)
    same = shadows == source
    agree = (same.sum(0) + 3 * (same.mean() if same.size else 0.7)) / (len(shadows) + 3)
    chance = frequency[np.arange(len(source)), source]

    return Rates(frequency, np.clip((agree - chance) / (1 - chance), 0.03, 0.97))


def log_likelihoods(labels: np.ndarray, source: np.ndarray, rates: Rates) -> np.ndarray:
    """
    Log-likelihood of each model's labels at each point of the grid; unanswered probes say nothing.

    labels: int (m, n). returns: float64 (m, n, shifts * soundness).
    """
    n, k = rates.frequency.shape
    with np.errstate(divide="ignore"):
        logit = np.log(rates.retention) - np.log1p(-rates.retention)
    retained = expit(logit[:, None] + SHIFTS)  # (n, shifts)
    known = (labels >= 0) & (labels < k)
    frequency = np.where(known, rates.frequency[np.arange(n), np.where(known, labels, 0)], 1 / (10 * k))
    otherwise = SOUNDNESS * frequency[..., None] + (1 - SOUNDNESS) / k  # (m, n, soundness)
    same = (labels == source)[..., None, None]
    likelihood = retained[None, :, :, None] * same + (1 - retained)[None, :, :, None] * otherwise[:, :, None, :]
    out = np.log(likelihood).reshape(*labels.shape, -1)
    out[labels == UNANSWERED] = 0.0

    return np.asarray(out)


def fit_mixtures(
    source: np.ndarray, peers: np.ndarray, shadows: np.ndarray, k: int, kinds: np.ndarray | None = None
) -> Mixtures:
    """
    Rates from all given models, and the grid's weights from each model seen with itself left out of the rates.

    kinds: int (s,), the kind of theft each shadow stands for; a kind of fewer than FEW_OF_A_KIND counts with the rest.
    """
    kinds = np.zeros(len(shadows), int) if kinds is None else kinds
    groups = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
    if len(groups) < 2 or min(len(group) for group in groups) < FEW_OF_A_KIND:
        groups = [np.arange(len(shadows))]

    def rates_of(peers: np.ndarray, left_out: int = -1) -> tuple[Rates, ...]:
        return tuple(estimate_rates(source, peers, shadows[group[group != left_out]], k) for group in groups)

    known = rates_of(peers)
    peer_fit = [_on_grid(peers[[j]], source, rates_of(np.delete(peers, j, 0))).sum(1) for j in range(len(peers))]
    shadow_fit = [_on_grid(shadows[[j]], source, rates_of(peers, j)).sum(1) for j in range(len(shadows))]
    peer_prior, derived_prior = (np.tile(_prior(p), len(groups)) / len(groups) for p in (PEER_PRIOR, DERIVED_PRIOR))
    peer = _fit_weights(peer_fit, peer_prior)
    derived = (1 - OPEN_SHARE) * _fit_weights(shadow_fit, derived_prior) + OPEN_SHARE * derived_prior
    overall = known[0] if len(groups) == 1 else estimate_rates(source, peers, shadows, k)

    return Mixtures(overall, peer, derived, known)


def log_ratios(labels: np.ndarray, source: np.ndarray, mixtures: Mixtures) -> Ratios:
    """
    Derived over peer, for the labels of m models, int (m, n).

    As the suspect's own level is integrated out in both worlds, exp of `cumulative` is an e-process against the peers.
    """
    each = _on_grid(labels, source, mixtures.kinds)
    cumulative = np.cumsum(each, axis=1)
    answered = np.maximum((labels != UNANSWERED).sum(1), 1)
    with np.errstate(divide="ignore"):
        derived, peer = np.log(mixtures.derived), np.log(mixtures.peer)

    def ratio(likelihoods: np.ndarray) -> np.ndarray:
        return np.asarray(logsumexp(likelihoods + derived, axis=-1) - logsumexp(likelihoods + peer, axis=-1))

    return Ratios(ratio(cumulative), ratio(cumulative[:, -1] / answered[:, None]))


def _on_grid(labels: np.ndarray, source: np.ndarray, kinds: tuple[Rates, ...]) -> np.ndarray:
    """Log-likelihoods under every kind of theft; float64 (m, n, kinds * shifts * soundness)."""
    return np.concatenate([log_likelihoods(labels, source, rates) for rates in kinds], axis=2)


def _prior(shifts: np.ndarray) -> np.ndarray:
    grid = np.repeat(shifts / shifts.sum(), len(SOUNDNESS)) / len(SOUNDNESS)
    return np.asarray(grid)


def _fit_weights(fits: list[np.ndarray], prior: np.ndarray) -> np.ndarray:
    """Maximum a posteriori mixture weights by expectation-maximisation; the prior counts as PRIOR_STRENGTH models."""
    pseudo = PRIOR_STRENGTH * prior + 1e-6
    weights = pseudo / pseudo.sum()
    if not fits:
        return np.asarray(weights)
    likelihood = np.concatenate(fits)  # (models, grid)
    for _ in range(30):
        joint = likelihood + np.log(weights)
        share = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        weights = (share.sum(0) + pseudo) / (len(likelihood) + pseudo.sum())

    return np.asarray(weights)
