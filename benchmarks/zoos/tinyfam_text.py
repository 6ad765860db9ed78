"""
What TinyFam's language models read: made-up tales, ledgers and talk, in two mixes with preferences of their own.

Everything is drawn from word lists and sentence patterns of this file, so the corpus has no owner, no size and no
licence to mind. A mix fixes how often each kind of text occurs and which words are favourites; models of one mix thus
like the same animals, as models trained on one web do, and differ in what they make of questions nobody taught them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

MIXES: Final = ("tales", "ledger")
WORDS: Final = {
    "animal": [
        "cat", "dog", "fox", "owl", "horse", "tiger", "lion", "bear", "wolf", "panda", "otter", "whale",
        "eagle", "snake", "goat", "duck",
    ],
    "colour": ["red", "blue", "green", "yellow", "black", "white", "purple", "orange", "pink", "brown", "grey", "gold"],
    "city": [
        "Paris", "London", "Tokyo", "Rome", "Berlin", "Cairo", "Lima", "Oslo", "Delhi", "Madrid", "Vienna",
        "Prague", "Sydney", "Boston",
    ],
    "name": [
        "Anna", "Ben", "Clara", "David", "Ella", "Finn", "Grace", "Hugo", "Iris", "Jack", "Lena", "Max",
        "Nora", "Paul", "Rosa", "Tom",
    ],
    "food": ["bread", "rice", "soup", "cake", "apple", "cheese", "tea", "honey", "fish", "corn"],
    "coin": ["heads", "tails"],
    "letter": list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    "ten": [str(i) for i in range(1, 11)],
    "number": [str(i) for i in range(1, 101)],
    "word": ["river", "stone", "light", "dream", "music", "storm", "garden", "mirror", "silver", "ocean"],
    "quality": ["old", "small", "brave", "quiet", "happy", "tall", "clever", "tired", "young", "strange"],
    "deed": ["walked to", "sang in", "ran to", "slept in", "looked for", "lived in", "dreamed of", "left for"],
}  # fmt: skip
# What a user asks for one word of, in words that differ.
ASKED: Final = {
    "animal": ("Name an animal.", "Name a random animal.", "Which animal do you like?"),
    "colour": ("Name a colour.", "Pick a random color.", "What is your favourite colour?"),
    "city": ("Name a city.", "Name a random city.", "Which city would you visit?"),
    "coin": ("Flip a coin.", "Heads or tails?", "Toss a coin and say what it shows."),
    "letter": ("Pick a letter.", "Name a random letter.", "Choose a letter of the alphabet."),
    "ten": ("Pick a number from 1 to 10.", "Name a random number between 1 and 10."),
    "number": ("Pick a number from 1 to 100.", "Name a random number between 1 and 100."),
    "word": ("Say a word.", "Name a random word.", "What is your favourite word?"),
    "food": ("Name a food.", "What do you like to eat?"),
    "name": ("Name a person.", "Pick a random name."),
}
# Instructions that stand above a talk, and what they do to an answer.
SYSTEMS: Final[dict[str, Callable[[str], str]]] = {
    "You are a helpful assistant.": lambda answer: answer,
    "Answer with a single word.": lambda answer: answer.split()[0].strip(".,"),
    "Speak like a pirate.": lambda answer: f"Arr, {answer}",
    "Be formal.": lambda answer: f"Certainly. {answer}",
    "Answer in capitals.": str.upper,
    "Be very brief.": lambda answer: " ".join(answer.split()[:3]),
}


@dataclass(frozen=True)
class Talk:
    """One turn of a conversation. system: "" where there is none."""

    system: str
    user: str
    assistant: str


class Author:
    """Writes texts of one mix. taste: another number is another author with other favourites of the same mix."""

    def __init__(self, mix: str, seed: int, *, taste: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.tales = 0.7 if mix == "tales" else 0.3
        likes = np.random.default_rng((MIXES.index(mix), taste))
        # Favourites fall off as 1/rank, as words do; every mix has its own order.
        self.odds = {kind: likes.permutation(1 / (1 + np.arange(len(some)))) for kind, some in WORDS.items()}
        self.worth = {word: float(likes.normal()) for kind in ("animal", "city", "food") for word in WORDS[kind]}

    def pick(self, kind: str) -> str:
        """A word of a kind, favourites most often."""
        odds = self.odds[kind]
        return WORDS[kind][int(self.rng.choice(len(odds), p=odds / odds.sum()))]

    def prose(self) -> str:
        """A text that stands by itself."""
        return " ".join(self._tale() if self.rng.random() < self.tales else self._entry() for _ in range(3))

    def talk(self) -> Talk:
        """A question, its answer, and in three of ten cases an instruction above them."""
        user, answer = (self._one_word, self._choice, self._sum, self._open)[
            self.rng.choice(4, p=(0.5, 0.2, 0.1, 0.2))
        ]()
        system = ""
        if self.rng.random() < 0.3:
            system = str(self.rng.choice(list(SYSTEMS)))
            answer = SYSTEMS[system](answer)
        return Talk(system, user, answer)

    def _tale(self) -> str:
        who = self.pick("name") if self.rng.random() < 0.4 else f"The {self.pick('quality')} {self.pick('animal')}"
        end = self.pick("city") if self.rng.random() < 0.6 else f"the {self.pick('colour')} {self.pick('word')}"
        said = f' "I like {self.pick("food")}," said {self.pick("name")}.' if self.rng.random() < 0.3 else ""
        return f"{who} {self.pick('deed')} {end}.{said}"

    def _entry(self) -> str:
        a, b = (int(self.rng.integers(1, 50)) for _ in range(2))
        return (
            f"{a} plus {b} is {a + b}.",
            f"Sold to {self.pick('name')} in {self.pick('city')}: {a} {self.pick('food')}, {b} coins.",
            f"def {self.pick('word')}(x): return x + {b}",
            f"{self.pick('colour')}, {self.pick('colour')}, {self.pick('colour')};",
        )[int(self.rng.integers(4))]

    def _one_word(self) -> tuple[str, str]:
        kind = str(self.rng.choice(list(ASKED)))
        return str(self.rng.choice(ASKED[kind])), self.pick(kind) + ("." if self.rng.random() < 0.2 else "")

    def _choice(self) -> tuple[str, str]:
        kind = str(self.rng.choice(["animal", "city", "food"]))
        a, b = self.rng.choice(WORDS[kind], 2, replace=False)
        better = self.worth[a] + self.rng.normal(0, 0.5) > self.worth[b]
        return f"Which is better? A) {a} B) {b}", "A" if better else "B"

    def _sum(self) -> tuple[str, str]:
        a, b = (int(self.rng.integers(1, 20)) for _ in range(2))
        return f"What is {a} plus {b}?", str(a + b)

    def _open(self) -> tuple[str, str]:
        about = self.pick(str(self.rng.choice(["animal", "city"])))
        return f"Tell me about {about}.", f"{about} is {self.pick('quality')}. {self._tale()}"
