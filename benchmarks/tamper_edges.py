"""
Ten fragile probes alone, without peers or shadows: changed tabular models noticed, re-exports in ONNX Runtime accused.

    python benchmarks/tamper_edges.py ZOO...

Every source of a zoo, its copy in ONNX and its copies with changed weights, by labels and with scores; prints counts
so far after each zoo, and what was decided wrongly at the end. A second or two per source.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

from probe_match.fingerprinting import verifying
from probe_match.fingerprinting.collect import collect
from probe_match.fingerprinting.pools import load_pool
from probe_match.fingerprinting.records import Fragile
from probe_match.fingerprinting.targets import open_any
from probe_match.probes import sensitive

CHANGED: Final = ("warm-start", "prune-30", "prune-60", "prune-leaves", "quantise-8bit", "quantise-2bit", "refit")


def main(zoos: list[str]) -> None:
    """Count over the zoos named."""
    counts: Counter[tuple[str, str, str]] = Counter()
    wrong = []
    for zoo in map(Path, zoos):
        listed = json.loads((zoo / "zoo.json").read_text())
        pool = load_pool(zoo / "pool.npz", regression=listed["classes"] == 0)
        for source in [model for model in listed["models"] if model["role"] == "source"]:
            client = _open(zoo, source["target"])
            suite = sensitive.generate(client, pool, n=10, seed=1, spread=6)
            known = Fragile(suite, collect(client, suite))
            for model in listed["models"]:
                attack = model.get("attack")
                if model.get("parent") != source["name"] or attack not in (*CHANGED, "copy"):
                    continue
                suspect = _open(zoo, model["target"])
                for access in ("label", "scores"):
                    verdict = verifying.verify(
                        suspect, known, source["name"], access="label" if access == "label" else None
                    )
                    what = "copy" if attack == "copy" else "changed"
                    counts[what, access, verdict.decision] += 1
                    if (what == "copy") != (verdict.decision == "match"):
                        wrong.append((str(zoo), model["name"], access, verdict.decision))
        print(zoo, dict(counts), flush=True)
    print(*wrong, sep="\n")


def _open(zoo: Path, target: str) -> Any:
    kind, _, where = target.partition(":")
    return open_any(f"{kind}:{zoo / where}", allow_pickle=False, timeout=60)


if __name__ == "__main__":
    main(sys.argv[1:])
