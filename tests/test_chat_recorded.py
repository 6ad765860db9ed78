"""Recorded texts of unknown prompts are judged by how they are written."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from probe_match.fingerprinting.chat import recorded, style
from probe_match.fingerprinting.chat.records import Answer
from probe_match.fingerprinting.chat.transcripts import Turn
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.errors import NoAnswers

NOUNS = (
    "river",
    "window",
    "kettle",
    "garden",
    "engine",
    "paper",
    "market",
    "cloud",
    "letter",
    "bridge",
    "table",
    "winter",
)


def texts(writer: int, n: int, seed: int) -> list[str]:
    """A writer with habits of function words, sentence lengths and marks; what it writes of depends on the seed."""
    habits, rng = np.random.default_rng(1000 + writer), np.random.default_rng((writer, seed))
    odds = habits.dirichlet(np.full(60, 0.4))
    length, mark = habits.integers(6, 16), habits.choice([".", "!", ";", " -", ":"], p=[0.6, 0.1, 0.1, 0.1, 0.1])
    out = []
    for _ in range(n):
        words = [
            str(rng.choice(NOUNS)) if i % 3 == 2 else str(rng.choice(style.WORDS[:60], p=odds))
            for i in range(length * 5)
        ]
        out.append(f"{mark} ".join(" ".join(words[i : i + length]) for i in range(0, len(words), length)) + mark)
    return out


def turns(writer: int, n: int, seed: int) -> list[Turn]:
    return [Turn(f"prompt {seed} {i}", Answer(text)) for i, text in enumerate(texts(writer, n, seed))]


@pytest.fixture(scope="module")
def known() -> dict[str, list[str]]:
    """Twenty-four writers by twenty texts each."""
    return {f"w{i}": texts(i, 20, seed=0) for i in range(24)}


def test_a_known_writer_is_named_whatever_it_writes_of(known: dict[str, list[str]]) -> None:
    """By sixteen texts on other prompts; strangers are not named."""
    own = [recorded.identify(turns(i, 16, 7), known, target="t", alpha=0.01, seed=0) for i in range(3)]
    strangers = [recorded.identify(turns(i, 16, 7), known, target="t", alpha=0.01, seed=0) for i in range(100, 103)]

    assert sum(v.reference == f"w{i}" for i, v in enumerate(own)) >= 2
    assert all(v.reference in (None, f"w{i}") for i, v in enumerate(own))
    assert sum(v.decision == "match" for v in strangers) == 0
    assert {v.method for v in own} == {"style"}


def test_too_little_text_says_nothing(known: dict[str, list[str]]) -> None:
    """Few texts of the suspect, or few references with texts."""
    assert recorded.identify(turns(1, 5, 7), known, target="t", alpha=0.01, seed=0).decision == "inconclusive"
    with pytest.raises(NoAnswers, match="enroll some with --family chat-open"):
        recorded.identify(turns(1, 20, 7), {"w1": known["w1"]}, target="t", alpha=0.01, seed=0)


def test_one_prompt_under_two_settings_is_two_cells() -> None:
    """System prompt and temperature are part of what was asked."""
    some = [
        Turn("p", Answer("a")),
        Turn("p", Answer("b")),
        Turn("p", Answer("c"), system="s"),
        Turn("p", Answer("d"), temperature=0.0),
    ]
    bank, spoken = recorded.transcript_of(some, "t")

    assert sorted(len(answers) for answers in spoken.answers.values()) == [1, 1, 2]
    assert {(q.system, q.sampling.temperature) for q in bank.questions} == {(None, 1.0), ("s", 1.0), (None, 0.0)}


def test_recordings_are_enrolled_and_matched(tmp_path: Path) -> None:
    """On the command line, from JSON lines and from AlpacaEval's form."""

    def write(name: str, writer: int, n: int, seed: int) -> str:
        some = texts(writer, n, seed)
        file = tmp_path / name
        if name.endswith(".json"):
            file.write_text(json.dumps([{"instruction": f"p{i}", "output": t} for i, t in enumerate(some)]))
        else:
            file.write_text("\n".join(json.dumps({"prompt": f"q{i}", "answer": t}) for i, t in enumerate(some)))
        return str(file)

    def run(*words: str) -> Result:
        return CliRunner().invoke(cli, [*words, "--db", str(tmp_path / "r.db")])

    for i in range(12):
        file = write(f"w{i}.json", i, 24, 0)
        done = run("enroll", f"replay:{file}", "--name", f"w{i}", "--family", "recorded")
        assert done.exit_code == 0, done.output
    result = run("match", "--transcripts", write("suspect.jsonl", 5, 24, 3), "--json", "-q")
    verdict = json.loads(result.stdout)

    assert (verdict["method"], verdict["matches"][0]["reference"]) == ("style", "w5")
    assert result.exit_code in (0, 3)
    assert "24 texts to 24 prompts" in done.output
