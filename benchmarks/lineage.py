"""
How well `lineage` draws the family tree of a zoo, with 50 questions to a model: JSON, and a table in Markdown.

    python benchmarks/lineage.py ZOO [ZOO …] --out lineage.json
    python benchmarks/lineage.py --table lineage.json > benchmarks/RESULTS-lineage.md

The sources are the references; copies and independent models are suspects of unknown descent, and none of them is
opened before the probes are chosen and the honest models trained, from the sources and the pool. A zoo that was asked
before is read from --cache, one measured before from --out.
"""

import argparse
import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from lineage_table import table
from probe_match.fingerprinting import registry, storage
from probe_match.fingerprinting.bench.zoo import Zoo, read_zoo
from probe_match.fingerprinting.lineage import asking, growing
from probe_match.fingerprinting.lineage.members import Family, Models
from probe_match.fingerprinting.records import About
from probe_match.fingerprinting.targets import open_target
from tqdm import tqdm

BUDGET: Final = 50


def part_of(zoo: Zoo, sources: int | None, strangers: int | None, seed: int) -> Zoo:
    """So many sources, drawn at random, with all their copies, and so many independent models."""
    rng = np.random.default_rng([seed, 17])

    def drawn(role: str, most: int | None) -> set[str]:
        names = [model.name for model in zoo.of(role)]
        return {names[i] for i in rng.permutation(len(names))[:most]}

    kept = drawn("source", sources)
    others = drawn("independent", strangers)
    models = tuple(m for m in zoo.models if (m.parent or m.name) in kept or m.name in others)
    return replace(zoo, models=models)


def answers(zoo: Zoo, seed: int, cache: Path) -> tuple[Models, Models]:
    """All models of a zoo, and the honest models trained on its pool, on the probes chosen for its sources."""
    names = " ".join(model.name for model in zoo.models)
    key = hashlib.sha256(f"{zoo.folder.resolve()} {seed} {BUDGET} {names}".encode()).hexdigest()[:12]
    files = [cache / f"{zoo.folder.name}-{key}-{what}.npz" for what in ("models", "honest")]
    if all(file.is_file() for file in files):
        first, second = (storage.from_bytes(Models, file.read_bytes()) for file in files)
        return first, second
    sources = [open_target(model.target) for model in zoo.of("source")]
    prepared = asking.prepare(
        sources, zoo.pool, probes=BUDGET, between=registry.load("probes", "midpoints").generate, seed=seed
    )
    for client in sources:
        client.close()
    given = []
    for model in tqdm(zoo.models, desc=f"asking {zoo.folder.name}", disable=None):
        client = open_target(model.target)
        given += asking.answers_of([client], prepared.suite, budget=BUDGET)
        client.close()
    found = asking.models_of([model.name for model in zoo.models], given), prepared.honest
    cache.mkdir(parents=True, exist_ok=True)
    for file, models in zip(files, found, strict=True):
        storage.write_file(file, storage.to_bytes(models))

    return found


def measure(zoo: Zoo, models: Models, honest: Models, access: str, seed: int) -> dict[str, Any]:
    """Counts by attack: n, parent named, of the right family, nearest reference; and the edges that are false."""
    if access == "label":
        models, honest = (Models(some.names, some.labels) for some in (models, honest))
    sources = np.array([model.role == "source" for model in zoo.models])
    abouts = tuple(About() if source else About(role="derived") for source in sources)
    family = Family(models, abouts, sources, honest, zoo.pool.spec.output == "number")
    started = time.monotonic()
    tree = growing.grow(family, seed=seed)
    seconds = time.monotonic() - started
    kin = {model.name: model.parent or model.name for model in zoo.models}
    parent = {link.child: link.parent for link in tree.links}
    counts: dict[str, list[int]] = {}
    for i, model in enumerate(zoo.models):
        told = parent.get(model.name)
        row = counts.setdefault(model.attack or f"{model.role} {model.data}".strip(), [0, 0, 0, 0])
        row[0] += 1
        if model.role == "derived":
            nearest = int(np.where(sources, tree.standing[i], -np.inf).argmax())
            row[1] += told == model.parent
            row[2] += told is not None and kin[told] == model.parent
            row[3] += models.names[nearest] == model.parent
        else:
            row[1] += told is None
    false = [[link.parent, link.child] for link in tree.links if kin[link.parent] != kin[link.child]]
    wrong = sum(kin[link.child] != link.parent for link in tree.links)
    strangers = {model.name for model in zoo.models if model.role == "independent"}
    accused = sum(bool({link.parent, link.child} & strangers) for link in tree.links)

    return {
        "counts": counts, "edges": len(tree.links), "false": len(false), "not_parent": wrong, "strangers": accused,
        "false_edges": false[:200], "mixes": len(tree.mixes), "models": len(models), "honest": len(honest),
        "seconds": round(seconds, 2), "seed": seed,
    }  # fmt: skip


def main() -> None:
    """Measure zoos, or make the page of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoos", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, default=Path("lineage.json"))
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "probe-match-lineage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sources", type=int, help="Draw so many sources at random.  [default: all]")
    parser.add_argument("--strangers", type=int, help="Draw so many independent models.  [default: all]")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--answers", action="store_true", help="Only ask; measure later from the cache.")
    given = parser.parse_args()
    if given.table:
        print(table(json.loads(given.table.read_text())))
        return
    results = json.loads(given.out.read_text()) if given.out.is_file() else {}
    for folder in given.zoos:
        zoo = part_of(read_zoo(folder), given.sources, given.strangers, given.seed)
        models, honest = answers(zoo, given.seed, given.cache)
        if given.answers:
            continue
        for access in ("label", "scores"):
            name = f"{folder.parent.name}/{folder.name}/{access}"
            if name not in results and (access == "label" or models.scores is not None):
                if access == "label" and zoo.pool.spec.output == "number":
                    continue
                results[name] = measure(zoo, models, honest, access, given.seed)
                results[name]["part"] = [given.sources, given.strangers] if given.sources else None
                storage.write_file(given.out, json.dumps(results, indent=1).encode())
                print(name, {k: v for k, v in results[name].items() if k not in ("counts", "false_edges")}, flush=True)


if __name__ == "__main__":
    main()
