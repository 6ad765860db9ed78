"""
What an audit finds: findings on endpoints, and the report of all of them.

The grades form a ladder: pass, note (said, decides nothing), excepted (somebody answers for it), review (a person must
look), fail (a violation). The worst finding is an endpoint's outcome, the worst outcome the audit's.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from probe_match.fingerprinting.records import Verdict

from .settings import Endpoint

Kind = Literal["pass", "note", "excepted", "review", "fail"]
Outcome = Literal["compliant", "review", "violation"]
LADDER: Final = ("pass", "note", "excepted", "review", "fail")
OUTCOMES: Final[dict[str, Outcome]] = {"fail": "violation", "review": "review"}
EXIT: Final = {"compliant": 0, "violation": 1, "review": 3}

# Every rule: what it is about, and what to do where it is broken.
RULES: Final = {
    "licence-denied": ("The licence is one that the policy denies", "stop, or have an exception made"),
    "licence-review": ("The licence needs a person's look", "have it cleared, then list it in allow or deny"),
    "licence-unknown": ("The licence of a known model is not recorded", "enroll the model again with --license"),
    "licence-allowed": ("The licence is one that the policy allows", ""),
    "declared-denied": ("The operator's licence is one that the policy denies", "stop, or have an exception made"),
    "declared-review": ("The operator's licence needs a person's look", "ask for an SPDX expression, and clear it"),
    "misdeclared": ("The operator names another licence than the model has", "ask for the model's own licence"),
    "misnamed": ("The operator names another model than the one that answers", "ask the operator which model it is"),
    "obligation": ("Something that the licence asks for", "do what the licence asks for, or record that it is done"),
    "lineage": ("An ancestor of the model is not among the known models", "enroll it, or correct the parent"),
    "unknown-model": ("The answers are those of no known model", "ask the operator for the model, and enroll it"),
    "unclear": ("Which model answers could not be told", "ask again with a larger budget, or ask the operator"),
    "unanswered": ("The endpoint did not answer", "check the address, and run the audit again with the same ledger"),
    "not-examined": ("The endpoint could not be examined", "mend what the message says, and run the audit again"),
    "exception-expired": ("An exception of the policy has expired", "renew it, or mend what it excused"),
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """
    One thing found. says: in our words. licence: an SPDX expression. p_value: of the identity that it rests on, None
    where it rests on none. about: tells findings of one rule apart. reason: of the exception that excuses it.
    """

    rule: str
    kind: Kind
    says: str
    reference: str = ""
    licence: str = ""
    p_value: float | None = None
    about: str = ""
    reason: str = ""
    new: bool | None = None

    def fingerprint(self, endpoint: str) -> str:
        """The same for the same finding of another day: sha256 over rule, endpoint, reference, licence and subject."""
        told = json.dumps([self.rule, endpoint, self.reference, self.licence, self.about])
        return hashlib.sha256(told.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Examined:
    """What asking an endpoint brought: a verdict, or why there is none (`rule` and `error`). seconds: it took."""

    endpoint: Endpoint
    verdict: Verdict | None
    rule: str = ""
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Judged:
    """
    An endpoint with its findings. concluded: the licence that binds the model which answers, or "". line: that model
    and its ancestors.
    """

    examined: Examined
    findings: tuple[Finding, ...]
    declared: str = ""
    concluded: str = ""
    line: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the endpoint."""
        return self.examined.endpoint.name

    @property
    def outcome(self) -> Outcome:
        """By the worst finding."""
        return outcome(self.findings)


@dataclass(frozen=True)
class Report:
    """
    A whole audit. about: tool, times, digests of what it rests on, policy and authority, as plain values. gone:
    fingerprints of the baseline that are found no more, None without a baseline.
    """

    endpoints: tuple[Judged, ...]
    about: dict[str, Any]
    gone: tuple[str, ...] | None = None

    @property
    def outcome(self) -> Outcome:
        """By the worst finding of all."""
        return outcome([finding for endpoint in self.endpoints for finding in endpoint.findings])

    @property
    def exit(self) -> int:
        """0 compliant, 1 violation, 3 a person must look."""
        return EXIT[self.outcome]

    def count(self, outcome: Outcome) -> int:
        """How many endpoints have an outcome."""
        return sum(endpoint.outcome == outcome for endpoint in self.endpoints)


def outcome(findings: Sequence[Finding]) -> Outcome:
    """What the worst of some findings means."""
    worst = max((finding.kind for finding in findings), key=LADDER.index, default="pass")
    return OUTCOMES.get(worst, "compliant")
