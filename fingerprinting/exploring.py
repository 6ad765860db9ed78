"""
Exploring a source: candidate probes, and what the source, honest peers and copies made on purpose answer to them.

    pool ─► train half ─► peers, shadows ─┐
         └► held half ──► candidates ─────┴► answers ─► probes that tell copies from peers ─► Reference

Rows that shadows were trained on are never candidates, so that a shadow's agreement on a probe is what a thief's would
be. Inputs from the owner's own log are the exception on purpose: a thief's questions are in that log.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from . import derivatives, learners, residuals
from .collect import Asked, Client, Progress, ask, require_fit
from .disguises import LEAST_NOISE, disturbed_source
from .errors import BadData, SuiteMismatch, UsageError
from .kin import find_kin
from .panels import ask_cohort, join, together, train_panel, vote
from .plans import Inputs, Material, plan_peers, plan_shadows
from .probing import expected_of, numbers
from .records import About, InputSpec, Panel, Pool, ProbeSuite, Reference, Responses
from .selection import choose, spread

PEERS: Final = 260
SHADOWS: Final = 32
NETWORK_PEERS: Final = 24  # networks for images cost seconds each
NETWORK_SHADOWS: Final = 10
ROWS_TO_PROBE: Final = 200  # of a small pool up to half
MAX_CANDIDATES: Final = 3000  # pool rows considered as probes
NUMBER_PEERS: Final = 290  # of regressors, which train fast; some may turn out to be the source itself
NUMBER_SHADOWS: Final = 40
NATURAL: Final = ("uniform", "log")  # kinds of candidates on which regressors' own deviations show best
MARGIN: Final = 0.05  # between the source's two likeliest classes
ENOUGH_STEADY: Final = 128  # steady candidates, below which all are taken
MADE: Final = 400  # candidates each generator makes
Generate = Callable[..., ProbeSuite]


@dataclass(frozen=True, eq=False)
class Explored:
    """
    A source, its peers and its shadows on every candidate, from which probes are chosen.

    candidates: float32 (c, *shape) or c texts. kinds: str (c,), the generator of each. answers: the source's.
    panel: answers of peers and shadows, (models, c). k: classes. eligible: bool (c,), what may be chosen.
    """

    spec: InputSpec
    classes: tuple[str, ...]
    candidates: Inputs
    kinds: np.ndarray
    answers: Asked
    panel: Panel
    k: int
    eligible: np.ndarray
    seed: int

    def chosen(self, probes: int) -> np.ndarray:
        """Indices of the candidates that best tell copies from peers, most telling first; int (probes,)."""
        panel, eligible = self.panel, np.flatnonzero(self.eligible)
        if self.spec.output == "number":
            natural = eligible[np.isin(self.kinds[eligible], NATURAL)]
            eligible = natural if len(natural) >= probes else eligible
            values = residuals.values_of(panel)[:, eligible]
            fitting, kin = panel.rows("peer", "select", "estimate"), panel.rows("kin peer")
            peers, kin = np.setdiff1d(fitting, kin), np.intersect1d(fitting, kin)
            known = values[peers], values[kin], values[panel.rows("shadow")]
            return np.asarray(eligible[residuals.choose(numbers(self.answers)[eligible], *known, probes)])
        picked = choose(
            self.answers.labels[eligible],
            panel.labels[panel.rows("peer", "select", "estimate")][:, eligible].astype(int),
            panel.labels[panel.rows("shadow")][:, eligible].astype(int),
            self.k,
            probes,
        )
        return np.asarray(eligible[picked])

    def reference(self, name: str, about: About, target: str, probes: int, public: Responses) -> Reference:
        """The source, known as `target`, as a reference with that many probes; public: its answers to that suite."""
        chosen = self.chosen(probes)
        suite = self._suite(name, chosen, expected_of(self.answers, self.spec))
        scores = None if self.answers.scores is None else self.answers.scores[chosen][:, None]
        answers = Responses(
            suite=suite.digest,
            target=target,
            access="label" if scores is None else "scores",
            labels=self.answers.labels[chosen][:, None],
            scores=scores,
            latency=np.full(len(chosen), np.nan, np.float32),
            sent=len(self.answers.labels),
        )
        return Reference(name, about, suite, answers, self.panel.columns(chosen), public)

    def public_suite(self, probes: int) -> ProbeSuite:
        """A suite that references of this input can share: pool rows on which all the models differ most."""
        natural = np.flatnonzero(self.kinds == "uniform")
        if self.spec.output == "number":
            picked = natural[residuals.spread(residuals.values_of(self.panel)[:, natural], probes)]
        else:
            picked = natural[spread(self.panel.labels[:, natural].astype(int), probes)]
        return self._suite("public", picked, None)

    def _suite(self, name: str, rows: np.ndarray, expected: np.ndarray | None) -> ProbeSuite:
        return suite_from(name, self.spec, self.classes, self.candidates, self.kinds, rows, expected, self.seed)


def explore(
    source: Client,
    pool: Pool,
    *,
    generators: Mapping[str, Generate],
    log: Inputs | None = None,
    given: ProbeSuite | None = None,
    cohort: Sequence[Client] = (),
    peers: int | None = None,
    shadows: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    without: Sequence[str] = (),
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

    material = _material(source, train, held, log, seed)
    candidates, kinds = _candidates(source, held, log, given, generators, seed)
    answers = ask(source, candidates, pool.spec, classes=pool.classes)
    k = max(material.k, int(answers.labels.max()) + 1)
    panels = []
    if "disturbed" not in without:
        panels.append(disturbed_source(source, material, candidates, answers, seed))
    changed = None if "changed" in without else derivatives.derive(source, train, candidates, seed)
    panels += [changed] if changed is not None else []
    shadow_plans = plan_shadows(material, shadows, seed, without)
    first, rest = plan_peers(material, peers, seed)
    early = train_panel(material, shadow_plans + first, candidates, jobs=jobs, progress=progress)
    number = pool.spec.output == "number"
    theirs = residuals.values_of(early) if number else early.labels
    own = expected_of(answers, pool.spec)
    kin = find_kin(material, first, theirs[len(shadow_plans) :, : len(held)], own[: len(held)])
    late = train_panel(material, rest(kin), candidates, jobs=jobs, progress=progress)
    panel = join([*panels, early, late])
    if number:
        panel = residuals.without_doubles(panel, own)
    if cohort:
        panel = join([panel, ask_cohort(cohort, candidates, pool)])
    eligible = np.arange(len(candidates)) >= (len(held) if given is not None else 0)
    if given is None and pool.spec.output == "classes":
        steady = _steady(answers, None if "disturbed" in without else panels[0])
        eligible = steady if steady.sum() >= ENOUGH_STEADY else eligible

    return Explored(pool.spec, pool.classes, candidates, kinds, answers, panel, k, eligible, seed)


def _steady(answers: Asked, disturbed: Panel | None) -> np.ndarray:
    """
    Bool (c,): candidates on which the source does not change its mind for a trifle.

    A copy whose scores are rounded, or whose inputs carry a little noise, answers a point on the very boundary by
    chance; such points are for telling whether a model changed at all, not whose it was.
    """
    steady = np.ones(len(answers.labels), bool)
    if answers.scores is not None:
        top = np.sort(answers.scores, axis=1)
        steady &= top[:, -1] - top[:, -2] >= MARGIN
    if disturbed is not None:
        steady &= disturbed.labels[LEAST_NOISE] == answers.labels

    return steady


def panel_size(spec: InputSpec, peers: int | None = None, shadows: int | None = None) -> tuple[int, int]:
    """Peers and shadows to train for inputs of this kind, unless told otherwise."""
    usual = (NETWORK_PEERS, NETWORK_SHADOWS) if learners.image_networks(spec) else (PEERS, SHADOWS)
    if spec.output == "number":
        usual = (NUMBER_PEERS, NUMBER_SHADOWS)

    return usual[0] if peers is None else peers, usual[1] if shadows is None else shadows


def _material(source: Client, train: Pool, held: Pool, log: Inputs | None, seed: int) -> Material:
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
        if isinstance(made, tuple):  # some generators give natural texts too, and a text is asked once
            seen = {text for part in parts for text in part}
            made = tuple(text for text in made if text not in seen)
        parts.append(made)
        kinds += [kind] * len(made)
    return together(parts), np.array(kinds)


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
