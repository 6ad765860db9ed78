"""
Language models behind servers that cheat: a second model dresses or rewrites the answers, another name is claimed.

The models are scripted, the server, the client and the verdict are real.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chat_models import Habits
from chat_server import Asked, Said, Scripted, scripted
from click.testing import CliRunner
from probe_match.fingerprinting.chat import shelf
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.database import open_db
from probe_match.probes import chat_words

BANK = chat_words.generate(n=12, seed=0, languages=("en", "de"))
SUSPECTS = ("known-2", "known-5", "known-9")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

Rewrite = Callable[[str], str]
Judge = Callable[[str, Rewrite], dict[str, Any]]


class Filter:
    """A script for a server: a model of habits, whose answers go through a second model that rewrites them."""

    def __init__(self) -> None:
        self.model, self.rewrite = Habits(1), str

    def __call__(self, asked: Asked) -> Said:
        """What the model says, rewritten. The model's name is masked."""
        said = self.model(asked)
        if asked.body is not None:
            message = said.body["choices"][0]["message"]
            message["content"] = self.rewrite(message["content"])
            said.body["model"] = "gpt-x"
        return said


@pytest.fixture(scope="module")
def filtered() -> Iterator[tuple[Scripted, Filter]]:
    script = Filter()
    with scripted(script) as server:
        yield server, script


@pytest.fixture(scope="module")
def judge(filtered: tuple[Scripted, Filter], tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """The verdict on one of the known models behind such a filter."""
    server, script = filtered
    db = tmp_path_factory.mktemp("cheating") / "r.db"
    with open_db(db, create=True) as references:
        shelf.add(references, [Habits().reference(f"known-{i}", BANK, 20) for i in range(40)])

    def verdict(name: str, rewrite: Rewrite) -> dict[str, Any]:
        script.rewrite = rewrite
        words = ["match", f"openai:{server.url}/v1#{name}", "--db", str(db), "--budget", "72", "--json", "-q"]
        return json.loads(CliRunner().invoke(cli, words).stdout)

    return verdict


def reworded(text: str) -> str:
    """Numbers in words, words in a sentence: the same meaning, in no form that was asked for."""
    plain = " ".join(DIGITS[int(c)] if c.isdigit() else c for c in text)
    return f"Well, thinking about it for a moment, my honest answer would have to be something like {plain}, I suppose."


@pytest.mark.parametrize("dress", ["**{}**", "“{}.”", "`{}`\n"])
def test_dress_hides_no_model(judge: Judge, dress: str) -> None:
    """Markdown, quotes, case and full stops come off; the name that the server claims counts for nothing."""
    found = [judge(name, lambda text: dress.format(text.upper())) for name in SUSPECTS]

    assert [(verdict["decision"], verdict["reference"]) for verdict in found] == [("match", n) for n in SUSPECTS]


def test_answers_rewritten_out_of_their_form_are_suspected(judge: Judge) -> None:
    """What is no longer an answer to what was asked is silence, and silence is no innocence; nobody is named."""
    found = [judge(name, reworded) for name in SUSPECTS]

    assert [verdict["decision"] for verdict in found] == ["evasion suspected"] * len(SUSPECTS)
    assert all(verdict["reference"] is None for verdict in found)


def test_answers_exchanged_word_for_word_name_nobody(judge: Judge) -> None:
    """One letter or number for another, always the same: no test of answers knows better, but no other is named."""
    letters = str.maketrans("abcdefghijklmnopqrstuvwxyz0123456789", "bcdefghijklmnopqrstuvwxyza1234567890")
    found = [judge(name, lambda text: text.translate(letters)) for name in SUSPECTS]

    assert [verdict["reference"] for verdict in found] == [None] * len(SUSPECTS)
    assert {verdict["decision"] for verdict in found} <= {"no match", "inconclusive"}
