"""
Inputs that may become probes: rows of the pool, logged inputs and what generators make of them.

Good probes are rare: among twice as many candidates the best ones tell copies from honest models much better. So where
models are cheap to ask, thousands are made, the first peers and shadows answer all of them, and only a short list goes
to the rest.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np

from . import learners
from .collect import Asked, Client, ask
from .disguises import LEAST_NOISE, noisy
from .errors import BadData, SuiteMismatch
from .panels import together
from .plans import Inputs
from .records import InputSpec, Panel, Pool, ProbeSuite
from .selection import most_divided, worth

MADE: Final = 400  # candidates each generator makes
MANY: Final = 4000  # where asking is cheap, of those that need no search
WIDE: Final = ("mixed", "corrupted")
SHORT_LIST: Final = 1200
NATURAL: Final = 400  # rows kept beside, from which a suite is made that other references can share
MARGIN: Final = 0.05  # between the source's two likeliest classes
DISTURBED: Final = 3  # times that a steady source is asked about an input with a little noise
ENOUGH_STEADY: Final = 128  # steady candidates, below which all are taken
Generate = Callable[..., ProbeSuite]


class Candidates(NamedTuple):
    """inputs: float32 (c, *shape) or c texts. kinds: str (c,), the origin of each. answers: the source's."""

    inputs: Inputs
    kinds: np.ndarray
    answers: Asked

    def take(self, rows: np.ndarray) -> "Candidates":
        """The candidates in rows, int (m,)."""
        inputs = self.inputs
        return Candidates(
            inputs[rows] if isinstance(inputs, np.ndarray) else tuple(inputs[i] for i in rows),
            self.kinds[rows],
            Asked(self.answers.labels[rows], None if self.answers.scores is None else self.answers.scores[rows]),
        )


def gather(
    source: Client,
    held: Pool,
    log: Inputs | None,
    given: ProbeSuite | None,
    generators: Mapping[str, Generate],
    seed: int,
) -> Candidates:
    """The held rows, then a given suite, or else the log and what the generators make, with the source's answers."""
    parts: list[Inputs] = [held.x]
    kinds = ["uniform"] * len(held)
    if given is not None:
        if not held.spec.accepts(given.spec) or held.spec.categories != given.spec.categories:
            raise SuiteMismatch(
                f"suite '{given.name}' is for {given.spec.kind} inputs of shape {given.spec.shape}, the pool holds "
                f"{held.spec.kind} inputs of shape {held.spec.shape}; build a suite from this pool"
            )
        parts.append(given.inputs)
        kinds += given.kinds
        generators = {}
    elif log is not None:
        parts.append(log)
        kinds += ["log"] * len(log)
    for i, (kind, generate) in enumerate(generators.items()):
        n = MANY if kind in WIDE and cheap(held.spec) else min(MADE, len(held))
        try:
            made = generate(source, held, n=n, seed=seed + i).inputs
        except BadData:  # a generator may find nothing in a small pool; the others go on
            continue
        if isinstance(made, tuple):  # some generators give natural texts too, and a text is asked once
            seen = {text for part in parts for text in part}
            made = tuple(text for text in made if text not in seen)
        parts.append(made)
        kinds += [kind] * len(made)
    inputs = together(parts)

    return Candidates(inputs, np.array(kinds), ask(source, inputs, held.spec, classes=held.classes))


def cheap(spec: InputSpec) -> bool:
    """Whether peers answer thousands of inputs of this kind in no time: classifiers of tables and of flat images."""
    return spec.kind in ("tabular", "image") and spec.output == "classes" and not learners.image_networks(spec)


def steady(source: Client, spec: InputSpec, classes: tuple[str, ...], of: Candidates, seed: int) -> np.ndarray:
    """
    Bool (c,): candidates on which the source does not change its mind for a trifle.

    A copy whose scores are rounded, or whose inputs carry a little noise, answers a point on the very boundary by
    chance; such points are for telling whether a model changed at all, not whose it was.
    """
    rng = np.random.default_rng([seed, 4])
    same = np.ones(len(of.kinds), bool)
    if of.answers.scores is not None:
        top = np.sort(of.answers.scores, axis=1)
        same &= top[:, -1] - top[:, -2] >= MARGIN
    for _ in range(DISTURBED):
        moved = noisy(of.inputs, spec, LEAST_NOISE, rng)
        same &= ask(source, moved, spec, classes=classes).labels == of.answers.labels

    return same


def shortlist(
    source: Client, pool: Pool, of: Candidates, panel: Panel, k: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """
    Int (m,): the candidates to go on with, those a steady source tells most by and natural ones on which models differ.

    And bool (m,): which of them may become probes of the source. panel: the first peers and shadows on all candidates.
    """
    value = worth(of.answers.labels, panel, k)
    best = np.argsort(-value, kind="stable")[: 2 * SHORT_LIST]
    sound = best[steady(source, pool.spec, pool.classes, of.take(best), seed)]
    chosen = (sound if len(sound) >= ENOUGH_STEADY else best)[:SHORT_LIST]
    natural = np.flatnonzero(of.kinds == "uniform")
    divided = natural[most_divided(panel.labels[:, natural].astype(int), NATURAL)]
    kept = np.concatenate([chosen, np.setdiff1d(divided, chosen)])

    return kept, np.arange(len(kept)) < len(chosen)
