"""
The records of language models: what one is asked, under which settings, and what it answers.

A cell is one question in one language, asked many times; answers of two models are compared cell by cell. The settings
belong to the question: the same words at another temperature, or below another system prompt, are another cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, runtime_checkable

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData

Status = Literal["valid", "refused", "empty", "truncated", "filtered", "off-format", "failed"]
USABLE: Final = ("valid", "off-format", "truncated")  # what was said in these says something about the model


@dataclass(frozen=True)
class Sampling:
    """
    How an answer is drawn. temperature: 0 or above. max_tokens: of the answer. top_p: in (0, 1], None for the server's
    own. seed: passed on where the server takes one. logprobs: alternatives per token to ask for, 0 for none.
    """

    temperature: float = 1.0
    max_tokens: int = 16
    top_p: float | None = None
    seed: int | None = None
    logprobs: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 2 or self.max_tokens < 1 or not 0 <= self.logprobs <= 20:
            raise BadData(
                "expected a temperature from 0 to 2, at least 1 token and at most 20 logprobs, "
                f"got {self.temperature}, {self.max_tokens} and {self.logprobs}"
            )


@dataclass(frozen=True)
class Question:
    """
    One cell. cell: its name, e.g. "number-100/en". family: the kind of question, e.g. "one-word". parser: how its
    answers are read, a name in `reading.PARSERS`. system: the system prompt, or None. weight: 0 where the answers are
    shown and not scored. raw: text to be continued, without a chat template.
    """

    cell: str
    family: str
    text: str
    parser: str = "text"
    system: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    weight: float = 1.0
    raw: bool = False


@dataclass(frozen=True)
class Bank:
    """Questions by cell, most informative first. source: where they come from. license: of their words."""

    name: str
    questions: tuple[Question, ...]
    source: str = ""
    license: str = ""

    def __post_init__(self) -> None:
        if len({question.cell for question in self.questions}) != len(self.questions) or not self.questions:
            raise BadData("expected a bank of at least one question, each cell once")

    @property
    def digest(self) -> str:
        """`sha256:…` of all questions and their settings."""
        return storage.digest(self)


@dataclass(frozen=True)
class Answer:
    """
    One answer. text: what was said, without hidden reasoning. logprobs: per output token the likeliest alternatives as
    (token, natural logarithm of its probability), or (). model: the name the server gave. tokens: of prompt and answer
    as the server counted them, -1 where it did not.
    """

    text: str
    status: Status = "valid"
    finish: str = ""
    model: str = ""
    prompt_tokens: int = -1
    answer_tokens: int = -1
    logprobs: tuple[tuple[tuple[str, float], ...], ...] = ()
    seconds: float = 0.0
    error: str = ""


@runtime_checkable
class ChatClient(Protocol):
    """
    One language model to ask. target: how the user named it, secrets redacted. access: "text", or "logprobs" where it
    gives them. concurrency: questions that may be under way at once.
    """

    target: str
    access: Literal["text", "logprobs"]
    concurrency: int

    def chat(self, questions: Sequence[Question]) -> list[Answer]:
        """
        Answers in order, one per question; a question that failed is an Answer of status "failed" and says why.

        Raises TargetError where nothing can be answered: no such model, no or a wrong key.
        """
        ...

    def close(self) -> None:
        """Let go of sessions."""
        ...


@dataclass(frozen=True)
class Transcript:
    """Answers by cell, each in the order they came. target: who answered, secrets redacted. bank: digest, or ""."""

    target: str
    answers: dict[str, tuple[Answer, ...]]
    bank: str = ""

    def texts(self, cell: str) -> list[str]:
        """What was said in a cell and can be used."""
        return [answer.text for answer in self.answers.get(cell, ()) if answer.status in USABLE]
