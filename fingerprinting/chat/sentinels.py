"""
What an endpoint is asked again and again to see whether it is still the same, chosen once, on the endpoint itself.

Border inputs show small changes, steady prompts a swapped model, one-word questions at temperature 1 show what is done
to the sampling, and log-probabilities of one prompt show nearly everything where they are given.
"""

from collections.abc import Callable
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


@dataclass(frozen=True)
class Plan:
    """
    How much is asked. border, steady, words, logprob: prompts of a kind. *_calls: calls of each in a round. baseline:
    rounds that are asked at once to begin with.
    """

    border: int = 5
    border_calls: int = 3
    steady: int = 10
    steady_calls: int = 1
    words: int = 4
    words_calls: int = 2
    logprob: int = 5
    logprob_calls: int = 2
    baseline: int = 10


def choose(
    client: ChatClient, plan: Plan, *, seed: int = 0, prompts: int = 400, progress: Callable[[int], None] | None = None
) -> tuple[Bank, int]:
    """The questions for one endpoint, by family, and how many calls the search took."""
    found = border.search(client, prompts=prompts, enough=4 * plan.border, seed=seed, progress=progress)
    questions = [border.question(text) for text in found.border[: plan.border]]
    questions += [
        replace(border.question(text, f"steady/{text}"), family="steady") for text in found.steady[: plan.steady]
    ]
    questions += [
        Question(f"word/{name}", "word", text, sampling=Sampling(max_tokens=4))
        for name, text in list(WORDS.items())[: plan.words]
    ]
    if client.access == "logprobs":
        first = [LOGPROB_PROMPT, *found.border, *found.steady][: plan.logprob]
        odds = Sampling(temperature=0.0, max_tokens=1, logprobs=20)
        questions += [Question(f"logprob/{text}", "logprob", text, sampling=odds) for text in first]

    return Bank("sentinels", tuple(questions), source="chosen on the endpoint"), found.asked


def ask(
    client: ChatClient, bank: Bank, plan: Plan, *, rounds: int = 1, progress: Callable[[int], None] | None = None
) -> Transcript:
    """Every question as often as a number of rounds has it, mixed, so that nothing that drifts falls on one cell."""
    calls = {
        "border": plan.border_calls, "steady": plan.steady_calls, "word": plan.words_calls, "logprob": plan.logprob_calls,
    }  # fmt: skip
    most = max(calls.values()) * rounds
    asked = [q for turn in range(most) for q in bank.questions if turn < calls[q.family] * rounds]
    answers: dict[str, list[Answer]] = {question.cell: [] for question in bank.questions}
    for start in range(0, len(asked), 64):
        some = asked[start : start + 64]
        for question, answer in zip(some, client.chat(some), strict=True):
            answers[question.cell].append(answer)
        if progress:
            progress(len(some))

    return Transcript(client.target, {cell: tuple(given) for cell, given in answers.items()}, bank.digest)


def part(transcript: Transcript, *families: str) -> Transcript:
    """The cells of some families."""
    kept = {cell: given for cell, given in transcript.answers.items() if cell.split("/")[0] in families}

    return replace(transcript, answers=kept)


def joined(*transcripts: Transcript) -> Transcript:
    """Answers of several rounds, in their order."""
    cells = dict.fromkeys(cell for transcript in transcripts for cell in transcript.answers)
    answers = {cell: tuple(a for t in transcripts for a in t.answers.get(cell, ())) for cell in cells}

    return replace(transcripts[0], answers=answers)
