"""
A case: one commitment, run. What was drawn, what everybody answered, and what follows from it.

`conclude` is all there is between answers and outcome; who verifies a case calls it on the same answers.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.keying import input_key
from probe_match.fingerprinting.records import UNANSWERED, InputSpec, Pool

from . import asking, deciding, keys, levels, panel, segments
from .asking import Attempt
from .beacons import Beacon
from .commitments import Commitment
from .panel import Peer
from .segments import Ways

SCHEMA: Final = "probe-match/claim-result/1"
TAUGHT: Final = 0.4  # agreement of source and pool labels, beyond chance, below which peers learn another task
ROLES: Final = ("suspect", "source", "copy", "peer")


class Asked(NamedTuple):
    """
    A model that was put the probes. role: suspect, source, copy (known to descend from it) or peer (known not to).
    """

    name: str
    role: str
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, eq=False)
class Case:
    """
    labels: int64 (rows,), the source's for the pool. places: int64 (m,). own: its readings of all sides, 2 m
    characters an offset. peers: copies, then trained ones, choosing ones first. audits, searched: what the p-value is
    corrected for. shared: the share of boundaries that honest models are assumed to have in common with the source.
    """

    commitment: Commitment
    beacon: Beacon | None
    labels: np.ndarray
    places: np.ndarray
    own: str
    peers: tuple[Peer, ...]
    asked: tuple[Asked, ...]
    audits: int
    searched: int
    at_hand: tuple[tuple[str, str], ...] = ()
    shared: float = deciding.SHARED

    @property
    def derivation(self) -> dict[str, Any]:
        """What, with key, beacon and pool, gives the probes."""
        return {
            "labels": self.labels.tolist(), "places": self.places.tolist(), "own": self.own,
            "at_hand": [list(one) for one in self.at_hand],
        }  # fmt: skip

    def leaves(self) -> list[bytes]:
        """Canonical JSON of every peer and every attempt, in order."""
        told: list[dict[str, Any]] = [{"kind": "peer", **peer._asdict()} for peer in self.peers]
        for model in self.asked:
            who = {"kind": "attempt", "of": model.name, "role": model.role}
            told += [who | attempt._asdict() for attempt in model.attempts]
        return [storage.canonical_json(leaf) for leaf in told]


class Probes(NamedTuple):
    """
    What is asked. ways: all candidates. chosen: int64 (ways,). inputs: float32 (questions, *shape). names: their
    digests. order: int64 (questions,), in which they are sent.
    """

    ways: Ways
    chosen: np.ndarray
    rows: np.ndarray
    inputs: np.ndarray
    names: list[str]
    order: np.ndarray


def salt(commitment: Commitment, beacon: Beacon | None) -> bytes:
    """What goes into every seed beside the secret key: the commitment, and the beacon it waited for."""
    told = None if beacon is None else beacon._asdict()
    return hashlib.sha256(storage.canonical_json([commitment.digest, told])).digest()


def seed(commitment: Commitment, key: keys.OwnerKey, beacon: Beacon | None, purpose: str) -> bytes:
    """
    The seed of the probes, or of the salts of leaves. Raises BadData for a key or beacon that was not committed to.
    """
    if key.hash != commitment.key:
        raise BadData(f"expected the key with hash {commitment.key[:19]}…, got one with {key.hash[:19]}…")
    if (None if beacon is None else (beacon.source, beacon.round)) != commitment.beacon:
        promised = "none" if commitment.beacon is None else f"round {commitment.beacon[1]} of {commitment.beacon[0]}"
        given = "none" if beacon is None else f"round {beacon.round} of {beacon.source}"
        raise BadData(f"expected the beacon that was committed to ({promised}), got {given}")

    return key.seed(salt(commitment, beacon), purpose)


def rows_of(pool: Pool) -> np.ndarray:
    """float32 (rows, *shape), within bounds; of texts object (rows,)."""
    return pool.spec.clip(pool.x) if isinstance(pool.x, np.ndarray) else np.array(pool.x, object)


def require_taught(pool: Pool, labels: np.ndarray) -> float:
    """
    Cohen's kappa (1960) of the pool's labels and the source's, int64 (rows,): their agreement beyond chance.

    Honest models are trained on the pool's. Raises BadData where those are not what the source was made for: were they
    shuffled, such models would know nothing, and every model that knows the task would look derived.
    """
    if pool.y is None:
        raise BadData("honest models are trained on true labels and the pool has none; add y to the pool")
    found = kappa(pool.y, labels)
    if pool.spec.output == "number":  # by its middle level: quartiles of the same numbers agree less than labels do
        found = kappa(levels.of_numbers(pool.y, pool) > 1, labels > 1)
    if found < TAUGHT:
        raise BadData(
            f"the source and the labels of the pool agree too little (kappa {found:.2f}, expected {TAUGHT} or more): "
            "models trained on them would not know the source's task; use a pool with true labels"
        )

    return found


def assumed(generator: segments.Generator, taught: float) -> float:
    """What is assumed of honest models, given what `require_taught` found; in version 1 whatever that is."""
    return deciding.assumed(taught) if generator.version > 1 else deciding.SHARED


def require_shadows(found: int) -> None:
    """Raise BadData where too few copies chose among the ways."""
    if found < panel.ENOUGH_SHADOWS:
        raise BadData(
            f"expected {panel.ENOUGH_SHADOWS} copies or more of the source with changed weights, got {found}; where "
            "its weights cannot be read, commit with --gap 0.12, which needs none"
        )


def kappa(a: np.ndarray, b: np.ndarray) -> float:
    """Cohen's kappa of two labellings, int (rows,): 0 by chance, 1 where they are the same."""
    every = np.union1d(a, b)
    chance = float(sum((a == label).mean() * (b == label).mean() for label in every))

    return float(((a == b).mean() - chance) / max(1 - chance, 1e-9))


def derive(
    spec: InputSpec, x: np.ndarray, ways: Ways, places: np.ndarray, own: np.ndarray, peers: Sequence[Peer],
    commitment: Commitment, seed: bytes,
) -> Probes:  # fmt: skip
    """The probes, from everything they depend on. own: readings int (2 offsets m,). peers: those that choose."""
    generator, m = commitment.generator, len(ways.first)
    both = segments.sides(spec, x, ways, places, generator.offsets)
    shape = (2, len(generator.offsets), m)

    def said(use: str, kin: bool | None = None) -> np.ndarray:
        some = [p for p in peers if p.use == use and kin in (None, p.role == "kin peer")]
        return np.array([panel.parsed(peer.readings, len(both)) for peer in some], np.int64).reshape(-1, *shape)

    # Kin are fewer than the others, and nearer to the source, so that they have a say of their own.
    honest = [said("choose", kin) for kin in ((True, False) if generator.shadows else (None,))]
    chosen = segments.choose(own.reshape(shape), honest, said(panel.SHADOW), both, generator.ways)
    rows = segments.asked(generator, ways, chosen)
    inputs = both[rows]

    return Probes(ways, chosen.ways, rows, inputs, [input_key(row) for row in inputs],
                  segments.order(seed, len(rows)))  # fmt: skip


def conclude(case: Case, probes: Probes, shared: float | None = None) -> dict[str, Any]:
    """
    The result of a case, by the rule it was committed to. Raises BadData where attempts break the retry rule. shared:
    as for `Commitment.rule`.

    Controls first: the source must be found, copies too, and no honest model at hand may look like one.
    """
    commitment, ways = case.commitment, len(probes.chosen)
    counted = {
        place: asking.answers(model.attempts, probes.names, commitment.retries, model.name)
        for place, model in enumerate(case.asked)
    }
    hits = {place: int(_hits(case, probes, labels).sum()) for place, labels in counted.items()}
    trained = [peer for peer in case.peers if peer.use == "calibrate"]
    honest = [_of_readings(case, probes, peer) for peer in trained]
    at_hand = [place for place, model in enumerate(case.asked) if model.role == "peer"]
    names = [peer.name for peer in trained] + [case.asked[place].name for place in at_hand]
    theirs = np.array(honest + [hits[place] for place in at_hand], np.int64)
    kin = np.array([peer.role == "kin peer" for peer in trained] + [False] * len(at_hand), bool)
    rule = commitment.rule(case.shared if shared is None else shared)
    times = deciding.factor(case.searched, case.audits, case.beacon is not None)
    findings, controls = {}, []
    for place, model in enumerate(case.asked):
        others = np.ones(len(theirs), bool)
        if model.role == "peer":
            others[len(trained) + at_hand.index(place)] = False
        answered = float((counted[place] != UNANSWERED).mean())
        found = deciding.decide(hits[place], ways, answered, theirs[others], kin[others], times, rule)
        findings[place] = found
        if model.role != "suspect":
            like = found.p_corrected <= commitment.threshold
            told = {"of": model.name, "role": model.role, "hits": hits[place], "p_corrected": found.p_corrected}
            controls.append(told | {"as_expected": like == (model.role != "peer")})
    (suspect,) = (place for place, model in enumerate(case.asked) if model.role == "suspect")
    finding = _controlled(findings[suspect], controls)

    return {
        "schema": SCHEMA, "commitment": commitment.digest, "statistic": commitment.generator.statistic,
        "beacon": None if case.beacon is None else case.beacon._asdict(), "audits": case.audits,
        "searched": case.searched, "suspect": case.asked[suspect].name, "questions": len(probes.rows),
        "floor": rule.floor,
        "finding": finding._asdict(), "nearest": names[finding.nearest] if len(names) else None, "controls": controls,
        "derivation": storage.sha256(storage.canonical_json(case.derivation)),
    }  # fmt: skip


def with_models(case: Case, models: Sequence[Asked], peers: Sequence[Peer] = ()) -> Case:
    """The case with further models that were put the probes, and further honest models that were trained."""
    return replace(case, asked=(*case.asked, *models), peers=(*case.peers, *peers))


def _controlled(finding: deciding.Finding, controls: Sequence[Mapping[str, Any]]) -> deciding.Finding:
    failed = [control for control in controls if not control["as_expected"]]
    if not failed:
        return finding
    if all(control["role"] == "source" for control in failed):
        return finding._replace(
            outcome="inconclusive", why="by these probes not even the source itself is found; commit to more ways"
        )
    told = ", ".join(f"{c['of']} ({c['role']}) with {c['hits']} hits" for c in failed[:3])

    return finding._replace(outcome="inconclusive", why=f"void: a control failed: {told}")


def _hits(case: Case, probes: Probes, labels: np.ndarray) -> np.ndarray:
    return segments.hits(case.commitment.generator, probes.ways, probes.chosen, labels)


def _of_readings(case: Case, probes: Probes, peer: Peer) -> int:
    """Hits of a trained peer, whose readings of the probes are written down."""
    readings = panel.parsed(peer.readings, len(probes.rows))
    if case.commitment.generator.statistic == "targeted":
        return int((readings == probes.ways.bits[probes.chosen]).sum())
    return int(((readings[::2] == 0) & (readings[1::2] == 1)).sum())
