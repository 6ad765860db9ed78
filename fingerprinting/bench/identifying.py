"""
Which source of a zoo a derived model is taken for, and whether one whose source is unknown is taken for any.

Here suspects go through `match` as a user's would, against a database of all sources, or of some.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting import packing
from probe_match.fingerprinting.collect import Progress
from probe_match.fingerprinting.matching import match
from probe_match.fingerprinting.records import InputSpec, ProbeSuite, Reference
from probe_match.fingerprinting.verdicts import MIN_ANSWERED

from .measures import roc_auc
from .subjects import Settings, Subject
from .suspects import Questions, Recorded, Suspects, index_of

FOLDS: Final = 5  # a fifth of the sources is left out in turn


class Shelf:
    """References in memory, as `match` wants a database."""

    def __init__(self, subjects: Sequence[Subject]) -> None:
        self.spec: InputSpec = subjects[0].public.spec
        self.suite: ProbeSuite = subjects[0].public
        self.references: dict[str, Reference] = {subject.model.name: subject.reference for subject in subjects}

    def inputs(self, shape: tuple[int, ...] | None, only: Sequence[str] = ()) -> list[tuple[InputSpec, list[str]]]:
        """The one input, with all references."""
        return [(self.spec, list(self.references))]

    def get(self, name: str) -> Reference:
        """One reference."""
        return self.references[name]

    def public_suite(self, spec: InputSpec) -> ProbeSuite:
        """The suite all share."""
        return self.suite

    def public_labels(self, spec: InputSpec) -> tuple[list[str], np.ndarray]:
        """What each answered to it."""
        answers = [r.public.label for r in self.references.values() if r.public is not None]
        return list(self.references), np.stack(answers).astype(np.int16)

    def public_packed(self, spec: InputSpec) -> tuple[list[str], packing.Packed] | None:
        """Its labels, packed for search."""
        names, labels = self.public_labels(spec)
        return (names, packing.pack(labels)) if names else None

    def own_probes(self, names: Sequence[str]) -> list[int]:
        """Of each of these references that was enrolled with peers."""
        return [len(known.suite) for known in map(self.get, names) if known.panel is not None]

    def public_scores(self, spec: InputSpec) -> dict[str, np.ndarray]:
        """The scores of each that gave any."""
        given = {name: r.public.score for name, r in self.references.items() if r.public is not None}
        return {name: scores for name, scores in given.items() if scores is not None}


class Found(NamedTuple):
    """One derived model against a database. best: the first of its matches; named: the match of the verdict, or ""."""

    suspect: int
    budget: int
    left_out: bool
    best: str
    named: str
    score: float
    queries: int


def identify(
    subjects: Sequence[Subject],
    suspects: Suspects,
    questions: Questions,
    settings: Settings,
    progress: Progress | None = None,
) -> list[Found]:
    """
    Every derived model against all sources, and against those of four folds of five, its own source not among them.

    Zoos of fewer than three sources have nobody to be mistaken for: nothing is done for them.
    """
    if len(subjects) < 3:
        return []
    index = index_of(questions)
    access = settings.access[0]
    out = []
    fold_of = {subject.model.name: i % min(FOLDS, len(subjects)) for i, subject in enumerate(subjects)}
    whole = Shelf(subjects)
    parts = {
        fold: Shelf([subject for subject in subjects if fold_of[subject.model.name] != fold])
        for fold in sorted(set(fold_of.values()))
    }
    for i, model in enumerate(suspects.models):
        if model.role == "derived":
            client = Recorded(questions, index, suspects.sheets[i], access)
            for left_out, shelf in ((False, whole), (True, parts[fold_of[model.parent]])):
                for budget in settings.budgets:
                    if budget < MIN_ANSWERED:
                        continue
                    verdict = match(client, shelf, budget=budget, alpha=settings.alpha, stop_early=False)
                    best = verdict.matches[0]
                    out.append(
                        Found(i, budget, left_out, best.reference, verdict.reference or "", best.score, verdict.sent)
                    )
        if progress is not None:
            progress(1)

    return out


def open_set_auc(found: Sequence[Found], models: Sequence[int], budget: int) -> float:
    """How well the best score tells models of known sources from those of left-out ones; NaN without either."""
    chosen = set(models)
    of = {
        left_out: np.array(
            [f.score for f in found if f.suspect in chosen and f.budget == budget and f.left_out is left_out]
        )
        for left_out in (False, True)
    }
    return roc_auc(of[False], of[True])
