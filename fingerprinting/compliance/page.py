"""A report as a page: one file, no script, no font, no network; it prints, in light and in dark."""

from typing import Any

from probe_match.fingerprinting import pages

from .records import RULES, Report
from .told import MARKS, WORDS, identity
from .words import plain


def to_html(report: Report, *, title: str = "Licence audit") -> str:
    """HTML text."""
    environment = pages.environment("probe_match.fingerprinting.compliance", plain)
    rows = [
        {
            "number": i,
            "name": endpoint.name,
            "outcome": endpoint.outcome,
            "word": WORDS[endpoint.outcome].lower(),
            "identity": identity(endpoint),
            "endpoint": endpoint.examined.endpoint,
            "declared": endpoint.declared or endpoint.examined.endpoint.declared or "nothing",
            "concluded": endpoint.concluded or "nothing",
            "line": endpoint.line,
            "verdict": endpoint.examined.verdict,
            "seconds": endpoint.examined.seconds,
            "p_value": next((one.p_value for one in endpoint.findings if one.p_value is not None), None),
            "findings": [
                {"kind": MARKS[one.kind], "tone": one.kind, "title": RULES[one.rule][0], "finding": one,
                 "advice": RULES[one.rule][1] if one.kind in ("fail", "review") else ""}
                for one in endpoint.findings
            ],
        }
        for i, endpoint in enumerate(report.endpoints, 1)
    ]  # fmt: skip
    counts = [(word, report.count(word)) for word in ("violation", "review", "compliant")]
    told: dict[str, Any] = {"title": title, "report": report, "about": report.about, "rows": rows, "counts": counts}

    return environment.get_template("audit.html.j2").render(told | {"word": WORDS[report.outcome].lower()})
