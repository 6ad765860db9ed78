"""
Is the kind of change told of a reference at hand as an ONNX graph as well as of the model it was exported from?

    python benchmarks/tamper_graphs.py ZOO/SOURCE [ZOO/SOURCE …] --output graphs.json

Each source is enrolled three times: as the scikit-learn model, as its graph, and as a graph that cannot be read. Every
model made of it is verified against all three, as `tamper.py` does.
"""

import argparse
import copy
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tamper
from probe_match.clients import onnx as onnx_client
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.bench.measures import wilson
from probe_match.fingerprinting.pools import load_pool

sys.path.insert(0, str(Path(__file__).parent / "zoos"))
import onnx_graphs


def ways(client: Any, pool: Any, classes: int, folder: Path) -> Iterator[tuple[str, Any]]:
    """The source as each of the three."""
    graph = onnx_graphs.Graph(pool.x.shape[1])
    graph.save(folder / "source.onnx", onnx_graphs.answer(graph, client.estimator, classes), classes)
    opened = onnx_client.connect(str(folder / "source.onnx"))
    closed = copy.copy(opened)
    del closed.graph
    yield from (("scikit-learn", client), ("ONNX", opened), ("ONNX, not read", closed))


def measured(zoo: Path, name: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """How the source was enrolled, and the verdicts on all that was made of it."""
    listed = json.loads((zoo / "zoo.json").read_text())
    pool = load_pool(zoo / "pool.npz")
    source = next(model for model in listed["models"] if model["name"] == name)
    client = tamper._open(zoo, source["target"])
    made = [(m["attack"], tamper._open(zoo, m["target"])) for m in listed["models"] if m.get("parent") == name]
    with tempfile.TemporaryDirectory() as folder:
        for how, known in ways(client, pool, listed["classes"], Path(folder)):
            reference = tamper._enrolled(known, pool, name, 60, 24)
            yield (
                how,
                [
                    row
                    for attack, suspect in made
                    for row in tamper._verified(
                        suspect,
                        reference,
                        attack,
                        attack not in tamper.UNCHANGED and tamper._equal(client, suspect, pool),
                    )
                ],
            )


def table(done: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: kinds told right, by how the source was enrolled."""
    lines = ["| enrolled as | access | kind right | pruned | quantised | fine-tuned |", "|---|---|---|---|---|---|"]
    for how in dict.fromkeys(key.rpartition(": ")[2] for key in done):
        for access in ("label", "scores"):
            rows = [
                (tamper.KIND[r["attack"]], str(r["kind"]))
                for key, some in done.items()
                for r in some
                if key.endswith(f": {how}") and r["access"] == access and r.get("kind") and not r.get("equal")
                and r["attack"] in tamper.KIND
            ]  # fmt: skip
            hits = {
                kind: [told.startswith(true) for true, told in rows if kind in ("", true)]
                for kind in ("", "pruned", "quantised", "fine-tuned")
            }
            whole = wilson(sum(hits[""]), len(hits[""]))
            cells = " | ".join(f"{sum(some)}/{len(some)}" for kind, some in hits.items() if kind)
            lines.append(
                f"| {how} | {access} | {sum(hits[''])}/{len(hits[''])} ({whole.low:.2f}–{whole.high:.2f}) | {cells} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure the sources named, print the table of all that is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", type=Path)
    parser.add_argument("--output", type=Path, default=Path("graphs.json"))
    given = parser.parse_args()
    done = json.loads(given.output.read_text()) if given.output.exists() else {}
    warnings.simplefilter("ignore")
    for source in given.sources:
        key = f"{source.parent.name}/{source.name}"
        if not any(known.startswith(f"{key}: ") for known in done):
            done |= {f"{key}: {how}": rows for how, rows in measured(source.parent, source.name)}
            storage.write_file(given.output, json.dumps(done, indent=0).encode())
    print(table(done))


if __name__ == "__main__":
    main()
