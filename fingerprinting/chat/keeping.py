"""
Chat records as JSON and back: banks, transcripts and references.

Raises BadData for anything that is not what was written, since files come from strangers.
"""

import dataclasses
import json
import typing
import zlib
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.records import About

from .records import Answer, Bank, ChatReference, Question, Sampling, Transcript, plain

Record = TypeVar("Record")
MAX_BYTES: Final = 256 << 20  # of JSON, unpacked: 20,000 answers of 100 tokens are 10 MiB


def to_bytes(record: Bank | Transcript | ChatReference) -> bytes:
    """A record as compressed canonical JSON."""
    return pack(storage.canonical_json(to_json(record)))


def from_bytes(kind: type[Record], data: bytes, source: str) -> Record:
    """The record that `to_bytes` wrote; `source` names it in errors. Raises BadData."""
    return from_json(kind, unpack(data, source), source)


def pack(text: bytes) -> bytes:
    """JSON, compressed."""
    return zlib.compress(text, 6)


def unpack(data: bytes, source: str) -> Any:
    """The value of compressed JSON. Raises BadData for anything else, and for what unpacks to too much."""
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(data, MAX_BYTES)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise ValueError(f"cut short, or more than {MAX_BYTES >> 20} MiB")
        return json.loads(text)
    except (zlib.error, ValueError, RecursionError) as error:
        raise BadData(f"{source} is damaged ({str(error)[:80]}); make it again") from error


def to_json(record: Bank | Transcript | ChatReference) -> dict[str, Any]:
    """A record as plain values."""
    if isinstance(record, Bank):
        return plain(record)
    if isinstance(record, Transcript):
        answers = {cell: [plain(answer) for answer in some] for cell, some in record.answers.items()}
        return {**plain(record), "answers": answers}
    counts = {cell: dict(some) for cell, some in record.counts.items()}
    maps = {name: dict(getattr(record, name)) for name in ("asked", "prompt_tokens", "texts")}

    return {
        "name": record.name,
        "about": dataclasses.asdict(record.about),
        "bank": plain(record.bank),
        "counts": counts,
        **maps,
        **({"off_form": dict(record.off_form), "reader": record.reader} if record.reader else {}),
    }


def from_json(kind: type[Record], value: Any, source: str) -> Record:
    """The record of plain values. Raises BadData."""
    try:
        made: Any = _MAKERS[kind](value)
    except BadData as error:
        raise BadData(f"{source}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        told = f"{type(error).__name__}: {str(error)[:80]}"
        raise BadData(f"{source} is not a {kind.__name__} of this version ({told}); make it again") from error

    return typing.cast(Record, made)


def _bank(value: Mapping[str, Any]) -> Bank:
    questions = tuple(_question(given) for given in value["questions"])
    name, source, license_ = (str(value.get(key, "")) for key in ("name", "source", "license"))
    return Bank(name, questions, source, license_)


def _question(value: Mapping[str, Any]) -> Question:
    given = dict(value)
    sampling = dict(given.pop("sampling", {}))
    bias = tuple((int(token), float(by)) for token, by in sampling.pop("bias", ()))
    given["choices"] = tuple(map(str, given.get("choices", ())))
    question = Question(**given, sampling=Sampling(**sampling, bias=bias))
    for name in ("cell", "family", "text", "parser", "language"):
        if not isinstance(getattr(question, name), str):
            raise TypeError(f"{name} is no text")

    return question


def _transcript(value: Mapping[str, Any]) -> Transcript:
    answers = {str(cell): tuple(map(_answer, some)) for cell, some in value["answers"].items()}
    notes = tuple(map(str, value.get("notes", ())))
    return Transcript(str(value["target"]), answers, str(value.get("bank", "")), int(value.get("sent", 0)), notes)


def _answer(value: Mapping[str, Any]) -> Answer:
    given = dict(value)
    logprobs = tuple(tuple((str(token), float(p)) for token, p in position) for position in given.pop("logprobs", ()))
    answer = Answer(**given, logprobs=logprobs)
    if not isinstance(answer.text, str):
        raise TypeError("an answer's text is no text")

    return answer


def _reference(value: Mapping[str, Any]) -> ChatReference:
    return ChatReference(
        name=str(value["name"]),
        about=About(**value["about"]),
        bank=value["bank"] if isinstance(value["bank"], Bank) else _bank(value["bank"]),  # of a database: shared
        counts={str(c): {str(a): _count(n) for a, n in some.items()} for c, some in value["counts"].items()},
        asked={str(cell): _count(n) for cell, n in value["asked"].items()},
        prompt_tokens={str(cell): _count(n) for cell, n in value.get("prompt_tokens", {}).items()},
        texts={str(cell): tuple(map(str, some)) for cell, some in value.get("texts", {}).items()},
        off_form={str(cell): _count(n) for cell, n in value.get("off_form", {}).items()},
        reader=_text(value.get("reader", "")),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:40]!r} is no text")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 40:
        raise ValueError(f"{value!r} is no count")
    return value


_MAKERS: Final[dict[type, Any]] = {Bank: _bank, Transcript: _transcript, ChatReference: _reference}
