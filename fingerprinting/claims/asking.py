"""
Putting the probes to one model, and what its ledger says of every attempt.

A probe that was not answered is asked again only as often as the rule that was committed to allows, and the first
answer counts. Attempts are read off the ledger, which holds whatever left, so that none can be dropped unseen.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from probe_match.fingerprinting import recordings
from probe_match.fingerprinting.audits import Audit
from probe_match.fingerprinting.collect import Client, Progress, ask
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.guards import GuardedClient
from probe_match.fingerprinting.keying import SHORT, input_key
from probe_match.fingerprinting.ledger import Ledger
from probe_match.fingerprinting.records import UNANSWERED, Pool

from . import levels

UNREAD: Final = ("refused", "split")  # the target did not take these up; the same attempt goes again


class Attempt(NamedTuple):
    """
    One question that left. attempt: 0, 1, …, how often the probe was asked before. input: `sha256:…` of the probe.
    outcome: as in the ledger. label: UNANSWERED where none came. sent, entry: numbers in the ledger (0: nothing came).
    response: `sha256:…` of the bytes that came over the wire, None where none did.
    """

    probe: int
    attempt: int
    input: str
    outcome: str
    label: int
    sent: int
    entry: int
    response: str | None


def put_as(inputs: np.ndarray) -> np.ndarray | tuple[str, ...]:
    """Inputs as clients take them: texts, object (m,), as a tuple."""
    return tuple(inputs) if inputs.dtype == object and inputs.ndim == 1 else inputs


def put(
    client: Client, inputs: np.ndarray, order: np.ndarray, pool: Pool, *,
    retries: int, ledger: Path, progress: Progress | None = None,
) -> list[Attempt]:  # fmt: skip
    """
    Every attempt at the probes, in the order they left. inputs: float32 (n, *shape), or texts (n,), distinct.
    order: int (n,). pool: whose kind and classes they are of.

    ledger: where it is written down; a run that was killed goes on there. A client that is guarded already keeps its
    own.
    """
    guarded: Any = client
    audit = None
    if not isinstance(client, GuardedClient) or client.audit.ledger is None:
        audit = Audit(recordings.ledger_of(ledger, client))
        guarded = recordings.guard(client, audit)
    try:
        rounds: list[np.ndarray] = []
        left = order
        for _ in range(retries + 1):
            labels = np.full(len(inputs), UNANSWERED, np.int64)
            asked = ask(
                guarded, put_as(inputs[left]), pool.spec, classes=pool.classes, access="label", partly=True,
                progress=progress,
            )  # fmt: skip
            labels[left] = levels.labels_of(asked, pool)
            rounds.append(labels)
            left = left[labels[left] == UNANSWERED]
            if len(left) == 0:
                break
        return _attempts(guarded.audit.ledger, [input_key(row) for row in inputs], rounds)
    finally:
        if audit is not None:
            audit.close()


def _attempts(ledger: Ledger, names: list[str], rounds: list[np.ndarray]) -> list[Attempt]:
    """Every attempt at the named inputs that a ledger holds, as it left."""
    probes = {name[7 : 7 + SHORT]: i for i, name in enumerate(names)}
    sent: dict[int, list[tuple[int, int]]] = {}
    ends: dict[int, list[tuple[int, str, str | None]]] = defaultdict(list)
    for entry in ledger.entries():
        if entry.kind == "sent":
            about = json.loads(entry.about)
            pairs = zip(about["keys"], about["nth"], strict=True)
            sent[entry.seq] = [(probes[key], nth) for key, nth in pairs if key in probes]
        elif entry.of in sent:
            digest = f"sha256:{hashlib.sha256(entry.raw).hexdigest()}" if entry.raw else None
            ends[entry.of].append((entry.seq, entry.kind, digest))
    made = []
    for seq, asked in sent.items():
        end, outcome, response = ends[seq][0] if seq in ends else (0, "doubt", None)
        for probe, nth in asked:
            label = int(rounds[nth][probe]) if outcome == "answered" and nth < len(rounds) else UNANSWERED
            told = "failed" if outcome == "answered" and label == UNANSWERED else outcome
            made.append(Attempt(probe, nth, names[probe], told, label, seq, end, response))

    return made


def answers(attempts: Sequence[Attempt], inputs: Sequence[str], retries: int, who: str) -> np.ndarray:
    """
    The labels that count, int64 (n,), of attempts at n probes; inputs: their digests.

    Raises BadData where an attempt is missing, is at another input, or broke the rule.
    """
    labels = np.full(len(inputs), UNANSWERED, np.int64)
    tried: dict[int, list[Attempt]] = {i: [] for i in range(len(inputs))}
    for attempt in attempts:
        if attempt.probe not in tried or attempt.input != inputs[attempt.probe]:
            raise BadData(
                f"{who} was asked what key and beacon do not give (probe {attempt.probe}); nothing may be added"
            )
        tried[attempt.probe].append(attempt)
    for probe, made in tried.items():
        if not made:
            raise BadData(f"probe {probe} was never put to {who}; none may be skipped")
        settled = [a for a in made if a.outcome not in UNREAD]
        if max(a.attempt for a in made) <= retries and sorted({a.attempt for a in made}) != [
            *range(made[-1].attempt + 1)
        ]:
            raise BadData(f"an attempt at probe {probe} of {who} is missing; none may be dropped")
        if max(a.attempt for a in made) > retries:
            raise BadData(
                f"probe {probe} was put to {who} {made[-1].attempt + 1} times, {retries + 1} were committed to"
            )
        given = [a.label for a in settled if a.label != UNANSWERED]
        if given and (len(given) > 1 or settled[-1].label == UNANSWERED):
            raise BadData(f"probe {probe} was put to {who} again after an answer; the first one counts")
        if not given and made[-1].attempt < retries and made[-1].outcome != "doubt":
            raise BadData(f"an attempt at probe {probe} of {who} is missing; none may be dropped")
        labels[probe] = given[0] if given else UNANSWERED

    return labels
