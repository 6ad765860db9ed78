"""
What an endpoint answered to each probe, out of its ledger, beside what a known model answers to the same.

A ledger knows a question by its key alone; which probe it was, the reference's own suite, the public one or its bank of
questions says.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.answers import Answers, label_name
from probe_match.fingerprinting.chat import shelf
from probe_match.fingerprinting.database import ReferenceDB
from probe_match.fingerprinting.keying import input_keys, question_key
from probe_match.fingerprinting.ledger import Ledger, read_ledger
from probe_match.fingerprinting.ledger_states import unpack, unpack_chat
from probe_match.fingerprinting.records import UNANSWERED, ProbeSuite, Responses

MOST: Final = 2000  # rows of a page
LONGEST: Final = 400  # characters of a text that is shown


class Probe(NamedTuple):
    """What a question was. known: what the reference answers, "" where nobody knows."""

    what: str
    known: str = ""


@dataclass(frozen=True)
class Row:
    """One question. number: in the order asked, from 1. alike: whether the two answers are one, None if not known."""

    number: int
    probe: str
    said: str
    known: str
    alike: bool | None


@dataclass(frozen=True)
class Answered:
    """rows: by question. erased: why answers are gone, "" where they are not."""

    rows: tuple[Row, ...] = ()
    erased: str = ""


def read(path: Path, references: ReferenceDB, reference: str | None) -> Answered:
    """
    All answers of a ledger. reference: the known model to compare with. Raises DatabaseError for a ledger that is in
    use or was changed.
    """
    if not path.exists():
        return Answered()
    with read_ledger(path) as ledger:
        if ledger.forgotten:
            return Answered(erased=ledger.forgotten)
        chat = ledger.about.get("kind") == "chat"
        probes = _questions(references, reference) if chat else _inputs(references, reference)
        rows: list[Row] = []
        for key, said in _said(ledger, chat=chat):
            probe = probes.get(key, Probe("a probe of another suite"))
            alike = said == probe.known if said and probe.known and not chat else None
            rows.append(Row(len(rows) + 1, probe.what[:LONGEST], said[:LONGEST], probe.known[:LONGEST], alike))
            if len(rows) == MOST:
                break

    return Answered(tuple(rows))


def _said(ledger: Ledger, *, chat: bool) -> Iterator[tuple[str, str]]:
    """Key of each question that was sent, and what was answered, or why nothing was, in the order of the answers."""
    sent: dict[int, list[str]] = {}
    for entry in ledger.entries():
        about = json.loads(entry.about)
        if entry.kind == "sent":
            sent[entry.seq] = [str(key) for key in about["keys"]]
        elif entry.kind == "failed":
            yield from ((key, f"no answer: {about.get('why', '')}") for key in sent.get(entry.of, ()))
        elif entry.kind == "answered":
            keys = sent.get(entry.of, [])
            if chat:
                yield from ((key, unpack_chat(entry.answer, ledger).text) for key in keys)
            else:
                yield from zip(keys, _labels(unpack(entry.answer, ledger), ledger.about), strict=False)


def _labels(answers: Answers, about: Any) -> list[str]:
    """Answers as somebody would say them: the class, or a regressor's number."""
    classes = [str(name) for name in about.get("classes") or ()]
    if answers.labels is not None:
        return [label_name(label) for label in np.asarray(answers.labels).ravel().tolist()]
    scores = np.asarray(answers.scores)
    if scores.dtype.kind not in "biuf":
        return [str(row) for row in scores.ravel().tolist()]
    scores = scores.reshape(len(scores), -1)
    if scores.shape[1] == 1:
        return [f"{value:.5g}" for value in scores[:, 0].tolist()]
    best = np.where(np.isnan(scores), -np.inf, scores).argmax(1)

    return [classes[i] if i < len(classes) else str(i) for i in best.tolist()]


def _inputs(references: ReferenceDB, name: str | None) -> dict[str, Probe]:
    """The probes that a reference was asked, by key: its own, and the public ones."""
    if name is None or name not in references.names():
        return {}
    known = references.get(name)
    public = references.public_suite(known.suite.spec)
    probes = {} if public is None else _suite(public, known.public, "shared probe")

    return probes | _suite(known.suite, known.answers, "probe")


def _suite(suite: ProbeSuite, answers: Responses | None, word: str) -> dict[str, Probe]:
    inputs: Any = suite.spec.decode(suite.inputs) if isinstance(suite.inputs, np.ndarray) else suite.inputs
    texts = [f": {text}" if isinstance(text, str) else "" for text in inputs]
    told = [""] * len(suite)
    if answers is not None and suite.spec.output == "number" and answers.score is not None:
        told = [f"{value:.5g}" for value in answers.score[:, 0].tolist()]
    elif answers is not None:
        names = suite.classes
        told = [
            "" if label == UNANSWERED else names[label] if label < len(names) else str(label)
            for label in answers.label.tolist()
        ]

    return {
        key: Probe(f"{word} {i}, {kind}{text}", known)
        for i, (key, kind, text, known) in enumerate(zip(input_keys(inputs), suite.kinds, texts, told, strict=True), 1)
    }


def _questions(references: ReferenceDB, name: str | None) -> dict[str, Probe]:
    """The questions of the banks in use, by key, with what a reference answers most often."""
    known = shelf.get(references, name) if name is not None and name in shelf.names(references) else None
    common = None if known else shelf.commonest(references)
    bank = known.bank if known else shelf.bank(references, common) if common else None
    found = {}
    for question in bank.questions if bank else ():
        counts = known.counts.get(question.cell, {}) if known else {}
        most = max(counts, key=lambda answer: counts[answer]) if counts else ""
        found[question_key(question)] = Probe(f"{question.family}: {question.text}", most)

    return found
