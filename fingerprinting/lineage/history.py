"""
Versions of one model in a database over time: how far each moved from the one before, and along which features.

Versions are what stated parents connect with a reference, and references of the same stem (`churn-v1`, `churn-v2`,
`churn@2026-03`), oldest first. All is read from stored answers to the public suite; nobody is asked.
"""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting import identity
from probe_match.fingerprinting.database import ReferenceDB
from probe_match.fingerprinting.errors import DatabaseError, ProbeMatchError
from probe_match.fingerprinting.explain.surrogate import estimate
from probe_match.fingerprinting.records import About, Reference

from . import gathering, trees
from .growing import FEWEST_HONEST
from .members import Models

# The end of a name that numbers or dates a version: -v2, _1.3, @2026-03-01, :latest, .7
ALPHA: Final = 0.01  # chance that an honest model comes as near, from which on a step is a modification
VERSION: Final = re.compile(
    r"([-_.@:/ ]?(v|ver|version|rev|r)?[-_. ]?\d[\d.\-_]*|[-_.@:](latest|final|old|new))$", re.I
)
MOST_VERSIONS: Final = 500
MOVED: Final = 5  # features listed as changed


class Moved(NamedTuple):
    """One feature's contribution before and after, all parts together, in units of the answers."""

    feature: str
    before: float
    after: float


class Step(NamedTuple):
    """
    From one version to a later one. agreement: share of probes answered alike, of regressors the correlation of
    deviations from honest models. kind: see `KINDS`. p: chance that an honest model comes as near, NaN without peers.
    """

    earlier: str
    agreement: float
    kind: str
    p: float
    moved: tuple[Moved, ...]


class Version(NamedTuple):
    """A reference, its identity on the public suite ("" where it has none), and the step to it, None for the first."""

    name: str
    about: About
    fingerprint: str
    step: Step | None


@dataclass(frozen=True)
class History:
    """versions: oldest first. probes, honest: how many. access: what the contributions were read from."""

    name: str
    versions: tuple[Version, ...]
    probes: int
    honest: int
    access: str


def stem(name: str) -> str:
    """A name without what numbers or dates it; the name itself where nothing would be left."""
    left = name
    while (short := VERSION.sub("", left)) != left and short:
        left = short
    return left


def read(db: ReferenceDB, name: str) -> History:
    """The history of the model that a reference is a version of. Raises DatabaseError without public answers."""
    reference = db.get(name)
    found = [header for header in db.headers() if header["public"] and header["suite"]]
    headers = {header["name"]: header for header in found}
    if name not in headers:
        raise DatabaseError(f"'{name}' never answered a public suite; enroll it again with --replace")
    same = {n for n, header in headers.items() if header["public"] == headers[name]["public"]}
    names = _versions({n: headers[n]["parent"] for n in same}, name)
    known = gathering.stored(db, reference.suite.spec.shape, names)
    by_name = {n: i for i, n in enumerate(known.models.names)}
    order = _in_time({n: known.abouts[by_name[n]] for n in names})[:MOST_VERSIONS]
    models = known.models.of([by_name[n] for n in order])
    abouts = tuple(known.abouts[by_name[n]] for n in order)
    honest = known.honest if known.honest is not None and len(known.honest) >= FEWEST_HONEST else None
    family = gathering.family_of(known._replace(models=models, abouts=abouts), honest or models, [])
    number = known.suite.spec.output == "number"
    p = np.full((len(order), len(order)), np.nan)
    if honest is not None and len(order) > 1:
        p = trees.grow(family, resamples=0).p
    same_answers = trees.alike(family) if honest is not None or not number else _correlated(models.scores)
    parts = _contributions(family.models, known.suite.inputs, number)
    features = known.suite.spec.features or tuple(
        f"feature {i + 1}" for i in range(int(np.prod(known.suite.spec.shape)))
    )
    versions = []
    for i, n in enumerate(order):
        step = None
        parent = abouts[i].parent
        before = order.index(parent) if parent in order[:i] else i - 1
        if before >= 0:
            agreement = float(same_answers[before, i])
            step = Step(
                order[before], agreement, _kind(agreement, float(p[before, i])), float(p[before, i]),
                _moved(features, parts, before, i),
            )  # fmt: skip
        versions.append(Version(n, abouts[i], _fingerprint(db.get(n), known), step))
    access = "label" if family.models.scores is None else "scores"

    return History(name, tuple(versions), len(known.suite), 0 if honest is None else len(honest), access)


def _versions(parents: dict[str, str | None], name: str) -> list[str]:
    """What stated parents connect with a name, and what has its stem."""
    stems = {n: stem(n) for n in parents}
    found, new = set(), {name} | {n for n in parents if stems[n] == stem(name)}
    while new:
        found |= new
        new = {n for n, parent in parents.items() if parent in found or n in {parents.get(f) for f in found}} - found
    return sorted(found)


def _in_time(abouts: dict[str, About]) -> list[str]:
    """Oldest first, parents before their children, else by the numbers in their names."""
    order: list[str] = []
    left = sorted(abouts, key=lambda n: (abouts[n].date or "", [int(d) for d in re.findall(r"\d+", n)], n))
    while left:
        ready = [n for n in left if abouts[n].parent not in left or abouts[n].parent == n]
        order.append((ready or left)[0])
        left.remove(order[-1])
    return order


def _kind(agreement: float, p: float) -> str:
    """What a step is called."""
    if agreement >= 1 - 1e-6:
        return "unchanged on these probes"
    if np.isnan(p):
        return "changed; no honest models to say how far"
    return "modified" if p <= ALPHA else "not to be told from a model trained anew"


def _contributions(models: Models, inputs: np.ndarray | tuple[str, ...], number: bool) -> np.ndarray | None:
    """All parts of every model's features; float64 (m, features), None for texts."""
    if not isinstance(inputs, np.ndarray):
        return None
    flat = inputs.reshape(len(inputs), -1)
    k = int(models.labels.max(initial=0)) + 1
    out = []
    for i in range(len(models)):
        scores = None if models.scores is None else models.scores[i]
        told = models.labels[i][:, None] == np.arange(k) if scores is None else np.nan_to_num(scores)
        parts = estimate(flat, told)
        out.append((parts.linear + parts.nonlinear + parts.paired).mean(1))
    return np.stack(out)


def _moved(features: tuple[str, ...], parts: np.ndarray | None, before: int, after: int) -> tuple[Moved, ...]:
    if parts is None:
        return ()
    change = np.abs(parts[after] - parts[before])
    top = [int(f) for f in np.argsort(-change, kind="stable")[:MOVED] if change[f] > 1e-9]
    return tuple(Moved(features[f], float(parts[before, f]), float(parts[after, f])) for f in top)


def _correlated(scores: np.ndarray | None) -> np.ndarray:
    assert scores is not None
    return np.atleast_2d(np.corrcoef(scores[:, :, 0]))


def _fingerprint(reference: Reference, known: gathering.Stored) -> str:
    if reference.public is None:
        return ""
    try:
        return identity.identify(reference.public, known.suite).name
    except ProbeMatchError:  # unanswered probes, or a suite too small for one
        return ""
