"""
Border inputs: prompts whose first token is nearly tied, found by asking (B3IT; Chauvin et al., 2602.11083).

At temperature 0 an endpoint answers a border input now so, now so, because of the noise of its arithmetic alone. The
least change of its weights decides the tie, so these prompts show changes that temperature 1 buries under sampling.
The same search yields steady prompts, answered alike every time, on which another model is likely to differ.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.errors import TargetError

from .records import USABLE, Answer, ChatClient, Question, Sampling

ONE_TOKEN: Final = Sampling(temperature=0.0, max_tokens=1)
CALLS: Final = 3  # of a prompt in the search, as published
MORE_CALLS: Final = 10  # of a prompt found, to see how even it is
SYLLABLES: Final = (
    "a", "al", "an", "ar", "ba", "be", "bi", "bo", "ca", "ce", "co", "cu", "da", "de", "di", "do", "e", "el", "en",
    "er", "fa", "fe", "fi", "fo", "ga", "ge", "go", "ha", "he", "hi", "ho", "i", "il", "in", "is", "ja", "ka",
    "ke", "ki", "la", "le", "li", "lo", "lu", "ma", "me", "mi", "mo", "mu", "na", "ne", "ni", "no", "o", "on",
    "or", "pa", "pe", "pi", "po", "qua", "ra", "re", "ri", "ro", "ru", "sa", "se", "si", "so", "sta", "su", "ta",
    "te", "ti", "to", "tra", "u", "un", "ur", "va", "ve", "vi", "vo", "wa", "we", "wi", "ya", "za", "zo",
)  # fmt: skip


class Found(NamedTuple):
    """
    border: prompts with two or more answers, evenest first. steady: prompts answered alike, in random order. asked:
    calls that were made.
    """

    border: list[str]
    steady: list[str]
    asked: int


def candidates(rng: np.random.Generator) -> Iterator[str]:
    """Short prompts for ever: single characters, syllables, invented words, numbers; each once."""
    seen = set()
    while True:
        kind = rng.integers(4)
        if kind == 0:
            text = chr(int(rng.integers(33, 127)))
        elif kind == 1:
            text = str(int(rng.integers(10_000)))
        else:
            text = "".join(rng.choice(SYLLABLES, int(rng.integers(1, 2 + kind))))
        if text not in seen:
            seen.add(text)
            yield text


def question(text: str, cell: str = "") -> Question:
    """A prompt of which the first token is wanted, at temperature 0."""
    return Question(cell or f"border/{text}", "border", text, sampling=ONE_TOKEN)


def search(
    client: ChatClient,
    *,
    prompts: int = 400,
    enough: int = 20,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Found:
    """
    Ask random short prompts three times each until `enough` border inputs are found, at most `prompts` of them.

    Every prompt costs CALLS calls, and each one found MORE_CALLS more. Raises TargetError where the endpoint answers no
    more, or a limit lets no more be asked.
    """
    stream = candidates(np.random.default_rng(seed))
    said: dict[str, list[str]] = {}
    while len(said) < prompts and sum(len(set(words)) > 1 for words in said.values()) < enough:
        batch = [next(stream) for _ in range(min(50, prompts - len(said)))]
        answers = client.chat([question(text) for text in batch for _ in range(CALLS)])
        for i, text in enumerate(batch):
            words = [_word(answer) for answer in answers[CALLS * i : CALLS * (i + 1)] if answer.status != "failed"]
            if len(words) == CALLS:
                said[text] = words
        if progress:
            progress(len(answers))
        if all(answer.status == "failed" for answer in answers):
            raise TargetError(
                f"{client.target} failed to answer {len(answers)} questions; the last: {answers[-1].error}"
            )
    border = [text for text, words in said.items() if len(set(words)) > 1]
    border, more = _evenest(client, border)
    steady = [text for text, words in said.items() if len(set(words)) == 1 and words[0]]

    return Found(border[:enough], _varied(steady, said), CALLS * len(said) + more)


def _evenest(client: ChatClient, texts: list[str]) -> tuple[list[str], int]:
    """Prompts by how even their two commonest answers are in some more calls, which serve for nothing else."""
    answers = client.chat([question(text) for text in texts for _ in range(MORE_CALLS)])
    words = [
        Counter(_word(answer) for answer in answers[MORE_CALLS * i : MORE_CALLS * (i + 1)]).most_common(2)
        for i in range(len(texts))
    ]
    even = [found[1][1] / found[0][1] if len(found) > 1 else 0.0 for found in words]
    order = sorted(range(len(texts)), key=lambda i: -even[i])

    return [texts[i] for i in order], len(answers)


def _varied(steady: list[str], said: dict[str, list[str]]) -> list[str]:
    """Prompts with rare answers first, each answer once before any twice: an answer all prompts share tells little."""
    turn: Counter[str] = Counter()
    keyed: list[tuple[int, int, str]] = []
    for text in steady:
        word = said[text][0]
        keyed.append((turn[word], len(keyed), text))
        turn[word] += 1

    return [text for _, _, text in sorted(keyed)]


def _word(answer: Answer) -> str:
    return answer.text if answer.status in USABLE else answer.status
