"""
TinyFam: small language models whose descent is known, 8 foundations and 18 derivatives of each.

    python benchmarks/zoos/tinyfam.py [--output DIR] [--seed 0] [--steps 300] [--layers 2] [--width 64] [--small]

Foundations differ in tokenizer (two), in what they read (two mixes) and in their random start (two): those that differ
in the start alone are the hard negatives. Derivatives follow LeaFBench (2508.19843) and the change grid of LT
(2512.03816). What is there already is not made again, so an interrupted build goes on where it stopped.
"""

import argparse
import hashlib
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import tinyfam_changes as changes
import tinyfam_training as training
import torch
from probe_match.fingerprinting import storage
from tinyfam_network import Model, Size, load, save
from tinyfam_text import MIXES, Author
from tinyfam_tokens import Tokenizer, learn
from torch import Tensor
from tqdm import tqdm

DEFAULT_OUTPUT: Final = Path(__file__).parents[2] / ".cache" / "zoos" / "tinyfam"
MERGES: Final = {"short": 96, "long": 256}
STEPS_TUNED: Final = (1, 8, 64, 512)
SMALL: Final = ("ft-1", "ft-8", "int4", "noise-3")  # the derivatives of a small zoo
VERSION: Final = 1  # of what is built; another one is not mixed with it


@dataclass(frozen=True)
class Line:
    """One model of zoo.json. kind: what was done to the parent, "foundation" where there is none."""

    name: str
    kind: str
    tokenizer: str
    mix: str
    start: int
    parent: str | None = None


@dataclass(frozen=True)
class Recipe:
    """What is built. steps: of a foundation. documents: of a mix. small: one mix, two starts, 4 derivatives each."""

    seed: int = 0
    steps: int = 300
    layers: int = 2
    width: int = 64
    documents: int = 6000
    small: bool = False


class Zoo:
    """A folder of models. A model is made when it is asked for and not there, its parents first."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder, self.recipe = folder, recipe
        folder.mkdir(parents=True, exist_ok=True)
        mark, kind = folder / "made-of.txt", hashlib.sha256(repr((VERSION, recipe)).encode()).hexdigest()
        if mark.exists() and mark.read_text() != kind:
            sys.exit(f"{folder} holds another zoo; give another --output, or empty it")
        storage.write_file(mark, kind.encode())
        self.lines = {line.name: line for line in _plan(recipe)}
        self.stream = lru_cache(None)(self._stream)
        self.tokenizer = lru_cache(None)(self._tokenizer)
        self.samples = lru_cache(None)(self._samples)
        self.model = lru_cache(256)(self._model)

    def _model(self, name: str) -> Model:
        file = self.folder / f"{name}.npz"
        if not file.exists():
            made = self._make(self.lines[name])
            for one, model in made.items():
                save(model, self.folder / f"{one}.npz")
        return load(file)

    def _make(self, line: Line) -> dict[str, Model]:
        seed = self.seed(line.name)
        if line.parent is None:
            tokenizer = self.tokenizer(line.tokenizer)
            size = Size(len(tokenizer), self.recipe.layers, self.recipe.width)
            stream = self.stream(line.tokenizer, line.mix, 0)
            return {line.name: training.foundation(tokenizer, stream, size, seed, self.recipe.steps)}
        parent = self.model(line.parent)
        own, other = (self.stream(line.tokenizer, line.mix, taste) for taste in (0, 1))
        far = self.stream(line.tokenizer, MIXES[1 - MIXES.index(line.mix)], 2)
        if line.kind.startswith("ft-"):
            names = {steps: f"{line.parent}-ft-{steps}" for steps in STEPS_TUNED}
            wanted = [steps for steps, name in names.items() if name in self.lines]
            tuned = training.tuned(parent, other, wanted, self.seed(f"{line.parent}-ft"), rate=training.CAREFUL_RATE)
            return {names[steps]: model for steps, model in tuned.items()}
        sibling = {name: f"{line.parent}-{name}" for name in ("sft", "domain")}
        make: dict[str, Callable[[], Model]] = {
            "sft": lambda: training.tuned(parent, other, [128], seed)[128],
            "domain": lambda: training.tuned(parent, far, [128], seed)[128],
            "lora": lambda: training.low_rank(parent, other, 96, seed),
            "merge": lambda: changes.merged(self.model(sibling["sft"]), self.model(sibling["domain"]), 0.5),
            "distil": lambda: training.distilled(parent, own, self.recipe.steps, seed),
            "prune-50": lambda: changes.changed(parent, changes.pruned(0.5)),
            "prune-12": lambda: changes.changed(parent, changes.pruned(1 / 8)),
            "prune-3": lambda: changes.changed(parent, changes.pruned(1 / 32)),
            "prune-1": lambda: changes.changed(parent, changes.pruned(1 / 128)),
            "int8": lambda: changes.changed(parent, changes.rounded(8)),
            "int4": lambda: changes.changed(parent, changes.rounded(4)),
            "noise-3": lambda: changes.changed(parent, changes.shaken(2**-3, seed)),
            "noise-6": lambda: changes.changed(parent, changes.shaken(2**-6, seed)),
            "noise-9": lambda: changes.changed(parent, changes.shaken(2**-9, seed)),
        }
        return {line.name: make[line.kind]()}

    def seed(self, name: str) -> int:
        """Of a model's own randomness."""
        return zlib.crc32(f"{self.recipe.seed} {name}".encode())

    def _tokenizer(self, name: str) -> Tokenizer:
        return learn(self.samples(), MERGES[name])

    def _samples(self) -> list[str]:
        texts = []
        for mix in MIXES:
            author = Author(mix, self.seed(f"tokenizer {mix}"))
            texts += [author.prose() for _ in range(200)]
            texts += [f"{talk.user} {talk.assistant}" for talk in (author.talk() for _ in range(600))]
        return texts

    def _stream(self, tokenizer: str, mix: str, taste: int) -> Tensor:
        author = Author(mix, self.seed(f"texts {mix} {taste}"), taste=taste)
        return training.tokens(author, self.tokenizer(tokenizer), self.recipe.documents)


def _plan(recipe: Recipe) -> Iterator[Line]:
    """Every model, parents first."""
    kinds = (
        "sft", "domain", "lora", "merge", "distil", "prune-50", "prune-12", "prune-3", "prune-1", "int8", "int4",
        "noise-3", "noise-6", "noise-9", *(f"ft-{steps}" for steps in STEPS_TUNED),
    )  # fmt: skip
    for start in (0, 1):
        for tokenizer in MERGES:
            for mix in MIXES[:1] if recipe.small else MIXES:
                name = f"{tokenizer}-{mix}-{start}"
                yield Line(name, "foundation", tokenizer, mix, start)
                for kind in SMALL if recipe.small else kinds:
                    yield Line(f"{name}-{kind}", kind, tokenizer, mix, start, name)


def build(folder: Path, recipe: Recipe, *, quiet: bool = False) -> Zoo:
    """Make what is missing, and zoo.json last."""
    zoo = Zoo(folder, recipe)
    for name in tqdm(zoo.lines, desc="models", disable=True if quiet else None):
        if not (folder / f"{name}.npz").exists():
            zoo.model(name)
    lines = [{key: value for key, value in asdict(line).items() if value is not None} for line in zoo.lines.values()]
    storage.write_file(folder / "zoo.json", (json.dumps({"kind": "chat", "models": lines}, indent=1) + "\n").encode())
    return zoo


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Build TinyFam, a zoo of small language models.")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    for name in ("seed", "steps", "layers", "width", "documents"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Recipe, name))
    parser.add_argument("--small", action="store_true", help="4 foundations and 4 derivatives of each")
    given = vars(parser.parse_args())
    torch.set_num_threads(1)
    zoo = build(given.pop("output"), Recipe(**given))
    print(f"{len(zoo.lines)} models in {zoo.folder}")


if __name__ == "__main__":
    main()
