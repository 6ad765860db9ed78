"""
Questions worded anew: a pattern with alternatives stands for dozens of wordings, and a seed draws among them.

`[Pick|Choose|Name] [a|any] colour[| at random].` A target that was taught the wording of one audit meets another
one next time, and a reference keeps the very words that it was asked.
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from probe_match.fingerprinting.chat.records import Bank, Question
from probe_match.fingerprinting.errors import UsageError

SLOT: Final = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")
LICENSE: Final = "Apache-2.0"
TRIES: Final = 50


def expand(pattern: str, rng: np.random.Generator) -> str:
    """One wording: of every `[a|b|c]` one alternative, alternatives within alternatives first."""
    while SLOT.search(pattern):
        pattern = SLOT.sub(lambda slot: str(rng.choice(slot[1].split("|"))), pattern)
    return re.sub(" +", " ", pattern).strip()


def wordings(pattern: str) -> int:
    """How many wordings a pattern without inner alternatives has."""
    return math.prod(slot.count("|") + 1 for slot in SLOT.findall(pattern))


def draw(
    tasks: Sequence[tuple[str, Mapping[str, Any]]], patterns: Mapping[str, Mapping[str, str]], *, n: int, seed: int
) -> Iterator[Question]:
    """
    So many questions: the tasks in turn, each in a language of its own in turn, each worded anew.

    tasks: name and what a Question is made with. patterns: by task and language. Raises UsageError where there are not
    so many wordings.
    """
    rng = np.random.default_rng(seed)
    pairs = [(name, made, language) for name, made in tasks for language in patterns[name]]
    seen: set[str] = set()
    shuffled = [pairs[i] for i in rng.permutation(len(pairs))]
    # Tasks in turn rather than pairs at random: a short bank should have asked about everything once.
    turns: Counter[str] = Counter()
    ranked = []
    for pair in shuffled:
        ranked.append((turns[pair[0]], pair))
        turns[pair[0]] += 1
    order = [pair for _, pair in sorted(ranked, key=lambda entry: entry[0])]
    for i in range(n):
        name, made, language = order[i % len(order)]
        for _ in range(TRIES):
            text = expand(patterns[name][language], rng)
            cell = f"{name}/{language}/{short(text)}"
            if cell not in seen:
                break
        else:
            raise UsageError(f"there are not {n} wordings of these questions; ask for fewer or name more languages")
        seen.add(cell)
        yield Question(cell=cell, text=text, language=language, **_localised(made, language))


def bank(name: str, questions: Iterable[Question]) -> Bank:
    """The bank of a family."""
    return Bank(name, tuple(questions), source=f"probe-match {name}", license=LICENSE)


def in_languages(patterns: Mapping[str, Mapping[str, Any]], languages: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The patterns in these languages alone. Raises UsageError for one that none is in."""
    known = sorted({language for some in patterns.values() for language in some})
    for language in languages:
        if language not in known:
            raise UsageError(f"expected languages among {', '.join(known)}, got '{language}'")
    kept = {name: {lang: some[lang] for lang in languages if lang in some} for name, some in patterns.items()}

    return {name: some for name, some in kept.items() if some}


def short(text: str) -> str:
    """Six letters that stand for a wording in the name of its cell."""
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _localised(made: Mapping[str, Any], language: str) -> dict[str, Any]:
    """What a Question is made with, of values by language the language's own."""
    return {key: value[language] if isinstance(value, Mapping) else value for key, value in made.items()}
