"""A small world in which claims are run: models by their nearest rows, so that hundreds of honest ones cost nothing."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from probe_match.clients import function
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.claims import (
    books,
    cases,
    commitments,
    files,
    keys,
    opening,
    running,
    segments,
    verifying,
)  # fmt: skip
from probe_match.fingerprinting.claims.beacons import Beacon
from probe_match.fingerprinting.claims.books import Book
from probe_match.fingerprinting.claims.cases import Case, Probes
from probe_match.fingerprinting.claims.commitments import Commitment
from probe_match.fingerprinting.claims.files import Files
from probe_match.fingerprinting.claims.segments import Generator
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.plans import CALIBRATING
from probe_match.fingerprinting.records import InputSpec, Panel, Pool

ROWS: Final = 400
GENERATOR: Final = segments.symmetric("targeted", 96, 256)
PEERS: Final = 260
KEY: Final = keys.OwnerKey(bytes(range(32)))
BEACON: Final = Beacon("drand", 7, "5a" * 32)
PEM: Final = Ed25519PrivateKey.generate().private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
OTHER_PEM: Final = Ed25519PrivateKey.generate().private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


def make_pool() -> Pool:
    """Three classes that overlap, in four columns."""
    rng = np.random.default_rng(1)
    y = np.arange(ROWS) % 3
    centres = np.array([[0.3, 0.3, 0.5, 0.5], [0.7, 0.3, 0.5, 0.4], [0.5, 0.7, 0.5, 0.6]])
    x = np.clip(centres[y] + rng.normal(0, 0.13, (ROWS, 4)), 0, 1).astype(np.float32)
    return Pool(InputSpec("tabular", (4,)), x, y)


POOL: Final = make_pool()


def nearest(seed: int, *, rounded: bool = False, rows: int = 60) -> Callable[[np.ndarray], np.ndarray]:
    """A model that answers as the nearest of the rows it learnt. rounded: the same model with coarser weights."""
    learnt = np.random.default_rng([2, seed]).permutation(ROWS)[:rows]
    assert isinstance(POOL.x, np.ndarray)
    assert POOL.y is not None
    x, y = POOL.x[learnt].astype(np.float64), POOL.y[learnt]
    x = np.round(x * 64) / 64 if rounded else x
    half = (x**2).sum(1) / 2  # of the squared distance, less what all rows share

    def answer(inputs: np.ndarray) -> np.ndarray:
        return np.asarray(y[(half - inputs.astype(np.float64) @ x.T).argmin(1)])

    return answer


def client(seed: int, name: str, **how: Any) -> Client:
    """Such a model as a target."""
    return function.wrap(nearest(seed, **how), name=name, shape=(4,))


def honest(
    source: Client, pool: Pool, inputs: np.ndarray, seed: bytes, count: int, **_: Any
) -> tuple[Panel, Callable[[np.ndarray], Panel]]:
    """Honest models in the place of those that `panel.train` takes half a minute to train; every other is kin."""
    first = count - round(CALIBRATING * count)

    def some(inputs: np.ndarray, which: range, use: str) -> Panel:
        labels = np.stack([nearest(100 + i)(inputs) for i in which]).astype(np.int16)
        roles = tuple("peer" if i % 2 else "kin peer" for i in which)
        return Panel(tuple(f"peer {i}" for i in which), roles, (use,) * len(which), labels)

    return some(inputs, range(first), "select"), lambda probes: some(probes, range(first, count), "calibrate")


class World(NamedTuple):
    """A case that was run, and what is needed to run or seal another."""

    case: Case
    probes: Probes
    book: Book
    closed: Files
    private: Files


def commit(
    book: Book | None = None, generator: Generator = GENERATOR, source: Client | None = None, **how: Any
) -> tuple[Commitment, Book]:
    """A commitment of the owner of model 0, or of another, and the book that it now ends."""
    book = book or Book([], [], None)
    how = {"beacon": ("drand", 7), "peers": PEERS} | how
    made = running.commit(source or client(0, "mine"), POOL, KEY, generator, links=book.links, **how)
    return made, books.extended(book, made.to_json(), PEM)


def run(
    folder: Path, suspect: Client, *others: tuple[Client, str], committed: Any = None, source: Client | None = None,
    **how: Any,
) -> World:  # fmt: skip
    """Commit and run a case against a suspect. others: controls with their roles."""
    commitment, book = committed or commit()
    models = [(source or client(0, "mine"), "source"), *others, (suspect, "suspect")]
    folder.mkdir(parents=True, exist_ok=True)
    asked = [running.Model(model, role, folder / f"{i}.ledger") for i, (model, role) in enumerate(models)]
    beacon = None if commitment.beacon is None else BEACON
    how = {"audits": commitments.check_chain(book.links), "train": honest} | how
    case, probes = running.run(commitment, KEY, beacon, POOL, asked, **how)
    closed, private, after = opening.close(case, probes, POOL, KEY, book, PEM)
    return World(case, probes, after, closed, private)


def opened(world: World) -> Files:
    """The case as its owner hands it over, whole."""
    return opening.reveal(world.closed, world.private, KEY)


def forged(world: World, case: Case, book: Book | None = None, leaves: Sequence[bytes] = (), **result: Any) -> Files:
    """
    What a claimant who holds all keys seals, opened: his case, and the result that he would like, by a tool that does
    not stop where ours does. book: what the run is to follow.
    """
    wished = json.loads(world.closed[files.RESULT]) | {"commitment": case.commitment.digest} | result
    salts, leaves = cases.seed(case.commitment, KEY, case.beacon, "leaves"), list(leaves) or case.leaves()
    root = verifying.root_of(salts, leaves).hex()
    book = book or Book(world.book.envelopes[:-1], world.book.links[:-1], world.book.owner)
    book = books.extended(book, commitments.run_of(case.commitment, case.beacon, wished, root, len(leaves)), PEM)

    return world.private | {
        files.BOOK: files.joined(book.envelopes),
        files.RESULT: storage.canonical_json(wished),
        files.DERIVATION: storage.canonical_json(case.derivation),
        files.LEAVES: b"".join(leaf + b"\n" for leaf in leaves),
        files.KEY: KEY.reveal().encode() + b"\n",
    }


def with_attempts(case: Case, role: str, change: Callable[[list[Any]], Sequence[Any]]) -> Case:
    """The case with the attempts at one model changed."""
    asked = tuple(
        m._replace(attempts=tuple(change(list(m.attempts)))) if m.role == role else m for m in case.asked
    )  # fmt: skip
    return replace(case, asked=asked)


# Targets of the command line: function:claims_world:mine and so on.
mine = nearest(0)
stolen = nearest(0, rounded=True)
other = nearest(950)
