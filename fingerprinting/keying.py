"""How a question is known again: a digest of what is asked, whoever asks it, in whatever order."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from . import storage
from .chat.records import Question, plain

SHORT: Final = 32


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
    """Of many inputs, the first SHORT hex digits of their keys: a ledger holds each several times."""
    if not isinstance(rows, np.ndarray) or rows.dtype.kind in "OUS":
        return [input_key(row)[7 : 7 + SHORT] for row in rows]
    numbers = np.ascontiguousarray(rows.reshape(len(rows), -1), "<f4") + np.float32(0)

    return [hashlib.sha256(row).hexdigest()[:SHORT] for row in numbers]


def question_key(question: Question, occasion: str = "") -> str:
    """
    The same of a question to a language model: its words and all settings, whatever bank and cell it stands in.
    occasion: on which it is asked anew, however often it was asked before; "" where it is not.
    """
    asked = [question.text, question.system, question.raw, plain(question.sampling), *([occasion] if occasion else [])]

    return hashlib.sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:SHORT]
