"""
From what an endpoint answered, and a policy, to findings.

The licence that an operator declares and the one that we conclude stay apart. A conclusion is as sure as the identity
it rests on: without a match whose p-value reaches the policy's threshold nothing is a violation, at most a review.
"""

import datetime as dt
import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from probe_match.fingerprinting.errors import UsageError
from probe_match.fingerprinting.records import Verdict

from . import expressions
from .licences import catalogue
from .obligations import owed
from .records import Examined, Finding, Judged
from .settings import Grade, Policy, Waiver
from .words import plain, quoted

LONGEST_LINE: Final = 50  # ancestors
WORST: Final = ("pass", "review", "fail")


class Known(NamedTuple):
    """What the database says of a model: its licence as recorded, and the model it was made from."""

    licence: str | None
    parent: str | None


def known_models(headers: Sequence[Mapping[str, Any]]) -> dict[str, Known]:
    """The models of listings, by name."""
    return {str(header["name"]): Known(header["license"], header["parent"]) for header in headers}


def line_of(name: str, known: Mapping[str, Known]) -> list[str]:
    """A model and its ancestors, itself first, the last one perhaps unknown; a circle ends where it closes."""
    line = [name]
    while len(line) < LONGEST_LINE:
        parent = known[line[-1]].parent if line[-1] in known else None
        if not parent or parent in line:
            break
        line.append(parent)

    return line


def standing(licence: str, policy: Policy) -> Grade:
    """What a policy says of an expression: the worst of licences that all bind, the best of those to choose from."""

    def of(one: str) -> Grade:
        base = one.split(" WITH ")[0]
        described = catalogue().get(base)
        category = f"category:{described.category}" if described else ""
        for name in (one, base, category):  # what is named outranks its category
            lists: tuple[tuple[Grade, tuple[str, ...]], ...] = (
                ("fail", policy.deny), ("review", policy.review), ("pass", policy.allow),
            )  # fmt: skip
            for grade, some in lists:
                if name and name in some:
                    return grade
        return policy.unlisted

    return expressions.fold(
        licence, of, lambda all_: max(all_, key=WORST.index), lambda some: min(some, key=WORST.index)
    )


def judge(examined: Examined, known: Mapping[str, Known], policy: Policy, *, today: dt.date) -> Judged:
    """All findings on an endpoint, worst first."""
    verdict, endpoint = examined.verdict, examined.endpoint
    declared, findings = _declared(endpoint.declared, policy)
    concluded, line = "", [] if verdict is None or verdict.reference is None else line_of(verdict.reference, known)
    if verdict is None:
        findings.append(Finding(examined.rule, "review", examined.error))
    elif verdict.decision == "no match":
        says = "the answers are those of no known model; only the operator's word stands for its licence"
        findings.append(Finding("unknown-model", policy.unknown, says))
    elif verdict.decision != "match":
        findings.append(Finding("unclear", "review", f"{verdict.decision}: {plain(verdict.why)}"))
    else:
        p_value = next(match.p_value for match in verdict.matches if match.reference == verdict.reference)
        concluded, found = _concluded(line, known, policy)
        found += _declared_against(declared, line, known, policy)
        found += owed(endpoint, line, {name: _licence(name, known) for name in line}, verdict.relation, policy)
        sure, others = p_value <= policy.threshold, _rivals(verdict, line, known)
        told = [_as_sure(one, p_value, sure and not _doubted(one, others, concluded, policy)) for one in found]
        findings += [*told, *_beside(others, concluded, policy)]
    findings += _named(examined, line, known, policy)
    findings = [excused for finding in findings for excused in _excused(finding, endpoint.name, policy, today)]
    order = ("fail", "review", "excepted", "note", "pass")

    return Judged(
        examined, tuple(sorted(findings, key=lambda f: order.index(f.kind))), declared, concluded, tuple(line)
    )


def _rivals(verdict: Verdict, line: Sequence[str], known: Mapping[str, Known]) -> dict[str, str]:
    """
    Other known models that the answers may come from as well, by the same rate of false accusations, with the licences
    that would bind then, "" where none is known.
    """
    likely = [match.reference for match in verdict.matches if match.p_value <= verdict.alpha]
    return {name: _bound(line_of(name, known), known) for name in likely if name not in line}


def _doubted(finding: Finding, rivals: Mapping[str, str], concluded: str, policy: Policy) -> bool:
    """Whether a finding would not be made if one of the rivals were the model."""
    if finding.rule == "licence-denied":
        return any(not licence or standing(licence, policy) != "fail" for licence in rivals.values())
    return any(licence != concluded for licence in rivals.values())


def _beside(rivals: Mapping[str, str], concluded: str, policy: Policy) -> Iterator[Finding]:
    """A word on every rival; a review where the policy thinks otherwise of it."""
    for name, licence in rivals.items():
        same = bool(licence and concluded) and standing(licence, policy) == standing(concluded, policy)
        says = f"so many answers do not tell it from {plain(name)}, which is under {licence or 'no recorded licence'}"
        yield Finding("unclear", "note" if same else "review", says, name, licence, about="rival")


def _bound(line: Sequence[str], known: Mapping[str, Known]) -> str:
    """The expression that binds a model by its own licence and those of its ancestors that reach it; "" for none."""
    return expressions.joined([licence for name in line if (licence := _reaching(name, line, known))])


def _reaching(name: str, line: Sequence[str], known: Mapping[str, Known]) -> str | None:
    licence = _licence(name, known)
    described = catalogue().get(licence or "")

    return None if name != line[0] and described is not None and described.reaches == "copies" else licence


def _licence(name: str, known: Mapping[str, Known]) -> str | None:
    """The expression recorded for a model, None where there is none or it cannot be read."""
    recorded = known[name].licence if name in known else None
    try:
        return expressions.normal(recorded) if recorded else None
    except UsageError:
        return None


def _declared(text: str, policy: Policy) -> tuple[str, list[Finding]]:
    if not text.strip():
        return "", []
    try:
        declared = expressions.normal(text)
    except UsageError:
        says = f"the operator's licence is no SPDX expression: {quoted(text)}"
        return "", [Finding("declared-review", "review", says)]
    grade = standing(declared, policy)
    if grade == "pass":
        return declared, []
    rule = "declared-denied" if grade == "fail" else "declared-review"

    return declared, [Finding(rule, grade, f"the operator declares {declared}", licence=declared)]


def _concluded(line: Sequence[str], known: Mapping[str, Known], policy: Policy) -> tuple[str, list[Finding]]:
    """The expression that binds the model, and how it stands."""
    findings = []
    for name in line:
        through = "" if name == line[0] else f", an ancestor of {plain(line[0])}"
        licence = _licence(name, known)
        if name not in known:
            says = f"{plain(name)}{through}, is not among the known models; its licence is unknown"
            findings.append(Finding("lineage", "review", says, name))
            continue
        if licence is None:
            says = f"no licence is recorded for {plain(name)}{through}"
            findings.append(Finding("licence-unknown", "review", says, name))
            continue
        if _reaching(name, line, known) is None:
            says = f"{plain(name)}{through}, is under {licence}, which does not reach its offspring"
            findings.append(Finding("licence-allowed", "note", says, name, licence))
            continue
        grade = standing(licence, policy)
        rule = {"fail": "licence-denied", "review": "licence-review", "pass": "licence-allowed"}[grade]
        says = (
            f"the model descends from {plain(name)}"
            if through
            else f"the answers came from {plain(name)} or a copy of it"
        )
        findings.append(Finding(rule, grade, f"{says}, which is under {licence}", name, licence))

    return _bound(line, known), findings


def _declared_against(
    declared: str, line: Sequence[str], known: Mapping[str, Known], policy: Policy
) -> Iterator[Finding]:
    """Where the operator's licence leaves out the model's, or an ancestor's that is not permissive."""
    for name in line if declared else ():
        licence = _licence(name, known)
        described = catalogue().get(licence or "")
        if licence is None or (name != line[0] and described is not None and described.category == "permissive"):
            continue
        if not expressions.covers(declared, licence):
            says = f"the operator declares {declared}, and {plain(name)} is under {licence}"
            yield Finding("misdeclared", policy.misdeclared, says, name, licence, about=declared)


def _named(examined: Examined, line: Sequence[str], known: Mapping[str, Known], policy: Policy) -> list[Finding]:
    """Where the operator names one known model and another one answers."""
    claimed, verdict = examined.endpoint.model, examined.verdict
    names = {name.casefold(): name for name in known}
    if not claimed or verdict is None or verdict.decision in ("inconclusive", "evasion suspected"):
        return []
    meant = names.get(claimed.casefold())
    if meant is None:
        return [Finding("misnamed", "note", f"{quoted(claimed)}, as the operator calls it, is no known model")]
    if not line:
        says = f"the operator says that it is {plain(meant)}, and its answers are not known to come from that"
        return [Finding("misnamed", "review", says, meant)]
    if meant == line[0] or meant in _rivals(verdict, line, known):
        return []
    p_value = next(match.p_value for match in verdict.matches if match.reference == verdict.reference)
    related = meant in line or line[0] in line_of(meant, known)
    says = f"the operator says that it is {plain(meant)}, and the answers came from {plain(line[0])}"
    found = Finding("misnamed", "review" if related else policy.misdeclared, says, line[0], about=meant)

    return [_as_sure(found, p_value, p_value <= policy.threshold)]


def _as_sure(finding: Finding, p_value: float, sure: bool) -> Finding:
    """A finding that rests on an identity, no worse than that allows."""
    kind = "review" if finding.kind == "fail" and not sure else finding.kind
    return replace(finding, kind=kind, p_value=p_value)


def _excused(finding: Finding, endpoint: str, policy: Policy, today: dt.date) -> Iterator[Finding]:
    """The finding, as exceptions leave it, and a finding for one that has expired."""
    excusable = finding.kind in ("fail", "review") and finding.licence and finding.rule != "misdeclared"
    for waiver in policy.exceptions if excusable else ():
        if not _is_for(waiver, finding, endpoint):
            continue
        if today <= waiver.expires:
            yield replace(finding, kind="excepted", reason=f"{plain(waiver.reason)} (until {waiver.expires})")
            return
        says = f"the exception for {waiver.licence} expired on {waiver.expires}"
        yield Finding("exception-expired", "note", says, finding.reference, waiver.licence)
    yield finding


def _is_for(waiver: Waiver, finding: Finding, endpoint: str) -> bool:
    named = waiver.licence == finding.licence or waiver.licence in expressions.identifiers(finding.licence)
    return named and fnmatch.fnmatchcase(endpoint, waiver.endpoint)
