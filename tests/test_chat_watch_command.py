"""`watch` as a user meets it: over HTTP, through the command line, killed and begun again."""

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from probe_match.fingerprinting import cli
from probe_match.fingerprinting.chat import (
    change_report,
    history,
    sentinels,
    sequential,
    server,
    watching,
)
from probe_match.fingerprinting.chat.records import Answer, Question, Sampling
from probe_match.fingerprinting.errors import TargetError
from probe_match.fingerprinting.targets import open_chat
from tinyfam_serving import Deployment, TinyChat


@pytest.fixture(autouse=True)
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks among fewer relabelings: a third of the time, and p-values down to 1/2000."""
    monkeypatch.setattr(sequential, "RELABELINGS", 1999)


def test_the_server_speaks_as_the_client_expects() -> None:
    """Chat and raw completions, log-probabilities, counts and seeds come through the real client as they are."""
    inside = TinyChat(tiny.foundation(), Deployment(jitter=0.0), target="tiny")
    question = Question(
        "q", "q", "Name a city.", system="Be formal.", sampling=Sampling(max_tokens=5, seed=3, logprobs=4)
    )
    raw = replace(question, system=None, raw=True)
    with server.serve({"tiny": inside}) as url:
        client = open_chat(f"openai:{url}#tiny")
        answers = client.chat([question, raw])
        with pytest.raises(TargetError, match="tiny"):
            open_chat(f"openai:{url}#absent").chat([question])
        client.close()
    expected = inside.chat([question, raw])

    for answer, wanted in zip(answers, expected, strict=True):
        assert (answer.text, answer.prompt_tokens, answer.answer_tokens) == (
            wanted.text, wanted.prompt_tokens, wanted.answer_tokens
        )  # fmt: skip
        assert dict(answer.logprobs[0]) == pytest.approx(dict(wanted.logprobs[0]))


def run(*words: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["probe-match", *map(str, words)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    printed = capsys.readouterr()
    return int(done.value.code or 0), printed.out, printed.err


def test_the_command_watches_a_server_and_agrees_with_the_model_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over HTTP the verdicts are those of the same model asked within this process; exit codes tell them."""

    def watch(*more: object) -> tuple[int, str, str]:
        words = ("watch", f"openai:{url}#tiny", "--history", tmp_path / "h.db", "--prompts", 100, *more)
        return run(*words, monkeypatch=monkeypatch, capsys=capsys)

    client = tiny.endpoint()
    with server.serve({"tiny": client}) as url:
        code, out, _ = watch("--looks", 3)
        assert (code, out.count("UNCHANGED")) == (0, 3)
        client.now = TinyChat(tiny.tuned(), seed=5)
        code, out, _ = watch("--looks", 6, "--json")
        told = json.loads(out)
        assert (code, told["decision"], told["schema"]) == (1, "modified", change_report.SCHEMA)
        assert watch("-q")[:2] == (1, "")
        client.now = TinyChat(tiny.foundation(), seed=6)
        assert watch("--restart")[0] == 0
        assert "questions" in watch("--dry-run")[1]

    direct, past = tiny.endpoint(), history.History(tmp_path / "direct.db")
    [watching.look(direct, past, prompts=100) for _ in range(3)]
    direct.now = TinyChat(tiny.tuned(), seed=5)
    assert [watching.look(direct, past) for _ in range(6)][-1].decision == told["decision"]
    past.close()


def test_a_killed_process_goes_on_where_it_was(tmp_path: Path) -> None:
    """SIGKILL amid the baseline loses at most the questions under way; the next run asks only the rest."""

    class Slow(tiny.Swappable):
        def chat(self, questions: Sequence[Question]) -> list[Answer]:
            """Answers after a while, once the search is over."""
            time.sleep(0.05 if self.sent > 350 else 0)
            return super().chat(questions)

    client = Slow(TinyChat(tiny.foundation(), seed=1))
    file = tmp_path / "h.db"
    with server.serve({"tiny": client}) as url:
        words = ["watch", f"openai:{url}#tiny", "--history", file, "--prompts", "100", "-q"]
        command = [sys.executable, "-c", "from probe_match.fingerprinting.cli import main; main()", *map(str, words)]
        killed = subprocess.Popen(command)
        for _ in range(600):
            time.sleep(0.05)
            if file.exists() and _noted(file) >= 2 * sentinels.AT_ONCE:
                break
        killed.kill()
        killed.wait()
        time.sleep(0.2)  # what was under way is answered
        noted, before = _noted(file), client.sent
        assert subprocess.run(command, check=False).returncode == 0
        whole = _noted(file)

    assert noted >= 2 * sentinels.AT_ONCE
    assert client.sent - before == whole - noted > 0


def test_a_killed_watch_pays_nothing_twice_with_a_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was answered when it was killed comes from the ledger; a later round asks the same questions anew."""
    client = tiny.endpoint()
    words = ("watch", "--history", tmp_path / "h.db", "--prompts", 100, "-q")
    note, died = history.History.note, [0]

    def dying(*more: object) -> None:
        if not died[0]:
            died[0] = client.sent
            raise KeyboardInterrupt  # after the answers came, before they were noted
        note(*more)  # type: ignore[arg-type]

    monkeypatch.setattr(history.History, "note", dying)
    with server.serve({"tiny": client}) as url:
        more = (f"openai:{url}#tiny", "--ledger", tmp_path / "a.ledger")
        killed = run(*words, *more, monkeypatch=monkeypatch, capsys=capsys)[0]
        assert run(*words, *more, monkeypatch=monkeypatch, capsys=capsys)[0] == 0
        baseline = client.sent
        assert run(*words, *more, monkeypatch=monkeypatch, capsys=capsys)[0] == 0
        a_round = client.sent - baseline
        assert run(*words, *more, "--restart", monkeypatch=monkeypatch, capsys=capsys)[0] == 2
    past = history.History(tmp_path / "h.db")
    watch = past.find(f"openai:{url}#tiny")
    assert watch is not None
    first, second = past.rounds(watch)

    assert killed != 0
    assert 0 < died[0] < baseline == watch.searched + past.answered(first)
    assert a_round == past.answered(second) > 20
    past.close()


def _noted(file: Path) -> int:
    """Answers in a history."""
    with closing(sqlite3.connect(file)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM answers").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def test_a_server_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An endpoint that cannot be reached is exit code 2 and one sentence."""
    words = ("watch", "openai:http://127.0.0.1:9/v1#m", "--history", tmp_path / "h.db", "--timeout", 1)
    code, _, err = run(*words, monkeypatch=monkeypatch, capsys=capsys)

    assert code == 2
    assert err.count("\n") == 1
