"""Answers are read for what they say, however they are dressed; refusals and nonsense are no answers."""

import pytest
from probe_match.fingerprinting.chat import reading
from probe_match.fingerprinting.chat.records import Answer, Bank, Question, Transcript

COIN = ("heads", "tails")


@pytest.mark.parametrize(
    ("parser", "text", "value"),
    [
        ("number", "42", "42"),
        ("number", " **42**.\n", "42"),
        ("number", "Sure! A number from 1 to 100: 57", "57"),
        ("number", "1", "1"),
        ("number", "٤٢", "42"),
        ("number", "４２", "42"),
        ("number", "1,234,567", "1234567"),
        ("number", "3,50", "3.5"),
        ("number", "−7.0", "-7"),
        ("number", "007", "7"),
        ("number", "forty-two", None),
        ("word", '"Serendipity."', "serendipity"),
        ("word", "New York", "new york"),
        ("word", "**Blau**", "blau"),
        ("word", "Синий", "синий"),
        ("word", "蓝色。", "蓝色"),
        ("word", "Well, here is a word for you: apple", None),
        ("word", "...", None),
        ("letter", "K", "k"),
        ("letter", "The letter is Q.", "q"),
        ("letter", "Ж", "ж"),
        ("letter", "Hello", None),
        ("choice", "Tails!", "tails"),
        ("choice", "It landed on **heads**.", "heads"),
        ("choice", "heads or tails", None),
        ("choice", "Kopf", None),
        ("score", "7/10", "7"),
        ("score", "8.6", "8.5"),
        ("score", "11", None),
        ("score", "between 3 and 9", None),
        ("bits", "0110 1001\n1", "011010011"),
        ("bits", "010", None),
        ("digits", "3, 1, 4, 1, 5, 9, 2, 6", "31415926"),
        ("text", " two\n\n words ", "two words"),
    ],
)
def test_answers_are_read_whatever_their_dress(parser: str, text: str, value: str | None) -> None:
    """Canonical where there is an answer, None where there is not."""
    question = Question("c", "one-word", "From 1 to 100?", parser, choices=COIN if parser == "choice" else ())
    read = reading.read(question, Answer(text))

    assert read == (value, "valid" if value is not None else "off-format")


def test_choices_of_any_script_and_symbols_are_found() -> None:
    """Words of scripts without spaces, a choice inside a longer one, and a pair of words as bits."""
    coin = Question("c", "one-word", "?", "choice", choices=("正面", "反面"))
    side = Question("c", "decision", "?", "choice", choices=("tea", "green tea"))
    pair = Question("c", "sequence", "?", "bits", choices=("Lake", "stone"))

    assert reading.read(coin, Answer("我选正面。")).value == "正面"
    assert reading.read(side, Answer("Green tea")).value == "green tea"
    assert reading.read(pair, Answer("stone lake LAKE Stone stone stone lake lake")).value == "10011100"


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that request.",
        "I’m sorry, I cannot pick a random number for you today.",
        "As an AI, I have no favourites of any kind at all.",
        "Tut mir leid, dabei kann ich Ihnen leider nicht behilflich sein.",
        "Je suis désolé, mais je ne peux pas répondre à cette question.",
        "Lo siento, pero no puedo ayudar con esa petición ahora mismo.",
        "К сожалению, я не могу ответить на этот вопрос.",
        "抱歉，我无法回答这个问题，请您换一个别的问题再来问我，谢谢您的理解与支持，也祝您生活愉快，一切顺利。",
        "عذرًا، لا أستطيع الإجابة على هذا السؤال في الوقت الحالي",
    ],
)
@pytest.mark.parametrize("parser", ["word", "number", "choice", "text"])
def test_refusals_are_recognised_in_several_languages(parser: str, text: str) -> None:
    """A refusal is no answer, whatever was asked for."""
    question = Question("c", "one-word", "?", parser, choices=COIN)

    assert reading.read(question, Answer(text)) == (None, "refused")


def test_only_usable_answers_are_read() -> None:
    """What was filtered or failed keeps its status; what was cut off is read as far as it goes."""
    question = Question("c", "one-word", "?", "word")

    assert reading.read(question, Answer("blue", "filtered")) == (None, "filtered")
    assert reading.read(question, Answer("blue", "truncated")) == ("blue", "truncated")
    assert reading.read(question, Answer("", "empty")) == (None, "empty")


def test_counts_are_of_what_was_read() -> None:
    """Cells without a single answer that could be read are left out, and every answer is in one status."""
    questions = (Question("n", "one-word", "?", "number"), Question("w", "one-word", "?", "word"))
    bank = Bank("b", questions)
    answers = {"n": (Answer("7"), Answer("7."), Answer("no idea"), Answer("3")), "w": (Answer("", "empty"),)}
    spoken = Transcript("t", answers)

    assert reading.count(bank, spoken) == {"n": {"7": 2, "3": 1}}
    assert reading.statuses(bank, spoken) == {"valid": 3, "off-format": 1, "empty": 1}
