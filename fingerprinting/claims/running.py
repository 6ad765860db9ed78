"""Running a case: probes are derived, honest models trained, and source, controls and suspect asked in the same run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting import changed_copies, storage
from probe_match.fingerprinting.collect import Client, Progress, ask, require_fit
from probe_match.fingerprinting.errors import BadData, TargetError
from probe_match.fingerprinting.records import Panel, Pool

from . import asking, cases, commitments, keys, levels, panel, segments
from .beacons import Beacon
from .cases import Asked, Case, Probes
from .commitments import Commitment
from .deciding import ALPHA, CONFIDENCE, THRESHOLD
from .segments import Generator

LOOKED_AT: Final = 256  # rows of the pool by whose labels models at hand are known again


class Model(NamedTuple):
    """A model to ask: its client, its role as in `cases.Asked`, and the ledger of its answers."""

    client: Client
    role: str
    ledger: Path


def labels_for(client: Client, pool: Pool, rows: int | None = None) -> np.ndarray:
    """int64 (rows,): a model's labels for the first rows of the pool, or all."""
    require_fit(client, pool.spec)

    return answers_of(client, pool, cases.rows_of(pool)[:rows])


def answers_of(client: Client, pool: Pool, inputs: np.ndarray) -> np.ndarray:
    """int64 (m,): a model's labels for inputs of the pool's kind, float32 (m, *shape) or texts (m,)."""
    return levels.labels_of(ask(client, asking.put_as(inputs), pool.spec, classes=pool.classes, access="label"), pool)


def generator_for(
    source: Client, statistic: segments.Statistic, ways: int, candidates: int, gap: float | None = None
) -> Generator:
    """The generator for a model: with copies of it where its weights can be read and no gap is wished for."""
    if gap is None and changed_copies.readable(source):
        return Generator(statistic, ways, candidates)
    return segments.symmetric(statistic, ways, candidates, segments.GAP if gap is None else gap)


def commit(
    source: Client,
    pool: Pool,
    key: keys.OwnerKey,
    generator: Generator,
    *,
    links: Sequence[dict[str, object]],
    beacon: tuple[str, int] | None,
    peers: int = panel.PEERS,
    at_hand: Sequence[Client] = (),
    weights: str | None = None,
    threshold: float = THRESHOLD,
    alpha: float = ALPHA,
    retries: int = 0,
) -> Commitment:
    """
    What is to be sealed now. links: the case book so far. beacon: source and round, not out yet, or None.

    at_hand: honest models that will join the peers. weights: root of the model's tensors.
    """
    serial = commitments.check_chain(links) + 1
    labels = labels_for(source, pool)
    cases.require_taught(pool, labels)
    made = Commitment(
        serial=serial,
        previous=commitments.digest(links[-1]) if links else None,
        key=key.hash,
        generator=segments.checked(generator.to_json()),
        pool=storage.digest(pool),
        source=source.target,
        labels=labels_digest(labels),
        weights=weights,
        panel=commitments.panel_digest(peers, [(c.target, seen(c, pool)) for c in at_hand]),
        peers=peers,
        threshold=threshold,
        alpha=alpha,
        confidence=CONFIDENCE,
        retries=retries,
        beacon=beacon,
    )

    return commitments.read(made.to_json())


def seen(client: Client, pool: Pool) -> str:
    """By what a model at hand is known again: the digest of its labels for the pool's first rows."""
    return labels_digest(labels_for(client, pool, LOOKED_AT))


def labels_digest(labels: np.ndarray) -> str:
    """`sha256:…` of labels int (rows,)."""
    return storage.sha256(np.ascontiguousarray(labels, "<i8").tobytes())


def run(
    commitment: Commitment,
    key: keys.OwnerKey,
    beacon: Beacon | None,
    pool: Pool,
    models: Sequence[Model],
    *,
    audits: int,
    searched: int = 1,
    jobs: int = 1,
    train: panel.Train = panel.train,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> tuple[Case, Probes]:
    """
    Ask everybody. models: exactly one source and one suspect, any number of copies and peers; the source is asked
    first.

    train: how honest models come about. audits: commitments in the case book. searched: models looked at before this
    one was accused, itself included. note: is told what happens now. Raises BadData where anything is not what was
    committed to.
    """
    (source,) = (model for model in models if model.role == "source")
    seed = cases.seed(commitment, key, beacon, "probes")
    labels = labels_for(source.client, pool)
    at_hand = tuple((m.client.target, seen(m.client, pool)) for m in models if m.role == "peer")
    _require_committed(commitment, pool, labels, at_hand)
    shared = cases.assumed(commitment.generator, cases.require_taught(pool, labels))
    spec, x = pool.spec, cases.rows_of(pool)
    generator = commitment.generator

    note("finding the source's boundary")
    ways = segments.draw(seed, labels, generator.candidates)
    places = segments.locate(lambda inputs: answers_of(source.client, pool, inputs), spec, x, ways)
    both = segments.sides(spec, x, ways, places, generator.offsets)
    base = np.tile(ways.base, len(both) // len(ways.base))
    own = segments.read(answers_of(source.client, pool, both), base)
    choosing: list[panel.Peer] = []
    if generator.shadows:
        note("changing copies of the source")
        copies = panel.shadows(source.client, pool, both, seed)
        cases.require_shadows(len(copies))
        choosing = [panel.Peer(name, "copy", panel.SHADOW, panel.written(segments.read(r, base))) for name, r in copies]
    note(f"training {commitment.peers} honest models")
    early, later = train(source.client, pool, both, seed, commitment.peers, jobs=jobs, progress=progress)
    choosing += _peers(early, base, "choose")
    probes = cases.derive(spec, x, ways, places, own, choosing, commitment, seed)
    honest = _peers(later(probes.inputs), base[probes.rows], "calibrate")
    asked = []
    for model in sorted(models, key=lambda m: cases.ROLES[::-1].index(m.role)):
        note(f"asking {model.client.target} ({model.role})")
        require_fit(model.client, spec)
        attempts = asking.put(
            model.client, probes.inputs, probes.order, pool,
            retries=commitment.retries, ledger=model.ledger, progress=progress,
        )  # fmt: skip
        asked.append(Asked(model.client.target, model.role, tuple(attempts)))
    if not any(attempt.label >= 0 for model in asked if model.role == "suspect" for attempt in model.attempts):
        raise TargetError("the suspect answered nothing at all; see whether it is up, and run again")

    case = Case(
        commitment, beacon, labels, places, panel.written(own), (*choosing, *honest), tuple(asked), audits, searched,
        at_hand, shared,
    )  # fmt: skip

    return case, probes


def _peers(trained: Panel, base: np.ndarray, use: str) -> list[panel.Peer]:
    readings = segments.read(trained.labels.astype(np.int64), base)
    named = zip(trained.names, trained.roles, readings, strict=True)
    return [panel.Peer(name, role, use, panel.written(r)) for name, role, r in named]


def _require_committed(
    commitment: Commitment, pool: Pool, labels: np.ndarray, at_hand: Sequence[tuple[str, str]]
) -> None:
    for what, is_, was in (
        ("pool", storage.digest(pool), commitment.pool),
        ("source", labels_digest(labels), commitment.labels),
        ("honest models", commitments.panel_digest(commitment.peers, at_hand), commitment.panel),
    ):
        if is_ != was:
            raise BadData(f"the {what} of this run are not what was committed to ({is_[:19]}…, expected {was[:19]}…)")
