"""
What an endpoint is asked again and again to see whether it is still the same, chosen once, on the endpoint itself.

Border inputs show small changes, steady prompts a swapped model, one-word questions at temperature 1 show what is done
to the sampling, and log-probabilities of one prompt show nearly everything where they are given.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from . import border
from .records import Answer, Bank, ChatClient, Question, Sampling, Transcript

WORDS: Final = {
    "number": "Pick a number from 1 to 100. Answer with the number only.",
    "animal": "Name an animal. Answer with one word.",
    "colour": "Pick a random color. Answer with one word.",
    "letter": "Pick a letter of the alphabet. Answer with the letter only.",
}
LOGPROB_PROMPT: Final = "x"  # as published
ODDS_CALLS: Final = 2
AT_ONCE: Final = 32  # questions between two notes in a history: what a killed run may ask again


@dataclass(frozen=True)
class Plan:
    """
    How much is asked. border, steady, words: prompts of a kind. *_calls: calls of each in a round. odds: prompts whose
    log-probabilities tell a changed model from another; asked twice each, in a baseline and after an alarm only.
    baseline: rounds that are asked at once to begin with.
    """

    border: int = 3
    border_calls: int = 5
    steady: int = 10
    steady_calls: int = 1
    words: int = 4
    words_calls: int = 2
    logprob_calls: int = 10
    odds: int = 10
    baseline: int = 10


def choose(
    client: ChatClient, plan: Plan, *, seed: int = 0, prompts: int = 400, progress: Callable[[int], None] | None = None
) -> tuple[Bank, int]:
    """The questions for one endpoint, by family, and how many calls the search took."""
    found = border.search(client, prompts=prompts, enough=4 * plan.border, seed=seed, progress=progress)
    questions = [border.question(text) for text in found.border[: plan.border]]
    # Where arithmetic has no noise nothing is tied: the calls go to steady prompts.
    steady = plan.steady + (plan.border - len(questions)) * plan.border_calls // plan.steady_calls
    questions += [replace(border.question(text, f"steady/{text}"), family="steady") for text in found.steady[:steady]]
    questions += [
        Question(f"word/{name}", "word", text, sampling=Sampling(max_tokens=1))
        for name, text in list(WORDS.items())[: plan.words]
    ]
    odds = Sampling(temperature=0.0, max_tokens=1, logprobs=20)
    given = client.chat([Question("logprob/probe", "logprob", LOGPROB_PROMPT, sampling=odds)])
    if given[0].logprobs:  # asked for, since many endpoints leave them out without a word
        questions.append(Question(f"logprob/{LOGPROB_PROMPT}", "logprob", LOGPROB_PROMPT, sampling=odds))
        first = (found.border + found.steady)[: plan.odds]
        questions += [Question(f"odds/{text}", "odds", text, sampling=odds) for text in first]

    return Bank("sentinels", tuple(questions), source="chosen on the endpoint"), found.asked + 1


def order(bank: Bank, plan: Plan, rounds: int = 1) -> list[Question]:
    """Every question as often as a number of rounds has it, mixed, so that nothing that drifts falls on one cell."""
    calls = {
        "border": plan.border_calls * rounds,
        "steady": plan.steady_calls * rounds,
        "word": plan.words_calls * rounds,
        "logprob": plan.logprob_calls * rounds,
        "odds": ODDS_CALLS if rounds > 1 else 0,
    }

    return [
        question for turn in range(max(calls.values())) for question in bank.questions if turn < calls[question.family]
    ]


def ask(
    client: ChatClient, questions: Sequence[Question], *, progress: Callable[[int], None] | None = None
) -> Iterator[tuple[Question, Answer]]:
    """Questions with their answers, as they come, some at a time. A question that cannot be asked fails alone."""
    for start in range(0, len(questions), AT_ONCE):
        some = questions[start : start + AT_ONCE]
        yield from zip(some, client.chat(some), strict=True)
        if progress:
            progress(len(some))


def transcript(target: str, bank: Bank, answered: Iterable[tuple[Question, Answer]]) -> Transcript:
    """Answers by cell."""
    answers: dict[str, list[Answer]] = {question.cell: [] for question in bank.questions}
    for question, answer in answered:
        answers[question.cell].append(answer)

    return Transcript(target, {cell: tuple(given) for cell, given in answers.items()}, bank.digest)


def part(transcript: Transcript, *families: str) -> Transcript:
    """The cells of some families."""
    kept = {cell: given for cell, given in transcript.answers.items() if cell.split("/")[0] in families}

    return replace(transcript, answers=kept)


def joined(*transcripts: Transcript) -> Transcript:
    """Answers of several rounds, in their order."""
    cells = dict.fromkeys(cell for transcript in transcripts for cell in transcript.answers)
    answers = {cell: tuple(a for t in transcripts for a in t.answers.get(cell, ())) for cell in cells}

    return replace(transcripts[0], answers=answers)
