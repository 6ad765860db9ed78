"""
What every model of a zoo answers to every subject's probes: asked once, all probes in one go, and kept.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.collect import Progress, ask, require_fit
from probe_match.fingerprinting.errors import ProbeMatchError, TargetError
from probe_match.fingerprinting.records import Access, InputSpec, ProbeSuite, Responses
from probe_match.fingerprinting.storage import canonical_json, from_bytes, read_file, to_bytes, write_file

from .subjects import Connect, Subject, file_digest
from .zoo import Zoo, ZooModel


@dataclass(frozen=True, eq=False)
class Sheet:
    """One model's answers to all probes of a question sheet. labels: int64 (n,). scores: float32 (n, k) or None."""

    target: str
    labels: np.ndarray
    scores: np.ndarray | None


class Questions:
    """All probes of all subjects, one after the other, each suite with its place."""

    def __init__(self, subjects: Sequence[Subject]) -> None:
        suites = [subjects[0].public]
        for subject in subjects:
            suites += [subject.reference.suite, *(asked.suite for asked in subject.schemes.values())]
        self.spec: InputSpec = subjects[0].public.spec
        self.classes: tuple[str, ...] = subjects[0].public.classes
        self.places: dict[str, tuple[int, ProbeSuite]] = {}
        at = 0
        for suite in suites:
            self.places.setdefault(suite.digest, (at, suite))
            at = max(at, self.places[suite.digest][0] + len(suite))

    @property
    def inputs(self) -> np.ndarray | tuple[str, ...]:
        """Float32 (n, *shape), or n texts."""
        parts = [suite.inputs for _, suite in self.places.values()]
        if all(isinstance(part, np.ndarray) for part in parts):
            return np.concatenate([np.asarray(part) for part in parts])
        return tuple(text for part in parts for text in part)

    @property
    def key(self) -> str:
        """Sixteen hex digits over all the suites."""
        return hashlib.sha256(canonical_json(list(self.places))).hexdigest()[:16]

    def responses(self, sheet: Sheet, suite: ProbeSuite, n: int, access: Access) -> Responses:
        """A model's answers to the first n probes of one suite; "label" drops scores."""
        at, _ = self.places[suite.digest]
        n = min(n, len(suite))
        labels = np.full((len(suite), 1), -1, np.int64)
        labels[:n, 0] = sheet.labels[at : at + n]
        scores = None
        if access == "scores" and sheet.scores is not None:
            scores = np.full((len(suite), 1, sheet.scores.shape[1]), np.nan, np.float32)
            scores[:n, 0] = sheet.scores[at : at + n]
        latency = np.where(np.arange(len(suite)) < n, 0.0, np.nan).astype(np.float32)
        return Responses(
            suite.digest, sheet.target, "label" if scores is None else "scores", labels, scores, latency, n
        )


class Suspects(NamedTuple):
    """The models that answered, their sheets in the same order, and what went wrong with the others, by name."""

    models: list[ZooModel]
    sheets: list[Sheet]
    failures: dict[str, str]


def ask_all(
    zoo: Zoo, questions: Questions, connect: Connect, cache: Path | None = None, progress: Progress | None = None
) -> Suspects:
    """Put all questions to every model that is not set aside as cohort. cache: a folder that keeps answers, or None."""
    models: list[ZooModel] = []
    sheets: list[Sheet] = []
    failures: dict[str, str] = {}
    for model in zoo.models:
        if model.use == "test":
            try:
                sheets.append(_sheet(model, questions, connect, cache))
                models.append(model)
            except ProbeMatchError as error:
                failures[model.name] = str(error)
        if progress is not None:
            progress(1)

    return Suspects(models, sheets, failures)


def _sheet(model: ZooModel, questions: Questions, connect: Connect, cache: Path | None) -> Sheet:
    name = hashlib.sha256(f"{file_digest(model.target)} {questions.key}".encode()).hexdigest()[:24]
    file = None if cache is None else cache / f"answers-{name}.npz"
    if file is not None and file.is_file():
        try:
            return from_bytes(Sheet, read_file(file, "answers"), str(file))
        except ProbeMatchError:
            file.unlink()
    client = connect(model.target)
    try:
        require_fit(client, questions.spec)
        asked = ask(client, questions.inputs, questions.spec, classes=questions.classes)
    finally:
        client.close()
    sheet = Sheet(model.target, asked.labels, asked.scores)
    if file is not None:
        write_file(file, to_bytes(sheet))

    return sheet


class Recorded:
    """A client that gives the answers of a sheet, to be put to `match` as the model itself would be."""

    def __init__(self, questions: Questions, index: dict[bytes, int], sheet: Sheet, access: Access) -> None:
        self.target: str = sheet.target
        self.scores: np.ndarray | None = sheet.scores if access == "scores" else None
        self.access: Access = "label" if self.scores is None else "scores"
        self.shape: tuple[int, ...] | None = questions.spec.shape or None
        self.classes: tuple[str, ...] = questions.classes
        self.batch = 1 << 16
        self.labels: np.ndarray = sheet.labels
        self.names: np.ndarray | None = np.array(questions.classes) if questions.classes else None
        self.index = index

    def ask(self, inputs: np.ndarray | Sequence[str]) -> Answers:
        """Answers to inputs that are on the sheet. Raises TargetError for others, such as a screen's nudged probes."""
        try:
            rows = [self.index[row_key(row)] for row in inputs]
        except KeyError:
            raise TargetError(f"{self.target}: expected an input that was asked before, got another") from None
        labels = self.labels[rows]
        return Answers(
            labels if self.names is None else self.names[labels], None if self.scores is None else self.scores[rows]
        )

    def close(self) -> None:
        """Nothing is held."""


def index_of(questions: Questions) -> dict[bytes, int]:
    """Where each input stands on the sheet."""
    decoded = questions.inputs
    rows = questions.spec.decode(decoded) if isinstance(decoded, np.ndarray) else decoded
    return {row_key(row): i for i, row in enumerate(rows)}


def row_key(row: "np.ndarray | str") -> bytes:
    """One input as bytes."""
    if isinstance(row, str):
        return row.encode()
    return repr(row.tolist()).encode() if row.dtype == object else row.tobytes()
