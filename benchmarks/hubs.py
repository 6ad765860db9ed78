"""
Poisoned references among honest ones: which are found, which honest ones are taken for such, and what verdicts say.

    python benchmarks/hubs.py ZOO… [--output benchmarks/hubs.json]

For each zoo of `benchmarks/zoos/tabular.py`: 60 honest models as references that answered a public suite alone, the
zoo's sources with peers and shadows, and one poisoned reference of each kind in POISONS. Suspects are honest models
that stand nowhere else, and copies of the sources that are no shadows. Verdicts are counted with the honest references
alone, with the poisoned ones among them, and after `db quarantine`.
"""

import argparse
import json
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from probe_match.clients import function
from probe_match.fingerprinting import matching, quarantine, targets
from probe_match.fingerprinting.bench.measures import wilson
from probe_match.fingerprinting.bench.zoo import Zoo, read_zoo
from probe_match.fingerprinting.collect import ask
from probe_match.fingerprinting.database import ReferenceDB, open_db
from probe_match.fingerprinting.records import UNANSWERED, About, Panel, ProbeSuite, Reference, Responses
from probe_match.fingerprinting.selection import spread

ROOT = Path(__file__).parents[1]
PROBES, CHOOSING, PEERS, HONEST, SEED = 100, 20, 40, 60, 0
COPIES = 4  # suspects of each source
Rows = dict[str, np.ndarray]


class World(NamedTuple):
    """One zoo's answers to a public suite, int64 (probes,) by model, and what each model is here."""

    suite: ProbeSuite
    rows: Rows
    peers: list[str]
    honest: list[str]
    sources: list[str]
    shadows: dict[str, list[str]]
    strangers: list[str]
    copies: list[tuple[str, str]]


def world(zoo: Zoo, folder: Path) -> World:
    """Ask the models that are needed; what was asked is kept in a folder."""
    rng = np.random.default_rng(SEED)
    order = [model.name for model in zoo.of("independent")]
    rng.shuffle(order)
    sources = [model.name for model in zoo.of("source")]
    choosing, peers, honest, strangers = np.split(order, np.cumsum([CHOOSING, PEERS, HONEST]))
    shadows: dict[str, list[str]] = {}
    copies: list[tuple[str, str]] = []
    for source in sources:
        derived = [model.name for model in zoo.of("derived") if model.parent == source]
        rng.shuffle(derived)
        shadows[source], rest = derived[:8], derived[8 : 8 + COPIES]
        copies += [(name, source) for name in rest]
    x = np.asarray(zoo.pool.x)[rng.permutation(len(zoo.pool))[:1000]]
    wanted = [*order, *sources, *(name for many in shadows.values() for name in many), *(name for name, _ in copies)]
    every = asked(zoo, x, wanted, folder)
    chosen = spread(np.array([every[name] for name in choosing]), PROBES)
    inputs = x[chosen].astype(np.float32)
    suite = ProbeSuite("public", "uniform", SEED, zoo.pool.spec, inputs, ("uniform",) * PROBES, np.ones(PROBES), None)
    rows = {name: labels[chosen].astype(np.int64) for name, labels in every.items()}
    return World(suite, rows, list(peers), list(honest), sources, shadows, list(strangers), copies)


def asked(zoo: Zoo, x: np.ndarray, names: Sequence[str], folder: Path) -> Rows:
    """Labels of these models to all inputs."""
    file = folder / f"hubs-{zoo.folder.parent.name}-{zoo.folder.name}.npz"
    if file.exists():
        with np.load(file) as kept:
            return {name: kept[name] for name in kept.files}
    found = {}
    for model in zoo.models:
        if model.name in set(names):
            client = targets.open_target(model.target)
            found[model.name] = ask(client, x, zoo.pool.spec).labels.astype(np.int16)
            client.close()
    np.savez_compressed(file, **found)
    return found


def responses(suite: ProbeSuite, labels: np.ndarray) -> Responses:
    """As a model would have answered."""
    labels = labels.astype(np.int64)[:, None]
    return Responses(suite.digest, "function:m", "label", labels, None, np.zeros(PROBES, np.float32), PROBES)


def panel(peers: Sequence[np.ndarray], shadows: Sequence[np.ndarray]) -> Panel:
    """Half of each estimates, half calibrates."""
    size = len(peers) + len(shadows)
    roles = ("peer",) * len(peers) + ("shadow",) * len(shadows)
    uses = ("estimate", "calibrate") * (size // 2 + 1)
    return Panel(tuple(f"p{i}" for i in range(size)), roles, uses[:size], np.array([*peers, *shadows], np.int16))


def reference(name: str, suite: ProbeSuite, labels: np.ndarray, its: Panel | None = None) -> Reference:
    """Of its answers to the public suite, and of its peers' and shadows' where there are any."""
    given = responses(suite, labels)
    return Reference(name, About(), suite, given, its, given, its)


def poisoned(world: World) -> dict[str, Reference]:
    """One reference of each kind."""
    suite, rng, k = world.suite, np.random.default_rng(SEED + 1), 1 + max(int(row.max()) for row in world.rows.values())
    known = np.array([world.rows[name] for name in world.honest])
    votes = np.array([np.bincount(column, minlength=k) for column in known.T])
    majority, some = votes.argmax(1), np.array([np.bincount(c, minlength=k) for c in known[::3].T]).argmax(1)

    def noise(rows: np.ndarray, share: float) -> np.ndarray:
        return np.where(rng.random(rows.shape) < share, rng.integers(0, k, rows.shape), rows)

    def nonsense() -> list[np.ndarray]:
        return list(rng.integers(0, k, (PEERS, PROBES)))

    public, second = world.rows[world.sources[0]], world.rows[world.honest[0]]
    alone = {
        "constant": np.zeros(PROBES, int),
        "majority": majority,
        "average of a third": some,
        "random": rng.integers(0, k, PROBES),
        "nine of ten silent": np.where(rng.random(PROBES) < 0.9, UNANSWERED, majority),
        "all silent": np.full(PROBES, UNANSWERED),
        "copy of a source": public,
        "copy of an honest one": second,
        "copy, 5 % changed": noise(second, 0.05),
    }
    close = [noise(majority, 0.2) for _ in range(8)]
    forged = {
        "majority, peers of nonsense": (majority, nonsense(), close),
        "majority, constant peers": (majority, [np.full(PROBES, i % k) for i in range(PEERS)], close),
        "average, peers of nonsense": (some, nonsense(), [noise(some, 0.3) for _ in range(8)]),
        "copy of a source, peers of nonsense": (public, nonsense(), [noise(public, 0.3) for _ in range(8)]),
        "majority, honest strangers as shadows": (majority, nonsense(), [world.rows[name] for name in world.peers[:8]]),
    }
    made = {name: reference(name, suite, labels) for name, labels in alone.items()}
    return made | {name: reference(name, suite, own, panel(peers, near)) for name, (own, peers, near) in forged.items()}


def fill(db: ReferenceDB, world: World) -> None:
    """The honest references."""
    db.set_public_suite(world.suite)
    peers = [world.rows[name] for name in world.peers]
    for name in world.honest:
        db.add(reference(name, world.suite, world.rows[name]))
    for name in world.sources:
        shadows = [world.rows[shadow] for shadow in world.shadows[name]]
        db.add(reference(name, world.suite, world.rows[name], panel(peers, shadows)))


def verdicts(db: ReferenceDB, world: World, bad: set[str]) -> dict[str, Any]:
    """What is said of strangers and copies, and about whom."""
    told: dict[str, Counter[str]] = {"strangers": Counter(), "copies": Counter()}
    named: Counter[str] = Counter()
    first: dict[str, str] = {}
    for group, suspects in (("strangers", [(name, "") for name in world.strangers]), ("copies", world.copies)):
        for name, source in suspects:
            verdict = matching.match(client(world, name), db, screen="never")
            reference = str(verdict.reference)
            first[name] = verdict.matches[0].reference
            what = verdict.decision
            if what == "match" and group == "copies":
                what = "match" if reference == source else "wrong match"
            told[group][what] += 1
            if verdict.decision == "match" and reference in bad:
                named[reference] += 1
    return {**{group: dict(count) for group, count in told.items()}, "poisoned_named": dict(named), "first": first}


def client(world: World, name: str) -> Any:
    """The model behind an endpoint."""
    index = {row.tobytes(): label for row, label in zip(world.suite.inputs, world.rows[name], strict=True)}
    return function.wrap(lambda x: np.array([index[row.tobytes()] for row in x]), shape=world.suite.spec.shape)


def measure(zoo: Zoo, folder: Path) -> dict[str, Any]:
    """One zoo."""
    world_ = world(zoo, folder)
    bad = poisoned(world_)
    with tempfile.TemporaryDirectory() as where, open_db(Path(where) / "r.db", create=True) as db:
        fill(db, world_)
        honest = verdicts(db, world_, set())
        apart = sorted(found.name for found in quarantine.suspicious(db))
        for one in bad.values():
            db.add(one)
        with_them = verdicts(db, world_, set(bad))
        started = time.perf_counter()
        found = {one.name: str(one) for one in quarantine.suspicious(db)}
        seconds = time.perf_counter() - started
        for name, why in found.items():
            quarantine.set_apart(db, name, why)
        after = verdicts(db, world_, set(bad))
    firsts = [state.pop("first") for state in (honest, with_them, after)]
    for state, first in zip((honest, with_them, after), firsts, strict=True):
        state["first_as_before"] = {
            group: sum(first[name] == firsts[0][name] for name in names)
            for group, names in (("strangers", world_.strangers), ("copies", [name for name, _ in world_.copies]))
        }
    return {
        "honest_references": len(world_.honest) + len(world_.sources),
        "strangers": len(world_.strangers),
        "copies": len(world_.copies),
        "honest_taken_for_bad_without_any": apart,
        "found": {name: why for name, why in found.items() if name in bad},
        "honest_taken_for_bad": {name: why for name, why in found.items() if name not in bad},
        "not_found": sorted(set(bad) - set(found)),
        "seconds": round(seconds, 2),
        "verdicts": {"honest alone": honest, "poisoned": with_them, "after quarantine": after},
    }


def totals(zoos: dict[str, Any]) -> dict[str, Any]:
    """Over all zoos, with 95 % Wilson intervals."""

    def share(found: int, of: int) -> dict[str, Any]:
        return {"found": found, "of": of, "interval": [round(side, 4) for side in wilson(found, of)[1:]]}

    number: Callable[[str], int] = lambda key: sum(len(one[key]) for one in zoos.values())  # noqa: E731
    found, missed = number("found"), number("not_found")
    out: dict[str, Any] = {
        "poisoned_set_apart": share(found, found + missed),
        "honest_set_apart": share(
            number("honest_taken_for_bad"), sum(one["honest_references"] for one in zoos.values())
        ),
    }
    for state in ("honest alone", "poisoned", "after quarantine"):
        each = [one["verdicts"][state] for one in zoos.values()]
        strangers, copies = (sum((Counter(one[group]) for one in each), Counter()) for group in ("strangers", "copies"))
        out[state] = {
            "strangers_accused": share(strangers["match"], strangers.total()),
            "accusations_for_poisoned": sum(sum(one["poisoned_named"].values()) for one in each),
            "copies_first_as_before": share(sum(one["first_as_before"]["copies"] for one in each), copies.total()),
            "copies_named_right": share(copies["match"], copies.total()),
            "copies_named_wrong": share(copies["wrong match"], copies.total()),
        }
    return out


def main() -> None:
    """Measure each zoo and write after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoos", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "hubs.json")
    parser.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()), help="folder for models' answers")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # models of other versions of their library
    figures: dict[str, Any] = {}
    for folder in options.zoos:
        figures[f"{folder.parent.name}/{folder.name}"] = one = measure(read_zoo(folder), options.kept)
        print(folder, json.dumps(one, indent=1), flush=True)
        options.output.write_text(json.dumps({"total": totals(figures), "zoos": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
