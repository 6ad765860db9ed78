"""
The likeliest forest: edges of greatest total nearness among pairs that no two honest models reach, and how surely each.

Support is the share of resamples of the probes (Felsenstein, Evolution 1985) in which the edge is in the forest.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.calibration import ENOUGH, corrected, tails
from probe_match.fingerprinting.records import UNANSWERED
from scipy.special import stdtr

from .likeness import Likeness, standing
from .members import Family

RESAMPLES: Final = 100
ALPHA: Final = 0.05  # share of links that may be of honest models, and the most for each of them
COPIED: Final = 0.9  # share of answers alike from which on two models that no reference claims are one's copy
STATED: Final = 1e6  # a parent that the database states comes before any nearness
CLEARLY: Final = 2.0  # standard errors by which a sibling must be nearer than a reference to be the parent


class Forest(NamedTuple):
    """
    edges: int (e, 2), i < j. support: float (e,) in 0 to 1. standing: float (m, m), how far a pair stands out among
    honest models, in standard deviations; -inf on the diagonal. p: float (m, m), chance that an honest model comes as
    near, corrected for all it is compared with.
    """

    edges: np.ndarray
    support: np.ndarray
    standing: np.ndarray
    p: np.ndarray


def grow(family: Family, *, alpha: float = ALPHA, resamples: int = RESAMPLES, seed: int = 0) -> Forest:
    """The forest of a family. alpha: share of its links that may be of honest models. seed: of the resamples."""
    models, honest = family.models, family.honest
    n = models.labels.shape[1]
    within = Likeness(models, models, honest, family.number)
    outside = Likeness(models, honest, honest, family.number)
    own = Likeness(honest, honest, honest, family.number).near()

    def stand(weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        out = outside.near(weights)
        return standing(within.near(weights), out, out), out

    z, out = stand()
    np.fill_diagonal(z, -np.inf)
    p = unrelated(z, standing(np.moveaxis(out, 1, 2), own, out, itself=True), family.known)
    if len(honest) < ENOUGH and not family.number:
        p = np.maximum(p, no_luck(family))
    for (i, j), own_p in family.confirmed.items():  # two looks: at the public suite and at the reference's own probes
        p[i, j] = p[j, i] = corrected(min(float(p[i, j]), own_p), 2)
    allowed = p <= _thresholds(p, family.known, alpha)
    if family.known.any():  # two that no reference claims may be honest models of one owner's unknown data
        claimed = family.known | allowed[:, family.known].any(1)
        allowed &= claimed[:, None] | claimed[None]
    allowed &= family.known[:, None] | family.known[None] | (alike(family) >= COPIED)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        weights = np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float32)
        drawn.append(stand(weights)[0].astype(np.float32))
    allowed |= family.stated
    rows, columns = np.nonzero(np.triu(allowed, 1))
    several = np.stack([one[rows, columns] for one in drawn], 1) if drawn else np.zeros((len(rows), 1))
    lead = CLEARLY * float(np.median(several.std(1))) if len(rows) else 0.0
    preferred = lead * (family.known[:, None] ^ family.known[None]) + STATED * family.stated
    edges = spanning(z + preferred, allowed, family.original)

    return Forest(edges, supported(edges, [one + preferred for one in drawn], allowed, family.original), z, p)


def _thresholds(p: np.ndarray, known: np.ndarray, alpha: float) -> np.ndarray:
    """
    How small a pair's p must be, float64 (m, m), for a share alpha of the models that are linked to be honest ones.

    By the step-up rule of Benjamini and Hochberg (1995) over each model's best p, apart for pairs of a suspect and a
    reference and for pairs of two of a kind: of many strangers some come near by chance, of one none is forgiven more.
    """
    mixed = known[:, None] ^ known[None]
    two_of_a_kind = ~mixed & ~np.eye(len(p), dtype=bool)
    least = np.full(p.shape, alpha)
    for pairs, tested in ((mixed, ~known), (two_of_a_kind, np.ones(len(p), bool))):
        some = np.sort(np.where(pairs, p, 1.0).min(1)[tested & pairs.any(1)])
        passed = np.flatnonzero(some <= alpha * np.arange(1, len(some) + 1) / max(len(some), 1))
        least[pairs] = alpha * (passed[-1] + 1 if len(passed) else 1) / max(len(some), 1)

    return least


def supported(edges: np.ndarray, drawn: Sequence[np.ndarray], allowed: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Share of resamples that link the same two models; float64 (e,). drawn: of each resample the weights (m, m)."""
    hits = np.zeros(len(edges))
    for weight in drawn if len(edges) else ():
        again = {tuple(edge) for edge in spanning(weight, allowed, original).tolist()}
        hits += [tuple(edge) in again for edge in edges.tolist()]

    return hits / max(len(drawn), 1)


def unrelated(z: np.ndarray, strangers: np.ndarray, known: np.ndarray) -> np.ndarray:
    """
    How often honest models are as near as each pair, corrected for all that were compared; float64 (m, m).

    z: (m, m). strangers: (honest, m), how far honest models stand out with each model. For a suspect and a reference it
    counts how near honest models come to the reference, some of which are its twins, and the suspect must be nearer to
    it than to every honest model. Any other pair must stand out for both of its ends, and beat every honest model: ends
    that nobody knows may be honest models of one class. So must every pair where honest models are few.
    """
    p = np.stack([tails(z[:, j], strangers[:, j]) for j in range(len(z))], 1)
    beaten = z <= strangers.max(0)  # by an honest model that comes nearer to the second of the pair
    chance, out = np.maximum(p, p.T), beaten | beaten.T
    if len(strangers) >= ENOUGH:
        mixed = known[:, None] ^ known[None]
        chance = np.where(mixed, np.where(known[None], p, p.T), chance)
        out = np.where(mixed, np.where(known[None], beaten.T, beaten), out)

    return _searched(np.where(out, 1.0, chance), known)


def no_luck(family: Family) -> np.ndarray:
    """
    How often a pair agrees on so many probes by luck where the honest model that agrees most is typical; (m, m).

    Few honest models do not show how near a better trained one can come: agreement counts from the nearest of them, in
    units of their spread and of the noise that so few probes have by themselves (Student-t, as when one reference is
    confirmed).
    """
    honest, n = family.honest.labels, family.models.labels.shape[1]
    together = alike(family)
    theirs = np.stack([_share(honest, labels) for labels in family.models.labels], 1)  # (honest, m)
    most = theirs.max(0)
    h = len(honest)
    width = np.sqrt(theirs.var(0, ddof=1) * (1 + 1 / h) + most * (1 - most) / n)
    p = stdtr(h - 1, -(together - most) / np.maximum(width, 1e-6))

    return _searched(np.maximum(p, p.T), family.known)


def _share(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of the probes put to a model, (n,), on which each of some others, (m, n), says the same; float64 (m,)."""
    put = labels != UNANSWERED
    return np.asarray(((rows == labels) & put).sum(1) / max(int(put.sum()), 1))


def _searched(p: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Corrected for the search: a suspect is compared with all references; two suspects meet by one chance in all."""
    searched = np.where(known[:, None] ^ known[None], max(int(known.sum()), 1), len(p))
    return np.asarray(-np.expm1(searched * np.log1p(-np.minimum(p, 1 - 1e-12))))


def alike(family: Family) -> np.ndarray:
    """
    Share of answers that any two models have in common, of regressors the correlation of their deviations; (m, m).

    Two suspects may be honest models of data that no honest model here has seen, and near each other for it alone.
    """
    models = family.models
    if family.number:
        return np.asarray(np.tanh(Likeness(models, models, family.honest, True).near()[0]))
    labels = models.labels
    same = np.stack([(labels == row).sum(1) - ((labels == UNANSWERED) & (row == UNANSWERED)).sum(1) for row in labels])
    put = (labels != UNANSWERED).astype(int)

    return np.asarray(same / np.maximum(put @ put.T, 1))


def spanning(weight: np.ndarray, allowed: np.ndarray, original: np.ndarray | None = None) -> np.ndarray:
    """
    Edges (i < j) of the forest of greatest total weight over the allowed pairs; int (e, 2).

    weight: float (m, m). original: bool (m,), models that hang on no suspect: a merge of two of them is below one, and
    does not make the other its child. They may hang on each other.
    """
    if original is not None and original.sum() > 1:
        both = original[:, None] & original[None]
        m = len(weight)  # one more node, nearest to all originals, so that no other path joins two of them
        wide, open_ = np.full((m + 1, m + 1), weight[allowed].max(initial=0.0) + 1), np.zeros((m + 1, m + 1), bool)
        wide[:m, :m], open_[:m, :m], open_[:m, m] = weight, allowed & ~both, original
        below = spanning(wide, open_)
        edges = np.concatenate([spanning(weight, allowed & both), below[below[:, 1] < m]])
        return np.asarray(edges[np.lexsort(edges.T[::-1])])
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import minimum_spanning_tree

    i, j = np.nonzero(np.triu(allowed, 1))
    if len(i) == 0:
        return np.zeros((0, 2), int)
    cost = float(weight[i, j].max()) + 1 - weight[i, j]  # above 0: a sparse zero would be no edge
    tree = minimum_spanning_tree(coo_matrix((cost, (i, j)), shape=weight.shape).tocsr()).tocoo()
    edges = np.stack([np.minimum(tree.row, tree.col), np.maximum(tree.row, tree.col)], 1).astype(int)

    return np.asarray(edges[np.lexsort(edges.T[::-1])])
