"""
Who wrote this? Short texts of eight writers on the same instructions, from a file or made up here.

The file holds JSON, perhaps packed by xz: `{"outputs": {writer: [answer per instruction, …], …}}`, as it can be put
together from the answers that AlpacaEval publishes (https://github.com/tatsu-lab/alpaca_eval). Without it, eight
made-up writers share a language but not its habits: each has favourite words, and words it likes to put after others.
"""

import json
import lzma
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

WORDS: Final = 60  # of a text that are kept: enough to know a writer by, not enough to be sure
MARKS: Final = r"\w+|[^\w\s]|\n"  # words, punctuation and line breaks, all of which tell writers apart
# Eight of the writers in that file that differ enough: a linear model of 1,100 texts is right in .57 (words) to .70.
WRITERS: Final = (
    "SPPO-Llama-3-8B-Instruct-GPM-2B", "alpaca-7b-neft", "claude2-alpaca-13b", "Samba-CoE-v0.2",
    "Starling-LM-7B-beta-ExPO", "llama-2-7b-chat-hf", "Storm-7B", "gpt-3.5-turbo-1106_concise",
)  # fmt: skip
INSTRUCTIONS: Final = 400
SHARES: Final = {"A": 0.35, "B": 0.275, "C": 0.25, "R": 0.125}  # of the instructions
UNSENDABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Part(NamedTuple):
    """Texts x (n,) and who wrote them, y int64 (n,)."""

    x: tuple[str, ...]
    y: np.ndarray

    def take(self, rows: np.ndarray) -> "Part":
        """The given rows, int (m,)."""
        return Part(tuple(self.x[i] for i in rows), self.y[rows])


def load(data: Path | None, seed: int, *, small: bool = False) -> dict[str, Part]:
    """
    The texts as parts that share no instruction and no text: A trained the owner's models, B is the thief's, C belongs
    to strangers, R is held by the owner and trained nothing.
    """
    written = made_up(seed, 120 if small else INSTRUCTIONS) if data is None else read(data)
    rng = np.random.default_rng(seed)
    order = rng.permutation(min(map(len, written)))
    ends = np.cumsum([round(share * len(order)) for share in SHARES.values()])[:-1]
    seen: set[str] = set()
    parts = {}
    for name, instructions in zip(SHARES, np.split(order, ends), strict=True):
        rows = [(_cut(texts[i]), y) for i in instructions for y, texts in enumerate(written)]
        kept = [(text, y) for text, y in rows if text and not (text in seen or seen.add(text))]  # type: ignore[func-returns-value]
        parts[name] = Part(tuple(text for text, _ in kept), np.array([y for _, y in kept]))

    return parts


def read(path: Path) -> list[list[str]]:
    """Per writer in WRITERS, or else per first eight of the file, the answers in the order of the instructions."""
    raw = path.read_bytes()
    outputs: dict[str, list[Any]] = json.loads(lzma.decompress(raw) if path.suffix == ".xz" else raw)["outputs"]
    names = [name for name in WRITERS if name in outputs] or sorted(outputs)[: len(WRITERS)]

    return [[text if isinstance(text, str) else "" for text in outputs[name]] for name in names]


def made_up(seed: int, instructions: int, writers: int = 8) -> list[list[str]]:
    """Per writer one text per instruction; the instruction sets the topic, the writer the choice of words."""
    rng = np.random.default_rng([seed, 7])
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    words = np.array(sorted({"".join(rng.choice(syllables, rng.integers(1, 4))) for _ in range(900)}), object)
    common = -np.log(np.arange(1, len(words) + 1)) + rng.normal(0, 0.3, len(words))
    style = rng.normal(0, 0.6, (writers, len(words)))
    habit = rng.integers(0, len(words), (writers + 1, len(words)))  # what follows a word; the last is everyone's
    written: list[list[str]] = [[] for _ in range(writers)]
    for _ in range(instructions):
        topic = common + rng.normal(0, 1.0, len(words))
        for writer in range(writers):
            odds = np.exp(topic + style[writer])
            drawn = rng.choice(len(words), int(rng.integers(25, WORDS)), p=odds / odds.sum())
            follows = rng.choice(3, len(drawn), p=[0.78, 0.07, 0.15])
            for j in np.flatnonzero(follows[1:]) + 1:
                drawn[j] = habit[writer if follows[j] == 1 else writers, drawn[j - 1]]
            stops = rng.random(len(drawn)) < 0.06 + 0.01 * (writer % 3)
            text = " ".join(word + "." * int(stop) for word, stop in zip(words[drawn], stops, strict=True))
            written[writer].append(text)

    return written


def _cut(text: str) -> str:
    """The first words of a text with the line breaks between them, without what cannot be sent."""
    clean = UNSENDABLE.sub(" ", text).strip()
    found = re.match(rf"\S+(?:\s+\S+){{0,{WORDS - 1}}}", clean)

    return found[0] if found else ""
