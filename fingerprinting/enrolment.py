"""
Adding a known model: choose probes, train peers and shadows, collect, and keep all of it as one reference.

    pool ─► train half ─► peers, shadows ─┐
         └► held half ──► candidates ─────┴► answers ─► probes that tell copies from peers ─► Reference

Rows that shadows were trained on are never candidates, so that a shadow's agreement on a probe is what a thief's would
be. Inputs from the owner's own log are the exception on purpose: a thief's questions are in that log.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from . import derivatives, learners
from .collect import Asked, Client, Progress, ask, collect, require_fit
from .errors import BadData, SuiteMismatch, UsageError
from .panels import Inputs, Material, disturbed_source, join, plan_peers, plan_shadows, together, train_panel, vote
from .records import About, InputSpec, Panel, Pool, ProbeSuite, Reference, Responses
from .selection import choose, spread

PROBES: Final = 64  # kept per reference
PEERS: Final = 140
SHADOWS: Final = 16
NETWORK_PEERS: Final = 24  # networks for images cost seconds each
NETWORK_SHADOWS: Final = 10
MAX_CANDIDATES: Final = 3000  # pool rows considered as probes
MADE: Final = 400  # candidates each generator makes
# Generators that need no gradient and no peers, per input kind.
GENERATORS: Final[Mapping[str, tuple[str, ...]]] = {
    "tabular": ("midpoints", "straddle", "mixed", "corrupted"),
    "image": ("midpoints", "mixed", "corrupted"),
    "text": (),
    "chat": (),
}
Generate = Callable[..., ProbeSuite]


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
    public: ProbeSuite | None = None,
    probes: int = PROBES,
    peers: int | None = None,
    shadows: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Enrolled:
    """
    Enrol a source with peers and shadows of its own.

    pool: labelled. log: unlabelled inputs the source was asked in service. given: a suite to choose the probes from,
    instead of the log and the generators. public: the suite that references of this input share, if there is one yet.
    peers, shadows: models to train, as `panel_size` has it unless told; a model at hand adds shadows of its own.
    Raises BadData for a pool that cannot teach a peer, TargetError where the source does not answer.
    """
    if pool.y is None:
        raise BadData("peers are trained on true labels and the pool has none; add y to the pool or pass --no-train")
    peers, shadows = panel_size(pool.spec, peers, shadows)
    if peers < 8 or shadows < 2:
        raise UsageError(f"expected at least 8 peers and 2 shadows, got {peers} and {shadows}; or pass --no-train")
    require_fit(source, pool.spec)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pool))
    held_size = min(len(pool) // 2, MAX_CANDIDATES)
    held, train = pool.take(order[:held_size]), pool.take(order[held_size:])

    material = _material(source, train, held, log, seed)
    candidates, kinds = _candidates(source, held, log, given, generators, seed)
    answers = ask(source, candidates, pool.spec, classes=pool.classes)
    k = max(material.k, int(answers.labels.max()) + 1)
    panels = [disturbed_source(source, material, candidates, answers, seed)]
    changed = derivatives.derive(source, train, candidates, seed)
    panels += [changed] if changed is not None else []
    plans = plan_shadows(material, shadows, seed) + plan_peers(material, peers, seed)
    panel = join([*panels, train_panel(material, plans, candidates, jobs=jobs, progress=progress)])

    eligible = np.arange(len(held) if given is not None else 0, len(candidates))
    chosen = eligible[
        choose(
            answers.labels[eligible],
            panel.labels[panel.rows("peer", "select", "estimate")][:, eligible].astype(int),
            panel.labels[panel.rows("shadow")][:, eligible].astype(int),
            k,
            probes,
        )
    ]
    suite = _suite(name, pool, candidates, kinds, chosen, answers, seed)
    if public is None:
        natural = np.flatnonzero(kinds == "uniform")
        picked = natural[spread(panel.labels[:, natural].astype(int), probes)]
        public = _suite("public", pool, candidates, kinds, picked, None, seed)
    reference = Reference(
        name=name,
        about=about,
        suite=suite,
        answers=_responses(suite, source, answers, chosen),
        panel=_columns(panel, chosen),
        public=collect(source, public),
    )
    return Enrolled(reference, public)


def panel_size(spec: InputSpec, peers: int | None = None, shadows: int | None = None) -> tuple[int, int]:
    """Peers and shadows to train for inputs of this kind, unless told otherwise."""
    usual = (NETWORK_PEERS, NETWORK_SHADOWS) if learners.image_networks(spec) else (PEERS, SHADOWS)

    return usual[0] if peers is None else peers, usual[1] if shadows is None else shadows


def enroll_answers(
    source: Client,
    pool: Pool,
    *,
    name: str,
    about: About,
    public: ProbeSuite | None,
    probes: int = PROBES,
    seed: int = 0,
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
        wrong = np.zeros(0, int) if pool.y is None else np.flatnonzero(answers.labels != pool.y[order])[: probes // 2]
        rest = np.setdiff1d(np.arange(len(order)), wrong)
        picked = order[np.concatenate([wrong, rng.permutation(rest)])[:probes]]
        public = _suite("public", pool, pool.x, np.full(len(pool), "uniform"), picked, None, seed)
    elif not pool.spec.accepts(public.spec):
        raise BadData(
            f"the pool's inputs are {pool.spec.shape}, the public suite's {public.spec.shape}; use a pool of those"
        )
    asked = collect(source, public)

    return Enrolled(Reference(name, about, public, asked, None, asked), public)


def _material(source: Client, train: Pool, held: Pool, log: Inputs | None, seed: int) -> Material:
    assert train.y is not None
    assert held.y is not None
    answers = ask(source, train.x, train.spec, classes=train.classes)
    logged = None if log is None else ask(source, log, train.spec, classes=train.classes)
    seen = [answers.labels, train.y, held.y] + ([] if logged is None else [logged.labels])
    k = max(int(labels.max()) for labels in seen) + 1
    if answers.scores is not None:
        k = max(k, answers.scores.shape[1])
    if len(np.unique(answers.labels)) < 2:
        raise BadData(
            f"expected a classifier of this pool, got one and the same label from {source.target} for all "
            f"{len(train)} rows; use a pool of the inputs it was made for"
        )
    truth = None if log is None else vote(train, held, log, k, seed)
    return Material(train, held, answers, log, logged, truth, k, _own(source, train.spec, k))


def _own(source: Client, spec: InputSpec, k: int) -> Any:
    """The source's own class, to be started afresh with other seeds: an estimator, a torch client, or None."""
    if hasattr(source, "module") and hasattr(source, "forward"):
        from . import networks  # needs torch, which is there if the client is

        return networks.fresh(source, spec, k)
    return getattr(source, "estimator", None)


def _candidates(
    source: Client,
    held: Pool,
    log: Inputs | None,
    given: ProbeSuite | None,
    generators: Mapping[str, Generate],
    seed: int,
) -> tuple[Inputs, np.ndarray]:
    """The held rows, then a given suite, or else the log and what the generators make, with the origin of each."""
    parts: list[Inputs] = [held.x]
    kinds = ["uniform"] * len(held)
    if given is not None:
        if not held.spec.accepts(given.spec) or held.spec.categories != given.spec.categories:
            raise SuiteMismatch(
                f"suite '{given.name}' is for {given.spec.kind} inputs of shape {given.spec.shape}, the pool holds "
                f"{held.spec.kind} inputs of shape {held.spec.shape}; build a suite from this pool"
            )
        return together([held.x, given.inputs]), np.array([*kinds, *given.kinds])
    if log is not None:
        parts.append(log)
        kinds += ["log"] * len(log)
    for i, (kind, generate) in enumerate(generators.items()):
        try:
            made = generate(source, held, n=min(MADE, len(held)), seed=seed + i).inputs
        except BadData:  # a generator may find nothing in a small pool; the others go on
            continue
        parts.append(made)
        kinds += [kind] * len(made)
    return together(parts), np.array(kinds)


def _suite(
    name: str,
    pool: Pool,
    candidates: Any,
    kinds: np.ndarray,
    rows: np.ndarray,
    answers: Asked | None,
    seed: int,
) -> ProbeSuite:
    inputs = candidates[rows] if isinstance(candidates, np.ndarray) else tuple(candidates[i] for i in rows)
    return ProbeSuite(
        name=name,
        generator="public" if answers is None else "relative",
        seed=seed,
        spec=pool.spec,
        inputs=inputs,
        kinds=tuple(str(kind) for kind in kinds[rows]),
        weights=np.ones(len(rows)),
        expected=None if answers is None else answers.labels[rows],
        classes=pool.classes,
    )


def _responses(suite: ProbeSuite, source: Client, answers: Asked, rows: np.ndarray) -> Responses:
    scores = None if answers.scores is None else answers.scores[rows][:, None]
    return Responses(
        suite=suite.digest,
        target=source.target,
        access="label" if scores is None else "scores",
        labels=answers.labels[rows][:, None],
        scores=scores,
        latency=np.full(len(rows), np.nan, np.float32),
        sent=len(answers.labels),
    )


def _columns(panel: Panel, rows: np.ndarray) -> Panel:
    scores = None if panel.scores is None else panel.scores[:, rows]
    return Panel(panel.names, panel.roles, panel.uses, panel.labels[:, rows], scores)
