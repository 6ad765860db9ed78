"""Erased answers are gone from the disk, what is left can be checked, and probes are looked at for personal data."""

import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from probe_match.fingerprinting import cli, ledger_states, recordings, registry
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.compliance import forgetting, personal
from probe_match.fingerprinting.compliance.settings import Retention
from probe_match.fingerprinting.errors import DatabaseError, UsageError
from probe_match.fingerprinting.ledger import open_ledger, read_ledger

SECRET = b"Erika Mustermann, Heidestrasse 17"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger of three questions: one answered, one failed with a reason, one in doubt."""
    path = tmp_path / "suspect.ledger"
    with open_ledger(path, target="oip:http://127.0.0.1/m") as opened:
        for i, kind in enumerate(("answered", "failed", "doubt")):
            sent = opened.add("sent", {"keys": [f"k{i}"], "nth": [0], "cost": [1, 0, 0.0]})
            about = {"requests": [], "cost": [1, 0, 0.0], "why": SECRET.decode()}
            packed = ledger_states.pack(Answers(np.array([7]), None)) + SECRET
            opened.add(kind, about, of=sent, answer=packed if kind == "answered" else b"", raw=SECRET)
        opened.sync()
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """`probe-match` with these words: exit code, and what it said."""

    def call(*words: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["probe-match", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out + said.err

    return call


def test_what_was_answered_is_gone_and_what_was_asked_stays(ledger: Path, run: Any) -> None:
    """No byte of an answer is left in the file; questions, times and costs are, and word of what was erased."""
    assert SECRET in ledger.read_bytes()
    code, said = run("forget", ledger, "--why", "request of Tuesday")
    with read_ledger(ledger) as opened:
        kinds = [entry.kind for entry in opened.entries()]
        memory = ledger_states.remember(opened)

        assert opened.forgotten == "request of Tuesday"
    assert (code, said) == (0, f"forgot 3 answers in {ledger}\n")
    assert SECRET not in ledger.read_bytes()
    assert [file.name for file in ledger.parent.iterdir()] == [ledger.name]
    assert kinds == ["opened", "sent", "answered", "sent", "failed", "sent", "doubt", "forgotten"]
    assert memory.spent.queries == 3


def test_nothing_is_decided_or_asked_on_erased_answers(ledger: Path) -> None:
    """A later match from such a ledger is refused, and so is going on with it; forgetting twice does no harm."""
    forgetting.forget_ledger(ledger, "so")
    with pytest.raises(DatabaseError, match="were erased"):
        recordings.recorded(ledger)
    with pytest.raises(UsageError, match="give another --ledger"):
        open_ledger(ledger, target="oip:http://127.0.0.1/m")

    assert forgetting.forget_ledger(ledger, "again") == 0
    assert forgetting.erased(ledger)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entries SET about = replace(about, '[1,0,0.0]', '[9,0,0.0]') WHERE seq = 3",  # what is left
        "UPDATE entries SET about = replace(about, 'k1', 'kx') WHERE seq = 4",
        "UPDATE entries SET answer = x'' , raw = x'' WHERE kind = 'sent'; UPDATE entries SET at = 0 WHERE seq = 2",
        "UPDATE entries SET about = replace(about, 'so', 'no') WHERE kind = 'forgotten'",
        "DELETE FROM entries WHERE kind = 'forgotten'",
        "UPDATE entries SET raw = 'back' WHERE seq = 3",
        "UPDATE entries SET raw = x'00' WHERE seq = 3",
    ],
)
def test_the_chain_holds_after_forgetting(ledger: Path, change: str) -> None:
    """Every other change, and a change of what is left of an erased entry, is noticed as before."""
    forgetting.forget_ledger(ledger, "so")
    with closing(sqlite3.connect(ledger, isolation_level=None)) as connection:
        connection.executescript(change.replace("[1,0,0.0]", json.dumps([1, 0, 0.0], separators=(",", ":"))))
    connection.close()

    with pytest.raises(DatabaseError, match="was changed after it was written"):
        read_ledger(ledger)


def test_answers_are_kept_no_longer_than_the_retention_unless_on_hold(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An audit's old ledgers lose their answers and are put aside; a hold keeps them, and young ones stay."""
    folder = tmp_path / "answers"
    folder.mkdir()
    old = folder / "old.ledger"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 91 * 86400)
    with open_ledger(old, target="t") as opened:
        sent = opened.add("sent", {"keys": ["k"], "nth": [0], "cost": [1, 0, 0.0]})
        opened.add("answered", {"requests": [], "cost": [1, 0, 0.0]}, of=sent, answer=SECRET, raw=SECRET)
    monkeypatch.undo()
    shutil.copy(ledger, folder / "young.ledger")

    assert forgetting.sweep(folder, Retention(hold="case 12")) == []
    assert forgetting.sweep(folder, Retention(days=100)) == []
    moved = forgetting.sweep(folder, Retention())
    assert [path.name.split("-")[0] for path in moved] == ["old.forgotten"]
    assert SECRET not in moved[0].read_bytes()
    assert sorted(path.suffix for path in folder.iterdir())[-1] == ".ledger"
    assert forgetting.sweep(folder, Retention()) == []


def test_older_and_dry_runs_leave_the_rest(ledger: Path, run: Any) -> None:
    """`--older-than` spares what is younger, and `--dry-run` erases nothing."""
    assert run("forget", ledger.parent, "--older-than", "1") == (0, "")
    code, said = run("forget", ledger.parent, "--dry-run")

    assert (code, said.startswith("would forget")) == (0, True)
    assert SECRET in ledger.read_bytes()
    assert run("forget", ledger.parent / "none")[0] == 2


TEXTS = {
    "e-mail address": "write to erika.mustermann@web.de today",
    "bank account": "to DE89 3704 0044 0532 0130 00 please",
    "card number": "card 4111 1111 1111 1111",
    "telephone number": "call +49 30 1234567 now",
    "social security number": "it is 123-45-6789",
    "secret key": "sk-abcdefghijklmnopqrstuvwx",
}


def test_what_looks_like_personal_data_is_named_and_not_repeated() -> None:
    """Each kind is found, by its check digits where it has some; near misses are not, and only the ends are shown."""
    found = {one.kind: one for one in personal.find(TEXTS.values())}
    misses = [
        "4111 1111 1111 1112",
        "DE00 3704 0044 0532 0130 00",
        "user@example.com",
        "1.23456789012345678",
        "2026-11-25",
    ]

    assert set(found) == set(TEXTS)
    assert all(len(one.shown) == 5 for one in found.values())
    assert list(personal.find(misses)) == []


def test_no_question_of_ours_holds_personal_data() -> None:
    """All families of questions to language models, some seeds of each, pass the check."""
    for name in registry.available("probes"):
        if name.startswith("chat") and name not in ("chat_keys", "chat_suffixes"):  # the user's own
            module = registry.load("probes", name)
            for seed in (0, 1):
                bank = module.generate(n=16, seed=seed)
                assert list(personal.find(q.text for q in bank.questions)) == [], (name, seed)
