"""
Open text: short pieces of prose, explanation and list, in which a model's style shows.

Derivatives answer the same prompt much as their parent does, so that the texts are compared prompt by prompt. A
hundred tokens an answer: for lineage and where short answers leave two relatives apart, not for a first look.
"""

from collections.abc import Sequence
from typing import Any, Final

from probe_match.fingerprinting.chat.records import Bank, Sampling

from . import _phrases

KINDS: Final = ("chat",)
NEEDS: Final = "nothing"
SAMPLING: Final = Sampling(temperature=0.7, max_tokens=100)
PATTERNS: Final = {
    "story": {
        "en": "[Begin|Write the start of] a [story|tale] [about|in which there is] [a lighthouse keeper who cannot sleep|a clock that runs backwards|two sisters who share one coat|a bridge nobody crosses|a baker on strike].",
        "de": "[Beginne|Schreib den Anfang] eine[r|] [Erzählung|Geschichte] über [einen schlaflosen Leuchtturmwärter|eine rückwärts gehende Uhr|einen streikenden Bäcker].",
    },
    "explain": {
        "en": "[Explain|Tell me] [why leaves turn red|how a sail can pull|why bread rises|how a lock keeps water back|what makes glass clear] [to a child of nine|to a curious neighbour|in plain words].",
        "fr": "[Explique|Dis-moi] [pourquoi les feuilles rougissent|comment lève le pain|pourquoi le verre est transparent] avec des mots simples.",
    },
    "advise": {
        "en": "[How should I|What is the best way to] [begin a diary|store apples over winter|greet a new colleague|learn to whistle|choose a bicycle]?",
        "es": "[Cómo debería|Cuál es la mejor manera de] [empezar un diario|guardar manzanas en invierno|elegir una bicicleta]?",
    },
    "list": {
        "en": "[List|Name] five [things|ideas] [to do on a rainy evening|one forgets when moving house|that a village needs|worth keeping in a drawer].",
        "ru": "[Перечисли|Назови] пять [вещей|идей] [для дождливого вечера|нужных деревне|о которых забывают при переезде].",
    },
    "letter": {
        "en": "Write [a short letter|a note] to [a landlord about a dripping tap|a friend who moved away|the editor about street lamps|a teacher who retires].",
    },
}  # fmt: skip
LANGUAGES: Final = ("en",)


def generate(*, n: int, seed: int, languages: Sequence[str] = LANGUAGES) -> Bank:
    """A bank of n cells, tasks in turn. Raises UsageError for a language there is not, or more cells than wordings."""
    patterns = _phrases.in_languages(PATTERNS, languages)
    made: dict[str, Any] = {"family": "open", "parser": "text", "sampling": SAMPLING}

    return _phrases.bank("chat-open", _phrases.draw([(name, made) for name in patterns], patterns, n=n, seed=seed))
