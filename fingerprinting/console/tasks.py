"""
What a job asks, and by whose leave: settings as of an `audit.toml`, whoever wrote them.

A match is an audit of one endpoint under a policy that forbids nothing, so that both go through the same gate, limits,
ledgers and verdicts. The console asks endpoints alone: a target that is a file or a module of this machine would let
whoever may use the console read or run it.
"""

import datetime as dt
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from probe_match.fingerprinting import registry
from probe_match.fingerprinting.compliance import authority as authorities
from probe_match.fingerprinting.compliance import settings
from probe_match.fingerprinting.compliance.authority import LOCAL, Authority
from probe_match.fingerprinting.compliance.settings import Settings
from probe_match.fingerprinting.compliance.words import quoted
from probe_match.fingerprinting.errors import UsageError

from .jobs import Kind

TARGET: Final = "target"  # the name of a match's only endpoint
BARE: Final = re.compile(r"https?://", re.IGNORECASE)
PRESET: Final = re.compile(r"rest:[a-z0-9_-]+@https?://", re.IGNORECASE)  # no file of this machine
SETTINGS: Final = ("endpoint", "policy", "retention", "seed")
MATCH: Final = ("target", "budget", "rate", "timeout", "max_seconds", "references", "alpha", "seed")


class NotAllowed(UsageError):  # noqa: N818 - reads as what is the matter
    """Something would be asked that nobody allowed."""


class Task(NamedTuple):
    """kind, title: of the job. asked: as it is kept. settings: what it means. authority: leave to ask, where wanted."""

    kind: Kind
    title: str
    asked: Mapping[str, Any]
    settings: Settings
    authority: Authority | None

    @property
    def foreign(self) -> int:
        """Questions that hosts other than this machine may be asked."""
        return sum(
            endpoint.budget or 0
            for endpoint in self.settings.endpoints
            if not authorities.is_loopback(authorities.host_of(endpoint.target))
        )


def match(told: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an audit of one endpoint, from those of a match (MATCH)."""
    strange = sorted(set(told) - set(MATCH))
    if strange:
        raise UsageError(f"a match has no {quoted(strange[0])}; there are {', '.join(MATCH)}")
    endpoint = {key: value for key, value in told.items() if key not in ("alpha", "seed") and value is not None}
    asked: dict[str, Any] = {"endpoint": [{"name": TARGET} | endpoint]}
    if told.get("alpha") is not None:
        asked["policy"] = {"alpha": told["alpha"]}

    return asked | ({} if told.get("seed") is None else {"seed": told["seed"]})


def task(kind: Kind, asked: Mapping[str, Any], authorization: Path) -> Task:
    """A task, checked as far as it can be before anything is asked. Raises UsageError, NotAllowed, BadData."""
    plan = settings.checked(dict(asked), "the request")
    for endpoint in plan.endpoints:
        require_endpoint(endpoint.target)
    authority = authorities.read(authorization) if authorization.exists() else None
    try:
        authorities.require(plan.endpoints, authority, authorization, today=dt.date.today())
    except UsageError as error:
        raise NotAllowed(str(error)) from error
    first = plan.endpoints[0].target
    title = first if len(plan.endpoints) == 1 else f"{len(plan.endpoints)} endpoints, {first} the first"

    return Task(kind, title[:300], asked, plan, authority)


def require_endpoint(target: str) -> None:
    """Raise UsageError where a target is not an endpoint of a server but something on this machine."""
    client = target.partition(":")[0].replace("-", "_")
    if BARE.match(target) or PRESET.match(target):
        return
    if client in (*LOCAL, "rest") or client not in registry.available("clients"):
        raise UsageError(
            f"expected the address of a server, such as http://127.0.0.1:8080/v2/models/m or openai:https://host/v1#m, "
            f"got {quoted(target)}; files and modules of this machine are for the command line"
        )
