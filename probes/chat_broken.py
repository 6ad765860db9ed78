"""
Malformed and boundary text: broken Unicode, unclosed markup, endless repetition, and the tokens a tokenizer hardly
knows.

What a model does with what nobody trained it on differs more between tokenizers than between tunings. Glitch tokens
are found from a local tokenizer file (tokenizer.json of the `tokenizers` library, read as plain JSON): long or odd
entries of its vocabulary that its merges reach late; see Land & Bartolo, "Fishing for Magikarp" (2405.05417).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.chat.records import Bank, Question, Sampling
from probe_match.fingerprinting.errors import BadData, UsageError

from . import _phrases

KINDS: Final = ("chat",)
NEEDS: Final = "nothing"
SAMPLING: Final = Sampling(temperature=0.0, max_tokens=16)
ASK: Final = "[Repeat|Copy|Write again] [what stands between the bars|the text between the bars][, unchanged|], and nothing more: |{}|"
LATE: Final = 0.2  # of a vocabulary, from its end, in which rare tokens are
PLAIN: Final = ("Ġ", "▁")  # how vocabularies write a leading space


def generate(*, n: int, seed: int, languages: Sequence[str] = ("en",), tokenizer: str | None = None) -> Bank:
    """
    A bank of n cells; with a tokenizer.json, half of them its glitch tokens. Raises BadData where it is none.
    """
    if tuple(languages) != ("en",):
        raise UsageError(f"broken text is asked about in English alone, got {', '.join(languages)}")
    rng = np.random.default_rng(seed)
    rare = [] if tokenizer is None else glitch_tokens(Path(tokenizer))
    picked = [rare[i] for i in rng.permutation(len(rare))[: n // 2]]
    questions: dict[str, Question] = {}
    while len(questions) < n:
        kind, text = ("glitch", picked.pop()) if picked else _broken(rng)
        worded = _phrases.expand(ASK, rng).format(text)
        cell = f"{kind}/en/{_phrases.short(worded)}"
        questions[cell] = Question(cell, "broken", worded, "text", None, SAMPLING)

    return _phrases.bank("chat-broken", questions.values())


def glitch_tokens(path: Path) -> list[str]:
    """Entries of a vocabulary that no text is likely to hold: late, long, and of letters that seldom meet."""
    data = storage.read_file(path, "tokenizer")
    try:
        vocabulary: dict[str, int] = json.loads(data)["model"]["vocab"]
        entries = sorted(vocabulary, key=vocabulary.__getitem__)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadData(f"expected a tokenizer.json with model.vocab as {path}, got another file") from error
    pairs = _pair_frequencies(entries)
    late = [token.lstrip("".join(PLAIN)) for token in entries[round((1 - LATE) * len(entries)) :]]
    late = [token for token in dict.fromkeys(late) if len(token) >= 4 and token.isprintable() and "|" not in token]

    return sorted(late, key=lambda token: np.mean([pairs.get(token[i : i + 2], 0) for i in range(len(token) - 1)]))


def _pair_frequencies(entries: Sequence[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for token in entries:
        for i in range(len(token) - 1):
            counts[token[i : i + 2]] = counts.get(token[i : i + 2], 0) + 1
    return counts


def _broken(rng: np.random.Generator) -> tuple[str, str]:
    """One kind of broken text and a piece of it."""
    letters = list("abcdefghijklmnopqrstuvwxyz")

    def some(alphabet: Sequence[str], low: int, high: int) -> str:
        return "".join(rng.choice(list(alphabet), rng.integers(low, high)))

    makers: list[tuple[str, Any]] = [
        ("replacement", lambda: some(letters, 2, 5) + "\N{REPLACEMENT CHARACTER}" * int(rng.integers(1, 4)) + some(letters, 2, 5)),
        ("combining", lambda: "".join(c + some([chr(i) for i in range(0x300, 0x315)], 1, 4) for c in some(letters, 3, 6))),
        ("direction", lambda: "\u202e" + some(letters, 4, 9) + "\u202c" + some(letters, 2, 4)),
        ("invisible", lambda: "\u200b".join(some(letters, 4, 8)) + "\ufeff"),
        ("mojibake", lambda: some("äöüßéñçø", 4, 9).encode().decode("latin-1")),
        ("markup", lambda: "<" + some(letters, 1, 4) + "><" + some(letters, 1, 3) + ' x="' + some(letters, 2, 5)),
        ("escape", lambda: "\\u" + some("0123456789abcdef", 2, 4) + "\\x\\" + some(letters, 1, 3)),
        ("brackets", lambda: some("([{<", 3, 9) + some(")]}>", 2, 7)),
        ("repeat", lambda: some(letters, 1, 3) * int(rng.integers(12, 24))),
        ("plane", lambda: some([chr(i) for i in range(0x1D400, 0x1D434)], 4, 8)),
    ]  # fmt: skip
    kind, make = makers[rng.integers(len(makers))]

    return kind, str(make())
