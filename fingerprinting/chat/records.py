"""
The records of language models: what one is asked, under which settings, and what it answers.

A cell is one question in one language, asked many times; answers of two models are compared cell by cell. The settings
belong to the question: the same words at another temperature, or below another system prompt, are another cell.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, runtime_checkable

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.records import About

Status = Literal["valid", "refused", "empty", "truncated", "filtered", "off-format", "failed"]
OFF_FORM: Final = "\nOff-form"  # all answers not of the form asked; readers give no line feed, choices in lower case
USABLE: Final = ("valid", "off-format", "truncated")  # what was said in these says something about the model


@dataclass(frozen=True)
class Sampling:
    """
    How an answer is drawn. temperature: 0 or above. max_tokens: of the answer. top_p: in (0, 1], None for the server's
    own. seed: passed on where the server takes one. logprobs: alternatives per token to ask for, 0 for none. reasoning:
    "off" asks the server not to think first where it has a switch for that, "default" leaves it alone. bias: added to
    the logits of tokens, as (token id, bias).
    """

    temperature: float = 1.0
    max_tokens: int = 16
    top_p: float | None = None
    seed: int | None = None
    logprobs: int = 0
    reasoning: Literal["off", "default"] = "off"
    bias: tuple[tuple[int, float], ...] = ()

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
    shown and not scored. raw: text to be continued, without a chat template. choices: the answers there are, () where
    any may come. language: two letters.
    """

    cell: str
    family: str
    text: str
    parser: str = "text"
    system: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    weight: float = 1.0
    raw: bool = False
    choices: tuple[str, ...] = ()
    language: str = "en"


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
        return storage.sha256(storage.canonical_json(plain(self)))

    def cells(self, names: Sequence[str]) -> "Bank":
        """The bank of these cells alone, in the order given. Raises BadData for a cell that is not there."""
        known = {question.cell: question for question in self.questions}
        missing = [name for name in names if name not in known]
        if missing:
            raise BadData(f"the bank '{self.name}' has no cell '{missing[0]}'; it has {', '.join(list(known)[:8])}")
        return dataclasses.replace(self, questions=tuple(known[name] for name in names))


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
    gives them. concurrency: questions that may be under way at once. sent: requests made so far, with those a server
    would not take in that form. notes: settings that it would not take, one short line each.
    """

    target: str
    access: Literal["text", "logprobs"]
    concurrency: int
    sent: int
    notes: tuple[str, ...]

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
class Price:
    """Dollars for a million tokens of prompts and of answers."""

    prompt: float
    answer: float

    def __post_init__(self) -> None:
        if not (0 <= self.prompt < 1e6 and 0 <= self.answer < 1e6):
            raise BadData(f"expected dollars per million tokens from 0 to 1e6, got {self.prompt} and {self.answer}")

    def of(self, prompt_tokens: int, answer_tokens: int) -> float:
        """Dollars for so many tokens."""
        return (prompt_tokens * self.prompt + answer_tokens * self.answer) / 1e6


@runtime_checkable
class Priced(Protocol):
    """A client whose server may say what it takes."""

    def price(self) -> Price | None:
        """What the server lists for the model, None where it lists nothing. Asks nothing that counts as a question."""
        ...


@dataclass(frozen=True)
class Transcript:
    """
    Answers by cell, each in the order they came. target: who answered, secrets redacted. bank: digest, or "". sent:
    requests made for them. notes: what the server would not take.
    """

    target: str
    answers: dict[str, tuple[Answer, ...]]
    bank: str = ""
    sent: int = 0
    notes: tuple[str, ...] = ()

    def texts(self, cell: str) -> list[str]:
        """What was said in a cell and can be used."""
        return [answer.text for answer in self.answers.get(cell, ()) if answer.status in USABLE]


Counts = Mapping[str, Mapping[str, int]]  # per cell, how often each answer came, as `reading` reads them


@dataclass(frozen=True)
class ChatReference:
    """
    A known language model by what it answers, with the exact questions and settings it was asked.

    counts: answers that could be read. asked: per cell, how many questions were sent. prompt_tokens: per cell as the
    server counted them, only where it did; they show a system prompt slipped in. texts: per cell what was said, where
    whole texts are kept. off_form: per cell, how many answers were not of the form asked, as `reader` reads them; "" is
    nobody, and then it is not known.
    """

    name: str
    about: About
    bank: Bank
    counts: Counts
    asked: Mapping[str, int]
    prompt_tokens: Mapping[str, int] = field(default_factory=dict)
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    off_form: Mapping[str, int] = field(default_factory=dict)
    reader: str = ""

    def __post_init__(self) -> None:
        cells = {question.cell for question in self.bank.questions}
        for held in (self.counts, self.asked, self.prompt_tokens, self.texts, self.off_form):
            strays = sorted(set(held) - cells)
            if strays:
                raise BadData(f"reference '{self.name}' has answers to '{strays[0]}', which its bank does not ask")
        if any(OFF_FORM in some for some in self.counts.values()):
            raise BadData(f"reference '{self.name}' counts answers of another form among those that could be read")


def plain(record: Any) -> dict[str, Any]:
    """A record as plain values, without fields at their default, so that a field added later moves no digest."""
    told = {}
    for held in dataclasses.fields(record):
        value = getattr(record, held.name)
        default = held.default_factory() if callable(held.default_factory) else held.default
        if value == default:
            continue
        if dataclasses.is_dataclass(value):
            value = plain(value)
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            value = [plain(item) for item in value]
        told[held.name] = value

    return told
