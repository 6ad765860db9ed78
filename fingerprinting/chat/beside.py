"""
What else answers say beside their counts, where a bank asks for more than one word: whose texts are the same word for
word, whose are alike prompt by prompt, who decides alike against the crowd, whose random sequences have like habits.

Said for a person to read. None of it decides: these statistics have no error rate on the few references of a database.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from . import decisions, exact_match, same_prompts, sequences
from .reading import read
from .records import Bank, ChatReference, Question, Transcript

LEAST: Final = 8  # questions of a kind, below which nothing is said
FEWEST: Final = 3  # references that were asked them
MOST: Final = 32  # references looked at, the nearest by their counts
RARE: Final = 0.01  # chance of so many equal texts, below which they are worth a sentence
CHOICES: Final = ("choice", "score")
SEQUENCES: Final = ("bits", "digits")


def remarks(
    transcript: Transcript, bank: Bank, references: Mapping[str, ChatReference], nearest: Sequence[str]
) -> list[str]:
    """Sentences on a transcript of a bank. nearest: names of references, the likeliest first."""
    asked = [question for question in bank.questions if transcript.answers.get(question.cell)]
    kinds = [[q for q in asked if q.parser in some] for some in (("text",), CHOICES, SEQUENCES)]
    if max(map(len, kinds)) < LEAST:
        return []
    known = [references[name] for name in nearest[:MOST]]
    texts, choices, chance = (some if len(some) >= LEAST else [] for some in kinds)

    return [
        *_texts(transcript, texts, known),
        *_choices(transcript, choices, known),
        *_chance(transcript, chance, known),
    ]


def _texts(transcript: Transcript, questions: Sequence[Question], known: Sequence[ChatReference]) -> list[str]:
    mine = {q.cell: said[0] for q in questions if (said := transcript.texts(q.cell))}
    told = {one.name: {cell: one.texts[cell][0] for cell in mine if one.texts.get(cell)} for one in known}
    told = {name: some for name, some in told.items() if len(some) >= LEAST}
    if len(told) < FEWEST:
        return []
    found = {
        name: exact_match.count_equal(mine, some, [other for other in told.values() if other is not some])
        for name, some in told.items()
    }
    name, best = min(found.items(), key=lambda one: one[1].p)
    sentences = []
    if best.equal and best.p * len(told) <= RARE:
        sentences.append(
            f"{best.equal} of {best.compared} long answers are word for word those of '{name}'; a stranger's are with "
            f"probability {best.p * len(told):.2g}."
        )
    shared = [cell for cell in mine if all(cell in some for some in told.values())]
    if len(shared) >= LEAST:
        rows = [[mine[cell] for cell in shared], *([some[cell] for cell in shared] for some in told.values())]
        scores = same_prompts.lineage(same_prompts.similarities(rows))
        sentences.append(_nearest(scores, list(told), f"to the same {len(shared)} prompts it writes"))
    return sentences


def _choices(transcript: Transcript, questions: Sequence[Question], known: Sequence[ChatReference]) -> list[str]:
    told = [one for one in known if sum(bool(one.counts.get(q.cell)) for q in questions) >= LEAST]
    if not questions or len(told) < FEWEST:
        return []
    picked = np.full((1 + len(told), len(questions)), -1)
    for c, question in enumerate(questions):
        mine = _values(transcript, question)
        given = [{value: mine.count(value) for value in mine}, *(one.counts.get(question.cell, {}) for one in told)]
        options = sorted({value for some in given for value in some})
        for m, some in enumerate(given):
            if some:
                picked[m, c] = options.index(max(some, key=lambda value: (some[value], value)))
    left = decisions.residuals(picked, int(picked.max()) + 1)

    return [_nearest(decisions.kinship(left), [one.name for one in told], f"in {len(questions)} choices it decides")]


def _chance(transcript: Transcript, questions: Sequence[Question], known: Sequence[ChatReference]) -> list[str]:
    mine = [value for question in questions for value in _values(transcript, question)]
    told = {
        one.name: [value for q in questions for value, n in one.counts.get(q.cell, {}).items() for _ in range(n)]
        for one in known
    }
    told = {name: some for name, some in told.items() if len(some) >= LEAST}
    if len(mine) < LEAST or len(told) < FEWEST:
        return []
    apart = sequences.distances(mine, list(told.values()))
    name = list(told)[int(apart.argmin())]

    return [
        f"Its {len(mine)} random sequences have habits nearest to those of '{name}', {apart.min():.1f} times as far as "
        "a model's own are on average."
    ]


def _nearest(scores: np.ndarray, names: Sequence[str], how: str) -> str:
    """scores: float (1 + m, 1 + m), the suspect first, -inf on the diagonal."""
    at = int(scores[0, 1:].argmax())
    pairs = scores[1:, 1:][np.triu_indices(len(names), 1)]
    alike = float((pairs >= scores[0, 1 + at]).mean())

    return f"Taken by itself, {how} most like '{names[at]}'; {alike:.0%} of the pairs of these references are as alike."


def _values(transcript: Transcript, question: Question) -> list[str]:
    readings = (read(question, answer).value for answer in transcript.answers[question.cell])
    return [value for value in readings if value is not None]
