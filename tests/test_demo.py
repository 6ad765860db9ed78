"""The main job, from theft to verdict, over real HTTP, by the program that users install."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from installed import Installed, installed, wheel

__all__ = ["installed", "wheel"]  # fixtures


@pytest.fixture(scope="module")
def folder(installed: Installed) -> Path:
    """Where the installed demo has been run with seed 0, with what it printed in `out`, `err` and `code`."""
    done = installed.run("probe-match", "demo", "--seed", "0", "--json", "verdicts.json", "--html", "report.html")
    (installed.empty / "out").write_text(done.stdout)
    (installed.empty / "err").write_text(done.stderr)
    (installed.empty / "code").write_text(str(done.returncode))
    return installed.empty


@pytest.fixture
def story(folder: Path) -> dict[str, Any]:
    """What it wrote for machines."""
    return json.loads((folder / "verdicts.json").read_text())


def test_it_ends_well(folder: Path) -> None:
    """Exit code 0: the thief is found and nobody else accused; stderr stays empty, and no other file is made."""
    assert (folder / "code").read_text() == "0"
    assert (folder / "err").read_text() == ""
    made = {file.name for file in folder.iterdir() if not file.name.startswith(".")}  # it is the home folder, too
    assert made == {"verdicts.json", "report.html", "out", "err", "code"}


def test_the_thief_is_found_and_nobody_is_accused(story: dict[str, Any]) -> None:
    """One match among six endpoints, and it is the thief's."""
    decided = {e["name"]: e["verdict"]["decision"] for e in story["endpoints"]}
    roles = {e["name"]: e["role"] for e in story["endpoints"]}

    assert sorted(roles.values()) == ["honest"] * 5 + ["thief"]
    for name, role in roles.items():
        assert (decided[name] == "match") == (role == "thief")


def test_json_is_the_promised_schema(story: dict[str, Any]) -> None:
    """probe-match/demo/1 around verdicts of probe-match/verdict/1."""
    assert list(story) == ["schema", "seed", "endpoints"]
    assert (story["schema"], story["seed"]) == ("probe-match/demo/1", 0)
    for endpoint in story["endpoints"]:
        verdict = endpoint["verdict"]

        assert list(endpoint) == ["name", "role", "verdict"]
        assert verdict["schema"] == "probe-match/verdict/1"
        assert verdict["target"].startswith("oip:http://127.0.0.1:")
        assert verdict["target"].endswith(endpoint["name"])
        assert (verdict["reference"] is not None) == (verdict["decision"] == "match")
        assert 0 < verdict["matches"][0]["p_value"] <= 1


def test_every_endpoint_is_asked_at_most_fifty_questions(story: dict[str, Any]) -> None:
    """What was sent and what stopping saved make the budget, and every question was answered."""
    for endpoint in story["endpoints"]:
        queries = endpoint["verdict"]["queries"]

        assert 10 <= queries["sent"] == queries["answered"] <= 50
        assert queries["sent"] + queries["saved_by_stopping"] == 50


def test_the_table_tells_each_verdict_and_the_truth(folder: Path, story: dict[str, Any]) -> None:
    """A line per endpoint with its verdict, p-value and questions, and the one-sentence why below it."""
    lines = (folder / "out").read_text().splitlines()
    text = " ".join(" ".join(lines).split())
    for endpoint in story["endpoints"]:
        verdict = endpoint["verdict"]
        [line] = [line for line in lines if line.startswith(endpoint["name"] + " ")]

        assert verdict["decision"].upper() in line
        assert f" {verdict['queries']['sent']} " in line
        assert f"{verdict['matches'][0]['p_value']:.2g}" in line
        assert " ".join(verdict["why"].split()) in text
    assert "thief" in text


def test_the_page_has_a_plot_per_endpoint(folder: Path, story: dict[str, Any]) -> None:
    """Well-formed pictures with a dot per honest model of the cohort, and no word of who the thief is."""
    page = (folder / "report.html").read_text()
    plots = [part.partition("</svg>")[0] + "</svg>" for part in page.split('<svg class="strip"')[1:]]

    assert len(plots) == 6
    for endpoint, plot in zip(story["endpoints"], plots, strict=True):
        root = ElementTree.fromstring('<svg class="strip"' + plot)
        dots = [mark for mark in root.iter() if mark.get("class") == "honest"]

        assert len(dots) == endpoint["verdict"]["cohort"]
        assert endpoint["name"] in page
    assert "<script" not in page
