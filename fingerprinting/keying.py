"""How a question is known again: a digest of what is asked, whoever asks it, in whatever order."""

import hashlib
import json
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


def question_key(question: Question) -> str:
    """`sha256:…` of a question to a language model: its words and all settings, whatever bank and cell it stands in."""
    asked = [question.text, question.system, question.raw, plain(question.sampling)]

    return storage.sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode())
