"""How a question is known again: a digest of what is asked, whoever asks it, in whatever order."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import storage
from .chat.records import Question, plain


def input_key(row: Any) -> str:
    """`sha256:…` of one input: a text, numbers of any shape (as float32), or values of mixed types."""
    if isinstance(row, str):
        return storage.sha256(row.encode(errors="surrogatepass"))
    array = np.asarray(row)
    if array.dtype.kind not in "OUS":
        numbers = np.ascontiguousarray(array, "<f4") + np.float32(0)  # -0 and 0 are the same question
        return "sha256:" + hashlib.sha256(numbers.tobytes()).hexdigest()
    values = [value if isinstance(value, str) else float(np.float32(value)) for value in array.tolist()]

    return storage.sha256(storage.canonical_json(values))


def input_keys(rows: np.ndarray | Sequence[Any]) -> list[str]:
    """The keys of many inputs."""
    if not isinstance(rows, np.ndarray) or rows.dtype.kind in "OUS":
        return [input_key(row) for row in rows]
    numbers = np.ascontiguousarray(rows.reshape(len(rows), -1), "<f4") + np.float32(0)

    return ["sha256:" + hashlib.sha256(row).hexdigest() for row in numbers]


def question_key(question: Question) -> str:
    """`sha256:…` of a question to a language model: its words and all settings, whatever bank and cell it stands in."""
    asked = [question.text, question.system, question.raw, plain(question.sampling)]

    return storage.sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode())
