"""
Adding a known model: explore it, keep the probes that tell copies from peers, and store it as one reference.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from . import fragile
from .candidates import Generate
from .collect import Client, Progress, ask, collect, require_fit
from .errors import BadData, UsageError
from .exploring import MAX_CANDIDATES, explore, panel_size, suite_from
from .plans import Inputs
from .records import About, Fragile, Pool, ProbeSuite, Reference

__all__ = ["GENERATORS", "Enrolled", "enroll", "enroll_answers", "panel_size"]

PROBES: Final = 64  # kept per reference
# Generators that need no peers, per input kind; those that follow gradients are passed over where there is none.
GENERATORS: Final[Mapping[str, tuple[str, ...]]] = {
    "tabular": ("midpoints", "straddle", "mixed", "corrupted"),
    "image": ("midpoints", "mixed", "corrupted", "boundary", "adversarial"),
    "text": ("mixed",),
    "chat": (),
}


class Enrolled(NamedTuple):
    """reference: the new one. public: the input's public suite, made now unless one was given."""

    reference: Reference
    public: ProbeSuite


def enroll(
    source: Client,
    pool: Pool,
    *,
    name: str,
    about: About,
    generators: Mapping[str, Generate],
    log: Inputs | None = None,
    given: ProbeSuite | None = None,
    cohort: Sequence[Client] = (),
    public: ProbeSuite | None = None,
    probes: int = PROBES,
    peers: int | None = None,
    shadows: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    without: Sequence[str] = (),
    sensitive: Generate | None = None,
    progress: Progress | None = None,
) -> Enrolled:
    """
    Enrol a source with peers and shadows of its own.

    pool: labelled. log: unlabelled inputs the source was asked in service. given: a suite to choose the probes from,
    instead of the log and the generators. cohort: honest models at hand, which join the peers.
    public: the suite that references of this input share, if there is one yet.
    peers, shadows: models to train, as `panel_size` has it unless told; a model at hand adds shadows of its own.
    without: kinds of shadows not to make, of `plans.SHADOW_KINDS`; for measuring what unforeseen thieves cost.
    sensitive: makes the fragile probes that `verify` will ask; None for a reference that cannot be verified.
    Raises BadData for a pool that cannot teach a peer, TargetError where the source does not answer.
    """
    explored = explore(
        source,
        pool,
        generators=generators,
        log=log,
        given=given,
        cohort=cohort,
        public=public,
        peers=peers,
        shadows=shadows,
        seed=seed,
        jobs=jobs,
        without=without,
        sensitive=sensitive,
        progress=progress,
    )
    if public is None:
        public = explored.public_suite(probes)
    reference = explored.reference(name, about, source.target, probes, public)

    return Enrolled(reference, public)


def enroll_answers(
    source: Client,
    pool: Pool,
    *,
    name: str,
    about: About,
    public: ProbeSuite | None,
    probes: int = PROBES,
    seed: int = 0,
    sensitive: Generate | None = None,
) -> Enrolled:
    """
    Enrol a source by its answers to the public suite alone; other references of the input will be its cohort.

    Without a public suite, one is drawn from the pool: rows the source gets wrong first (half at most), then any.
    """
    require_fit(source, pool.spec)
    if public is None:
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(pool))[:MAX_CANDIDATES]
        answers = ask(source, pool.take(order).x, pool.spec, classes=pool.classes)
        wrong = np.zeros(0, int)
        if pool.y is not None and pool.spec.output == "classes":
            wrong = np.flatnonzero(answers.labels != pool.y[order])[: probes // 2]
        rest = np.setdiff1d(np.arange(len(order)), wrong)
        picked = order[np.concatenate([wrong, rng.permutation(rest)])[:probes]]
        kinds = np.full(len(pool), "uniform")
        public = suite_from("public", pool.spec, pool.classes, pool.x, kinds, picked, None, seed)
    elif not pool.spec.accepts(public.spec):
        raise BadData(
            f"the pool's inputs are {pool.spec.shape}, the public suite's {public.spec.shape}; use a pool of those"
        )
    asked = collect(source, public)

    edges = None
    if sensitive is not None:
        with contextlib.suppress(BadData, UsageError):  # a source may have no boundary among these rows
            suite = sensitive(source, pool, n=fragile.EDGES, seed=seed)
            edges = Fragile(suite, collect(source, suite))

    return Enrolled(Reference(name, about, public, asked, None, asked, None, edges), public)
