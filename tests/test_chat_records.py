"""Records of language models keep what they hold, and files of strangers become records or one clear error."""

import zlib
from dataclasses import replace

import pytest
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.chat import keeping
from probe_match.fingerprinting.chat.records import Answer, Bank, ChatReference, Question, Sampling, Transcript
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.records import About

COIN = Question("coin/de", "one-word", "Kopf oder Zahl?", "choice", choices=("kopf", "zahl"), language="de")
SCORE = Question("score/en", "decision", "Rate it.", system="Be brief.", sampling=Sampling(0.0, 4, bias=((7, -1.5),)))
BANK = Bank("small", (COIN, SCORE), source="these tests", license="CC0-1.0")
ANSWER = Answer("Zahl", finish="stop", prompt_tokens=9, logprobs=((("Zahl", -0.1), ("Kopf", -2.4)),))
KNOWN = ChatReference(
    "m", About(license="MIT"), BANK, {"coin/de": {"zahl": 3, "kopf": 1}}, {"coin/de": 5}, {"coin/de": 9}
)
SPOKEN = Transcript("openai:http://host/v1#m", {"coin/de": (ANSWER, replace(ANSWER, text=""))}, BANK.digest, 2, ("x",))


@pytest.mark.parametrize("record", [BANK, SPOKEN, KNOWN], ids=lambda record: type(record).__name__)
def test_what_is_kept_comes_back(record: Bank | Transcript | ChatReference) -> None:
    """Every field of a record survives its bytes."""
    data = keeping.to_bytes(record)

    assert keeping.from_bytes(type(record), data, "it") == record


def test_a_digest_is_of_the_questions_and_their_settings() -> None:
    """Another temperature is another bank; the same questions made again are the same one."""
    warmer = replace(SCORE, sampling=replace(SCORE.sampling, temperature=0.7))

    assert BANK.digest == Bank("small", (replace(COIN), SCORE), "these tests", "CC0-1.0").digest
    assert BANK.digest != replace(BANK, questions=(COIN, warmer)).digest


def test_cells_are_taken_in_the_order_given() -> None:
    """A part of a bank keeps the questions, and an unknown cell is named."""
    assert BANK.cells(["score/en", "coin/de"]).questions == (SCORE, COIN)
    with pytest.raises(BadData, match="no cell 'coin/xx'; it has coin/de"):
        BANK.cells(["coin/xx"])


def test_a_reference_holds_only_answers_to_its_own_questions() -> None:
    """Counts of a cell the bank does not ask could never be compared."""
    with pytest.raises(BadData, match="'m' has answers to 'coin/fr'"):
        replace(KNOWN, counts={"coin/fr": {"pile": 1}})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        keeping.to_bytes(KNOWN)[:-9],
        zlib.compress(b"[1, 2]"),
        zlib.compress(b"{" * 100_000),
        zlib.compress(storage.canonical_json(keeping.to_json(KNOWN) | {"counts": {"coin/de": {"zahl": -1}}})),
        zlib.compress(storage.canonical_json(keeping.to_json(KNOWN) | {"about": {"unknown": 1}})),
        zlib.compress(storage.canonical_json(keeping.to_json(KNOWN) | {"bank": {"name": "b", "questions": []}})),
    ],
    ids=["empty", "noise", "cut", "list", "deep", "negative", "field", "no questions"],
)
def test_damaged_files_are_one_clear_error(data: bytes) -> None:
    """Whatever the bytes are, the error names the file and not our code."""
    with pytest.raises(BadData, match=r"^it"):
        keeping.from_bytes(ChatReference, data, "it")
