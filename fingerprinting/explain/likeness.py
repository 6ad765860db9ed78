"""
In how far a target decides as a known model does: the answers of both to the public suite, taken apart by feature.

This explains a verdict and is no part of it: honest models trained on the same data contribute alike, too, and what the
reference's peers reach stands beside the figure. The target is asked within a budget of its own.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.collect import Client, Progress, collect
from probe_match.fingerprinting.errors import NoAnswers, UsageError
from probe_match.fingerprinting.records import Access, Panel, ProbeSuite, Reference, Responses

from .comparing import NEAR
from .signature import Described, contributions, cosine, describe, pairs_of
from .surrogate import Parts

RESAMPLED: Final = 200
LEVEL: Final = 0.95
FEWEST: Final = 20  # answers, below which a regression on features says nothing
MOST_HONEST: Final = 100  # peers that are taken apart, too


class Figures(NamedTuple):
    """What a feature contributes to one model, in units of the answers, averaged over outputs."""

    linear: float
    nonlinear: float
    pairwise: float

    @property
    def total(self) -> float:
        """All three together."""
        return sum(self)


class Shared(NamedTuple):
    """
    One feature in both models. low, high: 95 % interval of how much more all parts contribute to the target than to the
    reference.
    """

    name: str
    reference: Figures
    target: Figures
    low: float
    high: float

    @property
    def apart(self) -> bool:
        """Whether more than the choice of probes sets the two apart."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Likeness:
    """
    queries: put to the target for this. probes: that both answered. alike: share of them decided alike, of regressors
    within a twentieth of the reference's spread. cosine: of all contributions, 0 to 1; parts: the same of the linear,
    nonlinear and pairwise ones alone. honest: what honest models' contributions reach with the reference, () where none
    answered. features: those that contribute most to the reference first.
    """

    reference: str
    queries: int
    probes: int
    access: Access
    alike: float
    cosine: float
    parts: tuple[float, float, float]
    honest: tuple[float, ...]
    features: tuple[Shared, ...]


def likeness(
    client: Client,
    reference: Reference,
    suite: ProbeSuite,
    *,
    budget: int,
    access: Access | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Likeness:
    """
    Ask a target at most `budget` probes of the public suite, and set its contributions beside the reference's.

    Raises NoAnswers where fewer than FEWEST are answered by both, UsageError for a smaller budget or a reference that
    never answered the suite.
    """
    if budget < FEWEST:
        raise UsageError(f"expected at least {FEWEST} questions to take answers apart by feature, got {budget}")
    if reference.public is None or reference.public.suite != suite.digest:
        raise UsageError(f"'{reference.name}' never answered the public suite; enroll it again with --replace")
    rows = np.arange(min(budget, len(suite)))
    rng = np.random.default_rng(seed)
    given = collect(client, suite, rows=rows, access=access, rng=rng, progress=progress)

    return between(reference, suite, given, seed=seed)


def between(reference: Reference, suite: ProbeSuite, given: Responses, *, seed: int = 0) -> Likeness:
    """The same of answers that are there. given: a target's to the suite."""
    assert reference.public is not None
    own = reference.public
    both = np.flatnonzero(own.answered & given.answered)
    if len(both) < FEWEST:
        raise NoAnswers(f"expected {FEWEST} probes that both models answered, got {len(both)}; raise --explain")
    inputs = suite.inputs[both] if isinstance(suite.inputs, np.ndarray) else tuple(suite.inputs[i] for i in both)
    of = describe(suite.spec, inputs)
    number = suite.spec.output == "number"
    scored = own.score is not None and given.score is not None and own.score.shape == given.score.shape
    k = max(len(suite.classes), int(max(own.labels.max(), given.labels.max())) + 1)
    ours, theirs = (_told(r.label[both], r.score[both] if scored and r.score is not None else None, k)
                    for r in (own, given))  # fmt: skip
    among = pairs_of(of, ours)
    mine, its = contributions(of, ours, among), contributions(of, theirs, among)
    low, high = _apart(of, ours, theirs, among, seed)
    first, second = _figures(mine), _figures(its)
    same = _near(ours, theirs) if number else own.label[both] == given.label[both]
    features = [Shared(name, first[f], second[f], float(low[f]), float(high[f])) for f, name in enumerate(of.names)]

    return Likeness(
        reference=reference.name,
        queries=given.sent,
        probes=len(both),
        access="scores" if scored else "label",
        alike=float(same.mean()),
        cosine=cosine(mine.vector(), its.vector()),
        parts=(cosine(mine[0], its[0]), cosine(mine[1], its[1]), cosine(mine[2], its[2])),
        honest=_honest(reference.public_panel, of, both, mine.vector(), among, k, scored),
        features=tuple(sorted(features, key=lambda shared: -shared.reference.total)),
    )


def _told(labels: np.ndarray, scores: np.ndarray | None, k: int) -> np.ndarray:
    """Answers as numbers, float64 (n, outputs)."""
    return np.asarray(labels[:, None] == np.arange(k) if scores is None else scores, np.float64)


def _figures(parts: Parts) -> list[Figures]:
    """What each feature contributes, averaged over outputs."""
    return [Figures(*row) for row in np.stack([part.mean(1) for part in parts], 1).tolist()]


def _near(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(ours - theirs)[:, 0] <= NEAR * ours.std())


def _honest(
    panel: Panel | None, of: Described, probes: np.ndarray, own: np.ndarray, among: np.ndarray, k: int, scored: bool
) -> tuple[float, ...]:
    """What honest models reach with the reference's vector `own`, read as the target is."""
    if panel is None or (scored and panel.scores is None):
        return ()
    peers = panel.rows("peer")
    peers = peers[np.linspace(0, len(peers) - 1, min(len(peers), MOST_HONEST)).astype(int)]
    found = []
    for peer in peers:
        scores = panel.scores[peer][probes] if scored and panel.scores is not None else None
        its = contributions(of, _told(panel.labels[peer][probes], scores, k), among).vector()
        if its.shape == own.shape and np.isfinite(its).all() and its.any():  # who answers all alike decides by nothing
            found.append(cosine(own, its))
    return tuple(found)


def _apart(
    of: Described, ours: np.ndarray, theirs: np.ndarray, among: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """How much more each feature does in theirs, on probes drawn again: the bounds of the interval, float64 (K,)."""
    rng = np.random.default_rng([seed, 8])
    found = []
    for _ in range(RESAMPLED):
        rows = rng.integers(0, len(ours), len(ours))
        a, b = (sum(part.mean(1) for part in contributions(of, told, among, rows)) for told in (ours, theirs))
        found.append(b - a)
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high
