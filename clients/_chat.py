"""
What the clients of language models share: many questions under way at once, failures as answers, reasoning set apart.

Before a target has answered anything, a failure is the user's to mend and is raised; after that it is one failed answer
among many, and what was paid for is kept.
"""

import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, Literal

from probe_match.fingerprinting.chat.records import USABLE, Answer, Question, Status
from probe_match.fingerprinting.errors import TargetError, UsageError

from . import _json
from ._transport import Reply, Transport, checked

MOST_AT_ONCE: Final = 64
PATIENCE: Final = 120.0  # seconds a question may wait, in all, for a server that is too busy
MAX_REPLY: Final = 8 << 20  # bytes
LEAST_LOGPROB: Final = -1000.0  # below this stands for "not computed": some servers say -9999
CUT: Final = ("length", "max_tokens", "model_length")
THOUGHT: Final = re.compile(r"<(think|thinking|reasoning|thought)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
UNOPENED: Final = re.compile(r"\A.*</(?:think|thinking|reasoning|thought)>", re.DOTALL | re.IGNORECASE)
Alternatives = tuple[tuple[tuple[str, float], ...], ...]


class HttpChat:
    """
    One language model behind a URL. Subclasses say how one question is put (`answer`).

    An endpoint that cannot be used raises TargetError in `answer`; a question it does not take is a failed Answer.
    """

    def __init__(self, target: str, transport: Transport, concurrency: int) -> None:
        if not 1 <= concurrency <= MOST_AT_ONCE:
            raise UsageError(f"expected 1 to {MOST_AT_ONCE} questions at once, got {concurrency}")
        self.target = target
        self.access: Literal["text", "logprobs"] = "text"  # until the first answer that has them
        self.concurrency = concurrency
        self.sent: int = 0
        self.notes: tuple[str, ...] = ()
        self.transport = transport
        self.lock: threading.Lock = threading.Lock()
        self._settled = False

    def chat(self, questions: Sequence[Question]) -> list[Answer]:
        """Answers in order. Raises TargetError where the endpoint has never answered and cannot."""
        return together(self._answered, questions, self.concurrency)

    def close(self) -> None:
        """Close the connections kept open, and stop waiting."""
        self.transport.close()

    def answer(self, question: Question) -> Answer:
        """One answer; `seconds` is filled in by the caller."""
        raise NotImplementedError

    def post(self, url: str, body: dict[str, Any]) -> Reply:
        """One counted request."""
        with self.lock:
            self.sent += 1
        return self.transport.post(url, body)

    def note(self, line: str) -> None:
        """Remember a setting that the server would not take."""
        with self.lock:
            if line not in self.notes:
                self.notes += (line,)

    def failed(self, reply: Reply) -> Answer:
        """The failed answer that a reply which is not ok amounts to, of a question and not of the endpoint."""
        filtered = "content_filter" in _json.printable(reply.body, 4000)
        said = _json.told(reply.body) or "no text"
        return Answer(
            "", "filtered" if filtered else "failed", error=self.transport.shown(f"status {reply.status}: {said}")
        )

    def _answered(self, question: Question) -> Answer:
        started = time.monotonic()
        try:
            answer = self.answer(question)
        except TargetError as error:
            if not self._settled:
                raise
            answer = Answer("", "failed", error=str(error))
        if answer.status != "failed":
            self._settled = True
        if answer.logprobs:
            self.access = "logprobs"
        elif question.sampling.logprobs and answer.status in USABLE:
            self.note("gives no log-probabilities")

        return replace(answer, seconds=round(time.monotonic() - started, 3))


def together(ask: Callable[[Question], Answer], questions: Sequence[Question], concurrency: int) -> list[Answer]:
    """Answers in order, at most `concurrency` questions under way at once; the first error ends it."""
    if concurrency == 1 or len(questions) < 2:
        return [ask(question) for question in questions]
    pool = ThreadPoolExecutor(min(concurrency, len(questions)))
    try:
        return list(pool.map(ask, questions))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def read_text(text: Any, finish: str, **known: Any) -> Answer:
    """
    An Answer of a server's text and reason to stop: thoughts taken out, nothing said recognised.

    text: a string, None, or parts as `{"type": "text", "text": …}`.
    """
    if isinstance(text, list):
        text = "".join(str(part.get("text", "")) for part in text if isinstance(part, dict))
    said = without_thoughts(text if isinstance(text, str) else "")
    status: Status = "valid"
    if finish in ("content_filter", "safety", "SAFETY"):
        status = "filtered"
    elif finish == "refusal":
        status = "refused"
    elif not said.strip():
        status = "empty"
    elif finish in CUT:
        status = "truncated"

    return Answer(said, status, finish, **known)


def without_thoughts(text: str) -> str:
    """A text without what stands between think tags, one left open or unopened by its template included."""
    return UNOPENED.sub("", THOUGHT.sub("", text)).strip("\n") if "<" in text else text


def alternatives(positions: Iterable[Iterable[tuple[Any, Any]]], wanted: int) -> Alternatives:
    """
    Log-probabilities as a record holds them, or () where they are not to be believed.

    Some servers give 0 to the token that was drawn and -9999 to the others: more than one alternative was `wanted`, and
    not one position has two that are finite.
    """
    read = []
    for position in positions:
        kept = []
        for token, value in position:
            if isinstance(value, int | float) and math.isfinite(value) and LEAST_LOGPROB < value <= 0.01:
                kept.append((str(token), min(float(value), 0.0)))
        read.append(tuple(sorted(kept, key=lambda pair: -pair[1])))
    if wanted > 1 and all(len(kept) < 2 for kept in read):
        return ()

    return tuple(read)


def count(usage: Any, *names: str) -> int:
    """The first of these counts that a server's usage has, -1 where it has none."""
    for name in names if isinstance(usage, dict) else ():
        value = usage.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40:
            return value
    return -1


def site_and_model(where: str, home: str) -> tuple[str, str]:
    """`https://host/v1#model`, or a bare model of the provider at `home`, as (URL without a last slash, model)."""
    if where.lower().startswith(("http://", "https://")):
        url, _, model = where.partition("#")
        return checked(url.rstrip("/")), model

    return home, where.removeprefix("#")


def refuses(transport: Transport, reply: Reply, model: str, names: Callable[[], list[str]]) -> TargetError | None:
    """The error of an endpoint that cannot be used at all, or None where the reply is about one question."""
    said = _json.told(reply.body)
    if reply.status in (401, 402, 403, 429):
        return transport.complaint(reply)
    if reply.status in (400, 404, 422) and _no_model(said, reply):
        known = names()
        served = f"it serves {', '.join(known[:12])}" if known else "it does not list its models; check the name"
        return TargetError(f"no model '{model}' at {reply.url} ({transport.shown(said)}); {served}")
    if reply.status in (404, 405):
        return TargetError(
            f"no chat API at {reply.url} (status {reply.status}: {transport.shown(said) or 'no text'}); give the base "
            "address, such as openai:http://host:8000/v1#model"
        )
    if reply.status >= 500:
        return transport.complaint(reply)

    return None


def _no_model(said: str, reply: Reply) -> bool:
    if b"model_not_found" in reply.body or (reply.status == 404 and "model" in said.lower()):
        return True
    return bool(
        re.search(
            r"model\b.*\b(not found|not exist|not supported|unknown|no such|not available|invalid)"
            r"|(unknown|invalid|no such|unsupported|find) (the )?model|pinned to",
            said,
            re.IGNORECASE,
        )
    )
