"""What is asked, in which order and how much of it; and what is kept when a target fails."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

import pytest
from probe_match.fingerprinting.chat import collecting
from probe_match.fingerprinting.chat.collecting import ask_chat, plan
from probe_match.fingerprinting.chat.records import Answer, Bank, Price, Question, Sampling, Transcript
from probe_match.fingerprinting.errors import BadData, TargetError, UsageError

BANK = Bank("b", tuple(Question(f"c{i}", "one-word", f"question {i}?", "number") for i in range(5)))


class Counting:
    """A language model that answers by a function of question and running number, and keeps what it was asked."""

    target = "function:counting"
    access: Literal["text", "logprobs"] = "text"
    notes: tuple[str, ...] = ("takes no seed",)

    def __init__(self, answer: Callable[[Question, int], Answer], concurrency: int = 3) -> None:
        self.concurrency = concurrency
        self.sent = 0
        self.asked: list[str] = []
        self._answer = answer
        self._lock = threading.Lock()

    def chat(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer each."""
        with self._lock:
            first = self.sent
            self.sent += len(questions)
            self.asked += [question.cell for question in questions]
        return [self._answer(question, first + i) for i, question in enumerate(questions)]

    def close(self) -> None:
        """Nothing is held open."""


def seven(question: Question, i: int) -> Answer:
    return Answer("7", prompt_tokens=10 + i, answer_tokens=2)


def test_every_cell_is_asked_once_before_any_is_asked_again() -> None:
    """Rounds in an order of their own, the same for the same seed and another for another."""
    asked = [question.cell for question in plan(BANK, questions=12, seed=4)]

    assert Counter(asked[:5]) == Counter(asked[5:10]) == Counter(question.cell for question in BANK.questions)
    assert asked[:5] != asked[5:10]
    assert asked == [question.cell for question in plan(BANK, questions=12, seed=4)]
    assert asked != [question.cell for question in plan(BANK, questions=12, seed=5)]
    with pytest.raises(UsageError, match="at least 1 question"):
        plan(BANK, questions=0, seed=0)


def test_answers_are_kept_by_cell_with_what_was_sent() -> None:
    """All answers, the count of requests, the notes and the digest of the bank."""
    client = Counting(seven)
    counted: list[int] = []
    spoken = ask_chat(client, BANK, plan(BANK, questions=10, seed=0), progress=counted.append)

    assert {cell: len(some) for cell, some in spoken.answers.items()} == {f"c{i}": 2 for i in range(5)}
    assert (spoken.sent, spoken.notes, spoken.bank) == (10, ("takes no seed",), BANK.digest)
    assert sum(counted) == 10
    assert collecting.prompt_tokens(spoken)[client.asked[0]] == 10
    assert collecting.spent(spoken).answer_tokens == 20


def test_the_budget_of_tokens_is_kept() -> None:
    """No question is asked that would be expected to pass it; a talkative target is stopped sooner."""
    brief, wordy = Counting(seven), Counting(lambda q, i: Answer("seven", answer_tokens=9))
    questions = collecting.affordable(BANK, 33, seed=0)

    assert len(questions) == 15
    assert collecting.spent(ask_chat(brief, BANK, questions, tokens=25)).answer_tokens == 24
    assert ask_chat(wordy, BANK, questions, tokens=25).sent == 3


def test_few_tokens_still_buy_some_questions() -> None:
    """Less than one round is a part of a round, and never nothing."""
    assert len(collecting.affordable(BANK, 5, seed=0)) == 2
    assert len(collecting.affordable(BANK, 1, seed=0)) == 1


def test_asking_stops_when_enough_is_known() -> None:
    """The rule is asked after every batch, with all answers so far."""
    client = Counting(seven)
    spoken = ask_chat(client, BANK, plan(BANK, questions=30, seed=0), stop=lambda t: t.sent >= 7)

    assert spoken.sent == 9


def test_a_target_that_falls_silent_keeps_what_it_said() -> None:
    """After a dozen failures in a row it is left alone, and the transcript says so."""
    client = Counting(lambda q, i: Answer("7") if i < 6 else Answer("", "failed", error="status 500"))
    spoken = ask_chat(client, BANK, plan(BANK, questions=60, seed=0))

    assert (spoken.sent, sum(len(spoken.texts(cell)) for cell in spoken.answers)) == (18, 6)
    assert spoken.notes[-1] == "fell silent after 6 questions (status 500)"


def test_a_target_that_never_answers_is_an_error() -> None:
    """It says what the last failure was."""
    client = Counting(lambda q, i: Answer("", "failed", error="status 500: overheated"))
    with pytest.raises(TargetError, match=r"failed to answer 12 questions; the last: status 500: overheated"):
        ask_chat(client, BANK, plan(BANK, questions=60, seed=0))
    with pytest.raises(TargetError, match="failed to answer 2 questions"):
        ask_chat(client, BANK, plan(BANK, questions=2, seed=0))


def test_cost_is_told_before_anything_is_asked() -> None:
    """Tokens from the lengths of texts in their scripts, dollars from a price."""
    latin = Question("a", "one-word", "x" * 40, "number", system="y" * 8)
    chinese = Question("b", "open", "数" * 30, "text", sampling=Sampling(max_tokens=50))
    cost = collecting.estimate([latin, chinese], Price(2.0, 10.0))

    assert (cost.questions, cost.prompt_tokens) == (2, 12 + 10 + 2 + 12 + 20)
    assert (cost.answer_tokens, cost.most_answer_tokens) == (52, 66)
    assert cost.dollars == pytest.approx((56 * 2 + 52 * 10) / 1e6)
    assert collecting.estimate([latin]).dollars is None


def test_tokens_nobody_counted_are_estimated() -> None:
    """So that a silent server does not look free."""
    spoken = Transcript("t", {"c": (Answer("x" * 40), Answer("", "empty"))}, sent=2)

    assert collecting.spent(spoken).answer_tokens == 10


def test_whether_it_is_enough_is_asked_at_the_looks_alone() -> None:
    """Batches end there, so that it is judged by exactly so many answers."""
    judged: list[int] = []

    def stop(spoken: Transcript) -> bool:
        judged.append(sum(map(len, spoken.answers.values())))
        return judged[-1] >= 10

    spoken = ask_chat(Counting(seven), BANK, plan(BANK, questions=20, seed=0), looks=(5, 10, 15), stop=stop)

    assert judged == [5, 10]
    assert spoken.sent == 10


def test_a_bill_is_kept_below_what_may_be_paid() -> None:
    """At a price, no question is asked that would be expected to pass the limit; a price without one stops nothing."""
    questions = plan(BANK, questions=40, seed=0)
    cost = collecting.estimate(questions, Price(1.0, 5.0))
    spoken = ask_chat(Counting(seven), BANK, questions, price=Price(1.0, 5.0), dollars=(cost.dollars or 0) / 2)
    paid = collecting.spent(spoken)

    assert 5 <= spoken.sent <= 20
    assert Price(1.0, 5.0).of(paid.prompt_tokens, paid.answer_tokens) <= (cost.dollars or 0) / 2 * 1.2
    assert ask_chat(Counting(seven), BANK, questions, price=Price(1.0, 5.0)).sent == 40
    with pytest.raises(UsageError, match="one question costs more than"):
        ask_chat(Counting(seven), BANK, questions, price=Price(1e5, 1e5), dollars=0.001)
    with pytest.raises(BadData, match="dollars per million"):
        Price(-1.0, 2.0)
