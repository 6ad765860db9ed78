"""
The text model zoo: which of eight writers wrote a short text, told by 6 sources, 132 derived and 204 honest models.

    python benchmarks/zoos/text.py [--data FILE] [--output DIR] [--seed 0] [--figures] [--small]

Without --data the texts are made up; `text_task` says what FILE holds. A model's seed comes from its name and --seed;
what is there already is not trained again, so an interrupted build goes on where it stopped. One folder per seed and
data. Scores cannot be rounded inside a file of scikit-learn's own types, so that attack is left to the other zoos.
"""

import argparse
import hashlib
import json
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import skops.io
import text_models as models
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.targets import open_target
from text_task import Part, load
from threadpoolctl import threadpool_limits
from tqdm import tqdm

DEFAULT_OUTPUT: Final = Path(__file__).parents[2] / ".cache" / "zoos" / "text"
SEEDS: Final = (0, 1)  # two sources of each class, of which the first reads words and the second punctuation too
SUBSAMPLE: Final = 0.85  # of the owner's texts per source, so that classes without a random start differ too
INDEPENDENTS: Final = 17  # of each head, on the owner's texts and on strangers' each
SMALL: Final = ("copy", "prune-60", "extract-label", "input-noise")  # attacks in a small zoo
VERSION: Final = 1  # of what is built; another one is not mixed with it


@dataclass(frozen=True)
class Model:
    """A line of zoo.json."""

    name: str
    target: str
    role: str
    learner: str
    parent: str | None = None
    attack: str | None = None
    data: str | None = None
    use: str | None = None


Make = Callable[[int], Any]  # seed -> fitted estimator


def plan(parts: dict[str, Part], source: Callable[[str], Any], *, small: bool) -> Iterator[tuple[Model, Make]]:
    """Every model of the zoo in the order in which they can be made. source: a source's estimator by its name."""
    for number in SEEDS[:1] if small else SEEDS:
        for head in models.VICTIMS:
            name = f"{head}-{number}"
            yield _model(name, "source", head), _owner(head, ("words", "marks")[number], parts["A"])
            for attack, by, make in _attacks(lambda name=name: source(name), head, parts["B"]):
                if not small or attack in SMALL:
                    label = "-".join(filter(None, (name, attack, by)))
                    yield _model(label, "derived", by or head, parent=name, attack=attack), make
    readings = tuple(models.READINGS)
    for i in range(2 if small else INDEPENDENTS):
        for head in models.HEADS:
            for data, part in (("same", parts["A"]), ("other", parts["C"])):
                make = _honest(head, readings[i % len(readings)], part)
                yield _model(f"honest-{head}-{data}-{i}", "independent", head, data=data, use="test"), make


def _attacks(source: Callable[[], Any], head: str, thief: Part) -> Iterator[tuple[str, str | None, Make]]:
    """Attack, the thief's head where it is not the source's, and what makes the model."""
    halves = np.array_split(np.arange(len(thief.x)), 2)
    yield "copy", None, lambda seed: source()
    yield "refit", None, lambda seed: models.refitted(source(), thief, seed)
    for share in (30, 60, 80):
        yield f"prune-{share}", None, lambda seed, share=share: models.changed(source(), models.pruned(share / 100))
    yield "quantise-8bit", None, lambda seed: models.changed(source(), models.quantised(256))
    yield "quantise-3bit", None, lambda seed: models.changed(source(), models.quantised(8))
    yield "round-1", None, lambda seed: models.changed(source(), models.rounded)
    yield "temperature", None, lambda seed: models.warmer(source(), 3.0)
    for share in (10, 25):
        yield (
            f"input-noise{'' if share == 10 else f'-{share}'}",
            None,
            lambda seed, share=share: models.forgetful(source(), share / 100, seed),
        )
    for by, reading in (("linear", "words"), ("bayes", "pairs"), ("network", "marks"), ("margin", "characters")):
        yield (
            "extract-label",
            by,
            lambda seed, by=by, reading=reading: models.fit(
                by, reading, models.stolen(source(), thief.x, 0.0, seed), seed
            ),
        )
    for by, reading in (("linear", "marks"), ("bayes", "words")):
        yield (
            "extract-prob",
            by,
            lambda seed, by=by, reading=reading: models.distilled(source(), by, reading, thief.x, seed),
        )
    for by, reading in (("linear", "pairs"), ("network", "words")):
        yield (
            "extract-flip",
            by,
            lambda seed, by=by, reading=reading: models.fit(
                by, reading, models.stolen(source(), thief.x, 0.1, seed), seed
            ),
        )
        yield (
            "extract-boundary",
            by,
            lambda seed, by=by, reading=reading: models.fit(
                by, reading, models.on_the_edge(source(), thief, len(thief.x) // 2, seed), seed
            ),
        )
    yield "ensemble", None, lambda seed: models.vote([
        models.fit(by, reading, models.stolen(source(), thief.take(rows).x, 0.0, seed), seed)
        for by, reading, rows in (("linear", "marks", halves[0]), ("bayes", "words", halves[1]))
    ])  # fmt: skip


def _model(name: str, role: str, learner: str, **more: str) -> Model:
    return Model(name, f"sklearn:{name}.skops", role, learner, **more)


def _owner(head: str, reading: str, part: Part) -> Make:
    return lambda seed: models.fit(head, reading, _sample(part, SUBSAMPLE, seed), seed)


def _honest(head: str, reading: str, part: Part) -> Make:
    def make(seed: int) -> Any:
        share = np.random.default_rng(seed).uniform(0.6, 1.0)
        return models.fit(head, reading, _sample(part, share, seed), seed)

    return make


def _sample(part: Part, share: float, seed: int) -> Part:
    return part.take(np.random.default_rng(seed).permutation(len(part.x))[: round(share * len(part.x))])


def build(output: Path, data: Path | None, *, seed: int = 0, small: bool = False, quiet: bool = False) -> list[Model]:
    """Make what is missing of the zoo in a folder, and zoo.json last."""
    parts = load(data, seed, small=small)
    kind = hashlib.sha256(repr((VERSION, seed, small, [part.x for part in parts.values()])).encode()).hexdigest()
    output.mkdir(parents=True, exist_ok=True)
    mark = output / "made-of.txt"
    if mark.exists() and mark.read_text() != kind:
        sys.exit(f"{output} holds the zoo of other texts, seed or size; give another --output, or empty it")
    storage.write_file(mark, kind.encode())

    sources: dict[str, Any] = {}

    def source(name: str) -> Any:
        if name not in sources:
            sources[name] = open_target(f"sklearn:{output / name}.skops").estimator  # type: ignore[attr-defined]
        return sources[name]

    planned = list(plan(parts, source, small=small))
    with threadpool_limits(1):
        for model, make in tqdm(planned, desc="models", disable=quiet):
            file = output / f"{model.name}.skops"
            if not file.exists():
                made = make(zlib.crc32(f"{seed} {model.name}".encode()))
                storage.write_file(file, skops.io.dumps(made, compression=zipfile.ZIP_DEFLATED))
    held = {"x": np.array(parts["A"].x + parts["R"].x), "y": np.concatenate([parts["A"].y, parts["R"].y])}
    held["trained"] = np.arange(len(held["y"])) < len(parts["A"].y)
    np.savez_compressed(output / "pool.npz", **held)
    np.savez_compressed(output / "unseen.npz", x=np.array(parts["R"].x), y=parts["R"].y)
    lines = [{key: value for key, value in asdict(model).items() if value is not None} for model, _ in planned]
    zoo = {"input": {"kind": "text"}, "classes": int(held["y"].max()) + 1, "pool": "pool.npz", "models": lines}
    storage.write_file(output / "zoo.json", (json.dumps(zoo, indent=1) + "\n").encode())

    return [model for model, _ in planned]


def figures(output: Path) -> dict[str, tuple[int, float, float]]:
    """
    By attack, role or data: how many models, their mean accuracy, and how often they say what their source says (honest
    models: any source), on texts that no model was trained on.
    """
    with np.load(output / "unseen.npz") as unseen:
        x, y = tuple(unseen["x"].tolist()), unseen["y"]
    lines = json.loads((output / "zoo.json").read_text())["models"]
    answers = {}
    for line in tqdm(lines, desc="figures", disable=None):
        client = open_target(f"sklearn:{output / line['name']}.skops")
        answers[line["name"]] = np.asarray(client.ask(x).labels)
    owners = [line["name"] for line in lines if line["role"] == "source"]
    groups: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        said = answers[line["name"]]
        against = [line["parent"]] if "parent" in line else [name for name in owners if name != line["name"]]
        alike = float(np.mean([np.mean(said == answers[name]) for name in against]))
        group = line.get("attack") or " ".join(filter(None, (line["role"], line.get("data"))))
        groups.setdefault(group, []).append((float(np.mean(said == y)), alike))

    return {group: (len(some), *np.mean(some, 0).tolist()) for group, some in groups.items()}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Build the text model zoo.")
    parser.add_argument("--data", type=Path, help="answers of many writers to the same instructions; made up without")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figures", action="store_true", help="print accuracy and agreement by group")
    parser.add_argument("--small", action="store_true", help="3 sources, 21 derived and 24 honest models")
    given = parser.parse_args()
    made = build(given.output, given.data, seed=given.seed, small=given.small)
    print(f"{len(made)} models in {given.output}")
    if given.figures:
        print(f"{'group':<24} models  accuracy  agreement")
        for group, (count, accuracy, alike) in figures(given.output).items():
            print(f"{group:<24} {count:6}  {accuracy:8.3f}  {alike:9.3f}")


if __name__ == "__main__":
    main()
