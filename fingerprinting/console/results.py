"""What is kept of a job that is done: its documents, by name, made by the code that makes the command line's."""

import csv
import io
import json
from dataclasses import asdict
from typing import Any, Final

from probe_match.fingerprinting import report as verdicts
from probe_match.fingerprinting.compliance import page, sarif, tables, told
from probe_match.fingerprinting.compliance.records import RULES, Judged, Report
from probe_match.fingerprinting.compliance.told import MARKS, clean
from probe_match.fingerprinting.compliance.words import cell
from probe_match.fingerprinting.records import Verdict

SHOWN: Final = "shown"  # the document that pages are made of
TYPES: Final = {
    "json": "application/json", "csv": "text/csv; charset=utf-8", "html": "text/html; charset=utf-8",
    "sarif": "application/sarif+json",
}  # fmt: skip
COLUMNS: Final = ("target", "decision", "reference", "score", "llr", "p_value", "p_conformal", "relation")


def of_match(report: Report) -> tuple[str, dict[str, bytes]]:
    """The decision, and the documents, of a match that came to a verdict."""
    judged = report.endpoints[0]
    verdict = judged.examined.verdict
    assert verdict is not None
    intro = "The target was asked probes on which copies and honest models differ, and compared with both."
    documents = {
        SHOWN: _json(_shown(report)),
        "json": _json(clean(verdicts.to_json(verdict)), indent=1),
        "csv": _csv(verdict).encode(),
        "html": verdicts.to_html([(verdict.target, verdict)], title="Which known model is this?", intro=intro).encode(),
    }
    return verdict.decision, documents


def of_audit(report: Report) -> tuple[str, dict[str, bytes]]:
    """The outcome, and the documents, of an audit."""
    documents = {
        SHOWN: _json(_shown(report)),
        "json": _json(told.to_json(report), indent=1),
        "csv": (tables.to_csv(report) + "\n").encode(),
        "html": page.to_html(report).encode(),
        "sarif": _json(sarif.to_sarif(report, file="audit.toml"), indent=1),
    }
    return report.outcome, documents


def _shown(report: Report) -> dict[str, Any]:
    counts = {outcome: report.count(outcome) for outcome in ("violation", "review", "compliant")}
    return {"outcome": report.outcome, "counts": counts, "endpoints": [_endpoint(one) for one in report.endpoints]}


def _endpoint(judged: Judged) -> dict[str, Any]:
    endpoint, verdict = judged.examined.endpoint, judged.examined.verdict
    return {
        "name": judged.name,
        "target": endpoint.target,
        "outcome": judged.outcome,
        "identity": told.identity(judged),
        "declared": judged.declared or endpoint.declared,
        "model": endpoint.model,
        "concluded": judged.concluded,
        "line": list(judged.line),
        "error": judged.examined.error,
        "seconds": round(judged.examined.seconds, 2),
        "verdict": None if verdict is None else asdict(verdict) | {"word": verdicts.word(verdict)},
        "findings": [
            {
                "kind": MARKS[one.kind], "tone": one.kind, "title": RULES[one.rule][0], "says": one.says,
                "reason": one.reason, "advice": RULES[one.rule][1] if one.kind in ("fail", "review") else "",
            }
            for one in judged.findings
        ],
    }  # fmt: skip


def _csv(verdict: Verdict) -> str:
    """One row a reference, best first, in RFC 4180 with line feeds; no cell is a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for one in verdict.matches:
        decision = verdict.decision if one.reference in (verdict.reference, verdict.matches[0].reference) else ""
        numbers = (f"{one.score:.6g}", f"{one.llr:.6g}", f"{one.p_value:.6g}", f"{one.p_conformal:.6g}")
        words = (cell(text) for text in (verdict.target, decision, one.reference))
        writer.writerow([*words, *numbers, cell(one.relation or "")])

    return out.getvalue()


def _json(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent, ensure_ascii=False).encode(errors="replace")
