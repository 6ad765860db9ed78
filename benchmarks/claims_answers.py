"""
What honest models, copies and the models of a zoo say to one source's probes: one source, one file, so that nothing is
asked twice.

    python -m benchmarks.claims_answers ZOO SOURCE --kind honest --output FOLDER

Both sides of every way that could be asked about are asked, best ways first, so that any statistic and any number of
ways can be decided afterwards.

honest: the source as its owner has it, with the zoo's pool. surrogates: a claimant's "model" is a network that learnt
the vote of five models he trained, and his pool the mixtures of rows on which all five agree on what no row beside them
is labelled, inputs that fool whoever learnt the same task. mislabelled: the source, with a pool of which the claimant
shuffled as many labels as a commitment lets pass, so that the honest models trained on it know less.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from probe_match.clients import sklearn
from probe_match.fingerprinting import learners
from probe_match.fingerprinting.bench.zoo import Zoo, ZooModel, read_zoo
from probe_match.fingerprinting.claims import cases, keys, panel, running, segments
from probe_match.fingerprinting.claims.beacons import Beacon
from probe_match.fingerprinting.claims.segments import Generator
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.panels import train_panel
from probe_match.fingerprinting.plans import Plan
from probe_match.fingerprinting.records import Pool
from probe_match.fingerprinting.targets import open_any
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

GENERATOR: Final = Generator("targeted")
SEED: Final = 20261126  # of the claimant's key, and of what an attacker draws
SURROGATES: Final = 5
ROWS: Final = 1000  # of the pool, on which models are compared plainly
PIECE: Final = 8  # models trained between two looks at the clock
TRIED: Final = 20_000  # mixtures that an attacker looks at


def surrogates(pool: Pool) -> tuple[Client, Pool]:
    """The claimant's model, and the pool he optimised for its teachers; as many rows as the pool has."""
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

    # A network, so that copies with changed weights choose among its ways, as claimants may have them do.
    network = make_pipeline(StandardScaler(), MLPClassifier((128,), early_stopping=True, random_state=SEED % 1000))
    taught = np.concatenate([mixed.reshape(len(mixed), -1)[agreed], flat])
    network.fit(taught, np.concatenate([labels[0][agreed], vote(flat.reshape(x.shape)).argmax(1)]))

    return sklearn.wrap(network), replace(pool, x=mixed[best], y=labels[0][best], trained=None)


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


class Measuring:
    """One source's answers so far. Work is cut into pieces, each written down, so that a run may end at any time."""

    def __init__(self, zoo: Zoo, name: str, kind: str, file: Path, peers: int = panel.PEERS) -> None:
        (model,) = (m for m in zoo.of("source") if m.name == name)
        pool, source = zoo.pool, open_any(model.target)
        if kind == "surrogates":
            source, pool = surrogates(zoo.pool)
        elif kind == "mislabelled":
            pool = mislabelled(zoo.pool, running.labels_for(source, zoo.pool))
        self.pool, self.source, self.kind, self.file = pool, source, kind, file
        self.found = dict(np.load(file)) if file.exists() else {}
        self.tested = [m for m in zoo.models if tested_with(m, name, kind)]
        beacon = Beacon("benchmark", 1, f"{SEED:064x}")
        key = keys.OwnerKey(bytes(np.random.default_rng([SEED, 3]).integers(0, 256, 32, np.uint8)))
        generator = running.generator_for(source, "targeted", GENERATOR.ways, GENERATOR.candidates)
        made = running.commit(source, pool, key, generator, links=[], beacon=("benchmark", 1), peers=peers)
        self.seed = cases.seed(made, key, beacon, "probes")
        labels, self.x, self.generator = running.labels_for(source, pool), cases.rows_of(pool), generator
        self.recipes = {"trained": panel.recipe(source, pool, self.seed, peers)}
        if kind != "honest":  # who verifies has data of the task that no claimant touched
            self.recipes["second"] = panel.recipe(source, zoo.pool, self.seed[::-1], peers)
        self.ways = segments.draw(self.seed, labels, generator.candidates)
        places = self.kept("places", lambda: segments.locate(self.ask_source, pool.spec, self.x, self.ways))
        self.sides = segments.sides(pool.spec, self.x, self.ways, places, generator.offsets)
        self.found["taught"] = np.float64(cases.require_taught(pool, labels))
        self.found["version"] = np.int64(generator.version)

    def kept(self, name: str, work: Callable[[], np.ndarray]) -> np.ndarray:
        """What was found out before, or is now."""
        if name not in self.found:
            self.found[name] = work()
        return self.found[name]

    def ask_source(self, inputs: np.ndarray) -> np.ndarray:
        """The source's labels."""
        return running.answers_of(self.source, self.pool, inputs)

    def go_on(self, seconds: float) -> bool:
        """Train and ask for about so long, write it all down, and say whether everything is done."""
        started = time.process_time()
        complete = self.choose(started + seconds)
        if complete:
            order = np.concatenate([self.found["before"], self.found["after"]])
            both, base = self.sides[order], np.tile(self.ways.base[self.found["ways"]], 2)
            self.kept("bits", lambda: self.ways.bits[self.found["ways"]].astype(np.int8))
            whole = [self.train(name, recipe, both, base, started + seconds) for name, recipe in self.recipes.items()]
            names = [m.name for m in self.tested]
            said = self.found.get("models", np.zeros((0, len(both)), np.int8))
            while len(said) < len(names) and time.process_time() - started < seconds:
                answers = running.answers_of(open_any(self.tested[len(said)].target), self.pool, both)
                said = np.concatenate([said, segments.read(answers, base)[None].astype(np.int8)])
            kinds = np.array([kind_of(m) for m in self.tested])
            self.found |= {"models": said, "names": np.array(names), "kinds": kinds}
            complete = all(whole) and len(said) == len(names)
        np.savez_compressed(self.file, **self.found)  # type: ignore[arg-type]

        return complete

    def choose(self, until: float) -> bool:
        """Copies and the honest models that choose answer all sides, and rank the ways; whether that is done."""
        if "ways" in self.found:
            return True
        (recipe,) = list(self.recipes.values())[:1]
        plans, done = self.trained("choosing", recipe, self.sides, until, choosing=True)
        if plans is None:
            return False
        base = np.tile(self.ways.base, len(self.sides) // len(self.ways.base))
        shape = (-1, 2, len(self.generator.offsets), self.generator.candidates)
        peers = segments.read(done.astype(np.int64), base).reshape(shape)
        kin = np.array([plan.role == "kin peer" for plan in plans])
        copies = [labels for _, labels in panel.shadows(self.source, self.pool, self.sides, self.seed)]
        shadows = segments.read(np.array(copies, np.int64).reshape(-1, len(base)), base).reshape(shape)
        groups = [peers[kin], peers[~kin]] if self.generator.shadows else [peers]
        own = segments.read(self.ask_source(self.sides), base).reshape(shape[1:])
        self.found |= segments.ranked(own, groups, shadows, self.sides)._asdict()
        self.found["shadows"] = np.int64(len(copies))

        return True

    def trained(
        self, name: str, recipe: panel.Recipe, inputs: np.ndarray, until: float, choosing: bool
    ) -> tuple[list[Plan] | None, np.ndarray]:
        """The plans of those that choose, or of the rest, and their labels; no plans until all are trained."""
        held = recipe.held
        assert isinstance(held.x, np.ndarray)
        first, h = recipe.first, len(held)
        early = self.found.get(f"{name} first", np.zeros((0, h + choosing * len(inputs)), np.int16))
        asked = np.concatenate([held.x, inputs]) if choosing else held.x
        while len(early) < len(first) and time.process_time() < until:
            more = train_panel(recipe.material, first[len(early) : len(early) + PIECE], asked)
            early = np.concatenate([early, more.labels])
        self.found[f"{name} first"] = early
        done = self.found.get(name, np.zeros((0, len(inputs)), np.int16))
        if len(early) < len(first):
            return None, done
        rest = recipe.rest(panel.kin_of(self.source, recipe, early[:, :h]))
        plans = [plan for plan in rest if (plan.use != "calibrate") == choosing]
        while len(done) < len(plans) and time.process_time() < until:
            done = np.concatenate(
                [done, train_panel(recipe.material, plans[len(done) : len(done) + PIECE], inputs).labels]
            )
        self.found[name] = done
        if len(done) < len(plans):
            return None, done
        del self.found[name]
        if choosing:  # the first of all choose too, and say on which kin the others are to be found
            self.found[f"{name} first"] = early[:, :h]
            return first + plans, np.concatenate([early[:, h:], done])
        return plans, done

    def train(self, name: str, recipe: panel.Recipe, both: np.ndarray, base: np.ndarray, until: float) -> bool:
        """Go on training the honest models that stand for the world, up to a processor time; whether all are."""
        roles, peers = ("roles", "peers") if name == "trained" else ("second roles", "second peers")
        if peers in self.found:
            return True
        if name == "trained":
            self.found.setdefault("trained first", self.found["choosing first"])
        plans, done = self.trained(name, recipe, both, until, choosing=False)
        if plans is None:
            return False
        readings = segments.read(done.astype(np.int64), base).astype(np.int8)
        self.found |= {peers: readings, roles: np.array([plan.role for plan in plans])}

        return True


def alike(zoo: Zoo, source: str, names: list[str]) -> np.ndarray:
    """float64 (models,): the share of the pool's rows on which each model says what the source does."""
    targets = {model.name: model.target for model in zoo.models}
    own, *theirs = (running.labels_for(open_any(targets[name]), zoo.pool, ROWS) for name in [source, *names])

    return np.array([float((labels == own).mean()) for labels in theirs])


def kind_of(model: ZooModel) -> str:
    """How a copy was made, or whose data an honest model has."""
    return model.attack if model.role == "derived" else f"honest {model.data}"


def tested_with(model: ZooModel, source: str, kind: str) -> bool:
    """Whether a model of the zoo is put the probes: the honest ones, and of an owner's claim the source's copies."""
    return model.role == "independent" or (kind == "honest" and model.role == "derived" and model.parent == source)


def finished(found: dict[str, np.ndarray], kind: str) -> bool:
    """Whether everything was measured."""
    asked = "peers" in found and len(found["models"]) == len(found.get("names", ()))
    return asked and (kind == "honest" or "second peers" in found)


def main() -> None:
    """Go on with one source; exit code 3 where more is to be done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("source")
    parser.add_argument("--kind", choices=["honest", "surrogates", "mislabelled"], default="honest")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=1e9, help="of processor time, then stop; run again to go on")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / f"{options.zoo.parent.name}-{options.zoo.name}-{options.source}-{options.kind}.npz"
    if file.exists() and finished(dict(np.load(file)), options.kind):
        if options.kind == "honest" and "alike" not in np.load(file):
            found = dict(np.load(file))
            found["alike"] = alike(read_zoo(options.zoo), options.source, found["names"].tolist())
            np.savez_compressed(file, **found)  # type: ignore[arg-type]
        return
    done = Measuring(read_zoo(options.zoo), options.source, options.kind, file).go_on(options.seconds)
    print(f"{file.name}: {'done' if done else 'to be gone on with'}, {time.process_time():.0f} s", flush=True)
    sys.exit(0 if done else 3)


if __name__ == "__main__":
    main()
