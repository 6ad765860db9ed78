"""
How well changes of a language model are found, on TinyFam: tables in Markdown, with intervals.

    python benchmarks/zoos/tinyfam.py                                   # once
    python benchmarks/tinyfam_figures.py [--start 1] [--zoo DIR] [--part change …] [--output FILE]

Constants were chosen on the families of start 0 (--start 0); figures are those of start 1. Intervals are 95 %
bootstraps over pairs of family and kind of change, or Wilson's where something is counted.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import torch
from tinyfam_bench import DEFAULT_OUTPUT, Bench
from tinyfam_change import change
from tinyfam_descent import lineage, swap
from tinyfam_kinds import random_sequences, together
from tinyfam_methods import choices, equal, geometry
from tinyfam_watch import honest, replicas, watched

PARTS: Final[dict[str, Callable[[Bench], Iterator[str]]]] = {
    "change": change, "lineage": lineage, "swap": swap, "honest": honest, "watched": watched,
    "replicas": replicas, "choices": choices, "equal": equal, "geometry": geometry,
    "sequences": random_sequences, "together": together
}  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Figures of change detection on TinyFam.")
    parser.add_argument("--zoo", type=Path, default=DEFAULT_OUTPUT)
    parser.add_argument("--start", type=int, default=1, help="families whose figures these are; 0 chose the constants")
    parser.add_argument("--small", action="store_true", help="the zoo was built with --small")
    parser.add_argument("--part", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(given.zoo, given.start, small=given.small)
    lines = []
    for part in given.part:
        for line in PARTS[part](bench):
            print(line, flush=True)
            lines.append(line)
    if given.output:
        given.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
