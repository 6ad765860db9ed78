"""`probe-match db`, as a user sees it."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.commands._options import default_db
from probe_match.fingerprinting.commands._printing import printable
from probe_match.fingerprinting.commands.db import db as db_group
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.errors import DatabaseError
from samples import make_reference, make_suite

Run = Callable[..., Result]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of two references."""
    path = tmp_path / "references.db"
    with open_db(path, create=True) as db:
        db.add(make_reference("s0", 0, make_suite(9), license="MIT", date="2026-01-02", note="first"))
        db.add(make_reference("a much longer name", 1, parent="s0", role="derived"))
    return path


@pytest.fixture
def run(path: Path) -> Run:
    """The command with that database."""
    return lambda *arguments: CliRunner().invoke(cli, ["db", *arguments, "--db", str(path)])


def test_list_is_a_table(run: Run) -> None:
    """One line per reference under its titles, columns aligned, digests short."""
    result = run("list")
    lines = result.stdout.splitlines()

    assert result.exit_code == 0
    assert len(lines) == 3
    assert [line[: len("a much longer name")].strip() for line in lines] == ["name", "a much longer name", "s0"]
    for title, value in (("license", "MIT"), ("input", "image 2x2"), ("probes", "5"), ("date", "2026-01-02")):
        assert lines[2][lines[0].index(title) :].startswith(value)
    assert lines[1][lines[0].index("parent") :].startswith("s0")
    assert max(len(word) for line in lines for word in line.split()) <= 10


def test_list_as_json_is_an_array(run: Run, path: Path) -> None:
    """Programs get everything the listing knows, digests whole."""
    entries = json.loads(run("list", "--json").stdout)

    with open_db(path) as db:
        assert entries == db.headers()
    assert [entry["name"] for entry in entries] == ["a much longer name", "s0"]


def test_an_empty_list_says_what_to_do(tmp_path: Path) -> None:
    """No reference is no error: text says how to add one, JSON is an empty array."""
    path = str(tmp_path / "empty.db")
    open_db(path, create=True).close()

    assert "probe-match enroll" in CliRunner().invoke(cli, ["db", "list", "--db", path]).stdout
    assert json.loads(CliRunner().invoke(cli, ["db", "list", "--json", "--db", path]).stdout) == []


def test_show_tells_all_about_one_reference(run: Run) -> None:
    """Text and JSON agree, and what is not known is left out of the text."""
    text = run("show", "s0").stdout
    told = dict(line.split(":", 1) for line in text.splitlines())
    entry = json.loads(run("show", "s0", "--json").stdout)

    assert {key: value.strip() for key, value in told.items()} == {
        **{key: str(value) for key, value in entry.items() if value not in (None, []) and key != "input"},
        "input": "image 2x2",
    }
    assert (entry["note"], entry["answered"], entry["peers"], entry["shadows"]) == ("first", 5, 2, 1)


def test_show_of_an_unknown_name_is_our_error(run: Run) -> None:
    """The caller prints our errors; nothing is printed here."""
    result = run("show", "s9")

    assert isinstance(result.exception, DatabaseError)
    assert "did you mean s0" in str(result.exception)
    assert result.output == ""


def test_remove_removes(run: Run, path: Path) -> None:
    """A removed reference is gone and the others are not."""
    assert run("remove", "s0").stdout == f"removed s0 from {path}\n"
    assert [entry["name"] for entry in json.loads(run("list", "--json").stdout)] == ["a much longer name"]
    assert isinstance(run("remove", "s0").exception, DatabaseError)


def test_verify_exits_0_when_all_is_well(run: Run, path: Path) -> None:
    """A whole database is said to be whole."""
    result = run("verify")

    assert (result.exit_code, result.stdout) == (0, f"all well: 2 references in {path}\n")


def test_verify_exits_2_with_one_line_per_damaged_row(run: Run, path: Path) -> None:
    """Every damaged row has a line."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE bodies SET data = zeroblob(10)")
    connection.close()
    result = run("verify")

    assert result.exit_code == 2
    assert sorted(result.stdout.splitlines()) == [
        "row 'a much longer name' of table bodies is damaged",
        "row 's0' of table bodies is damaged",
    ]


@pytest.mark.parametrize("name", ["list", "verify", "show", "remove"])
def test_a_missing_database_is_our_error(name: str, tmp_path: Path) -> None:
    """No command makes a database by being mistyped."""
    arguments = [name, *(["s0"] if name in ("show", "remove") else []), "--db", str(tmp_path / "none.db")]
    result = CliRunner().invoke(cli, ["db", *arguments])

    assert isinstance(result.exception, DatabaseError)
    assert list(tmp_path.iterdir()) == []


def test_text_from_outside_cannot_move_the_cursor(tmp_path: Path) -> None:
    """Colours, line breaks and reversed text in what others wrote are not passed on to a terminal."""
    path = str(tmp_path / "hostile.db")
    with open_db(path, create=True) as db:
        db.add(make_reference("s0", license="MIT\x1b[2J\nall well", note="a\u202eb\rc", parent="\x9b31m"))
    for arguments in (["list"], ["show", "s0"], ["list", "--json"], ["show", "s0", "--json"]):
        output = CliRunner().invoke(cli, ["db", *arguments, "--db", path]).stdout

        assert all(line.isprintable() for line in output.split("\n"))
        assert not any(line.startswith("all well") for line in output.split("\n"))


def test_printable_keeps_what_people_read() -> None:
    """Letters of any script stay."""
    assert printable("Größe 模型 ✓ a\tb") == "Größe 模型 ✓ a b"


def test_the_default_follows_the_desktop_standard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The data folder of the user's desktop if it is set and absolute, else the usual one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    usual = str(tmp_path / ".local/share/probe-match/references.db")

    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_db() == usual
    monkeypatch.setenv("XDG_DATA_HOME", "relative/data")
    assert default_db() == usual
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_db() == str(tmp_path / "data/probe-match/references.db")


def test_the_default_is_used(monkeypatch: pytest.MonkeyPatch, path: Path, tmp_path: Path) -> None:
    """Without --db the user's own database is read."""
    (tmp_path / "probe-match").mkdir()
    path.rename(tmp_path / "probe-match" / "references.db")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    assert len(json.loads(CliRunner().invoke(cli, ["db", "list", "--json"]).stdout)) == 2


@pytest.mark.parametrize("name", ["list", "show", "remove", "verify"])
def test_every_command_has_help_with_examples(name: str) -> None:
    """Help says what a command does, what it takes, and how it is called."""
    result = CliRunner().invoke(cli, ["db", name, "--help"])

    assert result.exit_code == 0
    assert f":\n    probe-match db {name}" in result.stdout
    assert "--db FILE" in result.stdout
    assert isinstance(db_group, click.Group)
    assert name in db_group.commands


def test_help_loads_nothing_heavy() -> None:
    """Help is fast because neither numpy nor SQLAlchemy is imported for it."""
    program = (
        "import sys; from click.testing import CliRunner; from probe_match.fingerprinting.cli import cli\n"
        "assert CliRunner().invoke(cli, ['db', 'list', '--help']).exit_code == 0\n"
        "print([m for m in ('numpy', 'sqlalchemy', 'sklearn', 'torch') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=os.environ)

    assert told.stdout == "[]\n"
