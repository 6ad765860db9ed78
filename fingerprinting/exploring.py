"""
Exploring a source: candidate probes, and what the source, honest peers and copies made on purpose answer to them.

    pool ─► train half ─► peers, shadows ─┐
         └► held half ──► candidates ─────┴► answers ─► probes that tell copies from peers ─► Reference

Rows that shadows were trained on are never candidates, so that a shadow's agreement on a probe is what a thief's would
be. Inputs from the owner's own log are the exception on purpose: a thief's questions are in that log.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np

from . import changed_copies, derivatives, fragile, learners, relabelling, residuals
from .candidates import ENOUGH_STEADY, FOLLOW_GRADIENT, PUBLIC, Candidates, Generate, gather, steady, with_suite
from .collect import Client, Progress, ask, require_fit
from .disguises import disturbed_source
from .errors import BadData, UsageError
from .fragile import by_kind
from .kin import find_kin
from .panels import ask_cohort, join, train_panel, vote
from .plans import Inputs, Material, plan_peers, plan_shadows
from .probing import expected_of, numbers
from .records import About, Fragile, InputSpec, Panel, Pool, ProbeSuite, Reference, Responses
from .selection import choose, spread

PEERS: Final = 260
SHADOWS: Final = 32
NETWORK_PEERS: Final = 36  # networks for images cost seconds each
NETWORK_SHADOWS: Final = 12
ROWS_TO_PROBE: Final = 200  # of a small pool up to half
MAX_CANDIDATES: Final = 3000  # pool rows considered as probes
NUMBER_PEERS: Final = 290  # of regressors, which train fast; some may turn out to be the source itself
NUMBER_SHADOWS: Final = 40
TAUGHT: Final = 1.5  # further shadows that answer the fragile probes alone, for every one asked for
NETWORKS_TAUGHT: Final = 0.25  # likewise, of networks for images
Altered = Callable[[Inputs], Panel]
NATURAL: Final = ("uniform", "log")  # kinds of candidates on which regressors' own deviations show best


@dataclass(frozen=True, eq=False)
class Explored:
    """
    A source, its peers and its shadows on every candidate, from which probes are chosen.

    panel: answers of peers and shadows, (models, c). k: classes. eligible: bool (c,), what may be chosen. edges:
    fragile probes among the candidates, which are never chosen. altered: asks copies of the source, changed on purpose.
    """

    spec: InputSpec
    classes: tuple[str, ...]
    found: Candidates
    panel: Panel
    k: int
    eligible: np.ndarray
    seed: int
    edges: ProbeSuite | None = None
    altered: Altered | None = None

    def chosen(self, probes: int) -> np.ndarray:
        """Indices of the candidates that best tell copies from peers, most telling first; int (probes,)."""
        panel, eligible = self.panel, np.flatnonzero(self.eligible)
        if self.spec.output == "number":
            natural = eligible[np.isin(self.found.kinds[eligible], NATURAL)]
            eligible = natural if len(natural) >= probes else eligible
            values = residuals.values_of(panel)[:, eligible]
            fitting, kin = panel.rows("peer", "select", "estimate"), panel.rows("kin peer")
            peers, kin = np.setdiff1d(fitting, kin), np.intersect1d(fitting, kin)
            known = values[peers], values[kin], values[panel.rows("shadow")]
            return np.asarray(eligible[residuals.choose(numbers(self.found.answers)[eligible], *known, probes)])
        labels = self.found.answers.labels[eligible]
        return np.asarray(eligible[choose(labels, panel.columns(eligible), self.k, probes, self.found.kinds[eligible])])

    def reference(self, name: str, about: About, target: str, probes: int, public: ProbeSuite) -> Reference:
        """The source, known as `target`, as a reference with that many probes. public: as `public_suite` gives it."""
        chosen = self.chosen(probes)
        suite = self._suite(name, chosen, expected_of(self.found.answers, self.spec))
        shared = self._public(len(public))
        return Reference(
            name, about, suite, self._answers(chosen, suite, target), self.panel.columns(chosen),
            self._answers(shared, public, target), self.panel.columns(shared),
            self._fragile(chosen, shared, name, target),
        )  # fmt: skip

    def _fragile(self, chosen: np.ndarray, shared: np.ndarray, name: str, target: str) -> Fragile | None:
        """What `verify` will ask: the edges, and plain inputs that are no probes."""
        if self.edges is None:
            return None
        rows = np.flatnonzero(self.found.kinds == fragile.SENSITIVE)
        free = self.eligible.copy()
        free[chosen] = free[shared] = False
        if not free.any():
            return None
        rest = replace(self, eligible=free).chosen(fragile.PLAIN)
        both = np.concatenate([rows, rest])
        plain = self._suite(name, rest, expected_of(self.found.answers, self.spec))
        altered = None if self.altered is None else self.altered(self._inputs(both))
        answers = self._answers(both, self.edges, target)

        return fragile.assemble(self.edges, plain, answers, self.panel.columns(both), altered, name)

    def _inputs(self, rows: np.ndarray) -> Inputs:
        inputs = self.found.inputs
        return inputs[rows] if isinstance(inputs, np.ndarray) else tuple(inputs[i] for i in rows)

    def public_suite(self, probes: int) -> ProbeSuite:
        """A suite that references of this input can share: pool rows on which all the models differ most."""
        return self._suite("public", self._public(probes), None)

    def _public(self, probes: int) -> np.ndarray:
        """The candidates of the public suite: those that came with it, or the ones to make it of; int (probes,)."""
        given = np.flatnonzero(self.found.kinds == PUBLIC)
        if len(given):
            return given
        natural = np.flatnonzero(self.found.kinds == "uniform")
        if self.spec.output == "number":
            return np.asarray(natural[residuals.spread(residuals.values_of(self.panel)[:, natural], probes)])
        return np.asarray(natural[spread(self.panel.labels[:, natural].astype(int), probes)])

    def _answers(self, rows: np.ndarray, suite: ProbeSuite, target: str) -> Responses:
        scores = None if self.found.answers.scores is None else self.found.answers.scores[rows][:, None]
        return Responses(
            suite=suite.digest,
            target=target,
            access="label" if scores is None else "scores",
            labels=self.found.answers.labels[rows][:, None],
            scores=scores,
            latency=np.full(len(rows), np.nan, np.float32),
            sent=len(self.found.answers.labels),
        )

    def _suite(self, name: str, rows: np.ndarray, expected: np.ndarray | None) -> ProbeSuite:
        return suite_from(name, self.spec, self.classes, self.found.inputs, self.found.kinds, rows, expected, self.seed)


def explore(
    source: Client,
    pool: Pool,
    *,
    generators: Mapping[str, Generate],
    log: Inputs | None = None,
    given: ProbeSuite | None = None,
    cohort: Sequence[Client] = (),
    public: ProbeSuite | None = None,
    peers: int | None = None,
    shadows: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    without: Sequence[str] = (),
    sensitive: Generate | None = None,
    progress: Progress | None = None,
) -> Explored:
    """Make the candidates, train peers and shadows, and have all of them and the source answer; as for `enroll`."""
    if pool.y is None:
        raise BadData("peers are trained on true labels and the pool has none; add y to the pool or pass --no-train")
    peers, shadows = panel_size(pool.spec, peers, shadows)
    if peers < 8 or shadows < 2:
        raise UsageError(f"expected at least 8 peers and 2 shadows, got {peers} and {shadows}; or pass --no-train")
    require_fit(source, pool.spec)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pool))
    third = max(len(pool) // 3, min(len(pool) // 2, ROWS_TO_PROBE))  # most rows teach: honest strangers had as many
    held_size = min(third, MAX_CANDIDATES)
    held, train = pool.take(order[:held_size]), pool.take(order[held_size:])

    material = material_for(source, train, held, log, seed)
    number = pool.spec.output == "number"
    if not number:
        material = replace(material, chances=relabelling.chances(train, held, material.k, seed, jobs=jobs))
    found = gather(source, held, log, given, generators, seed, public)
    edges = None if sensitive is None else _edges(source, held, sensitive, seed)
    if edges is not None:
        found = with_suite(found, edges, fragile.SENSITIVE, source)
    k = max(material.k, int(found.answers.labels.max()) + 1)
    eligible = np.arange(len(found.kinds)) >= (len(held) if given is not None else 0)
    shadow_plans = plan_shadows(material, shadows, seed, without)
    first, rest = plan_peers(material, peers, seed)
    early = train_panel(material, shadow_plans + first, found.inputs, jobs=jobs, progress=progress)
    theirs = residuals.values_of(early) if number else early.labels
    own = expected_of(found.answers, pool.spec)
    kin = find_kin(material, first, theirs[len(shadow_plans) :, : len(held)], own[: len(held)])
    if given is None and not number:
        sound = steady(source, pool.spec, pool.classes, found, seed) | np.isin(found.kinds, FOLLOW_GRADIENT)
        eligible = sound if sound.sum() >= ENOUGH_STEADY else eligible
    eligible &= (found.kinds != PUBLIC) & (found.kinds != fragile.SENSITIVE)
    late = train_panel(material, rest(kin), found.inputs, jobs=jobs, progress=progress)
    panels = [] if "disturbed" in without else [disturbed_source(source, material, found.inputs, found.answers, seed)]
    changed = None if "changed" in without else derivatives.derive(source, train, found.inputs, seed)
    panel = join([*panels, *([] if changed is None else [changed]), early, late])
    if number:
        panel = residuals.without_doubles(panel, numbers(found.answers))
    if cohort:
        panel = join([panel, ask_cohort(cohort, found.inputs, pool)])

    further = round((NETWORKS_TAUGHT if learners.image_networks(pool.spec) else TAUGHT) * shadows)
    ask_altered = partial(_altered, source, material, shadows=further, seed=seed, jobs=jobs)

    return Explored(pool.spec, pool.classes, found, panel, k, eligible, seed, edges, ask_altered)


def _altered(source: Client, material: Material, inputs: Inputs, *, shadows: int, seed: int, jobs: int) -> Panel:
    """Answers of copies of the source, changed on purpose, and of further shadows, which learned from its answers."""
    copies = changed_copies.altered(source, material.train, inputs, seed)
    plans = plan_shadows(material, shadows, seed + 1)
    if not plans:
        return copies
    taught = by_kind(train_panel(material, plans, inputs, jobs=jobs))
    if (taught.scores is None) != (copies.scores is None):
        return copies

    return join([copies, taught])


def _edges(source: Client, held: Pool, sensitive: Generate, seed: int) -> ProbeSuite | None:
    """Fragile probes, or None where there are none to be found."""
    try:
        return sensitive(source, held, n=fragile.CANDIDATES, seed=seed, spread=fragile.SPREAD)
    except (BadData, UsageError):  # a source without a boundary among these rows, or inputs that cannot be moved
        return None


def panel_size(spec: InputSpec, peers: int | None = None, shadows: int | None = None) -> tuple[int, int]:
    """Peers and shadows to train for inputs of this kind, unless told otherwise."""
    usual = (NETWORK_PEERS, NETWORK_SHADOWS) if learners.image_networks(spec) else (PEERS, SHADOWS)
    if spec.output == "number":
        usual = (NUMBER_PEERS, NUMBER_SHADOWS)

    return usual[0] if peers is None else peers, usual[1] if shadows is None else shadows


def material_for(source: Client, train: Pool, held: Pool, log: Inputs | None, seed: int) -> Material:
    """What peers and shadows of a source are made from, with its answers to the rows of train and of the log."""
    assert train.y is not None
    assert held.y is not None
    answers = ask(source, train.x, train.spec, classes=train.classes)
    logged = None if log is None else ask(source, log, train.spec, classes=train.classes)
    number = train.spec.output == "number"
    seen = [answers.labels] + ([] if number else [train.y, held.y]) + ([] if logged is None else [logged.labels])
    k = max(int(labels.max()) for labels in seen) + 1
    if answers.scores is not None:
        k = max(k, answers.scores.shape[1])
    if len(np.unique(expected_of(answers, train.spec))) < 2:
        made, answer = ("regressor", "number") if number else ("classifier", "label")
        raise BadData(
            f"expected a {made} of this pool, got one and the same {answer} from {source.target} for all "
            f"{len(train)} rows; use a pool of the inputs it was made for"
        )
    truth = None if log is None else vote(train, held, log, k, seed)
    known = None if train.trained is None or held.trained is None else np.concatenate([train.trained, held.trained])
    return Material(train, held, answers, log, logged, truth, k, _own(source, train.spec, k), known)


def _own(source: Client, spec: InputSpec, k: int) -> Any:
    """The source's own class, to be started afresh with other seeds: an estimator, a torch client, or None."""
    if hasattr(source, "module") and hasattr(source, "forward"):
        if spec.output == "number":
            return None  # the networks that are trained here are classifiers
        from . import networks  # needs torch, which is there if the client is

        return networks.fresh(source, spec, k)
    return getattr(source, "estimator", None)


def suite_from(
    name: str,
    spec: InputSpec,
    classes: tuple[str, ...],
    candidates: Inputs,
    kinds: np.ndarray,
    rows: np.ndarray,
    expected: np.ndarray | None,
    seed: int,
) -> ProbeSuite:
    """The suite of some candidates; expected: what the source answers, None for a public suite."""
    inputs = candidates[rows] if isinstance(candidates, np.ndarray) else tuple(candidates[i] for i in rows)
    return ProbeSuite(
        name=name,
        generator="public" if expected is None else "relative",
        seed=seed,
        spec=spec,
        inputs=inputs,
        kinds=tuple(str(kind) for kind in kinds[rows]),
        weights=np.ones(len(rows)),
        expected=None if expected is None else expected[rows],
        classes=classes,
    )
