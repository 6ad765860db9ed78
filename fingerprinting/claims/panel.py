"""
The honest models of a claim, and copies of the owner's: made from seeds that the key and the beacon draw.

So nobody picks peers that happen to differ. Some choose among the ways, beside copies of the owner's model with changed
weights; the rest are trained when the probes are known and stand for the honest world. Of these every other is of the
source's class and rows, whose answers are nearest to the source's.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting import changed_copies, residuals
from probe_match.fingerprinting.collect import Client, Progress, ask
from probe_match.fingerprinting.errors import BadData, UsageError
from probe_match.fingerprinting.exploring import material_for
from probe_match.fingerprinting.joining import together
from probe_match.fingerprinting.kin import find_kin
from probe_match.fingerprinting.panels import join, train_panel
from probe_match.fingerprinting.plans import CALIBRATING, FEW, FEW_CALIBRATING, Kin, Material, Plan, plan_peers
from probe_match.fingerprinting.probing import expected_of
from probe_match.fingerprinting.records import Panel, Pool

from . import keys, levels
from .asking import put_as

PEERS: Final = 260  # of these 200 calibrate, a hundred of either kind
ENOUGH_SHADOWS: Final = 8
SHADOW: Final = "shadow"  # the use of a copy, which chooses and never stands for the honest world
Later = Callable[[np.ndarray], Panel]
Train = Callable[..., tuple[Panel, Later]]


class Peer(NamedTuple):
    """
    One honest model, or a copy of the owner's. use: "choose", "calibrate" or "shadow". readings: one character a
    point, 0, 1 or - where it did not answer.
    """

    name: str
    role: str
    use: str
    readings: str


class Recipe(NamedTuple):
    """What honest models are made from. held: rows by which kin are found. rest: the plans once kin are known."""

    material: Material
    held: Pool
    first: list[Plan]
    rest: Callable[[Kin], list[Plan]]


def recipe(source: Client, pool: Pool, seed: bytes, count: int) -> Recipe:
    """
    The plans for `count` honest models. pool: labelled. seed: of key and beacon.

    Raises BadData for a pool that cannot teach, UsageError for too few peers.
    """
    if pool.y is None:
        raise BadData("peers are trained on true labels and the pool has none; add y to the pool")
    if count < 8:
        raise UsageError(f"expected at least 8 peers to train, got {count}")
    number = int(keys.below(keys.draws(seed, "peers", 1), 1 << 31)[0])
    order = np.random.default_rng(number).permutation(len(pool))
    held, rest = pool.take(order[: len(pool) // 3]), pool.take(order[len(pool) // 3 :])
    material = material_for(source, rest, held, None, number)

    return Recipe(material, held, *plan_peers(material, count, number))


def kin_of(source: Client, recipe: Recipe, answers: np.ndarray) -> Kin:
    """
    Of which class and rows the source's nearest honest models are. answers: (first, held), the first models' labels or
    numbers.
    """
    held = recipe.held
    own = expected_of(ask(source, held.x, held.spec, classes=held.classes), held.spec)

    return find_kin(recipe.material, recipe.first, answers, own)


def train(
    source: Client, pool: Pool, inputs: np.ndarray, seed: bytes, count: int, *, jobs: int = 1,
    progress: Progress | None = None,
) -> tuple[Panel, Later]:  # fmt: skip
    """
    What the choosing ones of `count` honest models answer to the inputs, float32 (m, *shape) or texts (m,), and what
    trains the others and asks them other inputs; raises as `recipe` does.
    """
    made = recipe(source, pool, seed, count)
    h = len(made.held)
    early = train_panel(
        made.material, made.first, together([made.held.x, put_as(inputs)]), jobs=jobs, progress=progress
    )
    answers = residuals.values_of(early) if pool.spec.output == "number" else early.labels
    rest = made.rest(kin_of(source, made, answers[:, :h]))

    def ask_those(use: bool, probes: np.ndarray) -> Panel:
        plans = [plan for plan in rest if (plan.use == "calibrate") == use]
        return in_labels(train_panel(made.material, plans, put_as(probes), jobs=jobs, progress=progress), pool)

    choosing = join([in_labels(early.columns(np.arange(h, h + len(inputs))), pool), ask_those(False, inputs)])

    return choosing, lambda probes: ask_those(True, probes)


def in_labels(trained: Panel, pool: Pool) -> Panel:
    """The panel with what regressors answer as labels; classifiers' as they are."""
    if pool.spec.output != "number":
        return trained
    return replace(trained, labels=levels.of_numbers(residuals.values_of(trained), pool).astype(np.int16), scores=None)


def shadows(source: Client, pool: Pool, inputs: np.ndarray, seed: bytes) -> list[tuple[str, np.ndarray]]:
    """
    Copies of the owner's model with changed weights, by name, and their labels for the inputs, int64 (m,).

    Empty for a model that cannot be read, such as one behind a server. seed: of key and beacon.
    """
    number = int(keys.below(keys.draws(seed, "shadows", 1), 1 << 31)[0])
    told = []
    for i, (_, name, twin) in enumerate(changed_copies.reweighted(source, pool, number)):
        asked = ask(twin, put_as(inputs), pool.spec, classes=pool.classes, access="label")
        told.append((f"copy {i + 1} ({name})", levels.labels_of(asked, pool)))

    return told


def calibrating(count: int) -> int:
    """Of that many trained peers, how many do not choose."""
    return round((CALIBRATING if count > FEW else FEW_CALIBRATING) * count)


def written(readings: np.ndarray) -> str:
    """Readings int (points,) as characters."""
    return "".join("01-"[int(r)] for r in readings)


def parsed(text: str, points: int) -> np.ndarray:
    """Readings int64 (points,) from characters. Raises BadData."""
    if not isinstance(text, str) or len(text) != points or text.strip("01-"):
        raise BadData(f"expected {points} readings of 0, 1 or -, got {str(text)[:20]!r}")
    codes = np.frombuffer(text.encode("ascii"), np.uint8)

    return np.where(codes == ord("-"), -1, codes.astype(np.int64) - ord("0"))
