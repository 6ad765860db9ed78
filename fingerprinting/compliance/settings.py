"""
What an audit is told: policy, endpoints and retention out of `audit.toml`, checked before anything is asked.

The policy speaks of SPDX identifiers, of names such as `llama-3.1`, and of categories (`category:non-commercial`).
"""

import datetime as dt
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from probe_match.fingerprinting.audits import read_rate
from probe_match.fingerprinting.errors import BadData, MissingPackage, UsageError

from . import expressions
from .licences import CATEGORIES
from .words import quoted

LARGEST: Final = 1 << 20  # bytes of a file of settings
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ +/-]{0,79}")
Grade = Literal["pass", "review", "fail"]
GRADES: Final = ("pass", "review", "fail")


@dataclass(frozen=True)
class Waiver:
    """A finding on a licence that somebody answers for. endpoint: "*" is all. expires: its last day."""

    licence: str
    endpoint: str
    reason: str
    expires: dt.date


@dataclass(frozen=True)
class Policy:
    """
    allow, deny, review: identifiers and `category:…`. unlisted: a licence that none of them names. unknown: a target
    that is none of the known models. misdeclared: another licence, or another model, than the operator says. unseen:
    an obligation that shows on an endpoint and that nobody looked for. alpha: accepted rate of false accusations for
    one endpoint. threshold: largest p-value from which a finding is a violation.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    review: tuple[str, ...] = ()
    unlisted: Grade = "review"
    unknown: Grade = "review"
    misdeclared: Grade = "fail"
    unseen: Grade = "review"
    alpha: float = 0.01
    threshold: float = 0.01
    owner: str = ""
    exceptions: tuple[Waiver, ...] = ()


@dataclass(frozen=True)
class Endpoint:
    """
    One endpoint. declared: the licence its operator names, as written. model: the model its operator names; "" for
    none. budget: most questions, None for as many as `match` asks. facts: what the auditor saw: commercial,
    monthly_users, territory, texts. seen: obligations, by id, that a person found kept or broken.
    """

    name: str
    target: str
    declared: str = ""
    model: str = ""
    budget: int | None = None
    rate: str = ""
    timeout: float = 30.0
    max_seconds: float = 600.0
    references: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    seen: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Retention:
    """days: that answers are kept in ledgers. hold: why they are kept longer, "" where they are not."""

    days: int = 90
    hold: str = ""


@dataclass(frozen=True)
class Settings:
    """A whole file."""

    policy: Policy
    endpoints: tuple[Endpoint, ...]
    retention: Retention
    seed: int = 0


def read(path: Path) -> Settings:
    """The settings of a file. Raises BadData for one that cannot be read, UsageError for what it should not say."""
    return checked(read_toml(path), str(path))


def checked(told: Any, where: str) -> Settings:
    """The settings that a file, or somebody else, says. Raises UsageError for what they should not say."""
    _only(told, "it", ("policy", "endpoint", "retention", "seed"))
    endpoints = told.get("endpoint", [])
    if not isinstance(endpoints, list) or not endpoints:
        raise UsageError(f"expected [[endpoint]] tables with a name and a target in {where}, got none")
    found = tuple(_endpoint(one, i) for i, one in enumerate(endpoints, 1))
    names = [endpoint.name.casefold() for endpoint in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two endpoints of {where} are called '{name}'; reports tell them apart by their names")
    seed = _number(told, "seed", 0, "it", whole=True, least=0)

    return Settings(_policy(_table(told, "policy")), found, _retention(_table(told, "retention")), int(seed))


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file. Raises BadData."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise BadData(f"cannot read {path} ({error.strerror or error}); expected a TOML file") from error

    return parse_toml(data, str(path))


def parse_toml(data: bytes, where: str) -> dict[str, Any]:
    """The bytes of a TOML file. Raises BadData."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ModuleNotFoundError as error:
            raise MissingPackage(
                "reading TOML on Python 3.10 needs tomli: pip install 'probe-match[licence]'"
            ) from error
    if len(data) > LARGEST:
        raise BadData(f"{where} is larger than {LARGEST >> 20} MiB; that is no file of settings")
    try:
        return tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadData(f"cannot read {where} ({error}); expected a TOML file") from error


def _policy(told: dict[str, Any]) -> Policy:
    where = "[policy]"
    _only(told, where, (*Policy.__dataclass_fields__, "exception"))
    alpha = _number(told, "alpha", 0.01, where, least=1e-6, most=0.5)
    grades: dict[str, Any] = {}
    for name in ("unlisted", "unknown", "misdeclared", "unseen"):
        grades[name] = told.get(name, getattr(Policy, name))
        if grades[name] not in GRADES:
            raise UsageError(f"expected {name} of {where} to be {', '.join(GRADES)}, got {quoted(grades[name])}")
    exceptions = told.get("exception", [])
    if not isinstance(exceptions, list):
        raise UsageError("expected [[policy.exception]] tables")

    return Policy(
        allow=_licences(told, "allow"),
        deny=_licences(told, "deny"),
        review=_licences(told, "review"),
        **grades,
        alpha=alpha,
        threshold=_number(told, "threshold", alpha, where, least=0.0, most=alpha),
        owner=_text(told, "owner", where),
        exceptions=tuple(_exception(one) for one in exceptions),
    )


def _exception(told: Any) -> Waiver:
    where = "[[policy.exception]]"
    _only(told, where, ("licence", "endpoint", "reason", "expires"))
    expires, reason = told.get("expires"), _text(told, "reason", where)
    if type(expires) is not dt.date or not reason.strip():
        raise UsageError(f"expected {where} to have a reason and expires = YEAR-MONTH-DAY, without quotes")

    return Waiver(
        expressions.normal(_text(told, "licence", where)), _text(told, "endpoint", where) or "*", reason, expires
    )


def _endpoint(told: Any, number: int) -> Endpoint:
    where = f"[[endpoint]] {number}"
    _only(told, where, tuple(Endpoint.__dataclass_fields__))
    name, target, rate = (_text(told, key, where) for key in ("name", "target", "rate"))
    if not NAME.fullmatch(name):
        raise UsageError(f"expected {where} to have a name of at most 80 letters, digits and ._+/-, got {quoted(name)}")
    if not target.strip() or not target.isprintable() or "\\" in target:  # a backslash makes a host ambiguous
        raise UsageError(f"expected {where} ('{name}') to have a target such as openai:https://host/v1#model")
    if rate:
        read_rate(rate)
    facts, seen = _table(told, "facts", where), _table(told, "seen", where)
    _only(facts, f"facts of '{name}'", ("commercial", "monthly_users", "territory", "texts"))
    if not all(isinstance(value, bool) for value in seen.values()):
        raise UsageError(f"expected seen of '{name}' to say true or false of obligations")
    kinds = {"commercial": bool, "monthly_users": int, "territory": str, "texts": list}
    for key, value in facts.items():
        if not isinstance(value, kinds[key]):
            raise UsageError(f"expected {key} in facts of '{name}' to be a {kinds[key].__name__}")

    return Endpoint(
        name=name,
        target=target,
        declared=_text(told, "declared", where),
        model=_text(told, "model", where),
        budget=int(_number(told, "budget", 0, where, whole=True, least=1)) if "budget" in told else None,
        rate=rate,
        timeout=_number(told, "timeout", Endpoint.timeout, where, least=0.1, most=3600),
        max_seconds=_number(told, "max_seconds", Endpoint.max_seconds, where, least=1, most=86_400),
        references=_texts(told, "references", where),
        facts=facts,
        seen=seen,
    )


def _retention(told: dict[str, Any]) -> Retention:
    _only(told, "[retention]", ("days", "hold"))
    days = _number(told, "days", Retention.days, "[retention]", whole=True, least=1, most=36_500)

    return Retention(int(days), _text(told, "hold", "[retention]"))


def _licences(told: dict[str, Any], key: str) -> tuple[str, ...]:
    found = []
    for text in _texts(told, key, "[policy]"):
        if text.startswith("category:"):
            if text.removeprefix("category:") not in CATEGORIES:
                raise UsageError(f"no category {quoted(text)}; there are {', '.join(CATEGORIES)}")
            found.append(text)
            continue
        named = expressions.identifiers(text)
        if len(named) != 1:
            raise UsageError(f"expected one licence an entry of {key} in [policy], got {quoted(text)}")
        found += named

    return tuple(found)


def _only(told: Any, where: str, known: Sequence[str]) -> None:
    if not isinstance(told, dict):
        raise UsageError(f"expected a table as {where}, got {type(told).__name__}")
    strange = [key for key in told if key not in known]
    if strange:
        raise UsageError(f"{where} has no {quoted(strange[0])}; there are {', '.join(known)}")


def _table(told: dict[str, Any], key: str, where: str = "the file") -> dict[str, Any]:
    found = told.get(key, {})
    if not isinstance(found, dict):
        raise UsageError(f"expected {key} of {where} to be a table")
    return found


def _text(told: dict[str, Any], key: str, where: str) -> str:
    found = told.get(key, "")
    if not isinstance(found, str) or len(found) > 2000:
        raise UsageError(f"expected {key} of {where} to be a text of at most 2000 characters")
    return found


def _texts(told: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    found = told.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, str) and len(one) <= 2000 for one in found):
        raise UsageError(f"expected {key} of {where} to be a list of texts")
    return tuple(found)


def _number(
    told: dict[str, Any], key: str, default: float, where: str, *, whole: bool = False, least: float, most: float = 1e15
) -> float:
    found = told.get(key, default)
    kind = int if whole else (int, float)
    if isinstance(found, bool) or not isinstance(found, kind) or not least <= found <= most:
        raise UsageError(f"expected {key} of {where} to be a number from {least:g} to {most:g}, got {quoted(found)}")
    return float(found)
