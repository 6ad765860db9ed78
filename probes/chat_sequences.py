"""
Random sequences: models that are asked for chance betray their own habits (FLIPS, arXiv 2606.03330; IRIS,
2607.20860).

Bits under symbols drawn anew (0 and 1, letters, pairs of words), and digits. An answer is as long as its tokens
allow, so that one question says as much as dozens of one-word ones.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from probe_match.fingerprinting.chat.records import Bank, Question, Sampling
from probe_match.fingerprinting.errors import UsageError

from . import _phrases

KINDS: Final = ("chat",)
NEEDS: Final = "nothing"
SYSTEM: Final = "Write only the sequence that is asked for."
BITS: Final = (
    "[Write|Produce|Give me] [a sequence|a row|a series] of {n} [fair coin flips|random symbols|independent random draws], "
    "[using {a} and {b} only|each either {a} or {b}|made up of {a} and {b}], separated by spaces."
)
DIGITS: Final = "[Write|Produce|Give me] {n} [random|arbitrary|independently drawn] [decimal digits|digits from 0 to 9], separated by spaces."
SYMBOLS: Final = (
    ("0", "1"), ("a", "b"), ("x", "o"), ("H", "T"), ("red", "blue"), ("lake", "stone"), ("north", "south"), ("yes", "no"),
    ("left", "right"), ("copper", "velvet"), ("apple", "seven"), ("quiet", "loud"),
)  # fmt: skip
LENGTHS: Final = (24, 32, 40, 48)
TOKENS: Final = 3  # an element and its space take at most about so many


def generate(*, n: int, seed: int, languages: Sequence[str] = ("en",)) -> Bank:
    """A bank of n cells, two of bits to each of digits; English only. Raises UsageError for another language."""
    if tuple(languages) != ("en",):
        raise UsageError(f"sequences are asked for in English alone, got {', '.join(languages)}")
    rng = np.random.default_rng(seed)
    questions: dict[str, Question] = {}
    while len(questions) < n:
        length = int(rng.choice(LENGTHS))
        a, b = rng.permutation(SYMBOLS[rng.integers(len(SYMBOLS))])
        binary = len(questions) % 3 != 2
        text = _phrases.expand(BITS if binary else DIGITS, rng).format(n=length, a=a, b=b)
        cell = f"{'bits' if binary else 'digits'}/en/{_phrases.short(text)}"
        questions[cell] = Question(
            cell, "sequence", text, "bits" if binary else "digits", SYSTEM,
            Sampling(1.0, TOKENS * length), choices=(str(a), str(b)) if binary else (),
        )  # fmt: skip

    return _phrases.bank("chat-sequences", questions.values())
