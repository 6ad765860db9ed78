"""
A report as SARIF 2.1.0 (OASIS standard), for code scanning and other collectors of findings.

GitHub reads neither `kind` nor suppressions, so its profile leaves out what decides nothing and calls a review a
warning. https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from .records import RULES, Finding, Judged, Report
from .told import clean
from .words import plain

VERSION: Final = "2.1.0"
SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
KINDS: Final = {"pass": "pass", "note": "informational", "excepted": "fail", "review": "review", "fail": "fail"}
Profile = Literal["full", "github"]


def to_sarif(
    report: Report, *, file: str, lines: Mapping[str, int] | None = None, profile: Profile = "full"
) -> dict[str, Any]:
    """
    A log with one run. file: the settings, which findings are located in, relative to the repository; lines: where each
    endpoint stands in it, counted from 1.
    """
    rules = list(RULES)
    results = [
        _result(finding, endpoint, rules, file, (lines or {}).get(endpoint.name, 1), profile)
        for endpoint in report.endpoints
        for finding in endpoint.findings
        if profile == "full" or finding.kind in ("review", "fail")
    ]
    about = report.about
    run = {
        "tool": {
            "driver": {
                "name": "probe-match",
                "version": about["tool"]["version"],
                "rules": [
                    {
                        "id": rule,
                        "shortDescription": {"text": title},
                        "help": {"text": f"{title}. {advice or 'Nothing to do'}."},
                    }
                    for rule, (title, advice) in RULES.items()
                ],
            }
        },
        "invocations": [
            {
                "executionSuccessful": True,
                "startTimeUtc": _utc(about["started"]),
                "endTimeUtc": _utc(about["ended"]),
                "exitCode": report.exit,
            }
        ],
        "columnKind": "unicodeCodePoints",
        "results": results,
        "properties": {
            "settings": about["settings"], "references": about["references"]["digest"], "outcome": report.outcome,
        },
    }  # fmt: skip
    told: dict[str, Any] = clean({"$schema": SCHEMA, "version": VERSION, "runs": [run]})

    return told


def _result(
    finding: Finding, endpoint: Judged, rules: list[str], file: str, line: int, profile: Profile
) -> dict[str, Any]:
    kind = KINDS[finding.kind]
    level = "error" if kind == "fail" else "none"  # SARIF 3.27.10: any other kind has no level
    if profile == "github":
        kind, level = "fail", "warning" if finding.kind == "review" else "error"
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": rules.index(finding.rule),
        "kind": kind,
        "level": level,
        "message": {"text": _escaped(f"{endpoint.name}: {finding.says}")},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": file}, "region": {"startLine": line}},
                "logicalLocations": [{"name": endpoint.name, "kind": "resource"}],
            }
        ],
        "partialFingerprints": {"probeMatchFinding/v1": finding.fingerprint(endpoint.name)},
        "properties": {"licence": finding.licence, "reference": finding.reference, "pValue": finding.p_value},
    }
    if finding.new is not None:
        result["baselineState"] = "new" if finding.new else "unchanged"
    if finding.kind == "excepted":
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": finding.reason}]

    return result


def _escaped(text: str) -> str:
    """Plain text in which nothing is a link or a placeholder (SARIF 3.11.5, 3.11.6)."""
    told = plain(text).replace("\\", "\\\\")
    return told.replace("[", "\\[").replace("]", "\\]").replace("{", "{{").replace("}", "}}")


def _utc(day: str) -> str:
    return str(day).replace("+00:00", "Z")
