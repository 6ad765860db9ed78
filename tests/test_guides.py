"""The guides cannot lie: every block of docs/guides is run here, in the order of the index, in one folder."""

import contextlib
import io
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from blocks import Block, blocks_of
from click.testing import CliRunner
from probe_match.fingerprinting.cli import cli
from test_readme import understood

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
NAMES = re.findall(r"^guides/(\S+)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
BLOCKS = [
    (name, block) for name in NAMES for block in blocks_of((DOCS / f"guides/{name}.md").read_text(encoding="utf-8"))
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a reader begins, and goes on from one guide to the next; modules saved there can be imported."""
    where = tmp_path_factory.mktemp("guides")
    sys.path.insert(0, str(where))
    yield where
    sys.path.remove(str(where))


@pytest.mark.parametrize(("name", "block"), BLOCKS, ids=[f"{name}-{block.line}" for name, block in BLOCKS])
def test_blocks_do_what_they_show(name: str, block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are saved, programs end well, commands end with the exit code the guide says, and print what it marks."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "share"))
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # starting processes takes longer than so little training
    for line in block.commands:
        understood(line)
    if block.not_run:
        pytest.skip(f"{name}: {block.not_run}")
    if block.file:
        (folder / block.file).write_text(block.body, encoding="utf-8")
        return
    printed = ""
    if block.kind == "python":
        written = io.StringIO()
        with contextlib.redirect_stdout(written):
            exec(compile(block.body, f"{name}.md", "exec"), {"__name__": "guide"})
        printed = written.getvalue()
    for line in block.commands:
        done = CliRunner().invoke(cli, shlex.split(line)[1:])
        printed += done.output

        assert done.exit_code == block.exit, f"{line}\n{done.output}\n{done.exception!r}"
    for text in block.shows:
        assert text in printed


def test_every_guide_is_in_the_index() -> None:
    """No guide is left out of the site, and each runs something."""
    assert sorted(NAMES) == sorted(path.stem for path in (DOCS / "guides").glob("*.md"))
    assert {name for name, block in BLOCKS if not block.not_run} == set(NAMES)
