"""
Other people's counts of one-word answers as references, in the shapes that "One Token Is Enough" publishes (Bruckner,
arXiv:2607.10252; Zenodo 21278557): counts by cell, distributions, or one line an answer; zipped, gzipped or neither.

The questions come along in a file of their own, word by word with their system prompts and settings: without them
nothing is imported, as an answer means nothing but for the question it answers.
"""

import gzip
import io
import json
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.records import About

from .off_form import without
from .reading import UNFORMED, read
from .records import OFF_FORM, Answer, Bank, ChatReference, Question, Sampling

PARSERS: Final = {"integer": "number", "grapheme": "letter", "word": "word", "binary": "choice"}
QUOTED: Final = re.compile(r"[\"«“„]([^\"»”“]+)[\"»”]")
DISTRIBUTIONS, LINES = "distributions.json", ("normalized.jsonl", "responses.jsonl")
RECORDS: Final = {"single-token-2026": ("21278557", "21278793")}  # on Zenodo: answers, and the questions' software
SPDX: Final = {"cc-by-4.0": "CC-BY-4.0", "cc-by-sa-4.0": "CC-BY-SA-4.0", "cc0-1.0": "CC0-1.0", "mit": "MIT"}
MEMBERS: Final = 10_000  # of a zip
UNREADABLE: Final = ("invalid", "refusal")  # classes of answers that were not of the form asked
FEWEST: Final = 8  # answers of a model, below which it is left out
MOST: Final = 1 << 32  # answers to one question, above which nobody asked


class Found(NamedTuple):
    """
    Counts by model and cell, OFF_FORM among them as whoever made the file reads answers, if it tells of such answers at
    all; license and source as it says, or "".
    """

    models: dict[str, dict[str, dict[str, int]]]
    license: str
    source: str
    tells: bool


def read_references(counts: Path, prompts: Path | None = None, *, license: str = "") -> list[ChatReference]:  # noqa: A002
    """
    One reference per model with enough answers, sorted by name. counts: a file of any of those shapes, or a zip that
    holds one. prompts: the file of questions; where it is None, one beside or in the zip. Raises BadData.
    """
    members = dict(_members(counts))
    asked = _questions(members, counts, prompts)
    found = _counts(members, asked, str(counts))
    bank = asked if not found.license else Bank(asked.name, asked.questions, asked.source, found.license)
    about = About(
        license=license or found.license or asked.license or None, source=found.source or asked.source or None
    )
    cells = {question.cell for question in bank.questions}
    out = []
    for name, given in sorted(found.models.items()):
        every = {cell: answers for cell, answers in given.items() if cell in cells and answers}
        kept = without(every)
        unformed = {cell: answers[OFF_FORM] for cell, answers in every.items() if OFF_FORM in answers}
        asked_of = {cell: sum(answers.values()) for cell, answers in every.items()}
        if sum(sum(answers.values()) for answers in kept.values()) >= FEWEST:
            reader = bank.name if found.tells else ""
            out.append(ChatReference(name, about, bank, kept, asked_of, off_form=unformed, reader=reader))
    if not out:
        raise BadData(f"{counts} holds no model with {FEWEST} answers to the questions of {bank.name}")

    return out


def choose(paths: Sequence[Path]) -> Path:
    """Of the files of a record, the one that holds answers. Raises BadData."""
    for path in paths:
        names = [Path(name).name for name, _ in _members(path)]
        if any(n.endswith(("counts.json", DISTRIBUTIONS)) or n in LINES for n in names):
            return path
    raise BadData(
        "none of the files fetched holds counts.json, responses.jsonl, normalized.jsonl or distributions.json"
    )


def prompts_among(paths: Sequence[Path]) -> Path | None:
    """Of the files of a record, the one of questions that stands by itself, or None."""
    return next((path for path in paths if path.name.endswith("prompts.json")), None)


def read_bank(data: bytes, source: str) -> Bank:
    """The questions of a prompts file. Raises BadData."""
    try:
        told = json.loads(data)
        system, temperature, most = told["system"], float(told["temperature"]), int(told["max_tokens"])
        questions = []
        for task, entry in told["tasks"].items():
            parser = PARSERS[entry["normalize"]]
            for language, text in entry["prompts"].items():
                choices = tuple(QUOTED.findall(text)) if parser == "choice" else ()
                if parser == "choice" and len(choices) != 2:
                    raise ValueError(f"{task}/{language} does not quote two choices")
                questions.append(
                    Question(
                        f"{task}/{language}", "one-word", text, parser, system[language],
                        Sampling(temperature, most), choices=choices, language=language,
                    )
                )  # fmt: skip
        return Bank("single-token-2026", tuple(questions), str(told.get("source", "")), str(told.get("licence", "")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData(f"{source} is no file of questions and settings ({str(error)[:80]})") from error


def _questions(members: Mapping[str, bytes], counts: Path, prompts: Path | None) -> Bank:
    if prompts is not None:
        return read_bank(storage.read_file(prompts, "file of questions"), str(prompts))
    for name, data in members.items():
        if Path(name).name.endswith("prompts.json"):
            return read_bank(data, name)
    beside = counts.with_name(counts.name.split(".")[0] + ".prompts.json")
    if beside.exists():
        return read_bank(storage.read_file(beside, "file of questions"), str(beside))

    raise BadData(f"{counts} comes without the questions that were asked; pass their file with --prompts")


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of what a file holds, unpacked, at most MAX_BYTES in all."""
    data = storage.read_file(path, "file of answers")
    try:
        if not zipfile.is_zipfile(io.BytesIO(data)):
            yield path.name.removesuffix(".gz"), _gunzipped(data, str(path))
            return
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = [member for member in archive.infolist() if not member.is_dir()]
            if len(files) > MEMBERS or sum(member.file_size for member in files) > storage.MAX_BYTES:
                raise BadData(f"{path} unpacks to more than {MEMBERS} files or {storage.MAX_BYTES >> 20} MiB")
            for member in files:
                if member.filename.removesuffix(".gz").endswith((".json", ".jsonl")):
                    yield member.filename.removesuffix(".gz"), _gunzipped(archive.read(member), member.filename)
    except storage.UNREADABLE as error:
        raise BadData(f"{path} cannot be unpacked ({str(error)[:80]}); get it again") from error


def _gunzipped(data: bytes, source: str) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unpacked = file.read(storage.MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadData(f"{source} cannot be unpacked ({str(error)[:80]}); get it again") from error
    if len(unpacked) > storage.MAX_BYTES:
        raise BadData(f"{source} unpacks to more than {storage.MAX_BYTES >> 20} MiB")
    return unpacked


def _counts(members: Mapping[str, bytes], bank: Bank, source: str) -> Found:
    """From the richest shape there is: counts, then lines of answers, then distributions."""
    by_name = {Path(name).name: data for name, data in members.items()}
    try:
        for name, data in by_name.items():
            if name.endswith("counts.json"):
                return _from_counts(json.loads(data), bank)
        for name in (*LINES, *(name for name in by_name if name.endswith(".jsonl"))):
            if name in by_name:
                return _from_lines(by_name[name], bank)
        for name, data in by_name.items():
            if name.endswith(DISTRIBUTIONS):
                return _from_distributions(json.loads(data), bank)
        for data in by_name.values():
            told = json.loads(data)
            if isinstance(told, dict) and "models" in told:
                return _from_counts(told, bank)
    except BadData:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise BadData(
            f"{source} is not of a shape that is known ({type(error).__name__}: {str(error)[:80]})"
        ) from error

    raise BadData(f"{source} holds no counts.json, responses.jsonl, normalized.jsonl or distributions.json")


def _from_counts(told: Mapping[str, Any], bank: Bank) -> Found:
    _require_settings(told.get("temperature"), bank)
    names = _value_names(bank)
    models = {
        model: {
            cell: _named(_whole(entry["counts"], entry.get("off_format", 0)), cell, names)
            for cell, entry in cells.items()
        }
        for model, cells in told["models"].items()
    }
    tells = any("off_format" in entry for cells in told["models"].values() for entry in cells.values())
    return Found(models, str(told.get("licence", "")), str(told.get("source", "")), tells)


def _from_distributions(told: Mapping[str, Any], bank: Bank) -> Found:
    names = _value_names(bank)
    models: dict[str, dict[str, dict[str, int]]] = defaultdict(dict)
    for entry in told["distributions"]:
        if _asked_so(entry, bank):
            cell = f"{entry['task_id']}/{entry['lang']}"
            valid, rate = int(entry["n_valid"]), float(entry.get("validity_rate", 1.0))
            counts = {answer: round(float(share) * valid) for answer, share in entry["dist"].items()}
            counts = _whole(counts, round(valid / rate) - valid if rate else 0)
            models[entry["model"]][cell] = _named({a: n for a, n in counts.items() if n}, cell, names)
    return Found(dict(models), "", "", any("validity_rate" in entry for entry in told["distributions"]))


def _from_lines(data: bytes, bank: Bank) -> Found:
    """`normalized` where a line has it, else the raw answer as our own readers read it."""
    questions = {question.cell: question for question in bank.questions}
    names = _value_names(bank)
    models: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    for line in data.splitlines():
        entry = json.loads(line) if line.strip() else None
        cell = "" if entry is None else f"{entry['task_id']}/{entry['lang']}"
        if entry is None or cell not in questions or entry.get("error") or not _asked_so(entry, bank):
            continue
        if "normalized" in entry:
            kind = entry.get("answer_class", "valid")
            value = entry["normalized"] if kind == "valid" else OFF_FORM if kind in UNREADABLE else None
            if kind == "valid" and value == OFF_FORM:
                raise ValueError("an answer that no reader gives")
        else:
            said = Answer(str(entry.get("raw") or ""))
            reading = read(questions[cell], said)
            value = OFF_FORM if reading.status in UNFORMED and said.text.strip() else reading.value
        if value is not None:
            models[entry["model"]][cell][names.get((cell, str(value)), str(value))] += 1
    return Found({m: {c: dict(a) for c, a in cells.items()} for m, cells in models.items()}, "", "", True)


def _asked_so(entry: Mapping[str, Any], bank: Bank) -> bool:
    """Whether an entry was drawn at the bank's temperature; others belong to other questions."""
    return float(entry.get("temperature", 1.0)) == bank.questions[0].sampling.temperature


def _require_settings(temperature: Any, bank: Bank) -> None:
    known = bank.questions[0].sampling.temperature
    if temperature is not None and float(temperature) != known:
        raise BadData(f"expected answers at temperature {known:g}, as the questions say, got {temperature}")


def _value_names(bank: Bank) -> dict[tuple[str, str], str]:
    """Heads and tails by one letter, as the files have them, to the choice as we read it."""
    names = {}
    for question in bank.questions:
        for letter, choice in zip("ht", question.choices, strict=False):
            names[question.cell, letter] = choice.casefold()
    return names


def _whole(counts: Mapping[str, Any], off_form: Any) -> dict[str, Any]:
    """Counts with the answers that were not of the form asked. Raises ValueError where an answer has their name."""
    if OFF_FORM in counts:
        raise ValueError("an answer that no reader gives")
    return {**counts, OFF_FORM: off_form}


def _named(counts: Mapping[str, Any], cell: str, names: Mapping[tuple[str, str], str]) -> dict[str, int]:
    out: dict[str, int] = defaultdict(int)
    for answer, times in counts.items():
        if type(times) is not int or times < 0:
            raise ValueError(f"{times!r} is no count")
        out[names.get((cell, str(answer)), str(answer))] += times
    if sum(out.values()) > MOST:
        raise ValueError(f"more than {MOST} answers to {cell}")

    return {answer: times for answer, times in out.items() if times}
