"""
The one door through which a language model is asked: order, budget, cost and the count of what was sent.

Answers come in rounds: every cell once, in an order drawn anew, then every cell again, so that repeats of one question
stand far apart, and asking can stop at any time with every cell about equally known.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Final

import numpy as np
from probe_match.fingerprinting.errors import TargetError, UsageError

from .records import Answer, Bank, ChatClient, Price, Question, Transcript

Progress = Callable[[int], None]  # called with the number of questions just answered
Stop = Callable[[Transcript], bool]  # looks at what came so far, says whether it is enough
DEFAULT_TOKENS: Final = 100  # of output, that an identification may cost unless told otherwise
FAILURES: Final = 12  # failed questions in a row after which a target is given up
TEMPLATE_TOKENS: Final = 12  # what a chat template adds to a question, about
HELD: Final = "in doubt: sent by an earlier run and never answered"  # errors of questions that an audit keeps back
UNASKED: Final = "not asked"
BRIEF: Final = {"number": 2, "word": 2, "letter": 2, "choice": 2, "score": 2}  # tokens of an answer, about


@dataclass(frozen=True)
class Cost:
    """
    What asking would take, before it is asked. prompt_tokens, answer_tokens: about; most_answer_tokens: if every answer
    is as long as it may be. dollars: None where no price is known.
    """

    questions: int
    prompt_tokens: int
    answer_tokens: int
    most_answer_tokens: int
    dollars: float | None = None


def plan(bank: Bank, *, questions: int, seed: int) -> list[Question]:
    """So many questions: rounds of all cells, each in an order of its own, the last round cut short."""
    if questions < 1:
        raise UsageError(f"expected a budget of at least 1 question, got {questions}")
    rng = np.random.default_rng(seed)
    asked: list[Question] = []
    while len(asked) < questions:
        asked += [bank.questions[i] for i in rng.permutation(len(bank.questions))]

    return asked[:questions]


def affordable(bank: Bank, tokens: int, seed: int) -> list[Question]:
    """As many questions, in whole rounds where that is possible, as are expected to cost `tokens` of output."""
    a_round = sum(expected_tokens(question) for question in bank.questions)
    if a_round <= tokens:
        return plan(bank, questions=len(bank.questions) * int(tokens // a_round), seed=seed)
    affordable, spent = 0, 0
    for question in plan(bank, questions=len(bank.questions), seed=seed):
        spent += expected_tokens(question)
        if spent > tokens:
            break
        affordable += 1

    return plan(bank, questions=max(1, affordable), seed=seed)


def estimate(questions: list[Question], price: Price | None = None) -> Cost:
    """What questions will cost, from their lengths. A server's own count differs by some ten percent."""
    prompts = sum(TEMPLATE_TOKENS + token_count(question.text) + token_count(question.system) for question in questions)
    answers = sum(expected_tokens(question) for question in questions)
    most = sum(question.sampling.max_tokens for question in questions)

    return Cost(len(questions), prompts, answers, most, None if price is None else price.of(prompts, answers))


def spent(transcript: Transcript) -> Cost:
    """What a transcript cost; tokens that the server did not count are estimated."""
    answers = [answer for some in transcript.answers.values() for answer in some]
    prompts = sum(max(answer.prompt_tokens, 0) for answer in answers)
    tokens = sum(_answer_tokens(answer) for answer in answers)

    return Cost(transcript.sent, prompts, tokens, tokens)


def expected_tokens(question: Question) -> int:
    """Output tokens that an answer takes, about."""
    return min(question.sampling.max_tokens, BRIEF.get(question.parser, question.sampling.max_tokens))


def token_count(text: str | None) -> int:
    """Tokens in a text, about: four Latin letters each, or one and a half characters of other scripts."""
    if not text:
        return 0
    latin = sum(character.isascii() for character in text)

    return math.ceil(latin / 4 + (len(text) - latin) / 1.5)


def ask_chat(
    client: ChatClient,
    bank: Bank,
    questions: list[Question],
    *,
    tokens: int | None = None,
    price: Price | None = None,
    dollars: float | None = None,
    looks: Collection[int] = (),
    stop: Stop | None = None,
    progress: Progress | None = None,
) -> Transcript:
    """
    Ask questions of a bank in the order given.

    tokens: of output, after which no more is asked. dollars: at `price`, the same for the whole bill; either may be
    passed by what one batch of answers is longer than expected. stop: asked after each batch, or where
    looks are given after so many questions, whether that is enough.
    Raises TargetError where nothing can be answered at all; a target that falls silent later ends the asking, and what
    it answered before is kept. So does a limit of the audit within which a guarded client asks.
    """
    answers: dict[str, list[Answer]] = defaultdict(list)
    before, failed, start = client.sent, 0, 0
    used, paid = 0, 0.0
    notes: tuple[str, ...] = ()

    def so_far() -> Transcript:
        held = {cell: tuple(some) for cell, some in answers.items()}
        return Transcript(client.target, held, bank.digest, client.sent - before, (*client.notes, *notes))

    while start < len(questions):
        until = min((look for look in looks if look > start), default=len(questions))
        batch = questions[start : min(start + max(1, client.concurrency), until)]
        batch = batch[: _affordable(batch, None if tokens is None else tokens - used, expected_tokens)]
        if price is not None and dollars is not None:
            batch = batch[: _affordable(batch, dollars - paid, partial(_dollars_expected, price))]
        if not batch:
            if dollars is not None and not answers:
                raise UsageError(f"one question costs more than ${dollars:g}; raise --max-cost")
            break
        given = client.chat(batch)
        start += len(batch)
        put = [(question, answer) for question, answer in zip(batch, given, strict=True) if not _unasked(answer)]
        for question, answer in put:
            answers[question.cell].append(answer)
            used += _answer_tokens(answer)
            paid += 0.0 if price is None else price.of(_prompt_tokens(question, answer), _answer_tokens(answer))
            if not answer.error.startswith(HELD):
                failed = failed + 1 if answer.status == "failed" else 0
        if progress is not None:
            progress(len(put))
        if len(put) < len(batch):
            notes = (f"was asked {start - len(batch) + len(put)} questions of {len(questions)}",)
            break
        if failed >= min(FAILURES, len(questions)):
            if all(answer.status == "failed" for some in answers.values() for answer in some):
                raise TargetError(f"{client.target} failed to answer {failed} questions; the last: {given[-1].error}")
            notes = (f"fell silent after {start - failed} questions ({given[-1].error[:120]})",)
            break
        if stop is not None and (start in looks or not looks) and stop(so_far()):
            break

    return so_far()


def prompt_tokens(transcript: Transcript) -> dict[str, int]:
    """Per cell the size of its prompt as the server counted it, the least of its answers; only where it did."""
    found: dict[str, int] = {}
    for cell, some in transcript.answers.items():
        counted = [answer.prompt_tokens for answer in some if answer.prompt_tokens >= 0]
        if counted:
            found[cell] = min(counted)
    return found


def asked(transcript: Transcript) -> Mapping[str, int]:
    """Per cell how many questions were put."""
    return {cell: len(some) for cell, some in transcript.answers.items()}


def _affordable(batch: list[Question], left: float | None, expected: Callable[[Question], float]) -> int:
    """How many of the next questions what is left of a budget is expected to bear; all without a budget."""
    if left is None:
        return len(batch)
    bill = accumulate(expected(question) for question in batch)

    return sum(spent <= left for spent in bill)


def _dollars_expected(price: Price, question: Question) -> float:
    cost = estimate([question], price)
    return cost.dollars or 0.0


def _prompt_tokens(question: Question, answer: Answer) -> int:
    return answer.prompt_tokens if answer.prompt_tokens >= 0 else estimate([question]).prompt_tokens


def _unasked(answer: Answer) -> bool:
    return answer.status == "failed" and answer.error.startswith(UNASKED)


def _answer_tokens(answer: Answer) -> int:
    return answer.answer_tokens if answer.answer_tokens >= 0 else token_count(answer.text)
