"""
What a verifier who has models at hand can do beyond recomputing a case: ask and train again, and compare.

A claimant's records are his own. Whoever asks the suspect again, trains the honest models again from the seeds that key
and beacon give, and adds honest models of his own, believes none of them.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from probe_match.fingerprinting.calibration import ENOUGH as ENOUGH_PEERS
from probe_match.fingerprinting.collect import Client, Progress
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.panels import join
from probe_match.fingerprinting.records import Pool

from . import cases, panel, running, segments
from .asking import Attempt
from .cases import Asked
from .panel import Peer
from .verifying import Opened

ENOUGH: Final = 0.98  # of what is compared; runtimes and versions differ in the last digits


def source_says(whole: Opened, source: Client) -> dict[str, float]:
    """Of what was recorded of the owner's model, the share that it says again: labels of the pool, places, readings."""
    case, pool, ways = whole.case, whole.pool, whole.probes.ways
    x = cases.rows_of(pool)
    places = segments.locate(lambda inputs: running.answers_of(source, pool, inputs), pool.spec, x, ways)
    both = segments.sides(pool.spec, x, ways, case.places, case.commitment.generator.offsets)
    own = segments.read(running.answers_of(source, pool, both), _base(whole))
    recorded = panel.parsed(case.own, len(both))

    return {
        "labels": float((running.labels_for(source, pool) == case.labels).mean()),
        "places": float((np.abs(places - case.places) <= 1).mean()),
        "readings": float((own == recorded).mean()),
    }


def suspect_says(whole: Opened, suspect: Client) -> float:
    """Of the suspect's recorded answers, the share that a model at hand, or the suspect asked again, gives too."""
    (asked,) = (model for model in whole.case.asked if model.role == "suspect")
    given = {attempt.probe: attempt.label for attempt in asked.attempts if attempt.label >= 0}
    labels = running.answers_of(suspect, whole.pool, whole.probes.inputs)

    return float(np.mean([labels[probe] == label for probe, label in given.items()])) if given else 0.0


def peers_say(whole: Opened, source: Client, *, jobs: int = 1, progress: Progress | None = None) -> float:
    """
    Of the recorded readings of honest models and copies, the share that they give when they are made again; 0 where
    they are others.

    source: the owner's model, whose class kin are of, and whose copies choose.
    """
    case, pool, base = whole.case, whole.pool, _base(whole)
    generator, rows = case.commitment.generator, whole.probes.rows
    both = segments.sides(pool.spec, cases.rows_of(pool), whole.probes.ways, case.places, generator.offsets)
    copies = panel.shadows(source, pool, both, whole.seed) if generator.shadows else []
    early, later = panel.train(source, pool, both, whole.seed, case.commitment.peers, jobs=jobs, progress=progress)
    late = later(whole.probes.inputs)
    again = [(name, "copy", panel.SHADOW, segments.read(labels, base)) for name, labels in copies]
    for made, use, points in ((early, "choose", base), (late, "calibrate", base[rows])):
        readings = segments.read(made.labels.astype(np.int64), points)
        again += [(name, role, use, r) for name, role, r in zip(made.names, made.roles, readings, strict=True)]
    if [(name, role, use) for name, role, use, _ in again] != [(p.name, p.role, p.use) for p in case.peers]:
        return 0.0
    recorded = [panel.parsed(peer.readings, len(one[3])) for peer, one in zip(case.peers, again, strict=True)]

    return float(np.mean([(one[3] == said).mean() for one, said in zip(again, recorded, strict=True)]))


def _base(whole: Opened) -> np.ndarray:
    """The first row's label of every side, int64 (2 offsets m,)."""
    return np.tile(whole.probes.ways.base, 2 * len(whole.case.commitment.generator.offsets))


def trained_on(
    whole: Opened, source: Client, pool: Pool, *, seed: bytes = b"", jobs: int = 1, progress: Progress | None = None
) -> list[Peer]:
    """
    As many honest models as the case has, trained on a verifier's own pool. seed: beside which their seeds are drawn.

    Nothing in them is the claimant's: neither rows nor labels that were made for the case. Raises BadData for a pool of
    another input or other classes.
    """
    if not pool.spec.accepts(whole.pool.spec) or pool.classes != whole.pool.classes:
        raise BadData(
            f"expected a pool of the case's input {whole.pool.spec.shape} and classes, got {pool.spec.shape}; use one"
        )
    drawn = hashlib.sha256(b"probe-match/verifier\0" + whole.seed + seed).digest()
    probes = whole.probes
    early, later = panel.train(
        source, pool, probes.inputs, drawn, whole.case.commitment.peers, jobs=jobs, progress=progress
    )  # fmt: skip
    given = join([early, later(probes.inputs)])
    base = _base(whole)[probes.rows]
    readings = segments.read(given.labels.astype(np.int64), base)

    return [
        Peer(f"{name} of the verifier", role, "calibrate", panel.written(theirs))
        for name, role, theirs in zip(given.names, given.roles, readings, strict=True)
    ]


def with_others(whole: Opened, clients: Sequence[Client], peers: Sequence[Peer] = ()) -> dict[str, Any]:
    """
    The result if a verifier's own honest models are counted among the peers: those trained for it, and clients that are
    asked the opened probes. With enough trained ones of both kinds nothing needs to be assumed beyond what they show.
    """
    extra = []
    for client in clients:
        labels = running.answers_of(client, whole.pool, whole.probes.inputs)
        attempts = [
            Attempt(i, 0, name, "answered", int(label), 0, 0, None)
            for i, (name, label) in enumerate(zip(whole.probes.names, labels, strict=True))
        ]
        extra.append(Asked(client.target, "peer", tuple(attempts)))

    kin = sum(peer.role == "kin peer" for peer in peers)
    shared = 0.0 if min(kin, len(peers) - kin) >= ENOUGH_PEERS else None

    return cases.conclude(cases.with_models(whole.case, extra, peers), whole.probes, shared)
