"""
What an owner binds himself to before anybody can know the probes, and the chain of everything he bound himself to.

A case book is a list of links: a commitment, or the run of one. Each names the digest of the link before, so that a
case that was tried and put away stays visible, and only the last commitment can be run: nobody commits to many and runs
the best.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, get_args

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData

from . import deciding, segments
from .beacons import Beacon, checked
from .segments import Generator

SCHEMA: Final = "probe-match/commitment/1"
RUN: Final = "probe-match/claim-run/1"
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
MOST_RETRIES: Final = 10


class Commitment(NamedTuple):
    """
    serial: 1, 2, … of the book's commitments. previous: digest of the link before, None of the first. key: hash of the
    secret key. pool: digest of the rows. source: the owner's model as it is called, labels: digest of its labels for
    the pool, weights: root of its tensors where they are at hand. panel: digest of how honest models come about.
    retries: times a probe without an answer is asked again. beacon: (source, round), not yet out, or None.
    """

    serial: int
    previous: str | None
    key: str
    generator: Generator
    pool: str
    source: str
    labels: str
    weights: str | None
    panel: str
    peers: int
    threshold: float
    alpha: float
    confidence: float
    retries: int
    beacon: tuple[str, int] | None

    def rule(self, shared: float = deciding.SHARED) -> deciding.Rule:
        """How it will be decided. shared: less than usual where honest models are not the claimant's."""
        least = deciding.floor(self.generator.statistic == "targeted", shared)
        return deciding.Rule(least, self.threshold, self.alpha, self.confidence)

    def to_json(self) -> dict[str, Any]:
        """As it is sealed."""
        told = self._asdict() | {"schema": SCHEMA, "generator": self.generator.to_json()}
        told["generator_digest"] = self.generator.digest
        told["beacon"] = None if self.beacon is None else {"source": self.beacon[0], "round": self.beacon[1]}
        return told

    @property
    def digest(self) -> str:
        """`sha256:…` over the canonical JSON."""
        return digest(self.to_json())


def digest(link: Mapping[str, Any]) -> str:
    """`sha256:…` of a link of the book."""
    return storage.sha256(storage.canonical_json(link))


def panel_digest(peers: int, at_hand: Sequence[tuple[str, str]]) -> str:
    """
    Of the recipe: how many honest models are trained (their seeds follow from key and beacon), and those at hand, each
    with the digest of its labels for the pool.
    """
    recipe = {
        "plan": "probe-match/peers/1",
        "trained": peers,
        "at_hand": sorted([name, seen] for name, seen in at_hand),
    }
    return storage.sha256(storage.canonical_json(recipe))


def read(link: Any, where: str = "the commitment") -> Commitment:
    """A commitment from its JSON, every field checked and none unknown. Raises BadData."""
    if not isinstance(link, dict) or link.get("schema") != SCHEMA:
        raise BadData(f"expected {SCHEMA} as {where}, got something else")
    told = {name: value for name, value in link.items() if name not in ("schema", "generator_digest")}
    try:
        beacon = told["beacon"]
        told["beacon"] = None if beacon is None else (beacon["source"], beacon["round"])
        told["generator"] = segments.checked(told["generator"])
        found = Commitment(**told)
        _require_sound(found)
        same = storage.canonical_json(found.to_json()) == storage.canonical_json(link)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData(f"{where} lacks a field or holds one that cannot be ({str(error)[:80]})") from error
    if not same:
        raise BadData(f"{where} says of itself what it is not: its generator has another digest, or fields are unknown")

    return found


def _require_sound(c: Commitment) -> None:
    digests = [c.key, c.pool, c.labels, c.panel, *(d for d in (c.previous, c.weights) if d is not None)]
    numbers = (c.serial, c.peers, c.retries, *(() if c.beacon is None else (c.beacon[1],)))
    sound = (
        all(DIGEST.fullmatch(d) for d in digests)
        and all(type(n) is int for n in numbers)
        and c.serial >= 1
        and (c.serial == 1 or c.previous is not None)
        and 0 <= c.peers <= 10_000
        and 0 <= c.retries <= MOST_RETRIES
        and isinstance(c.source, str)
        and 0 < c.threshold <= deciding.THRESHOLD
        and 0 < c.alpha <= deciding.ALPHA
        and 0.5 <= c.confidence < 1
    )
    if not sound:
        raise ValueError("expected digests, a serial from 1 on, and a threshold no laxer than 1e-6")


class Run(NamedTuple):
    """
    That a commitment was run, and to what end. previous, commitment: its digest. result: the digest of the result.
    root: over all leaves, 64 hex digits.
    """

    previous: str
    commitment: str
    beacon: Beacon | None
    result: str
    outcome: str
    root: str
    leaves: int

    def to_json(self) -> dict[str, Any]:
        """As it is sealed."""
        return self._asdict() | {"schema": RUN, "beacon": None if self.beacon is None else self.beacon._asdict()}


def run_of(
    commitment: Commitment, beacon: Beacon | None, result: Mapping[str, Any], root: str, leaves: int
) -> dict[str, Any]:
    """The link of a run. root: over its leaves, 64 hex digits."""
    digested = storage.sha256(storage.canonical_json(result))
    ended = str(result["finding"]["outcome"])

    return Run(commitment.digest, commitment.digest, beacon, digested, ended, root, leaves).to_json()


def read_run(link: Any, where: str = "the run") -> Run:
    """A run from its JSON, every field checked and none unknown. Raises BadData."""
    try:
        told = {name: value for name, value in link.items() if name != "schema"}
        beacon = None if told["beacon"] is None else checked(Beacon(**told["beacon"]), where)
        run = Run(**(told | {"beacon": beacon}))
        sound = all(DIGEST.fullmatch(d) for d in (run.previous, run.commitment, run.result))
        sound = sound and bool(re.fullmatch(r"[0-9a-f]{64}", run.root)) and type(run.leaves) is int and run.leaves > 0
        if link["schema"] != RUN or not sound or run.outcome not in get_args(deciding.Outcome):
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData(f"{where} lacks a field or holds one that cannot be") from error

    return run


def check_chain(links: Sequence[Mapping[str, Any]]) -> int:
    """
    How many commitments a whole book holds. Raises BadData where a link is missing, changed, or out of turn.
    """
    previous, serial, last = None, 0, ""
    for place, link in enumerate(links, 1):
        if link.get("previous") != previous:
            raise BadData(
                f"link {place} of the case book does not follow the one before; a case was dropped or changed"
            )
        if link.get("schema") == SCHEMA:
            serial += 1
            if read(link, f"link {place} of the case book").serial != serial:
                raise BadData(f"link {place} of the case book has serial {link.get('serial')}, expected {serial}")
        elif last != SCHEMA or read_run(link, f"link {place} of the case book").commitment != previous:
            raise BadData(f"link {place} of the case book is neither a commitment nor the run of the one before")
        previous, last = digest(link), str(link["schema"])

    return serial


def require_last(links: Sequence[Mapping[str, Any]], commitment: Commitment) -> None:
    """Raise BadData unless the book is whole and ends with this commitment, not run yet."""
    check_chain(links)
    if not links or digest(links[-1]) != commitment.digest:
        later = [link for link in links if link.get("schema") == SCHEMA]
        known = any(digest(link) == commitment.digest for link in later)
        why = f"the book goes on to case {len(later)}, or it was run already" if known else "the book does not hold it"
        raise BadData(f"case {commitment.serial} is stale: {why}; commit anew")
