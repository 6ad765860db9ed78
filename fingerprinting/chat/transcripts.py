"""
Recorded answers of language models as files, ours and other people's.

JSON lines, one object an answer: `prompt` and `answer`, optionally `system`, `sample`, `temperature`, `finish`,
`model`, `usage` (`prompt_tokens`, `completion_tokens`), `logprobs` (per token `[[token, logprob], …]`), `status` and
`cell`. Or a JSON array as AlpacaEval has it: `instruction` and `output`, optionally `generator`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData

from .records import Answer, Bank, Status, Transcript

STATUSES: Final = get_args(Status)


class Turn(NamedTuple):
    """One recorded answer. system, temperature, cell: None where the recording does not say."""

    prompt: str
    answer: Answer
    system: str | None = None
    temperature: float | None = None
    cell: str | None = None


def read_turns(path: Path) -> list[Turn]:
    """All answers of a recording, in its order. Raises BadData, with the line that is wrong."""
    data = storage.read_file(path, "recording")
    turns = [_turn(entry, place) for place, entry in _entries(data, str(path))]
    if not turns:
        raise BadData(f"{path} holds no recorded answer")

    return turns


def is_transcript(data: bytes) -> bool:
    """Whether the first of these JSON lines is a text answered to a prompt."""
    line = data.lstrip().partition(b"\n")[0]
    return b'"prompt"' in line and b'"answer"' in line


def write(path: Path, bank: Bank, transcript: Transcript) -> None:
    """Write a transcript as JSON lines that `read_turns` and other people's tools read."""
    asked = {question.cell: question for question in bank.questions}
    lines = []
    for cell, answers in transcript.answers.items():
        question = asked[cell]
        for sample, answer in enumerate(answers):
            line: dict[str, Any] = {
                "cell": cell,
                "prompt": question.text,
                "system": question.system or "",
                "sample": sample,
                "temperature": question.sampling.temperature,
                "answer": answer.text,
                "status": answer.status,
                "finish": answer.finish,
                "model": answer.model,
                "usage": {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.answer_tokens},
            }
            if answer.logprobs:
                line["logprobs"] = answer.logprobs
            if answer.error:
                line["error"] = answer.error
            lines.append(storage.canonical_json(line))
    storage.write_file(path, b"\n".join(lines) + b"\n")


def _entries(data: bytes, source: str) -> Iterator[tuple[str, Any]]:
    if data.lstrip().startswith(b"["):
        whole = _parse(data, source)
        yield from ((f"entry {i} of {source}", entry) for i, entry in enumerate(whole))
        return
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            place = f"line {number} of {source}"
            yield place, _parse(line, place)


def _parse(data: bytes, source: str) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadData(f"{source} is not JSON ({str(error)[:80]})") from error


def _turn(entry: Any, place: str) -> Turn:
    try:
        prompt = entry["prompt"] if "prompt" in entry else entry["instruction"]
        text = entry["answer"] if "answer" in entry else entry["output"]
        if not isinstance(prompt, str) or not isinstance(text, str | None):
            raise TypeError("prompt and answer must be texts")
        for name in ("system", "cell"):
            if not isinstance(entry.get(name), str | None):
                raise TypeError(f"{name} must be a text")
        usage = entry.get("usage") or {}
        status: Any = entry.get("status") or ("valid" if text and text.strip() else "empty")
        if status not in STATUSES:
            raise ValueError(f"status {status}")
        answer = Answer(
            text or "",
            status,
            str(entry.get("finish") or entry.get("finish_reason") or ""),
            str(entry.get("model") or entry.get("generator") or ""),
            int(usage.get("prompt_tokens", -1)),
            int(usage.get("completion_tokens", -1)),
            tuple(tuple((str(t), float(p)) for t, p in place) for place in entry.get("logprobs") or ()),
            error=str(entry.get("error") or ""),
        )
        temperature = entry.get("temperature")
        return Turn(
            prompt, answer, entry.get("system"), None if temperature is None else float(temperature), entry.get("cell")
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        told = f"{type(error).__name__}: {str(error)[:60]}"
        raise BadData(f"{place} is not a recorded answer ({told}); expected prompt and answer") from error
