"""Verdicts as text, JSON, page and plot: complete, stable, and harmless whatever they name."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import jinja2
import pytest
from probe_match.fingerprinting import pages, report
from probe_match.fingerprinting.plots import score_strip
from probe_match.fingerprinting.records import Match, Verdict

NASTY = "<script>alert('x')</script>\x1b[31m\r\n\x00\u202e&amp;\""
VERDICT = Verdict(
    target="oip:http://host/v2/models/digits", decision="match", reference="s0", relation="derived", alpha=0.01,
    method="relative", suite="sha256:ab", access="label",
    matches=(Match("s0", 7.1, 23.4, 0.003, 0.026, "derived"), Match("s1", 1.5, -2.0, 0.4, 0.5)),
    sent=38, answered=37, saved=12, coverage=37 / 38, cohort=39, nearest_peer=("p4", 2.2), why="Because.",
    honest=(-1.0, 0.0, 2.2), derived=(5.0, 8.0),
)  # fmt: skip
HOSTILE = replace(
    VERDICT, target=NASTY, reference=NASTY, why=f"The responses came from '{NASTY}'.", nearest_peer=(NASTY, 1.0),
    matches=(replace(VERDICT.matches[0], reference=NASTY),),
)  # fmt: skip
BARE = replace(
    VERDICT, decision="inconclusive", reference=None, relation=None, matches=(), nearest_peer=None, honest=(), cohort=0
)


class Page(HTMLParser):
    """The tags and the text of a page, and whether every tag is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Opened, unless it never closes."""
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """Opened and closed at once."""
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Closed in its turn."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """What a reader sees."""
        if "style" not in self.open:
            self.text += data


def page_of(*verdicts: Verdict) -> str:
    """The page of these verdicts."""
    return report.to_html([(v.target, v) for v in verdicts], title="A title", intro="An intro")


def test_json_is_the_promised_schema() -> None:
    """Exactly the keys of probe-match/verdict/1, in their order, with the verdict's own values."""
    data = report.to_json(VERDICT)

    assert data == {
        "schema": "probe-match/verdict/1",
        "target": "oip:http://host/v2/models/digits",
        "decision": "match",
        "reference": "s0",
        "relation": "derived",
        "alpha": 0.01,
        "method": "relative",
        "suite": "sha256:ab",
        "access": "label",
        "information": "",
        "matches": [
            {"reference": "s0", "score": 7.1, "llr": 23.4, "p_value": 0.003, "p_conformal": 0.026},
            {"reference": "s1", "score": 1.5, "llr": -2.0, "p_value": 0.4, "p_conformal": 0.5},
        ],
        "queries": {"sent": 38, "answered": 37, "saved_by_stopping": 12},
        "coverage": 37 / 38,
        "cohort": 39,
        "nearest_peer": {"reference": "p4", "score": 2.2},
        "why": "Because.",
    }
    assert list(data)[:3] == ["schema", "target", "decision"]


@pytest.mark.parametrize("verdict", [VERDICT, HOSTILE, BARE])
def test_json_survives_a_round_trip(verdict: Verdict) -> None:
    """Nothing but JSON's own values, and no NaN, which is none."""
    data = report.to_json(verdict)

    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_every_decision_has_a_word_and_an_exit_code() -> None:
    """0 match, 1 no match, 3 where a person must look."""
    assert report.EXIT == {"match": 0, "no match": 1, "inconclusive": 3, "evasion suspected": 3}
    assert set(report.WORDS) == set(report.EXIT)


def test_text_says_what_counts() -> None:
    """The word, the name, the reason, the questions, the nearest peer, and a table of references."""
    lines = report.to_text(VERDICT).splitlines()

    assert lines[0] == "MATCH  s0 (derived)"
    assert lines[1].strip() == "Because."
    for said in ("38 sent, 37 answered, 12 saved", "39 honest models", "p4", "0.003", "0.026", "7.1"):
        assert any(said in line for line in lines)
    title, first, second = lines[-3:]
    assert len(title) == len(first) == len(second)
    assert "(None)" not in report.to_text(replace(VERDICT, relation=None))


def test_text_lists_five_references() -> None:
    """More are counted, and where to find them is said."""
    crowd = replace(VERDICT, matches=tuple(Match(f"r{i}", 9.0 - i, 1.0, 0.5, 0.5) for i in range(8)))
    text = report.to_text(crowd)

    assert "r4" in text
    assert "r5" not in text
    assert "3 more" in text
    assert "--json" in text


def test_text_moves_no_cursor() -> None:
    """Names from outside stay on their line, without control or direction characters."""
    text = report.to_text(HOSTILE)

    assert all(c.isprintable() or c == "\n" for c in text)
    assert len(text.splitlines()) == len(report.to_text(replace(VERDICT, matches=VERDICT.matches[:1])).splitlines())
    assert report.printable(None) == ""
    assert report.printable("naïve 模型") == "naïve 模型"


def test_text_without_any_match_is_short() -> None:
    """No table, no cohort."""
    text = report.to_text(BARE)

    assert text.startswith("INCONCLUSIVE\n")
    assert "reference" not in text
    assert "cohort" not in text


def test_the_page_is_one_well_formed_file() -> None:
    """Every tag is closed, nothing is loaded from anywhere, no script, and one plot per verdict."""
    page = page_of(VERDICT, BARE)
    read = Page(page)

    assert read.open == []
    assert read.tags.count("section") == 2
    assert page.count('class="strip"') == 1  # no cohort, no plot
    assert not {"script", "link", "img", "iframe"} & set(read.tags)
    assert not re.search(r"(src|href)=|url\(|@import|http(?!://host)", page)
    for said in ("A title", "An intro", "Because.", "MATCH", "INCONCLUSIVE", "0.003", "39 honest models"):
        assert said in read.text


def test_the_page_shows_names_and_runs_none() -> None:
    """Markup in a name is text, and control characters are gone, wherever the name stands."""
    page = report.to_html([(NASTY, HOSTILE)], title=NASTY, intro=NASTY)
    read = Page(page)

    assert "script" not in read.tags
    assert read.open == []
    assert read.text.count("<script>alert('x')</script>") >= 6
    assert all(c.isprintable() or c == "\n" for c in page)


@pytest.mark.parametrize("decision", ["match", "no match", "inconclusive", "evasion suspected"])
@pytest.mark.parametrize(
    ("honest", "derived", "suspect"),
    [
        ((-1.0, 0.0, 2.2), (5.0, 8.0), 7.1),
        ((0.0,), (), -30.0),
        (tuple(range(-3, 97)), (), 400.0),
        ((0.0, 1.0), (1e9,), 1e9),
        ((0.0, 1.0), (-1e300,), 1e300),
    ],
)
def test_plots_are_well_formed(
    honest: Sequence[float], derived: Sequence[float], suspect: float, decision: str
) -> None:
    """XML with a mark for every model, all within the picture, a few ticks, and a text for who cannot see it."""
    root = ElementTree.fromstring(score_strip(honest, derived, suspect, decision))
    classes = [mark.get("class", "") for mark in root.iter()]
    width = float(root.get("viewBox", "").split()[2])
    ticks = [mark.text or "" for mark in root.iter("text")]

    assert classes.count("honest") == len(honest)
    assert classes.count("derived") == len(derived)
    assert classes.count(f"suspect {decision.replace(' ', '-')}") == 2
    for mark in root.iter():
        for at in ("x", "cx", "x1", "x2"):
            assert 0 <= float(mark.get(at, 0)) <= width
    assert 2 <= len(ticks) <= 14
    assert [float(t) for t in ticks] == sorted({float(t) for t in ticks})
    assert root.get("role") == "img"
    assert f"{len(honest)} honest models" in root.get("aria-label", "")


def test_pages_escape_what_they_show_and_want_all_that_they_name() -> None:
    """Markup of strangers is text, and a template that names what it was not given fails rather than shows a gap."""
    made = pages.environment("probe_match.fingerprinting", report.printable)

    assert made.from_string("{{ name }}").render(name="<b>\x1b") == "&lt;b&gt;�"
    with pytest.raises(jinja2.UndefinedError):
        made.from_string("{{ nmae }}").render(name="")


def test_a_higher_score_stands_further_right() -> None:
    """Places on the line keep the order of the scores."""
    root = ElementTree.fromstring(score_strip((-1.0, 0.0, 2.2), (5.0,), 7.1, "match"))
    places: dict[str, Any] = {
        kind: [float(m.get("cx", 0)) for m in root.iter("circle") if m.get("class", "").startswith(kind)]
        for kind in ("honest", "suspect")
    }

    assert places["honest"] == sorted(places["honest"])
    assert places["suspect"][0] > places["honest"][-1]


def test_no_cohort_no_plot() -> None:
    """Nothing to compare with is nothing to draw."""
    assert score_strip((), (5.0,), 7.1, "match") == ""
