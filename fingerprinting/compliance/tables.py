"""
A report as CSV, in which no cell is a formula, and as JUnit XML for build servers.

In JUnit an endpoint is a test case: a violation fails it, and what a person must look at is an error, because a build
server takes what is skipped for well.
"""

import csv
import io
from typing import Any, Final
from xml.etree import ElementTree as ET

from .records import RULES, Report
from .words import cell, plain

COLUMNS: Final = (
    "endpoint", "target", "outcome", "kind", "rule", "says", "reference", "licence", "declared", "concluded", "p_value",
    "exception", "new", "fingerprint",
)  # fmt: skip


def to_csv(report: Report) -> str:
    """One row a finding, in RFC 4180 with line feeds."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for endpoint in report.endpoints:
        for finding in endpoint.findings:
            row: list[Any] = [
                endpoint.name, endpoint.examined.endpoint.target, endpoint.outcome, finding.kind, finding.rule,
                finding.says, finding.reference, finding.licence,
                endpoint.declared or endpoint.examined.endpoint.declared, endpoint.concluded,
                "" if finding.p_value is None else f"{finding.p_value:.3g}", finding.reason,
                "" if finding.new is None else str(finding.new).lower(), finding.fingerprint(endpoint.name),
            ]  # fmt: skip
            writer.writerow([cell(value) for value in row])

    return out.getvalue().rstrip("\n")


def to_junit(report: Report) -> str:
    """XML text."""
    failures, errors = report.count("violation"), report.count("review")
    counts = {"tests": str(len(report.endpoints)), "failures": str(failures), "errors": str(errors)}
    suites = ET.Element("testsuites", {"name": "probe-match audit", **counts})
    suite = ET.SubElement(
        suites, "testsuite", {"name": "endpoints", **counts, "timestamp": report.about["started"][:19]}
    )
    for endpoint in report.endpoints:
        case = ET.SubElement(
            suite, "testcase",
            {"classname": "probe-match.audit", "name": plain(endpoint.name),
             "time": f"{endpoint.examined.seconds:.3f}"},
        )  # fmt: skip
        worst = {"violation": ("failure", "fail"), "review": ("error", "review")}.get(endpoint.outcome)
        if worst is not None:
            tag, kind = worst
            decisive = [finding for finding in endpoint.findings if finding.kind == kind]
            told = ET.SubElement(case, tag, {"type": decisive[0].rule, "message": plain(decisive[0].says)})
            told.text = "\n".join(f"{RULES[one.rule][0]}: {plain(one.says)}" for one in decisive)
        rest = [one for one in endpoint.findings if one.kind not in ("fail", "review")]
        if rest:
            told = ET.SubElement(case, "system-out")
            told.text = "\n".join(f"{one.kind} ({one.rule}): {plain(one.says)}" for one in rest)
    ET.indent(suites, " ")

    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode")
