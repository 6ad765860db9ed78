"""
The work of the commands on language models: identify, verify, enroll; each asks within a budget and keeps all answers.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from probe_match.fingerprinting.database import ReferenceDB
from probe_match.fingerprinting.errors import NoAnswers, UsageError
from probe_match.fingerprinting.records import About, Verdict

from . import judging, prepared, shelf
from .collecting import (
    DEFAULT_TOKENS,
    Cost,
    Progress,
    Stop,
    affordable,
    ask_chat,
    asked,
    estimate,
    plan,
    prompt_tokens,
)
from .off_form import READER
from .reading import count, statuses
from .records import OFF_FORM, Answer, Bank, ChatClient, ChatReference, Price, Question, Transcript
from .scoring import Looks

CELLS: Final = 16
FIRST_LOOK: Final = 3  # rounds, before which hardly a model can be named
REPEATS: Final = 20
VERIFY_QUESTIONS: Final = 160
MOST_KEYS: Final = 50
MANY: Final = 500  # references, from which on a first suspect would wait for seconds
KEPT_TEXTS: Final = ("text",)  # parsers whose answers are kept whole: a text is more than its count


@dataclass(frozen=True)
class Plan:
    """
    What will be asked: questions of a bank in order. tokens: of output, after which asking ends, or None. references:
    by name; those of a database are read when they are needed, so it stays open until the verdict. dollars: at `price`,
    after which asking ends as well, or None. looks: numbers of questions after which it is judged whether they are
    enough.
    """

    bank: Bank
    questions: list[Question]
    tokens: int | None
    references: Mapping[str, ChatReference]
    price: Price | None = None
    dollars: float | None = None
    looks: tuple[int, ...] = ()

    def cost(self) -> Cost:
        """What it will take, before it is asked."""
        return estimate(self.questions, self.price)


def plan_identification(
    db: ReferenceDB,
    *,
    only: Sequence[str] = (),
    budget: int | None = None,
    tokens: int | None = None,
    seed: int = 0,
    stop_early: bool = False,
) -> Plan:
    """
    The questions to identify a target by: of the bank that most references were asked, with the settings they were.

    budget: most questions. tokens: most output tokens, DEFAULT_TOKENS where neither is given. stop_early: look on
    the way whether that is enough. Raises UsageError.
    """
    digest = shelf.commonest(db, only)
    if digest is None:
        for name in only:
            shelf.get(db, name)  # says which are known
        raise UsageError(f"{db.name} holds no language model; add some with: probe-match enroll TARGET --name NAME")
    references = shelf.of_bank(db, digest, only)
    bank = scored(references.bank)
    tokens = DEFAULT_TOKENS if budget is None and tokens is None else tokens
    questions = (
        affordable(bank, tokens or DEFAULT_TOKENS, seed) if budget is None else plan(bank, questions=budget, seed=seed)
    )

    looks = looks_at(len(questions), len(bank.questions)) if stop_early else ()

    return Plan(references.bank, questions, tokens, references, looks=looks)


def make_ready(db: ReferenceDB) -> None:
    """Work out now what the first identification would wait for, where that takes longer than one would wait."""
    digest = shelf.commonest(db)
    if digest is None:
        return
    planned = plan_identification(db, stop_early=True)
    references = planned.references
    if isinstance(references, shelf.Shelved) and references.folder is not None and len(references) >= MANY:
        ends = (*planned.looks, len(planned.questions))
        asked = [Counter(question.cell for question in planned.questions[:end]) for end in ends]
        prepared.make_ready(references, asked)


def looks_at(questions: int, cells: int) -> tuple[int, ...]:
    """After three rounds of all cells, and whenever twice as many are asked: every look costs some power."""
    rounds = [FIRST_LOOK * 2**i for i in range(20)]
    return tuple(many * cells for many in rounds if many * cells < questions)


def plan_verification(db: ReferenceDB, claim: str, *, budget: int | None = None, seed: int = 0) -> Plan:
    """The questions to verify a claim by, as the claimed model was asked them. Raises DatabaseError for none such."""
    claimed = shelf.get(db, claim)
    questions = plan(scored(claimed.bank), questions=budget or VERIFY_QUESTIONS, seed=seed)

    return Plan(claimed.bank, questions, None, shelf.of_bank(db, claimed.bank.digest))


def plan_keys(generate: Callable[..., Bank], file: str, *, budget: int | None = None, seed: int = 0) -> Plan:
    """An owner's keys, each once. generate: the family of keys, which reads the file. Raises BadData without one."""
    bank = generate(n=budget or MOST_KEYS, seed=seed, keys=file)
    return Plan(bank, plan(bank, questions=len(bank.questions), seed=seed), None, {})


def ask(client: ChatClient, planned: Plan, *, stop: Stop | None = None, progress: Progress | None = None) -> Transcript:
    """Put the questions of a plan. stop: asked at the plan's looks whether that is enough."""
    return ask_chat(
        client,
        planned.bank,
        planned.questions,
        tokens=planned.tokens,
        price=planned.price,
        dollars=planned.dollars,
        looks=planned.looks if stop is not None else (),
        stop=stop,
        progress=progress,
    )


def ask_recorded(client: ChatClient, planned: Plan) -> Transcript:
    """Of a plan's questions all that a recording answers; what it does not is no failure of the model's."""
    given = client.chat(planned.questions)
    answers: dict[str, tuple[Answer, ...]] = {}
    for question, answer in zip(planned.questions, given, strict=True):
        if answer.status != "failed" or "no further answer" not in answer.error:
            answers[question.cell] = (*answers.get(question.cell, ()), answer)

    return Transcript(client.target, answers, planned.bank.digest, sum(map(len, answers.values())))


def identify(transcript: Transcript, planned: Plan, *, alpha: float, seed: int = 0) -> Verdict:
    """The verdict on a transcript of the plan's questions."""
    saved = max(0, len(planned.questions) - sum(asked(transcript).values()))
    score = prepared.scorer(planned.references, alpha=alpha, seed=seed)
    looks = _looks(transcript, planned)

    return judging.identify(transcript, planned.bank, planned.references, score, alpha=alpha, looks=looks, saved=saved)


def enough(planned: Plan, *, alpha: float, seed: int = 0) -> Stop:
    """Whether a transcript so far names a model: what `ask` stops by."""
    return lambda transcript: identify(transcript, planned, alpha=alpha, seed=seed).decision == "match"


def _looks(transcript: Transcript, planned: Plan) -> Looks:
    """What was seen at the looks before the end of a transcript, and what would be at those after it."""
    now = sum(asked(transcript).values())
    earlier = []
    for n in planned.looks:
        if n < now:
            numbers = Counter(question.cell for question in planned.questions[:n])
            part = {cell: transcript.answers[cell][:many] for cell, many in numbers.items()}
            earlier.append(count(planned.bank, replace(transcript, answers=part), off_form=True))
    later = [n for n in (*planned.looks, len(planned.questions)) if n > now] if planned.looks else []

    return Looks(earlier, [Counter(question.cell for question in planned.questions[:n]) for n in later])


def verify(transcript: Transcript, planned: Plan, claim: str, *, alpha: float, seed: int = 0) -> Verdict:
    """The verdict on whether a transcript is of the claimed model, unchanged."""
    score = prepared.scorer(planned.references, alpha=alpha, seed=seed)
    return judging.verify(transcript, planned.bank, planned.references[claim], score, alpha=alpha, seed=seed)


def plan_enrolment(db: ReferenceDB, made: Bank | None, *, repeats: int = REPEATS, seed: int = 0) -> Plan:
    """
    The questions to enroll a model by: every question so many times.

    made: the bank, or None for the one that most references here were asked, so that they can be compared. Raises
    UsageError where there is none yet.
    """
    if made is None:
        digest = shelf.commonest(db)
        if digest is None:
            raise UsageError("there is no bank of questions in this database yet; name a family")
        made = shelf.bank(db, digest)

    return Plan(made, plan(made, questions=repeats * len(made.questions), seed=seed), None, {})


def reference_of(transcript: Transcript, bank: Bank, *, name: str, about: About) -> ChatReference:
    """A model by what it answered. Raises NoAnswers where less than half can be read: it would tell nobody apart."""
    counts = count(bank, transcript)
    found = statuses(bank, transcript)
    total = sum(found.values())
    if sum(sum(some.values()) for some in counts.values()) < total / 2:
        told = ", ".join(f"{number} {status}" for status, number in found.most_common())
        notes = f"; it {transcript.notes[0]}" if transcript.notes else ""
        raise NoAnswers(f"{transcript.target} answered too little of {total} questions to be enrolled ({told}{notes})")
    whole = {question.cell for question in bank.questions if question.parser in KEPT_TEXTS}
    texts = {cell: tuple(transcript.texts(cell)) for cell in transcript.answers if cell in whole}

    every = count(bank, transcript, off_form=True)
    unformed = {cell: some[OFF_FORM] for cell, some in every.items() if OFF_FORM in some}

    return ChatReference(
        name, about, bank, counts, dict(asked(transcript)), prompt_tokens(transcript), texts, unformed, READER
    )


def join(banks: Sequence[Bank]) -> Bank:
    """Several families as one bank."""
    if len(banks) == 1:
        return banks[0]
    questions = tuple(question for bank in banks for question in bank.questions)
    names = " + ".join(bank.name for bank in banks)

    return Bank(names, questions, " + ".join(bank.source for bank in banks), banks[0].license)


def scored(bank: Bank) -> Bank:
    """The questions whose answers count."""
    questions = tuple(question for question in bank.questions if question.weight > 0)
    return replace(bank, questions=questions) if questions else bank
