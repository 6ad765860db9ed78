"""
How regressors deviate from honest models, and which probes show it best.

A deviation is what is left of a model's values after the best affine map onto the peers' mean, in standard deviations
of the peers: another unit or an added constant leaves nothing. Deviations of one model are correlated from probe to
probe, as models of one class, or of one training set, err together; so they are whitened by the peers' covariance, and
what the source shares with honest models of its class and data counts for little.
"""

from typing import Final, NamedTuple

import numpy as np
from scipy.special import gammaln

from .records import Panel
from .selection import REDUNDANCY

SHRINKAGE: Final = 0.3  # of the peers' variance per probe to its mean, and of their covariance to its diagonal
GROUND: Final = 0.1  # of the mean variance, added to each: a few dozen peers know no direction to be free of noise
NEAREST: Final = 0.15  # of the peers may stand nearer to the source than the distance by which a probe is judged
LEAST_SLOPE: Final = 0.2  # a flatter response to the peers' mean is not stretched further
MOST: Final = 0.999  # correlation beyond which nothing is said
SAME: Final = 1e-3  # of a source's spread: a difference below this is rounding


class Space(NamedTuple):
    """
    Where deviations are compared: mean, spread float64 (t,) of the peers; whitening (t, t); free (t, t), the projection
    that takes out what an affine map could explain.
    """

    mean: np.ndarray
    spread: np.ndarray
    whitening: np.ndarray
    free: np.ndarray


def values_of(panel: Panel) -> np.ndarray:
    """Numbers that the panel of a regressor answered; float64 (models, n)."""
    assert panel.scores is not None
    return panel.scores[:, :, 0].astype(np.float64)


def without_doubles(panel: Panel, source: np.ndarray) -> Panel:
    """
    The panel without peers that are the source over again: float (n,), what the source answered.

    Where a class leaves nothing to chance, the same rows give the same function, and no answer tells the two apart.
    """
    gap = np.sqrt(((values_of(panel) - source) ** 2).mean(1))
    double = (gap < SAME * float(source.std())) & np.isin(np.arange(len(gap)), panel.rows("peer"))
    kept = np.flatnonzero(~double)
    assert panel.scores is not None
    names, roles, uses = (tuple(of[i] for i in kept) for of in (panel.names, panel.roles, panel.uses))
    families = tuple(panel.families[i] for i in kept) if panel.families else ()

    return Panel(names, roles, uses, panel.labels[kept], panel.scores[kept], families)


def fit_space(peers: np.ndarray, twins: np.ndarray, shadows: np.ndarray, source: np.ndarray) -> Space:
    """
    The space of some probes, from float (m, t) each of peers, of twins (peers of the source's own class and data) and
    of shadows, whose scatter about the source (t,) counts as noise.
    """
    t = len(source)
    space = Space(peers.mean(0), _spread(peers), np.eye(t), np.eye(t))
    honest = deviations(peers, space)
    covariance = honest.T @ honest / len(honest)
    if len(twins):
        own = deviations(twins, space)
        covariance += own.T @ own / len(own)
    diagonal = np.diag(covariance)
    covariance = (1 - SHRINKAGE) * covariance + np.diag(SHRINKAGE * diagonal + GROUND * diagonal.mean())
    if len(shadows):
        noise = deviations(shadows, space) - deviations(source[None], space)
        covariance += np.diag(np.median(noise**2, axis=0))
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    explained, _ = np.linalg.qr(whitening @ _affine(space))

    return Space(space.mean, space.spread, whitening, np.eye(t) - explained @ explained.T)


def deviations(values: np.ndarray, space: Space) -> np.ndarray:
    """Deviations of models (m, t) from the peers' mean after an affine fit onto it; float64 (m, t)."""
    basis, scaled = _affine(space), values / space.spread
    fitted = np.linalg.lstsq(basis, scaled.T, rcond=None)[0]  # (2, m)
    slope = np.where(np.abs(fitted[1]) < LEAST_SLOPE, np.copysign(LEAST_SLOPE, fitted[1]), fitted[1])

    return np.asarray((scaled - (basis @ fitted).T) / slope[:, None])


def likeness(values: np.ndarray, source: np.ndarray, space: Space) -> np.ndarray:
    """Correlation of models' deviations (m, t) with the source's (t,), whitened; float64 (m,), -MOST to MOST."""
    turn = (space.free @ space.whitening).T
    models, own = deviations(values, space) @ turn, deviations(source[None], space)[0] @ turn
    size = np.linalg.norm(models, axis=1) * np.linalg.norm(own)

    return np.asarray(np.clip(models @ own / np.maximum(size, 1e-12), -MOST, MOST))


def choose(source: np.ndarray, peers: np.ndarray, shadows: np.ndarray, n: int) -> np.ndarray:
    """
    At most n candidates on which the source stands far from even the nearer peers and shadows stay with it; int (n,).

    source: float (c,). peers, shadows: float (m, c). Probes that tell of the same models are discounted.
    """
    spread_ = _spread(peers)
    far = np.quantile(np.abs(peers - source) / spread_, NEAREST, axis=0)
    lost = np.median(((shadows - source) / spread_) ** 2, axis=0)
    outcome = np.concatenate([(peers - peers.mean(0)) / spread_, (shadows - source) / spread_])

    return _diverse(far**2 / (GROUND + lost), outcome, n)


def spread(models: np.ndarray, n: int) -> np.ndarray:
    """At most n candidates on which models (m, c) differ most, as `choose` does without a source; int (n,)."""
    centred = models - np.median(models, axis=0)
    size = np.median(np.abs(centred), axis=0)  # a wild model does not decide

    return _diverse(size, centred, n)


def log_student(x: np.ndarray, freedom: float, centre: np.ndarray | float, width: float) -> np.ndarray:
    """Logarithm of the Student-t density; float64, of the shape of x and centre together."""
    norm = gammaln((freedom + 1) / 2) - gammaln(freedom / 2) - 0.5 * np.log(freedom * np.pi) - np.log(width)
    return np.asarray(norm - (freedom + 1) / 2 * np.log1p(((x - centre) / width) ** 2 / freedom))


def _diverse(worth: np.ndarray, outcome: np.ndarray, n: int) -> np.ndarray:
    order = np.argsort(-worth, kind="stable")[: 8 * n]
    direction = outcome[:, order] / (np.linalg.norm(outcome[:, order], axis=0) + 1e-12)
    taken: list[int] = []
    overlap = np.zeros(len(order))
    while len(taken) < min(n, len(order)):
        gain = worth[order] * (1 - REDUNDANCY * overlap)
        gain[taken] = -np.inf
        taken.append(int(gain.argmax()))
        overlap = np.maximum(overlap, np.abs(direction.T @ direction[:, taken[-1]]))

    return np.asarray(order[taken])


def _spread(peers: np.ndarray) -> np.ndarray:
    """Standard deviation of peers (m, t) per probe, shrunk; float64 (t,), above 0."""
    variance = peers.var(0, ddof=1) if len(peers) > 1 else np.ones(peers.shape[1])
    shrunk = (1 - SHRINKAGE) * variance + SHRINKAGE * variance.mean()

    return np.asarray(np.sqrt(np.maximum(shrunk, np.finfo(float).tiny * 1e10)))


def _affine(space: Space) -> np.ndarray:
    """What an affine map of the peers' mean can give, in their standard deviations; float64 (t, 2)."""
    centred = space.mean - space.mean.mean()
    return np.stack([np.ones_like(centred), centred], 1) / space.spread[:, None]
