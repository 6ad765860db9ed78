"""
How regressors deviate from honest models, how much of a source's deviation a model keeps, and which probes show it.

A deviation is what is left of a model's values after the best affine map onto the peers' mean, in standard deviations
of the peers: another unit or an added constant leaves nothing. What a model keeps of its source's deviation is measured
along the direction that tells the source best from honest models (a matched filter, Fisher 1936): weighed against all
that honest models of any class, those nearest to the source above all, and copies learnt from its answers, do besides.
A copy keeps 1, a stranger 0. A correlation would count what a model does beyond that direction in full against it: a
distilled copy errs in ways of its own. A mere projection would not count it at all, and wild models may project far.
"""

from typing import Final, NamedTuple

import numpy as np
from scipy.special import gammaln

from .records import Panel
from .selection import REDUNDANCY

SHRINKAGE: Final = 0.3  # of the peers' variance per probe to its mean
GROUND: Final = 2.0  # times the mean variance, added to each: a few dozen models know no direction to be free of noise
KIN_WEIGHT: Final = 6.0  # kin stand for the honest models that are taken for copies most easily
USUAL: Final = 0.8  # of the peers deviate by no more than is usual
FLOOR: Final = 2.0  # times the square of what is usual: far below it a projection decides, far above it a correlation
LEAST_SLOPE: Final = 0.2  # a flatter response to the peers' mean is not stretched further
MOST: Final = 0.999  # correlation beyond which nothing is said
SAME: Final = 1e-3  # of a source's spread: a difference below this is rounding


class Space(NamedTuple):
    """
    Where deviations are compared: mean, spread float64 (t,) of the peers; precision (t, t), the inverse covariance of
    what honest models and copies do besides the source's deviation; usual: the whitened size of a usual deviation.
    """

    mean: np.ndarray
    spread: np.ndarray
    precision: np.ndarray
    usual: float


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


def fit_space(peers: np.ndarray, kin: np.ndarray, shadows: np.ndarray, source: np.ndarray) -> Space:
    """
    The space of some probes, from float (m, t) each of peers, of kin (peers of the source's own class and data) and of
    shadows, whose scatter about the source (t,) counts as noise.
    """
    mean, spread_, noise = _noise(peers, kin, shadows, source)
    covariance = noise.T @ noise
    precision = np.linalg.inv(covariance + GROUND * np.trace(covariance) / len(source) * np.eye(len(source)))
    space = Space(mean, spread_, precision, 1.0)

    return space._replace(usual=float(np.quantile(_size(deviations(peers, space), space), USUAL)))


def deviations(values: np.ndarray, space: Space) -> np.ndarray:
    """Deviations of models (m, t) from the peers' mean after an affine fit onto it; float64 (m, t)."""
    basis, scaled = _affine(space), values / space.spread
    fitted = np.linalg.lstsq(basis, scaled.T, rcond=None)[0]  # (2, m)
    slope = np.where(np.abs(fitted[1]) < LEAST_SLOPE, np.copysign(LEAST_SLOPE, fitted[1]), fitted[1])

    return np.asarray((scaled - (basis @ fitted).T) / slope[:, None])


def kept(values: np.ndarray, source: np.ndarray, space: Space) -> np.ndarray:
    """
    How well the source's deviation (t,) accounts for those of models (m, t); float64 (m,), 1 for a copy, at most 1.

    The logarithm of how much a model's squared deviation shrinks when as much of the source's is taken out as is in it,
    beside a floor below which deviations are usual; that of a copy is the unit. A model that overshoots is scaled down
    to the source first: more than the whole of it is no more than a copy has. Negative where the sign is opposite.
    """
    models, own = deviations(values, space), deviations(source[None], space)
    whole = max(float(_size(own, space)[0]) ** 2, 1e-12)
    floor = FLOOR * max(space.usual, 1e-6) ** 2
    part = models @ space.precision @ own[0] / whole
    size = (_size(models, space) / np.maximum(np.abs(part), 1.0)) ** 2
    taken = np.minimum(np.abs(part), 1.0) ** 2 * whole
    shrinks = np.log(floor + size) - np.log(floor + np.maximum(size - taken, 0.0))

    return np.asarray(np.sign(part) * shrinks / np.log1p(whole / floor))


def likeness(values: np.ndarray, source: np.ndarray, space: Space) -> np.ndarray:
    """Correlation of models' deviations (m, t) with the source's (t,), whitened; float64 (m,), -MOST to MOST."""
    models, own = deviations(values, space), deviations(source[None], space)
    size = _size(models, space) * _size(own, space)

    return np.asarray(np.clip(models @ space.precision @ own[0] / np.maximum(size, 1e-12), -MOST, MOST))


def choose(source: np.ndarray, peers: np.ndarray, kin: np.ndarray, shadows: np.ndarray, n: int) -> np.ndarray:
    """
    At most n candidates that together tell the source best from honest models and keep with its copies; int (n,).

    source: float (c,). peers, kin, shadows: float (m, c). Each adds most to the source's squared distance (Mahalanobis
    1936) from honest models, given those before it: a pivoted Cholesky decomposition of the covariance, so the first
    probes are the best few, too, and none repeats what others tell.
    """
    mean, spread_, noise = _noise(peers, kin, shadows, source)
    left = deviations(source[None], Space(mean, spread_, np.zeros((0, 0)), 1.0))[0]
    variance = (noise**2).sum(0)
    ground = GROUND * float(variance.mean())
    variance += ground
    n = min(n, len(source))
    taken: list[int] = []
    factor = np.zeros((n, len(source)))
    for step in range(n):
        gain = left**2 / variance
        gain[taken] = -np.inf
        best = int(gain.argmax())
        taken.append(best)
        column = noise.T @ noise[:, best]
        column[best] += ground
        row = (column - factor[:step].T @ factor[:step, best]) / np.sqrt(variance[best])
        left = left - row * (left[best] / np.sqrt(variance[best]))
        variance = np.maximum(variance - row**2, np.finfo(float).tiny)
        factor[step] = row

    return np.array(taken, int)


def spread(models: np.ndarray, n: int) -> np.ndarray:
    """At most n candidates on which models (m, c) differ most, as `choose` does without a source; int (n,)."""
    centred = models - np.median(models, axis=0)
    size = np.median(np.abs(centred), axis=0)  # a wild model does not decide

    return _diverse(size, centred, n)


def log_student(x: np.ndarray, freedom: float, centre: np.ndarray | float, width: np.ndarray | float) -> np.ndarray:
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


def _noise(
    peers: np.ndarray, kin: np.ndarray, shadows: np.ndarray, source: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Mean and spread of the peers, float64 (t,) each, and what is noise about a deviation: float64 (models, t), the sum
    of squares over the models being the covariance.
    """
    space = Space(peers.mean(0), _spread(peers), np.zeros((0, 0)), 1.0)
    honest = deviations(peers, space)
    parts = [(honest - honest.mean(0)) / np.sqrt(len(honest))]
    if len(kin):
        parts.append(np.sqrt(KIN_WEIGHT / len(kin)) * deviations(kin, space))
    if len(shadows):
        parts.append((deviations(shadows, space) - deviations(source[None], space)) / np.sqrt(len(shadows)))

    return space.mean, space.spread, np.concatenate(parts)


def _size(deviating: np.ndarray, space: Space) -> np.ndarray:
    """Length of deviations (m, t), whitened; float64 (m,)."""
    return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", deviating, space.precision, deviating)))


def _spread(peers: np.ndarray) -> np.ndarray:
    """Standard deviation of peers (m, t) per probe, shrunk; float64 (t,), above 0."""
    variance = peers.var(0, ddof=1) if len(peers) > 1 else np.ones(peers.shape[1])
    shrunk = (1 - SHRINKAGE) * variance + SHRINKAGE * variance.mean()

    return np.asarray(np.sqrt(np.maximum(shrunk, np.finfo(float).tiny * 1e10)))


def _affine(space: Space) -> np.ndarray:
    """What an affine map of the peers' mean can give, in their standard deviations; float64 (t, 2)."""
    centred = space.mean - space.mean.mean()
    return np.stack([np.ones_like(centred), centred], 1) / space.spread[:, None]
