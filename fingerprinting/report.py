"""
Verdicts as text for people, JSON for machines, and a page with plots.

The JSON is the stable schema `probe-match/verdict/1`. The page is one file: no script, no font, no network.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from . import pages
from .plots import score_strip
from .records import Verdict

SCHEMA: Final = "probe-match/verdict/1"
SHOWN: Final = 5  # references listed in text
WORDS: Final = {
    "match": "MATCH", "no match": "NO MATCH", "inconclusive": "INCONCLUSIVE", "evasion suspected": "EVASION SUSPECTED",
}  # fmt: skip
EXIT: Final = {"match": 0, "no match": 1, "inconclusive": 3, "evasion suspected": 3}


def to_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain values, schema `probe-match/verdict/1`."""
    nearest = verdict.nearest_peer
    return {
        "schema": SCHEMA,
        "target": verdict.target,
        "decision": verdict.decision,
        "reference": verdict.reference,
        "relation": verdict.relation,
        "alpha": verdict.alpha,
        "method": verdict.method,
        "suite": verdict.suite,
        "access": verdict.access,
        "information": verdict.information,
        "matches": [
            {
                "reference": match.reference,
                "score": match.score,
                "llr": match.llr,
                "p_value": match.p_value,
                "p_conformal": match.p_conformal,
            }
            for match in verdict.matches
        ],
        "queries": {"sent": verdict.sent, "answered": verdict.answered, "saved_by_stopping": verdict.saved}
        | ({"decoys": verdict.decoys} if verdict.decoys else {}),
        "coverage": verdict.coverage,
        "cohort": verdict.cohort,
        "nearest_peer": None if nearest is None else {"reference": nearest[0], "score": nearest[1]},
        "why": verdict.why,
    } | _change(verdict)


def _change(verdict: Verdict) -> dict[str, Any]:
    """What only the verification of a classifier or regressor has: the kind of change, None where there is none."""
    if verdict.method != "sensitive":
        return {}
    return {"change": None if verdict.change is None else asdict(verdict.change)}


def word(verdict: Verdict) -> str:
    """The decision in a word or two."""
    if verdict.method != "sensitive":
        return WORDS[verdict.decision]
    if verdict.decision == "no match":
        return "MODIFIED" if verdict.relation == "modified" else "ANOTHER MODEL"
    return "UNCHANGED" if verdict.decision == "match" else WORDS[verdict.decision]


def to_text(verdict: Verdict) -> str:
    """A verdict in a few lines."""
    named = f"  {printable(verdict.reference)}" if verdict.reference else ""
    named += f" ({verdict.relation})" if verdict.relation and verdict.method != "sensitive" else ""
    lines = [
        f"{word(verdict)}{named}",
        f"  {printable(verdict.why)}",
        f"  target    {printable(verdict.target)}",
        f"  questions {verdict.sent} sent, {verdict.answered} answered, {verdict.saved} saved by stopping early",
    ]
    if verdict.information.startswith(("top", "rounded")):
        lines.append(f"  answers   {verdict.information}; known models are compared at no more than that")
    if verdict.nearest_peer is not None:
        name, score = verdict.nearest_peer
        lines.append(f"  cohort    {verdict.cohort} honest models; the nearest, {printable(name)}, scores {score:.1f}")
    if verdict.change is not None:
        likely = sorted(verdict.change.odds.items(), key=lambda item: -item[1])[:SHOWN]
        lines.append("  change    " + ", ".join(f"{kind} {odds:.2f}" for kind, odds in likely))
    if verdict.matches and verdict.method != "sensitive":
        width = max(len(printable(match.reference)) for match in verdict.matches[:SHOWN])
        lines.append(f"  {'reference':<{max(width, 9)}}  {'score':>6}  {'p-value':>8}  {'conformal':>9}")
        lines += [
            f"  {printable(match.reference):<{max(width, 9)}}  {match.score:>6.1f}  {match.p_value:>8.2g}  "
            f"{match.p_conformal:>9.2g}"
            for match in verdict.matches[:SHOWN]
        ]
        if len(verdict.matches) > SHOWN:
            lines.append(f"  … and {len(verdict.matches) - SHOWN} more; --json lists all")
    return "\n".join(lines)


def to_html(verdicts: Sequence[tuple[str, Verdict]], *, title: str, intro: str, below: str = "") -> str:
    """A page of named verdicts, each with the strip of scores against its cohort. below: markup of ours, a section."""
    environment = pages.environment("probe_match.fingerprinting", printable)
    rows = [
        {
            "name": name,
            "verdict": verdict,
            "word": word(verdict),
            "tone": _tone(verdict),
            "odds": [] if verdict.change is None else sorted(verdict.change.odds.items(), key=lambda item: -item[1]),
            "best": verdict.matches[0] if verdict.matches else None,
            "strip": score_strip(
                verdict.honest, verdict.derived, verdict.matches[0].score if verdict.matches else 0.0, verdict.decision
            ),
        }
        for name, verdict in verdicts
    ]
    return environment.get_template("report.html.j2").render(title=title, intro=intro, rows=rows, below=below)


def _tone(verdict: Verdict) -> str:
    """The colour of a verdict: red where a person is accused of something, by a match or by a change."""
    if verdict.method == "sensitive":
        return {"match": "no-match", "no match": "match"}.get(verdict.decision, "inconclusive")
    return verdict.decision.replace(" ", "-")


def printable(text: str | None) -> str:
    """Text from outside, on one line and without control characters, so that a terminal shows it and nothing else."""
    return "".join(c if c.isprintable() else "�" for c in text or "")
