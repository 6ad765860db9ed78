"""
Which models the image zoo has, whose images each is trained on, and the training of one.

Owner A, thief B and strangers C share no training image. Nothing here depends on the order in which models are made.
"""

import time
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import cifar_attacks
import cifar_networks as networks
import numpy as np
import torch
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData

SOURCES: Final = tuple(networks.SHAPES)[:3]
SHARES: Final = (0.4, 0.7)  # owner's images up to the first, then the thief's up to the second, then strangers'
MOST: Final = (10_000, 4_000)  # training and test images that are used
INDEPENDENTS: Final = 30
EPOCHS: Final = 8.0
SMALL: Final = ("fta", "mel1", "q4")  # what is made of the small zoo's source


@dataclass(frozen=True)
class Settings:
    """What decides all models. data: the file of images; None makes a few of our own and the small zoo of them."""

    data: str | None
    output: str
    seed: int

    @property
    def small(self) -> bool:
        """Eight models that are made in seconds."""
        return self.data is None


@dataclass(frozen=True)
class Model:
    """A line of zoo.json. learner: the shape of the network. attack, parent: of a copy. data: of an independent."""

    name: str
    role: str
    learner: str
    seed: int
    parent: str | None = None
    attack: str | None = None
    data: str | None = None
    use: str | None = None

    @property
    def file(self) -> str:
        """Its name in the folder."""
        return f"{self.name}.pt2"


class Part(NamedTuple):
    """Images uint8 (m, 3, 32, 32) and their classes int64 (m,)."""

    x: np.ndarray
    y: np.ndarray


class Images(NamedTuple):
    """
    The owner's, the thief's and strangers' training images; the owner's pool, and which of it is trained on, bool (m,);
    test images of nobody's.
    """

    a: Part
    b: Part
    c: Part
    pool: Part
    trained: np.ndarray
    rest: Part


@lru_cache(1)
def images(settings: Settings) -> Images:
    """All images, split at random. Raises BadData where the file is missing or holds something else."""
    rng = np.random.default_rng(settings.seed)
    arrays = _patterns(rng) if settings.data is None else _file(Path(settings.data))
    train, test = (_distinct(Part(arrays[f"x_{name}"], arrays[f"y_{name}"]), rng) for name in ("train", "test"))
    train, test = (Part(part.x[:most], part.y[:most]) for part, most in zip((train, test), MOST, strict=True))
    first, second = (round(share * len(train.x)) for share in SHARES)
    half = len(test.x) // 2
    a, b, c, seen, rest = (
        Part(part.x[rows], part.y[rows])
        for part, rows in (
            (train, slice(first)), (train, slice(first, second)), (train, slice(second, None)),
            (test, slice(half)), (test, slice(half, None)),
        )
    )  # fmt: skip
    pool = _distinct(Part(np.concatenate([a.x, seen.x]), np.concatenate([a.y, seen.y])), rng)

    owned = {image.tobytes() for image in a.x}

    return Images(a, b, c, pool, np.array([image.tobytes() in owned for image in pool.x]), rest)


def plan(settings: Settings) -> list[Model]:
    """All models, sources first, then copies and independents in turn, so that half a zoo is of use too."""
    sources = [
        _model(settings, f"s{i}", "source", shape) for i, shape in enumerate(SOURCES[: 1 if settings.small else None])
    ]
    copies = [
        [
            _model(
                settings, f"{source.name}-{ending}", "derived", attack.learner or source.learner,
                parent=source.name, attack=attack.attack,
            )
            for ending, attack in cifar_attacks.attacks(source.learner).items()
            if ending in SMALL or not settings.small
        ]
        for source in sources
    ]  # fmt: skip
    strangers = [
        _model(
            settings, f"n{i}", "independent", list(networks.SHAPES)[i % 6],
            data=("same", "other")[(i // 6 + i) % 2], use="test",
        )
        for i in range(4 if settings.small else INDEPENDENTS)
    ]  # fmt: skip
    rounds = len(copies[0])
    turns = []
    for turn in range(rounds):
        turns += [of_source[turn] for of_source in copies]
        turns += strangers[turn * len(strangers) // rounds : (turn + 1) * len(strangers) // rounds]

    return [*sources, *turns]


def make(model: Model, settings: Settings) -> tuple[Model, float]:
    """Train one model and write its file, for which a copy needs its source's; the processor's seconds that it took."""
    started = time.process_time()
    torch.set_num_threads(1)  # two networks side by side gain more than two threads on one
    torch.manual_seed(model.seed)
    given = images(settings)
    epochs = 1.0 if settings.small else EPOCHS
    folder = Path(settings.output)
    if model.parent is None:
        part = given.c if model.data == "other" else given.a
        x, y = networks.as_images(part.x), torch.from_numpy(part.y)
        net = networks.fit(networks.fresh(model.learner, x), x, y, epochs=epochs)
    else:
        source = next(other for other in plan(settings) if other.name == model.parent)
        attack = cifar_attacks.attacks(source.learner)[model.name.partition("-")[2]]
        x, y = networks.as_images(given.b.x), torch.from_numpy(given.b.y)
        net = attack.run(networks.read(source.learner, folder / source.file), x, y, epochs)
    networks.write(net, folder / model.file)

    return model, time.process_time() - started


def _model(settings: Settings, name: str, role: str, learner: str, **rest: str) -> Model:
    return Model(name, role, learner, zlib.crc32(f"{settings.seed} {name}".encode()), **rest)


def _file(path: Path) -> dict[str, np.ndarray]:
    arrays = storage.read_npz(storage.read_file(path, "images"), f"images {path}")
    for name in ("train", "test"):
        x, y = arrays.get(f"x_{name}"), arrays.get(f"y_{name}")
        if x is None or y is None or x.dtype != np.uint8 or x.shape[1:] != (32, 32, 3) or y.shape != x.shape[:1]:
            raise BadData(
                f"images {path}: expected x_{name} uint8 (n, 32, 32, 3) and y_{name} (n,), got "
                f"{ {key: array.shape for key, array in arrays.items()} }; pass CIFAR-10 in this form"
            )
        arrays[f"x_{name}"] = x.transpose(0, 3, 1, 2)
        arrays[f"y_{name}"] = y.astype(np.int64)

    return arrays


def _patterns(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Ten coarse patterns under noise: something that one epoch begins to learn."""
    made = {}
    patterns = rng.uniform(60, 195, (networks.CLASSES, 3, 4, 4)).repeat(8, 2).repeat(8, 3)
    for name, m in (("train", 1500), ("test", 400)):
        made[f"y_{name}"] = rng.integers(0, networks.CLASSES, m)
        noisy = patterns[made[f"y_{name}"]] + rng.normal(0, 40, (m, 3, 32, 32))
        made[f"x_{name}"] = noisy.clip(0, 255).astype(np.uint8)

    return made


def _distinct(part: Part, rng: np.random.Generator) -> Part:
    """In random order, the first of equal images."""
    first = {image.tobytes(): row for row, image in reversed(list(enumerate(part.x)))}
    rows = rng.permutation(np.sort(list(first.values())))

    return Part(np.ascontiguousarray(part.x[rows]), part.y[rows])
