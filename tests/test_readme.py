"""The README cannot lie: what it shows is run here, in its order, in one empty folder. See `blocks`."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from blocks import Block, blocks_of
from probe_match.fingerprinting.cli import cli

README = Path(__file__).resolve().parents[1] / "README.md"


def paths(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command below this one, with the words that call it."""
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=words[-1] if words else "probe-match")
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield " ".join((*words, name)), below
            yield from paths(below, (*words, name))


def understood(line: str) -> str:
    """Parse a command line without running it, and say which command it calls. Raises click.UsageError."""
    words = shlex.split(line, comments=True)
    for i, word in enumerate(words):
        if word in ("|", "||", "&&", ">", ">>", "<", "2>", "&"):
            words = words[:i]
            break
    command: click.Command = cli
    context = click.Context(cli, info_name="probe-match", **cli.context_settings)
    called = []
    args = words[1:]
    while True:
        _, rest, _ = command.make_parser(context).parse_args(list(args))
        if not isinstance(command, click.Group) or not rest:
            return " ".join(called)
        name, below, args = command.resolve_command(context, rest)
        assert below is not None
        called.append(name or "")
        command, context = below, click.Context(below, info_name=name, parent=context)


TEXT = README.read_text(encoding="utf-8")
BLOCKS = list(blocks_of(TEXT))
COMMANDS = list(paths(cli))

each_command = pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[words for words, _ in COMMANDS])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader begins: nothing there yet."""
    return tmp_path_factory.mktemp("readme")


def test_comments_above_a_block_are_read() -> None:
    """Language, expectations and commands come out of the text as written, and other blocks are left alone."""
    text = (
        "Text.\n\n<!-- shows: a\nb -->\n<!-- exit: 3 -->\n\n```console\n$ probe-match x \\\n    --y\nout\n$ ls\n```\n"
        "```text\n$ probe-match no\n```\n<!-- not run: needs a host -->\n```python\nprint()\n```\n"
    )
    console, python = blocks_of(text)

    assert (console.line, console.kind, console.exit, console.shows) == (7, "console", 3, ("a\nb",))
    assert console.commands == ["probe-match x      --y"]
    assert (python.kind, python.exit, python.not_run, python.body) == ("python", 0, "needs a host", "print()\n")


def test_there_is_something_to_run() -> None:
    """The README shows the command line and the library at work."""
    assert {block.kind for block in BLOCKS if not block.not_run} == {"console", "python"}
    assert any("probe-match demo" in command for block in BLOCKS for command in block.commands)


@pytest.mark.parametrize("block", BLOCKS, ids=[f"line-{block.line}" for block in BLOCKS])
def test_blocks_do_what_they_show(block: Block, folder: Path) -> None:
    """Commands end with the exit code the README says, and print what it marks."""
    if block.not_run:
        pytest.skip(f"README line {block.line}: {block.not_run}")
    here = {"HOME": str(folder), "XDG_DATA_HOME": str(folder / "share")}
    environment = os.environ | here | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    programs = [["sh", "-c", command] for command in block.commands]
    if block.kind == "python":
        (folder / "block.py").write_text(block.body, encoding="utf-8")
        programs = [[sys.executable, "block.py"]]
    printed = ""
    for program in programs:
        done = subprocess.run(
            program, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False
        )
        printed += done.stdout + done.stderr

        assert done.returncode == block.exit, f"{program[-1]}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    for text in block.shows:
        assert text in printed
        assert block.kind == "python" or text in block.body


@pytest.mark.parametrize(
    "line",
    sorted({command for block in BLOCKS for command in block.commands}),
)
def test_every_command_shown_is_understood(line: str) -> None:
    """Commands that are not run exist too, with the options they are given."""
    assert understood(line) in dict(COMMANDS) | {"": None}


def test_a_wrong_option_is_not_understood() -> None:
    """The check above can fail."""
    with pytest.raises(click.UsageError):
        understood("probe-match match x.onnx --no-such-option")
    assert understood("probe-match https://host/v2/models/m --budget 5 | head") == "match"


@each_command
def test_every_command_has_help_with_an_example_that_works(words: str, command: click.Command) -> None:
    """`--help` says what a command does, what each option is for, and shows uses that parse."""
    text = command.help or ""
    examples = [line.strip() for line in text.partition("Example")[2].splitlines() if "probe-match " in line]
    silent = [option.opts[0] for option in command.params if isinstance(option, click.Option) and not option.help]

    assert len(text.partition("Example")[0].split()) >= 4
    assert examples
    assert {understood(example).startswith(words) for example in examples} == {True}
    assert silent == []


@each_command
def test_every_command_is_in_the_readme(words: str, command: click.Command) -> None:
    """Nothing has to be found by chance: the README shows `probe-match x` or names `x` in code."""
    assert f"probe-match {words}" in TEXT or f"`{words}" in TEXT, f"README.md never mentions {words}: {command.help}"
