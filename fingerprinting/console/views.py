"""Templates, and how values read on a page. Every text goes through `plain`, and is escaped after that."""

import datetime as dt
from typing import Any, Final

import jinja2
from markupsafe import Markup
from probe_match.fingerprinting import pages
from probe_match.fingerprinting.compliance.words import plain
from probe_match.fingerprinting.plots import evidence_line, score_strip
from probe_match.fingerprinting.report import printable

NARROW: Final = 320  # units of a plot
TONES: Final = {
    "match": "match", "no match": "no-match", "inconclusive": "inconclusive", "evasion suspected": "inconclusive",
    "violation": "violation", "review": "review", "compliant": "compliant",
}  # fmt: skip


def environment() -> jinja2.Environment:
    """What renders pages."""
    made = pages.environment("probe_match.fingerprinting.console", plain, "templates")
    made.filters |= {"when": when, "number": number, "lines": lines}
    made.globals |= {"strip": strip, "line": line, "tone": lambda outcome: TONES.get(outcome, "inconclusive")}

    return made


def when(seconds: float | None) -> str:
    """A time of day in UTC; a dash where there is none."""
    if seconds is None:
        return "–"
    return dt.datetime.fromtimestamp(seconds, dt.timezone.utc).strftime("%Y-%m-%d %H:%M")


def lines(text: str) -> Markup:
    """A text of several lines, each made harmless, for a field that its writer gets back."""
    return Markup("\n").join(printable(one) for one in text.splitlines())


def number(value: float | None, form: str = ".2g") -> str:
    """A number, briefly; a dash where there is none."""
    return "–" if value is None else format(value, form)


def strip(verdict: dict[str, Any]) -> Markup:
    """A kept verdict's score among its cohort."""
    matches = verdict["matches"]
    score = matches[0]["score"] if matches else 0.0
    told = (verdict["honest"], verdict["derived"], score, verdict["decision"])

    return _both(score_strip(*told), score_strip(*told, width=NARROW))


def line(evidence: tuple[float, ...], needed: float) -> Markup:
    """The evidence of a watch."""
    return _both(evidence_line(evidence, needed), evidence_line(evidence, needed, width=NARROW))


def _both(wide: str, narrow: str) -> Markup:
    """A plot twice, of which the style sheet shows the one that fits the window."""
    return Markup(f'<div class="wide">{wide}</div><div class="slim">{narrow}</div>')  # noqa: S704 - drawn by us
