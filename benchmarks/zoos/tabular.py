"""
The tabular model zoo: per task 12 sources, what thieves make of each, and 204 honest models of other people.

    python benchmarks/zoos/tabular.py [--output DIR] [--tasks digits,wine] [--seed 0] [--jobs 2] [--figures]
        [--small | --weights]

One folder per task with zoo.json, pool.npz and a file per model. What is there already is not trained again, so an
interrupted build goes on where it stopped. Every model's seed comes from its task and name and from --seed, which also
decides the split of the rows; use a folder per seed.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import joblib
import numpy as np
import onnx_graphs as graphs
import skops.io
from tabular_figures import figures
from tabular_tasks import LEARNERS, SEEDS, TASKS, Task, fit, load, seed_of
from tabular_thieves import Asked, Maker, altered, distilled, endpoints, extracted
from threadpoolctl import threadpool_limits
from tqdm import tqdm

DEFAULT_OUTPUT: Final = Path(__file__).parents[2] / ".cache" / "zoos" / "tabular"
SUBSAMPLE: Final = 0.85  # of the owner's rows per source, so that deterministic classes differ too
INDEPENDENTS: Final = 17  # of each class, on the owner's rows and on strangers' each
AS_SOURCE: Final = 6  # of these, trained as the sources are but for seed and rows
SMALL_ROWS: Final = 200  # of the owner, the thief and so on, in a small zoo
SMALL_ATTACKS: Final = ("copy", "round-1", "temperature", "input-noise", "prune-30", "extract-label")
# What is left of a source when its weights or outputs were changed, and nothing was trained on its answers.
WEIGHTS_ATTACKS: Final = (
    "copy", "round-1", "round-2", "temperature", "input-noise", "warm-start", "prune-30", "prune-60", "prune-leaves",
    "quantise-8bit", "quantise-2bit",
)  # fmt: skip


class Size(NamedTuple):
    """
    How much of a zoo is built. sources: classes and numbers. independents: of each class and kind of data. attacks:
    names, or None for all.
    """

    sources: tuple[tuple[str, int], ...]
    independents: int
    attacks: tuple[str, ...] | None


SIZES: Final = {
    "full": Size(tuple((learner, i) for learner in LEARNERS for i in SEEDS), INDEPENDENTS, None),
    "small": Size((("forest", 0), ("network", 0)), 2, SMALL_ATTACKS),
    "weights": Size(tuple((learner, 0) for learner in LEARNERS), 5, WEIGHTS_ATTACKS),
}


@dataclass(frozen=True)
class Model:
    """A line of zoo.json."""

    name: str
    target: str
    role: str
    learner: str
    seed: int
    parent: str | None = None
    attack: str | None = None
    data: str | None = None
    use: str | None = None


Job = tuple[Model, Callable[[Path], None]]  # what writes the model's file


def build(task: Task, folder: Path, seed: int, *, jobs: int, size: Size, progress: Callable[[int], None]) -> None:
    """
    Train what is missing of a task's zoo, then write its zoo.json. progress: called with models done.

    Raises SystemExit, in one line, if the folder holds the zoo of another seed or size.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pool = [np.concatenate(parts) for parts in zip(task.owner, task.spare, strict=True)]
    order = np.random.default_rng(seed_of(task.name, "pool", seed)).permutation(len(pool[0]))
    x, y = (part[order] for part in pool)
    trained = order < len(task.owner[0])  # an owner knows which rows the sources were trained on
    if not (folder / "pool.npz").exists():
        save_npz(folder / "pool.npz", x=x, y=y, trained=trained)
    elif not np.array_equal(np.load(folder / "pool.npz")["x"], x):
        raise SystemExit(f"expected {folder} to be empty or of seed {seed}, got another zoo; name another --output")
    groups = [partial(_source, task, seed, *source) for source in size.sources]
    groups += [
        partial(_independents, task, seed, size.independents, learner, data)
        for learner in LEARNERS for data in ("same", "other")
    ]  # fmt: skip
    run = joblib.Parallel(jobs, return_as="generator")
    models = []
    for finished in run(joblib.delayed(_make)(group, folder, size.attacks) for group in groups):
        models += finished
        progress(len(finished))
    lines = [{name: value for name, value in asdict(model).items() if value is not None} for model in models]
    output = {} if task.classes else {"output": "number"}
    bounds = [task.low.tolist(), task.high.tolist()]
    zoo = {
        "input": {"kind": "tabular", "shape": [len(task.low)], "bounds": bounds} | output,
        "classes": task.classes, "pool": "pool.npz", "models": sorted(lines, key=lambda line: line["role"] != "source"),
    }  # fmt: skip
    write(folder / "zoo.json", json.dumps(zoo, indent=1).encode())


def _make(group: Callable[[Path], Iterator[Job]], folder: Path, attacks: tuple[str, ...] | None) -> list[Model]:
    """Write the missing files of a group of models."""
    done = []
    with threadpool_limits(1):
        for model, save in group(folder):
            if attacks is not None and model.attack not in (None, *attacks):
                continue
            path = folder / model.target.split(":", 1)[1]
            if not path.exists():
                save(path)
            done.append(model)

    return done


def _source(task: Task, base: int, learner: str, number: int, folder: Path) -> Iterator[Job]:
    name = f"{learner}-{number}"
    seed = seed_of(task.name, name, base)
    rows = subsample(len(task.owner[0]), SUBSAMPLE, seed)
    x, y = (part[rows] for part in task.owner)
    target = f"sklearn:{name}.skops"
    yield Model(name, target, "source", learner, seed), lambda path: dump(path, fit(learner, x, y, seed))
    path = folder / f"{name}.skops"
    source = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    given = [*endpoints(task, source), *altered(task, source, learner, x, y, seed)]
    asked = (extracted if task.classes else distilled)(task, Asked(source), number)
    for attack, made_by, make in [*given, *asked]:
        label = f"{name}-{attack}" + (f"-{made_by}" if made_by else "")
        own = seed_of(task.name, label, base)
        saved = Model(label, f"onnx:{label}.onnx", "derived", made_by or learner, own, name, attack)
        yield saved, partial(_save, task, make, own)


def _save(task: Task, make: Maker, seed: int, path: Path) -> None:
    graph = graphs.Graph(len(task.low))
    graph.save(path, make(seed, graph), task.classes)


def _independents(task: Task, base: int, count: int, learner: str, data: str, folder: Path) -> Iterator[Job]:
    """Honest models trained on true labels: the owner's own rows ("same") or strangers' ("other")."""
    x, y = task.owner if data == "same" else task.strangers
    for number in range(count):
        name = f"{data}-{learner}-{number:02}"
        seed = seed_of(task.name, name, base)
        rows = subsample(
            len(x), SUBSAMPLE if number < AS_SOURCE else float(np.random.default_rng(seed).uniform(0.6, 1)), seed
        )

        def make(seed: int, graph: graphs.Graph, rows: np.ndarray = rows, vary: bool = number >= AS_SOURCE) -> str:
            return graphs.answer(graph, fit(learner, x[rows], y[rows], seed, vary=vary), task.classes)

        model = Model(name, f"onnx:{name}.onnx", "independent", learner, seed, data=data, use="test")
        yield model, partial(_save, task, make, seed)


def subsample(n: int, share: float, seed: int) -> np.ndarray:
    """Int: that share of n rows, drawn without replacement."""
    return np.random.default_rng(seed).permutation(n)[: round(share * n)]


def dump(path: Path, model: Any) -> None:
    """Write a model as .skops."""
    write(path, skops.io.dumps(model))


def save_npz(path: Path, **arrays: np.ndarray) -> None:
    """Write an npz atomically."""
    part = path.with_name(path.name + ".part.npz")
    np.savez_compressed(part, **arrays)
    part.replace(path)


def write(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


def main(arguments: list[str] | None = None) -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    parser.add_argument("--tasks", default=None, help=f"of {', '.join(TASKS)}; default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--figures", action="store_true", help="measure every model; writes figures.json beside zoo.json"
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--small", dest="size", action="store_const", const="small", help="a tiny zoo of digits")
    sizes.add_argument(
        "--weights", dest="size", action="store_const", const="weights",
        help="one source of each class, its copies with other weights or outputs, 60 honest models",
    )  # fmt: skip
    parser.set_defaults(size="full")
    given = parser.parse_args(arguments)
    names = (given.tasks or ("digits" if given.size == "small" else ",".join(TASKS))).split(",")
    if unknown := [name for name in names if name not in TASKS]:
        parser.error(f"expected tasks of {', '.join(TASKS)}, got '{unknown[0]}'")
    for name in names:
        started = time.perf_counter()
        task, folder = load(name, given.seed, SMALL_ROWS if given.size == "small" else None), given.output / name
        with tqdm(desc=name, unit="model") as bar:
            build(task, folder, given.seed, jobs=given.jobs, size=SIZES[given.size], progress=bar.update)
        bytes_ = sum(file.stat().st_size for file in folder.iterdir())
        sys.stdout.write(f"{folder}: {bytes_ / 1e6:.0f} MB, {time.perf_counter() - started:.0f} s\n")
        if given.figures:
            write(folder / "figures.json", json.dumps(figures(task, folder), indent=1).encode())


if __name__ == "__main__":
    main()
