"""
What a model says it is: weight 0, shown and never scored.

A model can be told to claim any name, and honest ones name their teacher. Whoever reads a report wants to see it
all the same.
"""

from collections.abc import Sequence
from typing import Any, Final

from probe_match.fingerprinting.chat.records import Bank, Sampling

from . import _phrases

KINDS: Final = ("chat",)
NEEDS: Final = "nothing"
SAMPLING: Final = Sampling(temperature=0.0, max_tokens=32)
PATTERNS: Final = {
    "name": {
        "en": "[Hello.|Good day.|A question:|] [Which language model am I talking to|What is your name and version|Tell me which model you are][?|, please.]",
        "de": "[Mit welchem Sprachmodell spreche ich|Wie heißt du, und in welcher Version]?",
        "zh": "[我在和哪个语言模型对话|你叫什么名字，是哪个版本]？",
    },
    "maker": {
        "en": "[Hello.|Good day.|A question:|] [Who made you|Which company trained you|Who are the people behind you]?",
        "fr": "[Qui t'a créé|Quelle entreprise t'a entraîné] ?",
    },
    "cutoff": {
        "en": "[Hello.|Good day.|A question:|] [Up to which month does your knowledge reach|What is the latest event you know of]?",
        "ru": "[До какого месяца доходят твои знания|О каком последнем событии ты знаешь]?",
    },
}
LANGUAGES: Final = ("en",)


def generate(*, n: int, seed: int, languages: Sequence[str] = LANGUAGES) -> Bank:
    """A bank of n cells of weight 0. Raises UsageError for a language there is not, or more cells than wordings."""
    patterns = _phrases.in_languages(PATTERNS, languages)
    made: dict[str, Any] = {"family": "identity", "parser": "text", "sampling": SAMPLING, "weight": 0.0}

    return _phrases.bank("chat-identity", _phrases.draw([(name, made) for name in patterns], patterns, n=n, seed=seed))
