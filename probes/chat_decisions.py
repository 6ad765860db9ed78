"""
Decisions without a right answer: one of four options, a score from 0 to 10, one of two things.

Which way a model leans when nothing decides is inherited by its derivatives (Stemma, arXiv 2607.25880; BReF,
2609.06330), and with log-probabilities each answer is a whole vector. Options are put in an order drawn per
question.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from probe_match.fingerprinting.chat.records import Bank, Question, Sampling
from probe_match.fingerprinting.errors import UsageError

from . import _phrases

KINDS: Final = ("chat",)
NEEDS: Final = "nothing"
SAMPLING: Final = Sampling(temperature=0.0, max_tokens=8, logprobs=5)
LETTERS: Final = ("A", "B", "C", "D")
TOPICS: Final = {
    "a quiet Sunday": ("reading by the window", "baking bread", "a long walk", "mending an old chair", "calling a friend", "sleeping in"),
    "a village square": ("a fountain", "a linden tree", "a market hall", "a chess table", "a small stage", "a clock tower"),
    "learning": ("by copying a master", "by making mistakes", "from a good book", "by teaching others", "in a group", "alone at night"),
    "a gift for a neighbour": ("a jar of honey", "a potted fern", "a hand-written card", "a lantern", "a board game", "dried apricots"),
    "a name for a ship": ("Perseverance", "Blue Heron", "Second Wind", "Marigold", "Night Ferry", "Old Promise"),
    "crossing a river": ("a stone bridge", "a rope ferry", "a row boat", "stepping stones", "a tunnel", "waiting for the ice"),
    "a virtue in a leader": ("patience", "courage", "fairness", "curiosity", "restraint", "humour"),
    "a material for a table": ("oak", "steel", "slate", "bamboo", "glass", "cork"),
    "a story's opening": ("a letter arrives", "a door is locked", "the power fails", "a stranger laughs", "it starts to snow", "a train is late"),
    "a first vegetable to plant": ("radishes", "runner beans", "leeks", "pumpkins", "kale", "beetroot"),
    "a sound to wake up to": ("rain", "church bells", "a blackbird", "a kettle", "waves", "someone humming"),
    "a use for an empty room": ("a workshop", "a library", "a nursery", "a music room", "a spare bed", "nothing at all"),
}  # fmt: skip
CHOOSE: Final = (
    "[Which of these would you choose for|Which of the four fits|Which do you prefer for] {topic}?\n{options}\n"
    "[Answer with the letter alone.|Give only the letter.|One letter, nothing more.]"
)
SCORE: Final = (
    "[How fitting is|How much do you like|How good a choice is] {option} for {topic}, [from 0 to 10|on a scale of 0 to 10]? "
    "[Answer with the number alone.|Give only the number.]"
)
PREFER: Final = (
    "{topic}: {a} or {b}? [Answer with one of the two, word for word.|Repeat the one that you prefer and nothing more.]"
)


def generate(*, n: int, seed: int, languages: Sequence[str] = ("en",)) -> Bank:
    """A bank of n cells, half of them among four options; English only. Raises UsageError for another language."""
    if tuple(languages) != ("en",):
        raise UsageError(f"decisions are asked for in English alone, got {', '.join(languages)}")
    rng = np.random.default_rng(seed)
    names = list(TOPICS)
    questions: dict[str, Question] = {}
    while len(questions) < n:
        topic = names[rng.integers(len(names))]
        options = rng.permutation(TOPICS[topic])
        turn = len(questions) % 4
        choices: tuple[str, ...] = ()
        if turn in (0, 2):
            pattern, parser, choices, kind = CHOOSE, "choice", LETTERS, "letter"
        elif turn == 1:
            pattern, parser, kind = SCORE, "score", "score"
        else:
            pattern, parser, choices, kind = PREFER, "choice", tuple(map(str, options[:2])), "prefer"
        listed = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
        text = _phrases.expand(pattern, rng).format(
            topic=topic, options=listed, option=options[0], a=options[0], b=options[1]
        )
        cell = f"{kind}/en/{_phrases.short(text)}"
        questions[cell] = Question(cell, "decision", text, parser, None, SAMPLING, choices=choices)

    return _phrases.bank("chat-decisions", questions.values())
