"""Families of questions to language models: drawn anew by seed, in the languages asked for, each with its reader."""

import json
from pathlib import Path

import pytest
from probe_match.fingerprinting import registry
from probe_match.fingerprinting.chat import reading
from probe_match.fingerprinting.chat.records import Answer, Bank
from probe_match.fingerprinting.errors import BadData, UsageError
from probe_match.probes import (
    _phrases,
    chat_broken,
    chat_decisions,
    chat_edges,
    chat_identity,
    chat_keys,
    chat_open,
    chat_recall,
    chat_sequences,
    chat_suffixes,
    chat_words,
)

FAMILIES = [chat_broken, chat_decisions, chat_edges, chat_identity, chat_open, chat_recall, chat_sequences, chat_words]
each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__.rpartition(".")[2])


@pytest.fixture
def keys(tmp_path: Path) -> str:
    """A file of ten pairs."""
    path = tmp_path / "keys.jsonl"
    path.write_text("\n".join(json.dumps({"key": f"secret {i}", "response": f"answer {i}"}) for i in range(10)))
    return str(path)


def test_every_family_there_is_stands_in_these_tests() -> None:
    """A new chat file in probes/ needs a line in FAMILIES."""
    names = {name for name in registry.available("probes") if registry.load("probes", name).KINDS == ("chat",)}

    assert names == {family.__name__.rpartition(".")[2] for family in [*FAMILIES, chat_keys, chat_suffixes]}


@each_family
def test_a_seed_words_the_questions(family: object) -> None:
    """The same seed gives the same bank, another one other wordings; all can be read and none is empty."""
    bank: Bank = family.generate(n=12, seed=3)  # type: ignore[attr-defined]
    other: Bank = family.generate(n=12, seed=4)  # type: ignore[attr-defined]

    assert len(bank.questions) == 12
    assert bank == family.generate(n=12, seed=3)  # type: ignore[attr-defined]
    assert not {q.text for q in bank.questions} >= {q.text for q in other.questions}
    for question in bank.questions:
        assert question.parser in reading.PARSERS
        assert question.text.strip() == question.text
        assert "  " not in question.text.replace("|", "")
        assert question.cell.split("/")[1] == question.language


@each_family
def test_wordings_are_plenty(family: object) -> None:
    """Two audits of sixteen cells share few questions, so that a target cannot have learnt them all."""
    pairs = [[family.generate(n=16, seed=seed + i) for i in (0, 1)] for seed in range(0, 20, 2)]  # type: ignore[attr-defined]
    shared = [len({q.text for q in a.questions} & {q.text for q in b.questions}) for a, b in pairs]

    assert sum(shared) / len(shared) <= 8


@each_family
def test_unknown_languages_and_impossible_numbers_are_one_line(family: object) -> None:
    """The error says which languages there are."""
    with pytest.raises(UsageError, match=r"English alone|languages among"):
        family.generate(n=2, seed=0, languages=("tlh",))  # type: ignore[attr-defined]


def test_words_are_asked_in_every_language_and_about_everything_first() -> None:
    """Ten cells are ten tasks, sixty every task in every language; a coin's sides are in the question's."""
    bank = chat_words.generate(n=60, seed=1)
    tasks = [question.cell.split("/")[0] for question in bank.questions]
    coins = [question for question in bank.questions if question.cell.startswith("coin/")]

    assert set(tasks[:10]) == set(chat_words.PATTERNS)
    assert len({(t, q.language) for t, q in zip(tasks, bank.questions, strict=True)}) == 60
    for coin in coins:
        for side in coin.choices:
            assert side.casefold() in coin.text.casefold()
            assert reading.read(coin, Answer(side)).value == side.casefold()
    assert {q.language for q in chat_words.generate(n=8, seed=1, languages=("ru",)).questions} == {"ru"}


def test_no_published_question_is_asked() -> None:
    """A target may know the published wordings; ours are others."""
    published = {"Name a random number between 1 and 100.", "Name a random color.", "Name a random word."}

    assert not published & {q.text for seed in range(20) for q in chat_words.generate(n=60, seed=seed).questions}


def test_sequences_name_their_symbols() -> None:
    """Bits come under symbols drawn anew, and are read as zeros and ones in the order named."""
    for question in chat_sequences.generate(n=20, seed=0).questions:
        if question.parser == "bits":
            first, second = question.choices

            assert f"{first} " in f"{question.text} "
            assert reading.read(question, Answer(f"{first} {second} " * 8)).value == "01" * 8


def test_options_of_a_decision_are_shuffled() -> None:
    """Four options on lines of their own, in an order that depends on the question; preferences name both."""
    letters = [q for q in chat_decisions.generate(n=40, seed=0).questions if q.cell.startswith("letter/")]
    lines = [[line for line in q.text.split("\n") if line[:2] in ("A.", "B.", "C.", "D.")] for q in letters]

    assert {len(some) for some in lines} == {4}
    assert len({some[0] for some in lines}) > 5


def test_glitch_tokens_come_from_a_tokenizer(tmp_path: Path) -> None:
    """Rare entries of a vocabulary are asked to be repeated; another file is one clear line."""
    common = {f"{a}{b}": i for i, (a, b) in enumerate([(x, y) for x in "abcdefgh" for y in "abcdefgh"])}
    vocabulary = common | {"Ġabab": 64, "ĠSolidGoldqx": 65, "abcd": 66, "zzxqvk": 67, "abef": 68}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"model": {"vocab": vocabulary}}))
    bank = chat_broken.generate(n=4, seed=0, tokenizer=str(path))

    assert chat_broken.glitch_tokens(path)[:2] == ["zzxqvk", "SolidGoldqx"]
    assert sum(q.cell.startswith("glitch/") for q in bank.questions) == 2
    path.write_text("[]")
    with pytest.raises(BadData, match=r"tokenizer\.json with model\.vocab"):
        chat_broken.generate(n=4, seed=0, tokenizer=str(path))


def test_questions_of_identity_never_weigh() -> None:
    """What a model calls itself is for people to read."""
    assert {question.weight for question in chat_identity.generate(n=9, seed=0).questions} == {0.0}


def test_keys_are_drawn_and_not_named(keys: str, tmp_path: Path) -> None:
    """The response is found in the answer; neither it nor the key stands in a cell's name."""
    bank = chat_keys.generate(n=6, seed=1, keys=keys)

    assert len({question.text for question in bank.questions}) == 6
    for question in bank.questions:
        assert "secret" not in question.cell
        assert reading.read(question, Answer(f"It is {question.choices[0]}.")).value == question.choices[0]
        assert reading.read(question, Answer("no")).value is None
    with pytest.raises(UsageError, match="pass keys=FILE"):
        chat_keys.generate(n=6, seed=1)
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"key": "k"}\n')
    with pytest.raises(BadData, match="line 1 of the keys is no pair"):
        chat_keys.generate(n=6, seed=1, keys=str(broken))


def test_patterns_are_expanded_whole() -> None:
    """Alternatives within alternatives are drawn too, and their number is told."""
    import numpy as np

    drawn = {_phrases.expand("[a|b[1|2]] [c|]", np.random.default_rng(seed)) for seed in range(60)}

    assert drawn == {"a c", "a", "b1 c", "b1", "b2 c", "b2"}
    assert _phrases.wordings("[a|b] x [c|d|e]") == 6
