"""`probe-match ledger`: what a ledger holds, and every query in doubt, for people and machines."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from probe_match.clients.function import FunctionClient
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.audits import Audit
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.collect import collect
from probe_match.fingerprinting.guards import GuardedClient
from probe_match.fingerprinting.ledger import open_ledger
from samples import make_suite

SUITE = make_suite(n=9)
TARGET = "function:m\x1b[31m"


def asked(path: Path, dies: bool) -> Path:
    """A ledger of nine queries, sent three at a time; where it dies, the second three never came back."""
    client = FunctionClient(lambda x: np.zeros(len(x), int), TARGET)
    client.batch = 3
    seen = [0]
    whole = client.ask

    def ask(inputs: np.ndarray) -> Answers:
        seen[0] += 1
        if dies and seen[0] == 2:
            raise KeyboardInterrupt
        return whole(inputs)

    client.ask = ask  # type: ignore[method-assign]
    kept = Audit(open_ledger(path, target=TARGET))
    with contextlib.suppress(KeyboardInterrupt):
        collect(GuardedClient(client, kept), SUITE)
    kept.close()
    return path


def test_every_query_in_doubt_is_listed_with_its_cost(tmp_path: Path) -> None:
    """Three queries that went together, when they left, and what they may have cost; no escape is live, exit code 3."""
    result = CliRunner().invoke(cli, ["ledger", str(asked(tmp_path / "a", dies=True))])

    assert result.exit_code == 3
    assert "3 answered, 3 in doubt; 6 queries at most" in result.output
    lines = [line for line in result.output.splitlines() if line.startswith("in doubt")]
    assert len(lines) == 3
    assert all("at most 3 queries together with 2 more" in line for line in lines)
    assert "\x1b" not in result.output


def test_machines_read_the_same(tmp_path: Path) -> None:
    """JSON names the entry, the key and the cost of each."""
    out = tmp_path / "doubts.json"
    result = CliRunner().invoke(cli, ["ledger", str(asked(tmp_path / "a", dies=True)), "--json", str(out)])
    told = json.loads(out.read_text())

    assert result.exit_code == 3
    assert (told["schema"], told["answered"], len(told["in_doubt"])) == ("probe-match/ledger-state/1", 3, 3)
    assert len({doubt["key"] for doubt in told["in_doubt"]}) == 3
    assert {doubt["cost"]["queries"] for doubt in told["in_doubt"]} == {3}


def test_a_whole_ledger_has_none(tmp_path: Path) -> None:
    """All answered: exit code 0 and one line."""
    result = CliRunner().invoke(cli, ["ledger", str(asked(tmp_path / "a", dies=False))])

    assert result.exit_code == 0
    assert result.output.count("\n") == 1
    assert "9 answered; 9 queries" in result.output


@pytest.mark.parametrize("content", [None, b"nonsense"])
def test_what_is_no_ledger_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    """A missing file and another file are told in one line, exit code 2."""
    path = tmp_path / "a"
    if content is not None:
        path.write_bytes(content)
    result = CliRunner().invoke(cli, ["ledger", str(path)])

    assert result.exit_code != 0
    assert "ledger" in str(result.exception)
