"""
`probe-match lineage --db` through the command line: four sources enrolled with peers, their copies and strangers asked.

    python benchmarks/lineage_database.py ZOO [ZOO …]

Of each zoo four sources are drawn, all that is made of them, and honest models up to 196 targets. A line a run: labels,
scores, scores at alpha .01. The command runs as a process of its own, so that its seconds are what a user waits.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from lineage_table import WEIGHTS, share
from probe_match.fingerprinting import registry
from probe_match.fingerprinting.bench.zoo import Zoo, read_zoo
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.enrolment import enroll
from probe_match.fingerprinting.records import About
from probe_match.fingerprinting.targets import open_target

SOURCES: Final = 4
TARGETS: Final = 196
RUNS: Final = {"labels": ["--access", "label"], "scores": [], "scores, alpha .01": ["--alpha", "0.01"]}
MAIN: Final = "from probe_match.fingerprinting.cli import main; main()"


def enrolled(zoo: Zoo, names: set[str], path: Path) -> None:
    """A database of the named sources, each with peers and shadows of its own."""
    generators = {"midpoints": registry.load("probes", "midpoints").generate}
    public = None
    with open_db(str(path), create=True) as db:
        for model in (model for model in zoo.of("source") if model.name in names):
            client = open_target(model.target)
            made = enroll(
                client, zoo.pool, name=model.name, about=About(), generators=generators, public=public, peers=120,
                shadows=16, jobs=1,
            )  # fmt: skip
            client.close()
            if public is None:
                public = made.public
                db.set_public_suite(public)
            db.add(made.reference)


def measured(zoo: Zoo, folder: Path) -> Iterator[str]:
    """A line for each of `RUNS`."""
    sources = zoo.of("source")
    names = {sources[i].name for i in np.random.default_rng(0).permutation(len(sources))[:SOURCES]}
    copies = [model for model in zoo.of("derived") if model.parent in names]
    free = zoo.of("independent")
    asked = copies + [free[i] for i in np.random.default_rng(1).permutation(len(free))[: TARGETS - len(copies)]]
    enrolled(zoo, names, folder / "known.db")
    kin = {model.name: model.parent or model.name for model in zoo.models}
    by_target = {model.target: model.name for model in asked}
    changed = {model.name for model in copies if model.attack in WEIGHTS}
    for how, options in RUNS.items():
        command = [sys.executable, "-c", MAIN, "lineage", "--db", str(folder / "known.db"), *by_target, *options]
        started = time.monotonic()
        subprocess.run([*command, "-q", "--json", str(folder / "tree.json")], check=True)
        seconds = time.monotonic() - started
        links = [
            (by_target.get(link["parent"], link["parent"]), by_target.get(link["child"], link["child"]))
            for link in json.loads((folder / "tree.json").read_text())["links"]
        ]
        false = sum(kin[parent] != kin[child] for parent, child in links)
        named = sum(child in changed and kin[child] == parent for parent, child in links)
        yield (
            f"{zoo.folder.name}, {how}: named {share(named, len(changed))}, false links {false}/{len(links)}, "
            f"{len(asked) + len(names)} models, {seconds:.1f} s"
        )


def main() -> None:
    """Measure the zoos named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoos", nargs="+", type=Path)
    for zoo in parser.parse_args().zoos:
        with tempfile.TemporaryDirectory() as folder:
            for line in measured(read_zoo(zoo), Path(folder)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
