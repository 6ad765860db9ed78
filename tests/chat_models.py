"""Language models of habits: each answers every question by odds of its own, behind a scripted server."""

import hashlib
import string
import threading
from collections import Counter
from typing import Any

import numpy as np
from chat_server import Asked, Said, completion
from probe_match.fingerprinting.chat.records import Bank, ChatReference
from probe_match.fingerprinting.records import About
from probe_match.probes.chat_words import COIN

TEMPLATE_TOKENS = 7


class Habits:
    """
    A script for `chat_server.scripted`. The model's name decides its odds; one named `a@b` answers as `b` a third of
    the time and else as `a`.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._asked: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self.added_tokens = 0
        self.frozen = False

    def __call__(self, asked: Asked) -> Said:
        """A completion drawn from the model's odds."""
        if asked.body is None:
            return Said({"data": [{"id": "m"}]})
        text = asked.body["messages"][-1]["content"]
        name = asked.body["model"]
        words, odds = self.odds(name, text)
        with self._lock:
            self._asked[name, text] += 1
            draw = _rng(f"{self.seed} {name} {text} {self._asked[name, text]}")  # whatever comes in between
        pick = int(odds.argmax()) if self.frozen else int(draw.choice(len(words), p=odds))
        tokens = len(text) // 4 + TEMPLATE_TOKENS + self.added_tokens
        return Said(completion(words[pick], model=name, usage={"prompt_tokens": tokens, "completion_tokens": 1}))

    def reference(self, name: str, bank: Bank, repeats: int) -> ChatReference:
        """What enrolling a model would store, drawn here."""
        counts, tokens = {}, {}
        for question in bank.questions:
            words, odds = self.odds(name, question.text)
            drawn = zip(words, _rng(f"{self.seed} {name} {question.text}").multinomial(repeats, odds), strict=True)
            counts[question.cell] = {word: int(n) for word, n in drawn if n}
            tokens[question.cell] = len(question.text) // 4 + TEMPLATE_TOKENS
        return ChatReference(name, About(), bank, counts, dict.fromkeys(counts, repeats), tokens)

    def odds(self, name: str, text: str) -> tuple[list[str], np.ndarray]:
        """What a model may answer to a question, and how often it does."""
        words = _words(text)
        first, _, second = name.partition("@")
        odds = _dirichlet(f"{first} {text}", len(words))
        return words, odds if not second else (2 * odds + _dirichlet(f"{second} {text}", len(words))) / 3


def _words(text: str) -> list[str]:
    sides = [list(pair) for pair in COIN.values() if all(side.casefold() in text.casefold() for side in pair)]
    if sides:
        return sides[0]
    if any(c.isdigit() for c in text) or "three digits" in text or "drei Ziffern" in text:
        return [str(i) for i in range(1, 40)]
    return list(string.ascii_lowercase)


def _dirichlet(key: str, n: int) -> Any:
    return _rng(key).dirichlet(np.full(n, 0.15))


def _rng(key: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))
