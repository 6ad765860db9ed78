"""
Clients that ask within an audit: limits reserved before each request, each query in the ledger, nothing asked twice.

Both stand for the client they hold wherever one is taken.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Literal

import numpy as np

from . import errands, ledger_states
from .answers import Answers, Client
from .audits import Audit
from .chat.collecting import HELD, UNASKED
from .chat.records import Answer, ChatClient, Price, Question
from .errors import BudgetSpent, InputRefused
from .keying import input_keys, question_key
from .ledger_states import Cost
from .parting import Part, in_parts
from .records import Access

TEMPLATE_TOKENS: Final = 32  # more than any chat template adds to a question


class GuardedClient:
    """A model that takes inputs, asked within an audit. concurrency: requests under way at once."""

    def __init__(self, client: Client, audit: Audit, *, concurrency: int = 1) -> None:
        self.client = client
        self.audit = audit
        self.concurrency = concurrency
        self.target: str = client.target
        self.shape: tuple[int, ...] | None = client.shape
        self._slots = threading.Semaphore(concurrency)
        self._halted = False

    @property
    def access(self) -> Access:
        """The most that the client can give."""
        return self.client.access

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the score columns."""
        return self.client.classes

    @property
    def batch(self) -> int:
        """Most inputs in one request."""
        return self.client.batch

    @batch.setter
    def batch(self, most: int) -> None:
        self.client.batch = most

    @property
    def output(self) -> str | None:
        """Whether it gives classes or a number, where the client knows."""
        return getattr(self.client, "output", None)

    def parts(self, inputs: np.ndarray | Sequence[str]) -> Iterator[Part]:
        """Answers to inputs, part by part, in any order; None with those that were sent and stay unanswered."""
        audit = self.audit
        keys = input_keys(inputs) if audit.ledger is not None else []
        nth, known = audit.ask_for(keys)
        given = [(i, query) for i, query in enumerate(known) if query is not None and query.state == "answered"]
        silent = [i for i, query in enumerate(known) if query is not None and query.state != "answered"]
        for places, answers in audit.recall(given):
            yield np.array(places), answers
        if silent:
            said = [query.why for query in known if query is not None and query.state == "failed" and query.why]
            yield np.array(silent), InputRefused(said[-1]) if said else None

        def put(rows: np.ndarray) -> Answers:
            picked = inputs[rows] if isinstance(inputs, np.ndarray) else [inputs[i] for i in rows]
            return self._put(picked, [keys[i] for i in rows] if keys else [], [nth[i] for i in rows] if keys else [])

        left = np.array([i for i, query in enumerate(known) if query is None], int) if keys else np.arange(len(inputs))
        # With a ledger, some more write their queries down while the others are under way.
        threads = self.concurrency + (max(2, self.concurrency // 2) if keys and self.concurrency > 1 else 0)
        self._halted = False
        try:
            yield from in_parts(self.client, left, put, concurrency=threads, grant=audit.grant)
        finally:
            self._halted = True
        audit.flush()

    def ask(self, inputs: np.ndarray | Sequence[str]) -> Answers:
        """Answers to m inputs, in order. Raises TargetError where not all are answered."""
        from .collect import ordered

        return ordered(self.parts(inputs), len(inputs), self.target)

    def close(self) -> None:
        """Close the client; the audit stays open."""
        self.client.close()

    def _put(self, inputs: np.ndarray | Sequence[str], keys: list[str], nth: list[int]) -> Answers:
        """One request, written down before and after."""
        m, cost, audit = len(inputs), Cost(len(inputs)), self.audit
        errand, seq = audit.send(keys, nth, cost)
        with self._slots:
            try:
                if self._halted:
                    raise BudgetSpent("another request ended the asking")
                audit.leave(seq)
            except BudgetSpent:
                audit.close_errand(errand, seq, "refused", cost, why="never left")
                raise
            try:
                with errands.run(errand):
                    answers = self.client.ask(inputs)
            except InputRefused as error:
                error.answered = errand.answered
                kind = "split" if m > 1 and not error.answered else "failed"
                audit.close_errand(errand, seq, kind, cost, why=str(error))
                raise
            except BaseException as error:  # a bug of a client as well: what came is kept
                self._halted = True
                kind = errand.outcome(failed=True, unusable=True)
                audit.close_errand(errand, seq, kind, cost, why=str(error))
                audit.flush()
                raise
            if all(array is None or np.shape(array)[:1] == (m,) for array in answers):
                audit.close_errand(errand, seq, "answered", cost, answer=ledger_states.pack(answers))
            else:
                audit.close_errand(errand, seq, "failed", cost, why=f"expected {m} answers, got another number")
        return answers


class GuardedChat:
    """
    A language model, asked within an audit. price: of its tokens, where dollars are limited. occasion: answers in the
    ledger count for questions of the same occasion only, see `question_key`.
    """

    def __init__(self, client: ChatClient, audit: Audit, *, price: Price | None = None) -> None:
        self.client = client
        self.audit = audit
        self.price = price
        self.occasion = ""
        self.target: str = client.target
        self.concurrency: int = client.concurrency

    @property
    def access(self) -> Literal["text", "logprobs"]:
        """What the client gives."""
        return self.client.access

    @property
    def sent(self) -> int:
        """Requests made, with those of earlier runs whose answers are used again."""
        return self.client.sent + self.audit.reused

    @property
    def notes(self) -> tuple[str, ...]:
        """What the server would not take."""
        return self.client.notes

    def chat(self, questions: Sequence[Question]) -> list[Answer]:
        """Answers in order; of a question that the ledger holds back, or no limit is left for, a failed one."""
        keys = [question_key(question, self.occasion) for question in questions]
        nth, known = self.audit.ask_for(keys)

        def one(i: int) -> Answer:
            query = known[i]
            if query is None:
                return self._put(questions[i], keys[i], nth[i])
            if query.state == "doubt":
                return Answer("", "failed", error=f"{HELD}; --in-doubt resend asks again")
            return self.audit.recall_chat(query)

        if self.concurrency == 1 or len(questions) == 1 or all(known):
            answers = [one(i) for i in range(len(questions))]
        else:
            pool = ThreadPoolExecutor(min(self.concurrency, len(questions)))
            try:
                answers = list(pool.map(one, range(len(questions))))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        self.audit.flush()
        return answers

    def close(self) -> None:
        """Close the client; the audit stays open."""
        self.client.close()

    def _put(self, question: Question, key: str, nth: int) -> Answer:
        prompt = len(question.text.encode(errors="replace")) + len((question.system or "").encode(errors="replace"))
        cost = self._cost(prompt + TEMPLATE_TOKENS, question.sampling.max_tokens)  # no tokeniser makes more of a byte
        try:
            self.audit.reserve(cost)
        except BudgetSpent as spent:
            return Answer("", "failed", error=f"{UNASKED}: {spent}")
        errand, seq = self.audit.send([key], [nth], cost)
        try:
            self.audit.leave(seq)
        except BudgetSpent as spent:
            self.audit.close_errand(errand, seq, "refused", cost, why="never left")
            return Answer("", "failed", error=f"{UNASKED}: {spent}")
        try:
            with errands.run(errand):
                answer = self.client.chat([question])[0]
        except BudgetSpent as spent:  # another form of the question would have been needed
            kind = errand.outcome(failed=True, unusable=True)
            self.audit.close_errand(errand, seq, kind, cost, why=str(spent))
            return Answer("", "failed", error=f"{UNASKED}: {spent}")
        except BaseException as error:  # nothing can be answered at all, or a bug: what came is kept
            self.audit.close_errand(errand, seq, errand.outcome(failed=True, unusable=True), cost, why=str(error))
            self.audit.flush()
            raise
        kind = errand.outcome(failed=answer.status == "failed")
        counted = kind == "answered" and min(answer.prompt_tokens, answer.answer_tokens) >= 0
        used: Any = self._cost(answer.prompt_tokens, answer.answer_tokens) if counted else None
        packed = ledger_states.pack_chat(answer)
        self.audit.close_errand(errand, seq, kind, cost, answer=packed, why=answer.error, used=used)
        return answer

    def _cost(self, prompt: int, answer: int) -> Cost:
        return Cost(1, prompt + answer, 0.0 if self.price is None else self.price.of(prompt, answer))
