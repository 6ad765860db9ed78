"""
What licences ask for, against what the auditor saw of an endpoint.

A fact in `audit.toml` decides what it can decide; else a person's own word (`seen`) does. What would show on an
endpoint and nobody looked for is the policy's `unseen`; what cannot be seen from outside is only said.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from . import expressions
from .licences import Licence, Obligation, catalogue
from .records import Finding, Kind
from .settings import Endpoint, Policy
from .words import plain

STATES: Final[dict[bool | None, tuple[str, str]]] = {True: ("pass", "kept"), False: ("fail", "broken")}


def owed(
    endpoint: Endpoint,
    line: Sequence[str],
    licences: Mapping[str, str | None],
    relation: str | None,
    policy: Policy,
) -> Iterator[Finding]:
    """
    Findings on the obligations of a model and its ancestors (`line`, itself first; `licences` of each).

    relation: of the endpoint's model to the first: identical · modified · derived, None where nobody knows.
    """
    told = set()
    for name in line:
        text = licences[name]
        for id_ in expressions.identifiers(text) if text else ():
            licence = catalogue().get(id_)
            if licence is None or id_ in told or (name != line[0] and licence.reaches == "copies"):
                continue
            told.add(id_)
            binding = id_ in expressions.binding(text or "")
            offspring = name != line[0] or relation in ("modified", "derived")
            # Of a copy that repeats little more than answers nobody knows whether it has the model's weights.
            surely = binding and (name != line[0] or relation != "derived" or licence.reaches == "outputs")
            for one in licence.obligations:
                if one.when != "derived" or offspring:
                    yield _finding(one, licence, name, endpoint, policy, surely=surely, binding=binding)


def kept(obligation: Obligation, endpoint: Endpoint) -> bool | None:
    """Whether an obligation is kept, None where nobody knows."""
    if obligation.id in endpoint.seen:
        return endpoint.seen[obligation.id]
    check, facts = obligation.check, endpoint.facts
    if "name_begins" in check:
        return endpoint.model.casefold().startswith(str(check["name_begins"]).casefold()) if endpoint.model else None
    if "text" in check:
        texts = facts.get("texts")
        return None if texts is None else any(str(check["text"]).casefold() in str(t).casefold() for t in texts)
    if check.get("never"):
        return False
    fact = facts.get(check.get("fact", ""))
    if fact is None:
        return None
    if "most" in check:
        return bool(fact <= check["most"])
    if "none_of" in check:
        return fact not in check["none_of"]

    return bool(fact == check["is"])


def _finding(
    one: Obligation, licence: Licence, name: str, endpoint: Endpoint, policy: Policy, *, surely: bool, binding: bool
) -> Finding:
    state = kept(one, endpoint)
    kind, word = STATES.get(state, (policy.unseen if one.shows else "note", "nobody looked" if one.shows else "unseen"))
    if one.when == "distributed" and state is None:
        kind, word = "note", "asked only of who hands the weights on"
    if kind == "fail" and not surely:
        kind = "review"
    if not binding and kind in ("review", "fail"):
        kind, word = "note", f"{word}, if this licence is the one chosen"
    graded: Kind = kind  # type: ignore[assignment]  # a policy's grade is one of these
    where = f"; it would show in: {one.shows}" if one.shows and state is None else ""

    return Finding(
        "obligation", graded, f"{licence.name} asks: {one.says} ({word}{where})", plain(name), licence.id, about=one.id
    )
