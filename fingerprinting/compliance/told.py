"""
A report as text for people and as JSON for machines, schema `probe-match/audit/1`.

Every text that came from outside is made harmless on the way; no report can move a cursor, hide a word or be taken for
our own voice.
"""

from collections.abc import Mapping
from typing import Any, Final

from probe_match.fingerprinting import report as verdicts

from .records import Finding, Judged, Report
from .words import plain

SCHEMA: Final = "probe-match/audit/1"
WORDS: Final = {"compliant": "COMPLIANT", "violation": "VIOLATION", "review": "REVIEW"}
MARKS: Final = {"fail": "violation", "review": "review", "excepted": "excepted", "note": "note", "pass": "pass"}


def to_json(report: Report) -> dict[str, Any]:
    """Plain values."""
    told: dict[str, Any] = {
        "schema": SCHEMA,
        "outcome": report.outcome,
        "exit": report.exit,
        "counts": {outcome: report.count(outcome) for outcome in ("compliant", "review", "violation")},
        **report.about,
        "endpoints": [_endpoint(endpoint) for endpoint in report.endpoints],
        "gone": None if report.gone is None else list(report.gone),
    }
    return dict(clean(told))


def to_text(report: Report, *, verbose: bool = False) -> str:
    """A few lines an endpoint: what is a violation or needs a look, and with `verbose` all the rest."""
    lines = []
    for endpoint in report.endpoints:
        lines.append(f"{WORDS[endpoint.outcome]:<9}  {plain(endpoint.name)}  {identity(endpoint)}")
        for finding in endpoint.findings:
            if verbose or finding.kind in ("fail", "review", "excepted"):
                new = "NEW " if finding.new else ""
                lines.append(f"  {new}{MARKS[finding.kind]} ({finding.rule}): {plain(finding.says)}")
                if finding.reason:
                    lines.append(f"    excepted: {plain(finding.reason)}")
    total = len(report.endpoints)
    lines.append(
        f"{WORDS[report.outcome]}: {total} endpoint{'s' * (total != 1)}, {report.count('violation')} in violation, "
        f"{report.count('review')} for a person to look at, {report.count('compliant')} compliant"
    )
    expected = report.about.get("expected_false_accusations", 0)
    lines.append(f"at the accepted rate, {expected:g} identities are expected to be wrong by chance; no legal advice")
    if report.gone is not None:
        fresh = sum(bool(finding.new) for endpoint in report.endpoints for finding in endpoint.findings)
        lines.append(f"against the baseline: {fresh} findings new, {len(report.gone)} gone")

    return "\n".join(lines)


def identity(endpoint: Judged) -> str:
    """What answers, in a few words."""
    verdict = endpoint.examined.verdict
    if verdict is None:
        return "not identified"
    if verdict.reference is None:
        return verdict.decision
    relation = f" ({verdict.relation})" if verdict.relation else ""
    licence = f", {endpoint.concluded}" if endpoint.concluded else ""

    return f"{plain(verdict.reference)}{relation}{licence}"


def clean(value: Any) -> Any:
    """The same value, every text in it on one line and harmless."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Mapping):
        return {plain(key): clean(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [clean(one) for one in value]

    return value


def _endpoint(judged: Judged) -> dict[str, Any]:
    endpoint, verdict = judged.examined.endpoint, judged.examined.verdict
    return {
        "name": judged.name,
        "target": endpoint.target,
        "outcome": judged.outcome,
        "model_declared": endpoint.model or None,
        "licence_declared": judged.declared or endpoint.declared or None,
        "licence_concluded": judged.concluded or None,
        "lineage": list(judged.line),
        "seconds": round(judged.examined.seconds, 3),
        "verdict": None if verdict is None else verdicts.to_json(verdict),
        "findings": [_finding(finding, judged.name) for finding in judged.findings],
    }


def _finding(finding: Finding, endpoint: str) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "kind": finding.kind,
        "says": finding.says,
        "reference": finding.reference or None,
        "licence": finding.licence or None,
        "p_value": finding.p_value,
        "exception": finding.reason or None,
        "new": finding.new,
        "fingerprint": finding.fingerprint(endpoint),
    }
