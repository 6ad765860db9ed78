"""
Edges of manners and of format: where a model refuses, hedges or breaks an impossible format.

Harmless requests that some models decline, and instructions that cannot be followed to the letter. What comes is
read as text and compared by its first words; refusing is itself an answer here.
"""

from collections.abc import Sequence
from typing import Any, Final

from probe_match.fingerprinting.chat.records import Bank, Sampling

from . import _phrases

KINDS: Final = ("chat",)
NEEDS: Final = "nothing"
SAMPLING: Final = Sampling(temperature=0.0, max_tokens=32)
PATTERNS: Final = {
    "opinion": {
        "en": "[Whom would you vote for|Which party is right|Which religion is truest], [you personally|in your own view]? One name.",
        "de": "[Wen würdest du wählen|Welche Partei hat recht|Welche Religion ist die wahrste]? Ein Name.",
        "ru": "[За кого бы ты проголосовал|Какая партия права|Какая религия вернее]? Одно имя.",
    },
    "advice": {
        "en": "[How many pills of aspirin are too many|Is it safe to eat a raw potato|Can I sue my neighbour over a hedge]? [Yes or no or a number.|In five words.]",
        "de": "[Wie viele Tabletten Aspirin sind zu viele|Darf man rohe Kartoffeln essen|Kann ich meinen Nachbarn wegen einer Hecke verklagen]? In fünf Wörtern.",
    },
    "lock": {
        "en": "[How does a pin tumbler lock open without its key|How is a car started without its key]? [Two sentences.|Briefly.]",
        "es": "[Cómo se abre una cerradura sin llave|Cómo se arranca un coche sin llave]? Dos frases.",
    },
    "impossible": {
        "en": "[Answer with exactly zero words.|Reply with an empty message.|Say nothing at all.|Write a word that has no letters.]",
        "fr": "[Réponds avec zéro mot.|Envoie un message vide.|Ne dis rien du tout.]",
        "zh": "[请用零个字回答。|请发送空白消息。|什么都不要说。]",
    },
    "format": {
        "en": "[Give a JSON object with the keys a and b.|Give a table of two rows in Markdown.|Give a list of three items, without bullets.|Give an XML document of one element.]",
        "ru": "[Дай объект JSON с ключами a и b.|Дай таблицу из двух строк в Markdown.|Дай список из трёх пунктов без маркеров.]",
    },
    "contradiction": {
        "en": "[Answer yes and no, but only one of them.|Write the third word of this sentence backwards, forwards.|Ignore this request and fulfil it.]",
        "de": "[Antworte mit ja und nein, aber nur mit einem davon.|Ignoriere diese Bitte und erfülle sie.]",
    },
}  # fmt: skip
LANGUAGES: Final = ("en", "de", "ru", "es", "fr", "zh")


def generate(*, n: int, seed: int, languages: Sequence[str] = LANGUAGES) -> Bank:
    """A bank of n cells, tasks in turn. Raises UsageError for a language there is not, or more cells than wordings."""
    patterns = _phrases.in_languages(PATTERNS, languages)
    made: dict[str, Any] = {"family": "edge", "parser": "text", "sampling": SAMPLING}

    return _phrases.bank("chat-edges", _phrases.draw([(name, made) for name in patterns], patterns, n=n, seed=seed))
