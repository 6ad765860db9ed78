"""
The licences that matter for models: what they oblige to, how far they reach, and what of it shows on an endpoint.

Read from `data/licences/*.json`, one file a family, in our own words, each with its source and how it was known. No
legal advice. What is not listed there is a licence all the same, with obligations that nobody wrote down yet.
"""

import functools
import json
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final, Literal

from probe_match.fingerprinting.errors import MissingPackage

Category = Literal[
    "permissive", "copyleft", "responsible-ai", "restricted", "non-commercial", "research-only", "proprietary"
]
When = Literal["served", "derived", "distributed"]
CATEGORIES: Final = (
    "permissive", "copyleft", "responsible-ai", "restricted", "non-commercial", "research-only", "proprietary",
)  # fmt: skip


@dataclass(frozen=True)
class Obligation:
    """
    One thing a licence asks for. when: the model is served, it was derived from the licensed one, or its weights are
    handed on. shows: where it shows on an endpoint, None where it cannot be seen from outside. check: how a fact that
    the auditor stated decides it, {} where a person says so.
    """

    id: str
    when: When
    says: str
    shows: str | None
    check: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Licence:
    """
    reaches: what of the model's offspring it binds: "copies", "derivatives" (changed weights), or "outputs" (models
    trained on its answers, too). as_of: ISO day of the entry. basis: how its content is known.
    """

    id: str
    name: str
    aliases: tuple[str, ...]
    category: Category
    reaches: Literal["copies", "derivatives", "outputs"]
    obligations: tuple[Obligation, ...]
    source: str
    as_of: str
    basis: str


@functools.cache
def catalogue() -> dict[str, Licence]:
    """All licences that are described, by SPDX identifier."""
    found = {}
    for file in sorted(resources.files("probe_match.data").joinpath("licences").iterdir(), key=lambda f: f.name):
        if not file.name.endswith(".json"):
            continue
        for entry in json.loads(file.read_text(encoding="utf-8")):
            obligations = tuple(Obligation(**one) for one in entry.pop("obligations"))
            licence = Licence(**entry | {"aliases": tuple(entry["aliases"]), "obligations": obligations})
            found[licence.id] = licence

    return found


@functools.cache
def aliases() -> dict[str, str]:
    """Names that people write, in lower case, and the identifiers they mean."""
    return {alias.casefold(): id_ for id_, licence in catalogue().items() for alias in (id_, *licence.aliases)}


def normal(text: str) -> str:
    """
    An SPDX expression in its usual form; names such as `llama-3.1` become identifiers.

    Raises UsageError for what is none, MissingPackage where it takes the package of the extra `licence` to say so.
    """
    known = aliases().get(text.strip().casefold())
    if known is not None:
        return known
    try:
        from .expressions import normal as parsed
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"reading the licence '{text[:60]}' needs license-expression: pip install 'probe-match[licence]'"
        ) from error

    return parsed(text)
