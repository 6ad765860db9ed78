"""
From scores to error rates: per attack, access and budget, with intervals.

A threshold belongs to one source and one method: the score that at most 1 % or 5 % of that source's independent models
exceed. Rates are means over sources and seeds. Hard attacks are those that train a new model on a source's answers, or
take away most of its weights; weights that are merely moved are easy.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from .identifying import Found, open_set_auc
from .measures import roc_auc, tpr_at, wilson
from .scoring import DEFAULT, Block, Stops
from .subjects import Settings, Subject
from .suspects import Suspects
from .zoo import Zoo, ZooModel

HARD: Final = re.compile(r"extract|disti|steal|flip|ensemble|adv|prune-?(?:0?\.)?[6-9]", re.IGNORECASE)
NOMINAL: Final = (0.01, 0.05)


class Run(NamedTuple):
    """Everything measured with one seed."""

    seed: int
    subjects: list[Subject]
    suspects: Suspects
    blocks: list[Block]
    stops: list[Stops]
    found: list[Found]


class Pairs:
    """How the suspects of a run relate to its subjects, as bool arrays over the suspects."""

    def __init__(self, run: Run) -> None:
        models = run.suspects.models
        self.parent: np.ndarray = np.array([model.parent for model in models])
        self.attack: np.ndarray = np.array([model.attack or "derived" for model in models])
        self.role: np.ndarray = np.array([model.role for model in models])
        self.data: np.ndarray = np.array([model.data for model in models])
        self.learner: np.ndarray = np.array([model.learner for model in models])
        self.name: np.ndarray = np.array([model.name for model in models])
        self.sources: list[ZooModel] = [subject.model for subject in run.subjects]

    def related(self, subject: int) -> np.ndarray:
        """Models derived from this source."""
        return (self.role == "derived") & (self.parent == self.sources[subject].name)

    def independent(self, subject: int) -> np.ndarray:
        """Models that owe no source anything."""
        return np.asarray(self.role == "independent")

    def groups(self, subject: int) -> dict[str, np.ndarray]:
        """Honest models by how near they stand to a source; a group may be empty."""
        honest = self.independent(subject)
        learner = self.sources[subject].learner
        same_class = honest & (self.learner == learner) if learner else np.zeros(len(honest), bool)
        own = self.name == self.sources[subject].name
        return {
            "all independent": honest,
            "same data": honest & (self.data == "same"),
            "other data": honest & (self.data == "other"),
            "same model class": same_class,
            "same data and model class": same_class & (self.data == "same"),
            "other sources and their copies": (self.role != "independent") & ~self.related(subject) & ~own,
        }


def is_hard(attack: str) -> bool:
    """Whether little of the source's weights is left in such a copy."""
    return HARD.search(attack) is not None


def summarise(zoo: Zoo, runs: Sequence[Run], settings: Settings) -> dict[str, Any]:
    """The figures of a benchmark as plain values, see the README on `bench`."""
    return {
        "models": {role: len(zoo.of(role)) for role in ("source", "derived", "independent")},
        "pool": len(zoo.pool),
        "detection": _detection(runs),
        "calibration": _calibration(runs),
        "sequential": _sequential(runs, settings),
        "identification": _identification(runs, settings),
        "cost": _cost(runs),
        "failures": {name: why for run in runs for name, why in run.suspects.failures.items()},
        "refused": {
            f"{subject.model.name}: {name}": why
            for run in runs
            for subject in run.subjects
            for name, why in subject.refused.items()
        },
    }


def _detection(runs: Sequence[Run]) -> list[dict[str, Any]]:
    cells: dict[tuple[str, str, int, str], list[tuple[float, float, float, int]]] = {}
    for run in runs:
        pairs = Pairs(run)
        for block in run.blocks:
            related, honest = pairs.related(block.subject), pairs.independent(block.subject)
            scored = ~np.isnan(block.score)
            negatives = block.score[honest & scored]
            for attack in np.unique(pairs.attack[related]):
                positives = block.score[related & scored & (pairs.attack == attack)]
                if len(positives) == 0 or len(negatives) == 0:
                    continue
                rates = (
                    roc_auc(positives, negatives),
                    tpr_at(positives, negatives, 0.01),
                    tpr_at(positives, negatives, 0.05),
                    len(positives),
                )
                cells.setdefault((block.method, block.access, block.budget, str(attack)), []).append(rates)
    rows = [_cell(*key, np.array(values)) for key, values in cells.items()]
    for name, belongs in _KINDS.items():
        kinds: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
        for row in [row for row in rows if row["attack"] not in _KINDS and belongs(row["attack"])]:
            kinds.setdefault((row["method"], row["access"], row["budget"]), []).append(row)
        for (method, access, budget), members in kinds.items():
            mean = {what: float(np.mean([m[what] for m in members])) for what in ("auc", "tpr_1", "tpr_5")}
            count = sum(m["pairs"] for m in members)
            rows.append(_row(method, access, budget, name, count, **mean))

    return rows


_KINDS: Final[dict[str, Callable[[str], bool]]] = {
    "hard attacks": is_hard,
    "easy attacks": lambda attack: not is_hard(attack),
    "all attacks": lambda attack: True,
}


def _cell(method: str, access: str, budget: int, attack: str, values: np.ndarray) -> dict[str, Any]:
    weights = values[:, 3] / values[:, 3].sum()
    auc, tpr_1, tpr_5 = (float(values[:, i] @ weights) for i in range(3))
    return _row(method, access, budget, attack, int(values[:, 3].sum()), auc=auc, tpr_1=tpr_1, tpr_5=tpr_5)


def _row(method: str, access: str, budget: int, attack: str, pairs: int, **values: float) -> dict[str, Any]:
    low_1, high_1 = wilson(values["tpr_1"] * pairs, pairs)[1:]
    low_5, high_5 = wilson(values["tpr_5"] * pairs, pairs)[1:]
    return {
        "method": method, "access": access, "budget": budget, "attack": attack, "pairs": pairs, **values,
        "tpr_1_interval": [low_1, high_1], "tpr_5_interval": [low_5, high_5],
    }  # fmt: skip


def _calibration(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """How often the default method's p-value accuses honest models, against what it promises."""
    counts: dict[tuple[str, int, str], np.ndarray] = {}
    for run in runs:
        pairs = Pairs(run)
        for block in run.blocks:
            if block.method != DEFAULT:
                continue
            for group, mask in pairs.groups(block.subject).items():
                p = block.p[mask & ~np.isnan(block.p)]
                seen = np.array([len(p), *((p <= nominal).sum() for nominal in NOMINAL)], float)
                key = (block.access, block.budget, group)
                counts[key] = counts.get(key, np.zeros(1 + len(NOMINAL))) + seen
    rows = []
    for (access, budget, group), (pairs_seen, *accused) in counts.items():
        for nominal, wrongly in zip(NOMINAL, accused, strict=True):
            if pairs_seen:
                share, low, high = wilson(wrongly, int(pairs_seen))
                rows.append(
                    {
                        "access": access, "budget": budget, "group": group, "nominal": nominal,
                        "realised": share, "interval": [low, high], "pairs": int(pairs_seen),
                    }
                )  # fmt: skip
    return rows


def _sequential(runs: Sequence[Run], settings: Settings) -> list[dict[str, Any]]:
    rows = []
    for access in settings.access:
        wrong = honest = found = related = 0
        asked: list[np.ndarray] = []
        asked_honest: list[np.ndarray] = []
        for run in runs:
            pairs = Pairs(run)
            for stops in run.stops:
                if stops.access == access:
                    ours, others = pairs.related(stops.subject), pairs.independent(stops.subject)
                    found, related = found + int(stops.found[ours].sum()), related + int(ours.sum())
                    wrong, honest = wrong + int(stops.found[others].sum()), honest + int(others.sum())
                    asked.append(stops.asked[ours])
                    asked_honest.append(stops.asked[others])
        if related and honest:
            rows.append(
                {
                    "access": access, "alpha": settings.alpha, "budget": max(settings.budgets),
                    "found": found / related, "accused": wrong / honest,
                    "accused_interval": list(wilson(wrong, honest)[1:]),
                    "queries_derived": float(np.concatenate(asked).mean()),
                    "queries_honest": float(np.concatenate(asked_honest).mean()),
                }
            )  # fmt: skip
    return rows


def _identification(runs: Sequence[Run], settings: Settings) -> list[dict[str, Any]]:
    rows = []
    for budget in settings.budgets:
        for kind, belongs in _KINDS.items():
            known = right = named_right = unknown = named = 0
            aucs = []
            for run in runs:
                models = run.suspects.models
                chosen = [i for i, m in enumerate(models) if m.role == "derived" and belongs(m.attack)]
                of = set(chosen)
                for f in run.found:
                    if f.suspect not in of or f.budget != budget:
                        continue
                    if f.left_out:
                        unknown, named = unknown + 1, named + (f.named != "")
                    else:
                        parent = models[f.suspect].parent
                        known, right = known + 1, right + (f.best == parent)
                        named_right += f.named == parent
                if run.found:
                    aucs.append(open_set_auc(run.found, chosen, budget))
            if known and unknown:
                share, low, high = wilson(right, known)
                rows.append(
                    {
                        "budget": budget, "attacks": kind, "suspects": known, "first": share,
                        "first_interval": [low, high], "named": named_right / known,
                        "open_set_auc": float(np.mean(aucs)), "strangers_named": named / unknown,
                        "strangers_interval": list(wilson(named, unknown)[1:]),
                    }
                )  # fmt: skip
    return rows


def _cost(runs: Sequence[Run]) -> dict[str, float]:
    costs = [subject.cost for run in runs for subject in run.subjects]
    return {
        "enrol_seconds": float(np.mean([cost.seconds for cost in costs])),
        "enrol_seconds_most": float(np.max([cost.seconds for cost in costs])),
        "memory_mib": float(np.max([cost.memory for cost in costs])),
    }
