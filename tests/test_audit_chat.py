"""Language models in an audit: identified as match does, on a real server on loopback."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from chat_models import Habits
from chat_server import scripted
from click.testing import CliRunner
from probe_match.fingerprinting import cli
from probe_match.fingerprinting.chat import shelf
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.records import About


def test_language_models_are_audited_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A denied model is a violation, its ledger answers a second audit, and a dry run says what a question costs."""
    habits, db, names = Habits(), tmp_path / "r.db", [f"known-{i}" for i in range(40)]
    with scripted(habits) as server:
        target = f"openai:{server.url}/v1#known-0"
        words = ["enroll", target, "--name", names[0], "-q", "--language", "en", "--language", "de", "--cells", "10"]
        assert CliRunner().invoke(cli.cli, [*words, "--db", str(db), "--license", "llama-3.1"]).exit_code == 0
        with open_db(db) as references:
            bank = shelf.get(references, names[0]).bank
            terms = {"known-3": "LicenseRef-scancode-llama-3.1-license-2024"}
            made = [replace(habits.reference(n, bank, 20), about=About(license=terms.get(n, "MIT"))) for n in names[1:]]
            shelf.add(references, made)
        settings = tmp_path / "audit.toml"
        settings.write_text(
            f'[policy]\nallow = ["MIT"]\ndeny = ["llama-3.1"]\n[[endpoint]]\nname = "bad"\n'
            f'target = "openai:{server.url}/v1#known-3"\n[[endpoint]]\nname = "good"\n'
            f'target = "openai:{server.url}/v1#known-5"\nmodel = "known-5"\n'
        )
        asked = []
        for file in ("first.json", "again.json"):
            told = ["audit", settings, "--db", db, "--ledger", tmp_path / "l", "--json", tmp_path / file, "-q"]
            monkeypatch.setattr(sys, "argv", ["probe-match", *map(str, told)])
            with pytest.raises(SystemExit) as stopped:
                cli.main()
            asked.append(len(server.asked))
            assert stopped.value.code == 1
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["probe-match", "audit", str(settings), "--db", str(db), "--dry-run"])
        with pytest.raises(SystemExit):
            cli.main()
    first, again = (json.loads((tmp_path / file).read_text())["endpoints"] for file in ("first.json", "again.json"))

    assert [one["outcome"] for one in first] == [one["outcome"] for one in again] == ["violation", "compliant"]
    assert first[0]["verdict"]["reference"] == "known-3"
    assert asked[0] == asked[1] == len(server.asked)
    assert "tokens" in capsys.readouterr().out
