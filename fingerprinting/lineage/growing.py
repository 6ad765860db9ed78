"""A family tree from answers: nearest kin, which end is the parent, second parents, and who is related to nobody."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.explain.signature import contributions, cosine, pairs_of
from probe_match.fingerprinting.records import UNANSWERED, About

from . import mixing, rooting, trees
from .members import Family

FEWEST_HONEST: Final = 8
DIRECTED: Final = 0.9  # chance of a direction from which on it is told


class Link(NamedTuple):
    """
    parent, child: names. support: share of resamples of the probes in which the two are linked. direction: how surely
    the one is the parent, 0.5 to 1; directed: whether that is told. p: chance that an honest model comes as near.
    distance: share of answers that differ, of regressors 1 - correlation of deviations, of language models the mean
    divergence of their answers. stated: whether the database says so, which is believed whatever p. contributions: how
    alike both decide by feature, 0 to 1 (see `explain`), NaN where that is not known; it says more of a link and
    decides none.
    """

    parent: str
    child: str
    support: float
    direction: float
    p: float
    distance: float
    stated: bool = False
    contributions: float = np.nan

    @property
    def directed(self) -> bool:
        """Whether the parent can be told from the child."""
        return self.direction >= DIRECTED


class SecondParent(NamedTuple):
    """child descends from `parent` as well as from the one it hangs on; p as in `mixing.Mix`."""

    child: str
    parent: str
    p: float


@dataclass(frozen=True, eq=False)
class Lineage:
    """
    A forest. names: all models. links: parents before their children. roots: those on nothing, of trees and alone.
    known: bool per model, references. standing: float (m, m), see `trees.Forest`. probes, honest: how many of each.
    access: "label", "scores", or "text" of language models, whose honest models are the references themselves.
    """

    names: tuple[str, ...]
    known: np.ndarray
    links: tuple[Link, ...]
    mixes: tuple[SecondParent, ...]
    standing: np.ndarray
    probes: int
    honest: int
    access: str
    alpha: float
    seed: int

    @property
    def roots(self) -> tuple[str, ...]:
        """Models that hang on nothing, in the order of `names`."""
        children = {link.child for link in self.links}
        return tuple(name for name in self.names if name not in children)

    def children(self, name: str) -> list[Link]:
        """The links below a model."""
        return [link for link in self.links if link.parent == name]


def grow(family: Family, *, alpha: float = trees.ALPHA, resamples: int = trees.RESAMPLES, seed: int = 0) -> Lineage:
    """
    The family tree. alpha: share of its links that may be of honest models; resamples: of the probes, for support.

    Raises BadData where there are too few models to judge by, or none to draw.
    """
    if len(family.models) < 2:
        raise BadData(f"a family tree needs at least two models, got {len(family.models)}")
    if len(family.honest) < FEWEST_HONEST:
        raise BadData(
            f"expected at least {FEWEST_HONEST} honest models to tell kin from strangers, got {len(family.honest)}; "
            "give a --pool with labels, or enroll references with one"
        )
    names = family.models.names
    forest = trees.grow(family, alpha=alpha, resamples=resamples, seed=seed)
    parent, sure = rooting.parents(len(names), forest.edges, rooting.odds(family, forest.edges))
    at = {name: i for i, name in enumerate(names)}
    links = tuple(
        link._replace(contributions=_decide_alike(family, at[link.parent], at[link.child]))
        for link in linked(names, family.abouts, forest, parent, sure, 1 - trees.alike(family))
    )
    mixes = [
        SecondParent(names[mix.child], names[mix.parent], mix.p)
        for mix in mixing.second_parents(family, forest, parent)
    ]

    return Lineage(
        names=names,
        known=family.known,
        links=links,
        mixes=tuple(mixes),
        standing=forest.standing,
        probes=family.models.labels.shape[1],
        honest=len(family.honest),
        access="label" if family.models.scores is None or family.honest.scores is None else "scores",
        alpha=alpha,
        seed=seed,
    )


def linked(
    names: Sequence[str], abouts: Sequence[About], forest: trees.Forest, parent: np.ndarray, sure: np.ndarray,
    apart: np.ndarray,
) -> tuple[Link, ...]:  # fmt: skip
    """The links of a forest with its roots, parents before their children. parent, sure: see `rooting.parents`."""
    support = {tuple(edge): s for edge, s in zip(forest.edges.tolist(), forest.support.tolist(), strict=True)}
    links = []
    for child in _downwards(parent):
        up = int(parent[child])
        pair = (min(child, up), max(child, up))
        links.append(
            Link(
                names[up],
                names[child],
                float(support[pair]),
                float(sure[child]),
                float(forest.p[child, up]),
                float(max(apart[child, up], 0.0)),
                abouts[child].parent == names[up],
            )
        )
    return tuple(links)


def _decide_alike(family: Family, parent: int, child: int) -> float:
    """The cosine of two models' contributions on the probes that both answered."""
    both = np.flatnonzero((family.models.labels[[parent, child]] != UNANSWERED).all(0))
    if family.described is None or len(both) == 0:
        return np.nan
    of, models = family.described.of(both), family.models.of([parent, child]).probes(both)
    k = int(models.labels.max()) + 1
    told = models.labels[:, :, None] == np.arange(k) if models.scores is None else models.scores
    answers = np.nan_to_num(np.asarray(told, np.float64))
    among = pairs_of(of, answers[0])
    first, second = (contributions(of, own, among).vector() for own in answers)

    return cosine(first, second)


def _downwards(parent: np.ndarray) -> list[int]:
    """Models with a parent, every parent before its children."""
    order = [int(i) for i in np.flatnonzero(parent < 0)]
    for node in order:
        order += [int(i) for i in np.flatnonzero(parent == node)]
    return [node for node in order if parent[node] >= 0]
