"""Family trees of language models: by their answers alone, and on the command line."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_models import Habits
from chat_server import Asked, Said, Scripted, completion, scripted
from click.testing import CliRunner
from probe_match.fingerprinting.chat import known as knowing
from probe_match.fingerprinting.chat import shelf
from probe_match.fingerprinting.chat.known import peers
from probe_match.fingerprinting.chat.records import OFF_FORM, ChatReference, Counts
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.lineage import report, spoken, spoken_nearness
from probe_match.fingerprinting.lineage.growing import Lineage
from probe_match.fingerprinting.records import About
from probe_match.probes import chat_words

BANK = chat_words.generate(n=10, seed=0, languages=("en", "de"))


def references(many: int = 40) -> dict[str, ChatReference]:
    """Strangers, and a second name of the first of them, asked again."""
    out = {f"known-{i}": Habits().reference(f"known-{i}", BANK, 20) for i in range(many)}
    return out | {"again": replace(Habits(seed=1).reference("known-0", BANK, 20), name="again")}


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted(Habits(seed=2)) as running:
        yield running


@pytest.fixture
def stocked(tmp_path: Path) -> Path:
    path = tmp_path / "r.db"
    with open_db(path, create=True) as db:
        shelf.add(db, list(references().values()))
    return path


def run(*words: str) -> Any:
    result = CliRunner().invoke(cli, ["lineage", *words, "--json", "-q"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_two_names_of_one_model_are_linked_and_strangers_are_not() -> None:
    """Without a word on it, either may be the parent."""
    tree = spoken.grow(references(), {})

    assert [{link.parent, link.child} for link in tree.links] == [{"known-0", "again"}]
    assert not tree.links[0].directed
    assert tree.links[0].support > 0.9
    assert len(report.alone(tree)) == 39


def test_what_the_database_says_is_drawn_and_gives_direction() -> None:
    """A stated parent is believed, whatever the answers say."""
    known = references()
    known["again"] = replace(known["again"], about=About(parent="known-0"))
    known["known-2"] = replace(known["known-2"], about=About(parent="known-1"))
    tree = spoken.grow(known, {})

    assert {(link.parent, link.child, link.directed, link.stated) for link in tree.links} == {
        ("known-0", "again", True, True), ("known-1", "known-2", True, True)
    }  # fmt: skip
    assert next(link.p for link in tree.links if link.child == "known-2") > 0.05


def test_pairs_score_as_they_do_when_one_is_matched() -> None:
    """Question by question and all at once are the same sum."""
    counts = {name: one.counts for name, one in references().items()}
    known = knowing.know(counts)
    likeness, bonus = knowing._compared(known, known.table.asked.max(0), np.random.default_rng(0))
    whole = peers(likeness, known.who) + bonus
    cells = known.table.cells
    shared = spoken_nearness.share(list(counts.values()), counts, cells)
    off = ~np.eye(len(counts), dtype=bool)

    assert np.allclose(spoken_nearness.among(shared, np.ones(len(cells)))[off], ((whole + whole.T) / 2)[off], atol=1e-4)


def test_few_references_are_refused() -> None:
    """With six models nobody knows how near strangers come."""
    with pytest.raises(BadData, match="at least 8 language models"):
        spoken.grow(references(5), {})


def test_endpoints_hang_on_the_reference_they_answer_as(stocked: Path, server: Scripted) -> None:
    """A known model below its reference, a stranger beside all trees; the budget is kept."""
    targets = [f"openai:{server.url}/v1#{name}" for name in ("known-3", "stranger")]
    data = run(*targets, "--db", str(stocked), "--budget", "60")
    links = {(link["parent"], link["child"], link["directed"]) for link in data["links"]}

    assert ("known-3", targets[0], True) in links
    assert targets[1] in data["unrelated"]
    assert data["access"] == "text"
    assert len(server.asked) <= 120


def test_endpoints_are_read_with_what_they_answer_off_the_form(stocked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an endpoint says instead of a word reaches the tree, which leaves it out only where references tell none."""
    seen: list[Counts] = []
    grow, habits, turns = spoken.grow, Habits(seed=2), itertools.count()

    def watched(known: dict[str, ChatReference], suspects: dict[str, Counts], **values: Any) -> Lineage:
        seen.extend(suspects.values())
        return grow(known, suspects, **values)

    def hedging(asked: Asked) -> Said:
        if asked.body is None or next(turns) % 5:
            return habits(asked)
        return Said(completion("Well, nobody ever wanted something like that from myself!", model="known-3"))

    monkeypatch.setattr(spoken, "grow", watched)
    with scripted(hedging) as server:
        run(f"openai:{server.url}/v1#known-3", "--db", str(stocked), "--budget", "60")

    assert sum(some.get(OFF_FORM, 0) for some in seen[0].values()) == 12


def test_a_dry_run_says_what_asking_costs_and_asks_nothing(stocked: Path, server: Scripted) -> None:
    """A line for each endpoint; no tree is drawn, and none without an endpoint that speaks."""
    targets = [f"openai:{server.url}/v1#{name}" for name in ("known-3", "stranger")]
    words = ["--db", str(stocked), "--budget", "60", "--dry-run", "--price", "1/2"]
    told = CliRunner().invoke(cli, ["lineage", *targets, *words])
    refused = [
        ("compared with those of a database", ["lineage", *words]),
        ("compared with those of a database", ["lineage", "--db", str(stocked), "--price", "1/2"]),
        ("are for language models", ["lineage", "function:math:sqrt", *words]),
    ]

    assert told.exit_code == 0
    assert [line.split(": 60 questions")[0] for line in told.output.splitlines()] == targets
    assert "about $0.00" in told.output
    assert not any(asked.body for asked in server.asked)
    for why, wrong in refused:
        result = CliRunner().invoke(cli, wrong)
        assert (result.exit_code, why in result.output) == (2, True), result.output


def test_references_alone_are_drawn_by_every_format(stocked: Path, tmp_path: Path) -> None:
    """Some of them by name as well."""
    page = tmp_path / "t.html"
    whole = run("--db", str(stocked), "--html", str(page))
    some = run("--db", str(stocked), *(word for i in range(1, 10) for word in ("--reference", f"known-{i}")))
    newick = CliRunner().invoke(cli, ["lineage", "--db", str(stocked), "--format", "newick"])

    assert {*whole["links"][0].values()} >= {"known-0", "again"}
    assert len(some["models"]) == 9
    assert not some["links"]
    assert newick.output.count(";") == 40
    assert "models of other families" in page.read_text()
