"""
Ranking the references of one input by a suspect's answers to the public suite they share.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from . import cohort, packing, searching
from .collect import Client, Progress, collect, merge
from .errors import DatabaseError
from .records import Access, InputSpec, ProbeSuite, Reference, Responses
from .verdicts import Evidence


class References(Protocol):
    """What matching needs of a database; every reading method may raise DatabaseError."""

    def inputs(self, shape: tuple[int, ...] | None, only: Sequence[str] = ()) -> list[tuple[InputSpec, list[str]]]:
        """Each input of this shape (of any, if None) with the names of its references; `only` some of them."""
        ...

    def get(self, name: str) -> Reference:
        """One whole reference."""
        ...

    def own_probes(self, names: Sequence[str]) -> list[int]:
        """How many probes of its own each of these references has that was enrolled with peers."""
        ...

    def public_suite(self, spec: InputSpec) -> ProbeSuite | None:
        """The suite that references of this input share."""
        ...

    def public_labels(self, spec: InputSpec) -> tuple[list[str], np.ndarray]:
        """Names, and labels int16 (references, n) to the public suite."""
        ...

    def public_packed(self, spec: InputSpec) -> tuple[list[str], packing.Packed] | None:
        """The same packed for search, or None where there are no such answers."""
        ...

    def public_scores(self, spec: InputSpec) -> dict[str, np.ndarray]:
        """Scores (n, k) to the public suite by name; of regressors their numbers, float32 (n, 1)."""
        ...


class Ranking(NamedTuple):
    """
    The references of one input, ranked by a suspect's answers to the suite they share, best first.

    labels: int (references, n), or float, the numbers of regressors. packed: the same of very many references, whose
    labels may then be missing; evidence is of the likeliest ones.
    """

    suite: ProbeSuite
    names: list[str]
    labels: np.ndarray
    responses: Responses
    evidence: list[Evidence]
    packed: packing.Packed | None = None

    def answers_of(self, name: str) -> np.ndarray:
        """What one reference answers, (n,)."""
        at = self.names.index(name)
        return self.labels[at] if self.packed is None else self.packed.labels(np.array([at]))[0]

    def further(
        self,
        client: Client,
        more: int,
        access: Access | None,
        rng: np.random.Generator,
        progress: Progress | None,
    ) -> "Ranking":
        """The ranking after up to `more` further probes."""
        start = self.responses.sent
        rows = np.arange(start, min(len(self.suite), start + more))
        if len(rows) == 0:
            return self
        new = collect(client, self.suite, rows=rows, access=access, rng=rng, progress=progress, patient=True)
        responses = merge(self.responses, new)
        return self._replace(responses=responses).compared()

    def compared(self) -> "Ranking":
        """The ranking by what was answered so far."""
        if self.suite.spec.output == "number":
            score = self.responses.score
            given = np.full(len(self.suite), np.nan) if score is None else score[:, 0].astype(np.float64)
            return self._replace(evidence=cohort.compare_numbers(given, self.labels, self.names))
        if self.packed is not None:
            return self._replace(evidence=searching.compare(self.responses.label, self.packed, self.names))
        return self._replace(evidence=cohort.compare(self.responses.label, self.labels, self.names))


def rank(
    client: Client,
    references: References,
    spec: InputSpec,
    names: list[str],
    questions: int,
    access: Access | None,
    rng: np.random.Generator,
    progress: Progress | None,
) -> Ranking:
    """Ask the first probes of an input's public suite and rank the named references by the answers."""
    suite = references.public_suite(spec)
    packed = None
    if suite is not None and suite.spec.output == "number":
        numbers = references.public_scores(spec)
        known, labels = list(numbers), np.array([values[:, 0] for values in numbers.values()], np.float64)
    elif len(names) > searching.LARGE and (found := references.public_packed(spec)) is not None:
        (known, packed), labels = found, np.zeros((0, 0), np.int64)
    else:
        known, labels = references.public_labels(spec)
        labels = labels.astype(np.int64)
    wanted = set(names)
    if suite is None or not wanted <= set(known):
        missing = ", ".join(sorted(wanted - set(known))[:3])
        raise DatabaseError(f"{missing or 'references'} never answered the public suite; enroll again with --replace")
    chosen = [i for i, name in enumerate(known) if name in wanted]
    rows = np.arange(min(len(suite), questions))
    responses = collect(client, suite, rows=rows, access=access, rng=rng, progress=progress, patient=True)
    if packed is not None and len(chosen) < len(known):
        packed = packed.some(np.array(chosen))
    kept = labels if packed is not None else labels[chosen]
    ranking = Ranking(suite, [known[i] for i in chosen], kept, responses, [], packed)

    return ranking.compared()
