"""
What an answer amounts to: a number, word, letter, choice, score, sequence or text; or a refusal, or neither.

Readers are strict about what they take for an answer and lax about how it is dressed: quotes, markdown, full-width and
other digits, case and punctuation say nothing. An answer that was cut off is read where its beginning is enough.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from .records import OFF_FORM, USABLE, Answer, Bank, Question, Status, Transcript

MOST_WORDS: Final = 4  # a longer answer to a question for one word is a sentence
UNFORMED: Final = ("off-format", "refused")  # what a model said that answers nothing
LEAST_SEQUENCE: Final = 8  # characters below which a sequence says nothing
SEEN: Final = 300  # characters in which a refusal shows
REFUSALS: Final = re.compile(
    "|".join(
        [
            r"\bi(?:'m| am) (?:sorry|unable|not able|not allowed)\b",
            r"\bi (?:can(?:'t|not)|won't|will not|must decline|don't (?:have|feel comfortable))\b",
            r"\b(?:unable|refuse|decline) to (?:answer|help|comply|assist|provide|do that)\b",
            r"\bas an ai\b",
            r"\b(?:tut mir leid|ich kann (?:das |dir |ihnen )?(?:leider )?nicht|leider kann ich)\b",
            r"\b(?:je suis désolé|je ne peux pas|je ne suis pas en mesure|désolé,)",
            r"\b(?:lo siento|no puedo (?:ayudar|responder|hacer|proporcionar)|no me es posible)\b",
            r"(?:извините|к сожалению|я не могу|не могу (?:помочь|ответить|выполнить))",
            r"(?:抱歉|对不起|無法|无法(?:回答|提供|满足|帮助)|我不能)",
            r"(?:عذر[اًا]|آسف|لا أستطيع|لا يمكنني)",
            r"(?:申し訳|できません|お答えできません)",
        ]
    ),
    re.IGNORECASE,
)
NUMBER: Final = re.compile(r"(?<![\d.,])[-−]?\d{1,3}(?:,\d{3})+(?![\d])|[-−]?\d+(?:[.,]\d+)?")
DRESS: Final = " \t\r\n\"'`*_#.,;:!?…()[]{}<>«»“”„‘’。，！？：；「」『』（）·-–—"


class Reading(NamedTuple):
    """value: in canonical form, None where none could be read. status: the answer's own, a refusal, or off-format."""

    value: str | None
    status: Status


def read(question: Question, answer: Answer) -> Reading:
    """What an answer to a question amounts to."""
    if answer.status not in USABLE:
        return Reading(None, answer.status)
    text = normalised(answer.text)
    long = len(text.split()) > MOST_WORDS or len(text) > 40
    refused = bool(REFUSALS.search(text[:SEEN].replace("’", "'")))
    if refused and (question.parser == "text" or long):
        return Reading(None, "refused")
    value = PARSERS[question.parser](text, question)
    if value is None:
        return Reading(None, "refused" if refused else "off-format")

    return Reading(value, answer.status)


def count(bank: Bank, transcript: Transcript, *, off_form: bool = False) -> dict[str, dict[str, int]]:
    """
    Per cell of a bank how often each value was read, for the cells that have any.

    off_form: whether answers that were not of the form asked, or refused, count as OFF_FORM.
    """
    found = {}
    for question in bank.questions:
        readings = [read(question, answer) for answer in transcript.answers.get(question.cell, ())]
        values = Counter(reading.value for reading in readings if reading.value is not None)
        others = sum(reading.status in UNFORMED for reading in readings)
        if off_form and others and question.parser != "text":
            values[OFF_FORM] = others
        if values:
            found[question.cell] = dict(values)

    return found


def statuses(bank: Bank, transcript: Transcript) -> Counter[Status]:
    """How many answers to a bank's questions were usable, refused, empty and so on, as they were read."""
    return Counter(
        read(question, answer).status
        for question in bank.questions
        for answer in transcript.answers.get(question.cell, ())
    )


def normalised(text: str) -> str:
    """One form of the same text (NFKC), with digits of every script as 0 to 9."""
    flat = unicodedata.normalize("NFKC", text)
    return "".join(str(unicodedata.digit(c)) if c.isdigit() and not c.isascii() else c for c in flat).strip()


def number(text: str, question: Question) -> str | None:
    """The number in an answer; of several, the first that the question does not name itself."""
    if len(text) > 200:
        return None
    found = [_plain_number(token) for token in NUMBER.findall(text)]
    named = {_plain_number(token) for token in NUMBER.findall(normalised(question.text))}
    fresh = [value for value in found if value not in named] if len(found) > 1 else found

    return next(iter(fresh or found), None)


def word(text: str, question: Question) -> str | None:
    """A word, or a name of up to four, in lower case."""
    line = text.partition("\n")[0] if len(text.split()) > MOST_WORDS else text
    kept = " ".join(line.casefold().split()).strip(DRESS)

    return kept if kept and len(kept.split()) <= MOST_WORDS and len(kept) <= 40 else None


def letter(text: str, question: Question) -> str | None:
    """One letter or character, in lower case; in a longer answer the only one that stands alone."""
    bare = text.strip(DRESS)
    if len(bare) == 1:
        return bare.casefold()
    alone = {c.casefold() for c in re.findall(r"(?<!\w)([^\W\d_])(?![\w'])", text)}

    return alone.pop() if len(alone) == 1 and len(text) <= 60 else None


def choice(text: str, question: Question) -> str | None:
    """The one choice that an answer names."""
    flat = text.casefold()
    named = [option.casefold() for option in question.choices if _names(flat, option.casefold())]
    longest = [option for option in named if not any(option != other and option in other for other in named)]

    return longest[0] if len(longest) == 1 else None


def score(text: str, question: Question) -> str | None:
    """A score from 0 to 10, to a half; "7/10" is 7."""
    found = NUMBER.findall(re.sub(r"(\d)\s*/\s*10\b", r"\1", text))
    values = {round(2 * float(_plain_number(token))) / 2 for token in found}
    good = [value for value in values if 0 <= value <= 10]

    return f"{good[0]:g}" if len(good) == 1 else None


def bits(text: str, question: Question) -> str | None:
    """A sequence of the question's two symbols as 0 and 1; the symbols are its choices, or 0 and 1."""
    first, second = (question.choices or ("0", "1"))[:2]
    found = re.findall(f"{re.escape(first)}|{re.escape(second)}", text, re.IGNORECASE)
    sequence = "".join("0" if token.casefold() == first.casefold() else "1" for token in found)

    return sequence if len(sequence) >= LEAST_SEQUENCE else None


def digits(text: str, question: Question) -> str | None:
    """A sequence of decimal digits."""
    sequence = "".join(re.findall(r"\d", text))
    return sequence if len(sequence) >= LEAST_SEQUENCE else None


def whole(text: str, question: Question) -> str | None:
    """The text itself, in one form of Unicode, its white space made single."""
    return " ".join(text.split()) or None


PARSERS: Final[dict[str, Callable[[str, Question], str | None]]] = {
    "number": number,
    "word": word,
    "letter": letter,
    "choice": choice,
    "score": score,
    "bits": bits,
    "digits": digits,
    "text": whole,
}


def _plain_number(token: str) -> str:
    token = token.replace("−", "-")
    thousands = re.fullmatch(r"-?\d{1,3}(?:,\d{3})+", token)
    plain = token.replace(",", "" if thousands else ".")
    sign = "-" if plain.startswith("-") else ""
    head, point, tail = plain.lstrip("-").partition(".")
    tail = tail.rstrip("0")

    return f"{sign}{head.lstrip('0') or '0'}{'.' + tail if point and tail else ''}"


def _names(text: str, option: str) -> bool:
    if option.isascii() or " " not in text:
        return bool(re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text)) or (not option.isascii() and option in text)
    return option in text
