"""
Explaining a model: a background of few rows, curves, surfaces, and what they contribute, with intervals.

Intervals come from the Bayesian bootstrap (Rubin 1981) over the rows of the background: how much the figures depend on
which rows stand for the pool.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.collect import Asked, Client, Progress, ask, require_fit
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.plans import Inputs
from probe_match.fingerprinting.records import Access, Pool

from . import parts
from .averaging import LEVEL, Rows
from .curves import FOR_CURVES, FOR_PAIRS, Asking, Surface, rows_for
from .efficacy import Efficacy, efficacy
from .features import Features, answers_of, background, features_of

BUDGET: Final = 1000
MOST_ROWS: Final = 500  # that features which act together are asked for
OWN_ROWS: Final = 100  # pool rows that are asked as they are, at most a tenth of the budget


class Contribution(NamedTuple):
    """value and the bounds of its interval, in units of the model's output; float64 (outputs,) each."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def mean(self) -> tuple[float, float, float]:
        """The three, averaged over outputs."""
        return float(self.value.mean()), float(self.low.mean()), float(self.high.mean())


class Feature(NamedTuple):
    """One feature's parts. grid: float64 (g,) or its categories' indices; curve: float64 (g, outputs), the effect."""

    name: str
    linear: Contribution
    nonlinear: Contribution
    grid: np.ndarray
    curve: np.ndarray
    ordered: bool

    @property
    def total(self) -> float:
        """Linear and nonlinear part together, averaged over outputs."""
        return self.linear.mean[0] + self.nonlinear.mean[0]


class Pair(NamedTuple):
    """Two features and what they contribute together beyond what each does alone."""

    a: str
    b: str
    interaction: Contribution


@dataclass(frozen=True)
class Explanation:
    """What `explain` found. outputs: names of the classes, or ("number",). own: float64 (rows, outputs) of `asked`."""

    target: str
    outputs: tuple[str, ...]
    access: Access
    features: tuple[Feature, ...]
    pairs: tuple[Pair, ...]
    efficacy: Efficacy | None
    queries: int
    rows: int
    seed: int
    asked: np.ndarray
    own: np.ndarray

    def ranked(self) -> list[Feature]:
        """Features, those that contribute most first."""
        return sorted(self.features, key=lambda feature: -feature.total)

    def vector(self) -> np.ndarray:
        """Linear, nonlinear and pairwise parts by feature and by output, as one vector; float64 (3 K outputs,)."""
        at = {feature.name: i for i, feature in enumerate(self.features)}
        paired = np.zeros((len(self.features), len(self.features[0].linear.value)))
        for pair in self.pairs:
            for name in (pair.a, pair.b):
                paired[at[name]] += pair.interaction.value
        alone = [np.stack([getattr(f, what).value for f in self.features]) for what in ("linear", "nonlinear")]
        return np.concatenate([*alone, paired]).ravel()


def explain(
    client: Client,
    pool: Pool,
    *,
    budget: int = BUDGET,
    seed: int = 0,
    access: Access | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """
    The parts of a model's decisions, with at most `budget` questions.

    pool: inputs like those of the model's task; with y its efficacy is taken apart, too. Raises UsageError for a budget
    that cannot hold the features, TargetError where the client fails.
    """
    require_fit(client, pool.spec)
    features = features_of(pool)
    if len(pool) < 2 or not features.names:
        raise BadData(f"expected a pool of at least 2 inputs with features that vary, got {len(pool)} inputs")
    rng = np.random.default_rng([seed, 6])
    asked = np.sort(rng.permutation(len(pool))[: min(OWN_ROWS, budget // 10)])
    count, first = rows_for(features, budget - len(asked))
    rows, weights = background(features, count, seed)
    known = max(len(pool.classes), 0 if pool.y is None or pool.spec.output == "number" else int(pool.y.max()) + 1)

    def put(inputs: Inputs) -> Asked:
        return ask(client, inputs, pool.spec, classes=pool.classes, access=access, progress=progress)

    first_answers = put(features.place(asked, {}))
    k = max(known, int(first_answers.labels.max(initial=0)) + 1)  # a class seen only later counts as none of these
    own = answers_of(k, first_answers)
    asking = Asking(lambda inputs: answers_of(k, put(inputs)), features, rows, budget - len(asked))
    curves = asking.curves(first, int(FOR_CURVES * budget))
    surfaces = asking.surfaces(curves, int(FOR_PAIRS * budget))
    more = rng.permutation(np.setdiff1d(np.arange(features.size), rows))[:MOST_ROWS]
    coarse = asking.over(more, curves)
    curves = asking.refine(curves, asking.left)
    everyone = Rows(features, rows, more[: max((c.y.shape[1] for c in coarse.values()), default=0)], weights, rng)
    effects = [everyone.effect(f, curve, coarse.get(f)) for f, curve in enumerate(curves)]
    means = [everyone.mean(surface) for surface in surfaces]
    for surface, mean in zip(surfaces, means, strict=True):
        for f, other, turned in ((surface.a, surface.b, mean), (surface.b, surface.a, mean.transpose(0, 2, 1, 3))):
            effects[f] = effects[f] + everyone.correction(other, turned, f in coarse)
    pairs = [_pair(features, surface, mean, effects) for surface, mean in zip(surfaces, means, strict=True)]

    return Explanation(
        target=client.target,
        outputs=_outputs(pool, own.shape[1]),
        access="label" if first_answers.scores is None else "scores",
        features=tuple(_feature(features, f, effect) for f, effect in enumerate(effects)),
        pairs=tuple(sorted(pairs, key=lambda pair: -pair.interaction.mean[0])),
        efficacy=efficacy(pool, features, [effect[0] for effect in effects], surfaces, weights, asked, own),
        queries=asking.spent + len(asked),
        rows=len(everyone),
        seed=seed,
        asked=asked,
        own=own,
    )


def _feature(features: Features, f: int, effect: np.ndarray) -> Feature:
    grid, weights, ordered = features.grids[f], features.weights[f], bool(features.ordered[f])
    linear, nonlinear = parts.single(grid, weights, ordered, np.moveaxis(effect, 2, 1))
    curve = effect[0] - weights @ effect[0]

    return Feature(features.names[f], _interval(linear), _interval(nonlinear), grid, curve, ordered)


def _pair(features: Features, surface: Surface, mean: np.ndarray, effects: list[np.ndarray]) -> Pair:
    a, b = surface.a, surface.b
    alone = [np.moveaxis(effects[f], 2, 1) for f in (a, b)]
    values = parts.together(features.weights[a], features.weights[b], np.moveaxis(mean, 3, 1), *alone)

    return Pair(features.names[a], features.names[b], _interval(values))


def _interval(draws: np.ndarray) -> Contribution:
    """The first draw is the estimate; float64 (draws, outputs)."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws[1:], [tail, 1 - tail], axis=0)
    return Contribution(draws[0], np.minimum(low, draws[0]), np.maximum(high, draws[0]))


def _outputs(pool: Pool, k: int) -> tuple[str, ...]:
    if pool.spec.output == "number":
        return ("number",)
    return pool.classes if len(pool.classes) == k else tuple(str(i) for i in range(k))
