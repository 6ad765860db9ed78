"""
What honest models, copies and the models of a zoo say to one source's probes: one source, one file, so that nothing is
asked twice.

    python -m benchmarks.claims_answers ZOO SOURCE --kind honest --output FOLDER

Both sides of every candidate way are asked, so that any statistic and any number of ways can be decided afterwards.

honest: the source as its owner has it, with the zoo's pool. surrogates: a claimant's "model" is the vote of five models
he trained, and his pool the mixtures of rows on which all five agree on what no row beside them is labelled, inputs
that fool whoever learnt the same task. mislabelled: the source, with a pool of which the claimant shuffled as many
labels as a commitment lets pass, so that the honest models trained on it know less.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from probe_match.clients import function
from probe_match.fingerprinting import learners
from probe_match.fingerprinting.bench.zoo import Zoo, ZooModel, read_zoo
from probe_match.fingerprinting.claims import cases, keys, panel, running, segments
from probe_match.fingerprinting.claims.beacons import Beacon
from probe_match.fingerprinting.claims.segments import Generator
from probe_match.fingerprinting.collect import Client, ask
from probe_match.fingerprinting.records import Pool
from probe_match.fingerprinting.targets import open_any

GENERATOR: Final = Generator("targeted")
SEED: Final = 20261126  # of the claimant's key, and of what an attacker draws
SURROGATES: Final = 5
TRIED: Final = 20_000  # mixtures that an attacker looks at


def surrogates(pool: Pool) -> tuple[Client, Pool]:
    """The claimant's vote of five models, and the pool he optimised for it; as many rows as the pool has."""
    rng = np.random.default_rng([SEED, 1])
    x = cases.rows_of(pool)
    assert pool.y is not None
    k = int(pool.y.max()) + 1
    names = learners.names(pool.spec, k, len(x))[:SURROGATES]
    answers: list[Callable[[Any], Any]] = []
    for i in range(SURROGATES):
        rows = rng.permutation(len(x))[: int(0.8 * len(x))]
        answers.append(learners.train(names[i % len(names)], pool.spec, x[rows], pool.y[rows], k, SEED + i))

    def vote(inputs: np.ndarray) -> np.ndarray:
        return np.asarray(np.mean([answer(inputs)[1].astype(float) for answer in answers], 0))

    first, second = rng.integers(0, len(x), (2, TRIED))
    share = rng.uniform(0.2, 0.8, (TRIED, 1)).astype(np.float32)
    flat = x.reshape(len(x), -1)
    swapped = np.where(rng.random((TRIED, flat.shape[1])) < share, flat[second], flat[first])
    mixed = np.concatenate([flat[first] + share * (flat[second] - flat[first]), swapped]).astype(np.float32)
    mixed = np.unique(mixed, axis=0).reshape(-1, *x.shape[1:])
    labels = np.stack([answer(mixed)[0] for answer in answers]).astype(np.int64)
    sure = vote(mixed).max(1)
    agreed = (labels == labels[0]).all(0)
    from sklearn.neighbors import NearestNeighbors

    near = NearestNeighbors(n_neighbors=3).fit(flat).kneighbors(mixed.reshape(len(mixed), -1), return_distance=False)
    odd = agreed & (pool.y[near] != labels[0][:, None]).all(1)
    best = np.argsort(np.where(odd, -sure, np.where(agreed, 1 - sure, 2.0)), kind="stable")[: len(x)]

    return function.wrap(vote), replace(pool, x=mixed[best], y=labels[0][best], trained=None)


def mislabelled(pool: Pool, labels: np.ndarray) -> Pool:
    """The pool with as many of its labels shuffled as their agreement with the source's, int (rows,), allows."""
    assert pool.y is not None
    rng = np.random.default_rng([SEED, 2])
    order = rng.permutation(len(pool))
    best = pool
    for share in np.arange(0.02, 1.0, 0.02):
        rows, y = order[: int(share * len(pool))], pool.y.copy()
        y[rows] = rng.permutation(y[rows])
        if cases.kappa(y, labels) < cases.TAUGHT:
            break
        best = replace(pool, y=y)

    return best


def measure(zoo: Zoo, name: str, kind: str, peers: int = panel.PEERS) -> dict[str, np.ndarray]:
    """Readings of both sides of all candidate ways: the source's, the peers', and those of every model under test."""
    (model,) = (m for m in zoo.of("source") if m.name == name)
    pool, source = zoo.pool, open_any(model.target)
    if kind == "surrogates":
        source, pool = surrogates(zoo.pool)
    elif kind == "mislabelled":
        pool = mislabelled(zoo.pool, running.labels_for(source, zoo.pool))
    spec, x = pool.spec, cases.rows_of(pool)
    key = keys.OwnerKey(bytes(np.random.default_rng([SEED, 3]).integers(0, 256, 32, np.uint8)))
    beacon = Beacon("benchmark", 1, f"{SEED:064x}")
    commitment = running.commit(source, pool, key, GENERATOR, links=[], beacon=("benchmark", 1), peers=peers)
    seed = cases.seed(commitment, key, beacon, "probes")

    def answers_of(client: Client, inputs: np.ndarray) -> np.ndarray:
        return ask(client, inputs, spec, classes=pool.classes, access="label").labels

    labels = running.labels_for(source, pool)
    ways = segments.draw(seed, labels, GENERATOR.candidates)
    places = segments.locate(lambda inputs: answers_of(source, inputs), spec, x, ways)
    both = segments.sides(spec, x, ways, places, GENERATOR.gap)
    base = np.tile(ways.base, 2)
    trained = panel.train(source, pool, both, seed, peers)
    tested = [m for m in zoo.models if tested_with(m, name, kind)]
    theirs = [segments.read(answers_of(open_any(m.target), both), base) for m in tested]

    return {
        "bits": ways.bits.astype(np.int8), "inputs": both,
        "own": segments.read(answers_of(source, both), base).astype(np.int8),
        "peers": segments.read(trained.labels.astype(np.int64), base).astype(np.int8),
        "roles": np.array(trained.roles), "uses": np.array(trained.uses),
        "models": np.stack(theirs).astype(np.int8), "names": np.array([m.name for m in tested]),
        "kinds": np.array([m.attack if m.role == "derived" else f"honest {m.data}" for m in tested]),
        "learner": np.array(model.learner),
    }  # fmt: skip


def tested_with(model: ZooModel, source: str, kind: str) -> bool:
    """Whether a model of the zoo is put the probes: the honest ones, and of an owner's claim the source's copies."""
    return model.role == "independent" or (kind == "honest" and model.role == "derived" and model.parent == source)


def main() -> None:
    """Measure one source, unless its file is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("source")
    parser.add_argument("--kind", choices=["honest", "surrogates", "mislabelled"], default="honest")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / f"{options.zoo.parent.name}-{options.zoo.name}-{options.source}-{options.kind}.npz"
    if file.exists():
        return
    started = time.monotonic()
    found = measure(read_zoo(options.zoo), options.source, options.kind)
    np.savez_compressed(file, seconds=np.array(time.monotonic() - started), **found)
    print(f"{file.name}: {len(found['names'])} models, {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
