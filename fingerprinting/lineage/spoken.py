"""
Family trees of language models, from one-word answers to the same questions.

References are linked where they are as near to each other as models are to their own answers, and nearer than models
of other families come; a target where `match` would name the reference. Answers do not say which of two is the parent:
that is told by what the database states, else left open.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from probe_match.fingerprinting.chat import equality, judging, off_form, scoring
from probe_match.fingerprinting.chat import known as knowing
from probe_match.fingerprinting.chat.known import FEW_GENUINE, RELATED, Honest, Known
from probe_match.fingerprinting.chat.records import ChatReference, Counts
from probe_match.fingerprinting.errors import BadData, NoAnswers
from probe_match.fingerprinting.records import About
from probe_match.fingerprinting.verdicts import deciding_p

from . import rooting, trees
from . import spoken_nearness as nearness
from .growing import Lineage, linked
from .members import originals, stated_pairs
from .trees import Forest

FEWEST: Final = 8  # references, from which on there is anything to tell kin from strangers by
MOST: Final = 1000  # models in one tree: every pair is compared question by question


def grow(
    references: Mapping[str, ChatReference],
    suspects: Mapping[str, Counts],
    *,
    alpha: float = trees.ALPHA,
    resamples: int = trees.RESAMPLES,
    seed: int = 0,
) -> Lineage:
    """
    The family tree of references and suspects that were asked one bank. suspects: counts by target.

    alpha: chance that a model related to none is hung into a tree; resamples: of the questions, for support. Raises
    BadData where there are too few references to judge by, or too many models.
    """
    every = off_form.told(references.values())
    counts = {name: off_form.counts_of(one) if every else one.counts for name, one in references.items()}
    suspects = suspects if every else {target: off_form.without(some) for target, some in suspects.items()}
    names = (*counts, *suspects)
    _require_fit(counts, names)
    m, cells = len(counts), sorted({cell for given in counts.values() for cell in given})
    known = knowing.know(counts, cells, seed=seed, off_form=every)
    honest = knowing.honest(known, known.table.asked.max(0), seed=seed)
    inside = nearness.share(list(counts.values()), counts, cells)
    outside = nearness.share(list(suspects.values()), counts, cells)

    def stand(times: np.ndarray) -> np.ndarray:
        """Of all pairs, two suspects apart; float64 (m + s, m + s)."""
        z = np.full((len(names), len(names)), -np.inf)
        z[:m, :m], z[m:, :m] = nearness.among(inside, times), nearness.beside(outside, inside, times)
        z[:m, m:] = z[m:, :m].T
        return z

    z, p = stand(np.ones(len(cells))), np.ones((len(names), len(names)))
    p[:m, :m], allowed = _kin(z[:m, :m], honest), p <= 0
    allowed[:m, :m] = (p[:m, :m] <= alpha) & _as_itself(z[:m, :m], honest)
    for i, suspect in enumerate(suspects.values(), m):
        p[i, :m] = p[:m, i] = _named(suspect, known, references, alpha, seed)
        allowed[i] = allowed[:, i] = p[i] <= alpha
    abouts = (*(reference.about for reference in references.values()), *[About(role="derived")] * len(suspects))
    stated = stated_pairs(names, abouts)
    rng = np.random.default_rng(seed)
    several = [rng.multinomial(len(cells), np.full(len(cells), 1 / len(cells))) for _ in range(resamples)]
    forest = _forest(z, p, [stand(times) for times in several], allowed | stated, trees.STATED * stated, m)
    own = originals(np.arange(len(names)) < m, abouts)
    parent, sure = rooting.parents(len(names), forest.edges, rooting.stated_odds(names, abouts, own, forest.edges))
    apart = np.ones_like(z)
    apart[:m, :m], apart[m:, :m] = nearness.distances(inside), nearness.distances(outside)
    apart[:m, m:] = apart[m:, :m].T

    return Lineage(
        names=names,
        known=np.arange(len(names)) < m,
        links=linked(names, abouts, forest, parent, sure, apart),
        mixes=(),
        standing=z,
        probes=len(cells),
        honest=len(honest.best),
        access="text",
        alpha=alpha,
        seed=seed,
    )


def _require_fit(counts: Mapping[str, Counts], names: Sequence[str]) -> None:
    if len(counts) < FEWEST:
        raise BadData(
            f"expected at least {FEWEST} language models that were asked the same questions, to tell kin from "
            f"strangers, got {len(counts)}; enroll more, or pull a pack"
        )
    if len(names) > MOST:
        raise BadData(
            f"expected at most {MOST} models in a tree, got {len(names)}; name those to draw with --reference"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadData(f"two models are called '{twice}'; name each once")


def _forest(
    z: np.ndarray, p: np.ndarray, drawn: Sequence[np.ndarray], allowed: np.ndarray, preferred: np.ndarray, m: int
) -> Forest:
    """The forest of all pairs that may be linked; references hang on no suspect, of which m come first."""
    original = np.arange(len(z)) < m
    edges = trees.spanning(z + preferred, allowed, original)
    return Forest(edges, trees.supported(edges, [one + preferred for one in drawn], allowed, original), z, p)


def _kin(z: np.ndarray, honest: Honest) -> np.ndarray:
    """How often a model stands out as much with any of another family; float64 (m, m), 1 of itself."""
    p = scoring.family_wise(z.ravel(), honest.best).reshape(z.shape)
    np.fill_diagonal(p, 1.0)
    return p


def _as_itself(z: np.ndarray, honest: Honest) -> np.ndarray:
    """
    Pairs as near to each other as all but few models are to their own answers; bool (m, m).

    Kin are left out of the honest models' highest scores, so that by these alone the nearest strangers, alpha of them,
    were always linked.
    """
    if len(honest.genuine) < FEW_GENUINE:
        return np.ones(z.shape, bool)
    return np.asarray(z >= np.quantile(honest.genuine, RELATED))


def _named(
    suspect: Counts, known: Known, references: Mapping[str, ChatReference], alpha: float, seed: int
) -> np.ndarray:
    """P-values of a suspect for every reference, as `match` has them, 1 where it would name nobody; float64 (m,)."""
    p = np.ones(len(known.table.names))
    try:
        scores = scoring.score(suspect, known, alpha=alpha, seed=seed)
    except NoAnswers:
        return p
    best = references[scores.evidence[0].reference]
    theirs = off_form.counts_of(best) if known.off_form else best.counts
    changed = equality.change_p(suspect, theirs, np.random.default_rng(seed), equality.QUICK)
    if judging.related(scores, changed, alpha) is None:
        return p
    place = {name: i for i, name in enumerate(known.table.names)}
    for evidence in scores.evidence:
        p[place[evidence.reference]] = deciding_p(evidence, scores.searched, alpha)[0]

    return p
