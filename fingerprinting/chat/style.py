"""
How a text is written: 177 numbers that say little of its subject. Shares of function words, punctuation, markdown and
lengths, the idea being that a model's habits show whatever it is asked (Idiosyncrasies, Sun et al., ICML 2025).
"""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

_SPOKEN: Final = (
    "the of and to a in that it is was for on are as with they be at this have from or had by but not what all were "
    "we when your can said there use an each which she do how their if will up other about out many then them these "
    "so some her would make like him into time has look two more write go see no way could people my than been who "
    "its now down may also however such while through i you he me our us any here there's it's i'm don't can't "
    "let's overall additionally furthermore important ensure example first second finally various several provide "
    "help certainly sure remember including based using within between because since although both "
)
WORDS: Final = tuple(_SPOKEN.split())
MARKS: Final = (*tuple(".,;:!?'\"()[]{}-–—/*_#`|<>=+&%$@~\\…“”’•→0123456789"), "\n", "\n\n", "  ", "**", "```", "- ")
LINES: Final = {
    "bullet": re.compile(r"^\s*[-*•] ", re.M),
    "numbered": re.compile(r"^\s*\d+[.)] ", re.M),
    "heading": re.compile(r"^#{1,6} ", re.M),
    "bold": re.compile(r"\*\*[^*\n]+\*\*"),
    "colon end": re.compile(r":\s*$", re.M),
    "code": re.compile(r"```"),
}
TOKEN: Final = re.compile(r"[a-z']+")
LONG: Final = 20_000  # characters read of a text
FEATURES: Final = len(WORDS) + len(MARKS) + len(LINES) + 9
_PLACE: Final = {word: i for i, word in enumerate(WORDS)}


def features(texts: Sequence[str]) -> np.ndarray:
    """One row per text: float64 (n, FEATURES), roots of rates and logarithms of lengths; 0 for an empty text."""
    return np.array([_row(text[:LONG]) for text in texts]).reshape(-1, FEATURES)


def _row(text: str) -> np.ndarray:
    words = TOKEN.findall(text.lower().replace("’", "'"))
    counts = np.zeros(len(WORDS))
    for word in words:
        place = _PLACE.get(word)
        if place is not None:
            counts[place] += 1
    marks = np.array([text.count(mark) for mark in MARKS], float)
    lines = np.array([len(pattern.findall(text)) for pattern in LINES.values()], float)
    rows = text.count("\n") + 1
    sentences = max(1, len(re.findall(r"[.!?](?:\s|$)", text)))
    n, letters = max(len(words), 1), max(len(text), 1)
    lengths = [
        np.log1p(len(text)), np.log1p(len(words)), np.log1p(rows), np.log1p(len(words) / sentences),
        np.log1p(len(words) / rows), sum(map(len, words)) / n / 5, len(set(words)) / n,
        float(text[:1].isupper()), float(text.rstrip()[-1:] in ".!?"),
    ]  # fmt: skip
    if not text:
        return np.zeros(FEATURES)

    return np.concatenate([np.sqrt(counts / n) * 10, np.sqrt(marks / letters) * 10, np.sqrt(lines / rows), lengths])
