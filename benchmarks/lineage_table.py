"""The page of what `lineage.py` measured."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from probe_match.fingerprinting.bench.measures import wilson

WEIGHTS: Final = (
    "copy", "round-1", "round-2", "temperature", "input-noise", "quantise-8bit", "quantise-2bit", "quantise-8",
    "quantise-4", "prune-30", "prune-60", "prune-80", "prune-leaves", "warm-start", "finetune-last", "finetune-all",
    "adv-train",
)  # fmt: skip


ABOUT: Final = """# Family trees: results

Measured by [lineage.py](lineage.py) with 50 probes to every model, alpha .01, on zoos built by `zoos/tabular.py` and
`zoos/cifar.py`. The sources are references; their copies and models of nobody's are suspects. Probes and honest models
are made from the sources and the pool; no suspect is opened before. The algorithm was made on zoos of seed 0, which are
not in these tables. Parts of zoos are drawn at random (`--sources 4 --strangers 40 --seed 1`); whole zoos are marked.

```text
{commands}
python benchmarks/lineage.py --table lineage.json > benchmarks/RESULTS-lineage.md
```

*Nearest reference*: of all references the true parent stands out most, whether or not it is far enough from chance to
be drawn. *Named*: the tree draws the model below its true parent. *Right family*: below it or one of its kin.
Extraction, refits and ensembles change no weights: they are new models. 95 % intervals (Wilson)."""


def table(results: Mapping[str, Any]) -> str:
    """Markdown: per kind of input and access, per attack."""
    return "\n".join(_lines(results))


def _lines(results: Mapping[str, Any]) -> Iterator[str]:
    groups = defaultdict(list)
    for name, result in results.items():
        zoo, task, access = name.split("/")
        kind = (
            "regressors"
            if _regression(task)
            else "images"
            if zoo.startswith("cifar") or task.startswith("cifar")
            else "tables"
        )
        groups[f"{kind}, {access}{'' if result.get('part') else ', whole zoos'}"].append((name, result))

    def told(result: Mapping[str, Any]) -> str:
        some = result.get("part")
        return f" --sources {some[0]} --strangers {some[1]}" if some else ""

    commands: dict[str, list[str]] = {}
    for name, result in results.items():
        zoo = name.rpartition("/")[0]
        if zoo not in (zoos := commands.setdefault(f"{told(result)} --seed {result['seed']}", [])):
            zoos.append(zoo)
    lines = (f"python benchmarks/lineage.py {' '.join(zoos)}{how} --out lineage.json" for how, zoos in commands.items())
    yield ABOUT.format(commands="\n".join(lines))
    for title, some in groups.items():
        yield f"\n## {title[0].upper()}{title[1:]}\n"
        edges, false, wrong, strangers = (
            sum(r[key] for _, r in some) for key in ("edges", "false", "not_parent", "strangers")
        )
        names = ", ".join(name.rpartition("/")[0] for name, _ in some)
        yield f"Zoos: {names}. Of {edges} links"
        yield f"join models that share no parent {share(false, edges)},"
        yield f"end at a model of nobody's {share(strangers, edges)},"
        yield f"name another than the true parent {share(wrong, edges)}."
        yield f"At most {max(r['seconds'] for _, r in some):.0f} s for {max(r['models'] for _, r in some)} models.\n"
        yield "| made by | models | nearest reference is the parent | parent named in the tree | in the right family |"
        yield "| --- | --- | --- | --- | --- |"
        counts: dict[str, list[int]] = {}
        for _, result in some:
            for attack, row in result["counts"].items():
                counts[attack] = [a + b for a, b in zip(counts.get(attack, [0] * 4), row, strict=True)]
        whole = [sum(row) for row in zip(*(counts[a] for a in counts if a in WEIGHTS), strict=True)]
        for attack in sorted(counts, key=lambda a: (a.startswith(("ind", "sou")), a not in WEIGHTS, a)):
            n, named, right, nearest = counts[attack]
            if attack.startswith(("independent", "source")):
                yield f"| {attack}: hung on nothing | {n} | | {share(named, n)} | |"
            else:
                yield f"| {attack} | {n} | {share(nearest, n)} | {share(named, n)} | {share(right, n)} |"
        if whole:
            n, named, right, nearest = whole
            shares = " | ".join(share(hits, n) for hits in (nearest, named, right))
            yield f"| **all changes of weights or outputs** | {n} | {shares} |"


def share(hits: int, n: int) -> str:
    """A share with its 95 % interval (Wilson)."""
    if n == 0:
        return "-"
    _, low, high = wilson(hits, n)
    return f"{hits / n:.3f} ({low:.3f} to {high:.3f})"


def _regression(task: str) -> bool:
    return "regression" in task or task == "diabetes"
