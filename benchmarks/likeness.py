"""
What `match --explain` shows of copies and of strangers: how alike they contribute, and how that sets them apart.

    python benchmarks/likeness.py ZOO [ZOO …] [--sources 3] [--peers 60] [--budget 64]

Sources are drawn and enrolled as `enroll` would, with fewer peers; everything made of them and as many honest models
are then asked the public suite. A table of how alike each kind contributes, how often more than every honest model that
was trained at enrolment, and the area under the ROC curve against strangers: what this would be worth as evidence.
"""

import argparse
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from probe_match.fingerprinting import registry
from probe_match.fingerprinting.bench.zoo import read_zoo
from probe_match.fingerprinting.enrolment import enroll
from probe_match.fingerprinting.explain.likeness import Likeness, likeness
from probe_match.fingerprinting.records import About
from probe_match.fingerprinting.targets import open_target
from sklearn.metrics import roc_auc_score

GROUPS: Final = {
    "copy": "unchanged", "round": "wrapped", "temperature": "wrapped", "input-noise": "wrapped",
    "prune": "weights changed", "quantise": "weights changed", "warm": "weights changed",
    "extract": "distilled", "ensemble": "distilled", "refit": "fitted again", "": "stranger",
}  # fmt: skip


def group(attack: str | None) -> str:
    """The kind of model, by the zoo's name of how it was made."""
    return next(kind for start, kind in GROUPS.items() if (attack or "").startswith(start))


def measured(folder: Path, sources: int, peers: int, budget: int) -> list[tuple[str, str, Likeness]]:
    """Access, group and likeness of every model made of the drawn sources, and of as many strangers."""
    zoo = read_zoo(folder)
    rng = np.random.default_rng(zlib.crc32(f"{folder.parent.name}/{folder.name}".encode()))
    generators = {"midpoints": registry.load("probes", "midpoints").generate}
    found = []
    for i in rng.permutation(len(zoo.of("source")))[:sources]:
        source = zoo.of("source")[i]
        known = open_target(source.target)
        made = enroll(
            known, zoo.pool, name=source.name, about=About(), generators=generators, peers=peers, shadows=8, jobs=1
        )
        copies = [model for model in zoo.of("derived") if model.parent == source.name]
        free = zoo.of("independent")
        for model in [*copies, *(free[j] for j in rng.permutation(len(free))[: len(copies)])]:
            client = open_target(model.target)
            for access in ("label", "scores"):
                told = likeness(
                    client, made.reference, made.public, budget=budget, access="label" if access == "label" else None
                )
                found.append((access, group(model.attack), told))
            client.close()
        known.close()
    return found


def table(found: list[tuple[str, str, Likeness]]) -> str:
    """Markdown."""
    lines = [
        "| made by | access | models | decided alike | contribute alike: median | more than every honest model | AUC |",
        "|---|---|---|---|---|---|---|",
    ]
    for access in ("label", "scores"):
        free = [told for how, kind, told in found if (how, kind) == (access, "stranger")]
        for kind in dict.fromkeys(GROUPS.values()):
            some = [told for how, which, told in found if (how, which) == (access, kind)]
            if not some:
                continue
            over = sum(told.cosine > max(told.honest) for told in some if told.honest)
            truth = np.repeat([1, 0], [len(some), len(free)])
            auc = "" if kind == "stranger" else f"{roc_auc_score(truth, [_place(told) for told in [*some, *free]]):.2f}"
            lines.append(
                f"| {kind} | {access} | {len(some)} | {np.mean([told.alike for told in some]):.2f} | "
                f"{np.median([told.cosine for told in some]):.2f} | {over}/{len(some)} | {auc} |"
            )
    return "\n".join(lines)


def _place(told: Likeness) -> float:
    """How far a target stands above the honest models, in their spread."""
    return float((told.cosine - np.mean(told.honest)) / (np.std(told.honest) + 1e-3))


def main() -> None:
    """Measure the zoos named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoos", nargs="+", type=Path)
    for name, usual in (("sources", 3), ("peers", 60), ("budget", 64)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    given = parser.parse_args()
    print(table([row for zoo in given.zoos for row in measured(zoo, given.sources, given.peers, given.budget)]))


if __name__ == "__main__":
    main()
