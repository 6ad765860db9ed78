"""
Inputs that may become probes: rows of the pool, logged inputs and what generators make of them.

More are not better. The best of ten thousand mixtures are the luckiest: they look telling to some dozens of peers, and
tell less of other models than the best of a thousand natural rows.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np

from .collect import Asked, Client, ask
from .disguises import LEAST_NOISE, noisy
from .errors import BadData, SuiteMismatch
from .joining import together
from .plans import Inputs
from .records import InputSpec, Pool, ProbeSuite
from .score_rows import side_by_side

MADE: Final = 400  # candidates each generator makes
FOLLOW_GRADIENT: Final = ("boundary", "adversarial")  # generators for sources that give gradients
GRADIENT_FLOPS: Final = 1e12  # most that the points of one such generator may cost: some 20 s on one core
PASSES: Final = 100  # through the network that a point costs, about
MARGIN: Final = 0.05  # between the source's two likeliest classes
DISTURBED: Final = 3  # times that a steady source is asked about an input with a little noise
PUBLIC: Final = "public"  # kind of those that belong to the suite all references share
AS_WRITTEN: Final = ("uniform", "log")
ENOUGH_STEADY: Final = 128  # steady candidates, below which all are taken
Generate = Callable[..., ProbeSuite]


class Candidates(NamedTuple):
    """inputs: float32 (c, *shape) or c texts. kinds: str (c,), the origin of each. answers: the source's."""

    inputs: Inputs
    kinds: np.ndarray
    answers: Asked


def gather(
    source: Client,
    held: Pool,
    log: Inputs | None,
    given: ProbeSuite | None,
    generators: Mapping[str, Generate],
    seed: int,
    public: ProbeSuite | None = None,
) -> Candidates:
    """
    The held rows, then a given suite, or else the log and what the generators make, and last the public suite's probes,
    which are asked and not chosen; with the source's answers.
    """
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
        most = _affordable_points(source, held) if kind in FOLLOW_GRADIENT else MADE
        if most == 0:
            continue
        try:
            made = generate(source, held, n=min(MADE, most, len(held)), seed=seed + i).inputs
        except BadData:  # a generator may find nothing in a small pool; the others go on
            continue
        if isinstance(made, tuple):  # some generators give natural texts too, and a text is asked once
            seen = {text for part in parts for text in part}
            made = tuple(text for text in made if text not in seen)
        parts.append(made)
        kinds += [kind] * len(made)
    if public is not None:
        parts.append(public.inputs)
        kinds += [PUBLIC] * len(public)
    inputs = together(parts)

    return Candidates(inputs, np.array(kinds), ask(source, inputs, held.spec, classes=held.classes))


def with_suite(found: Candidates, suite: ProbeSuite, kind: str, source: Client) -> Candidates:
    """The candidates and, after them, a suite's probes as candidates of that kind."""
    asked = ask(source, suite.inputs, suite.spec, classes=suite.classes)
    scores = None
    if found.answers.scores is not None and asked.scores is not None:
        scores = np.concatenate(side_by_side([found.answers.scores, asked.scores]))
    answers = Asked(np.concatenate([found.answers.labels, asked.labels]), scores)

    return Candidates(
        together([found.inputs, suite.inputs]), np.concatenate([found.kinds, np.full(len(suite), kind)]), answers
    )


def _affordable_points(source: Client, held: Pool) -> int:
    """How many points found by gradient are worth their time; 0 where the source gives no gradient."""
    forward = getattr(source, "forward", None)
    if not callable(forward) or not hasattr(source, "device"):
        return 0
    import torch  # which is there if the source has a forward pass

    from .fitting import BATCH, affordable_steps

    one = torch.from_numpy(np.asarray(held.x[:1], np.float32)).to(source.device)
    if not forward(one.clone().requires_grad_()).requires_grad:  # programs may be exported without gradients
        return 0

    return affordable_steps(forward, one, GRADIENT_FLOPS) * BATCH // PASSES


def steady(source: Client, spec: InputSpec, classes: tuple[str, ...], of: Candidates, seed: int) -> np.ndarray:
    """
    Bool (c,): candidates on which the source does not change its mind for a trifle.

    A copy whose scores are rounded, or whose inputs carry a little noise, answers a point on the very boundary by
    chance; such points are for telling whether a model changed at all, not whose it was. A text as somebody wrote it
    counts as steady: words do not get lost on the way to a model, and whoever copies it answers those alike.
    """
    rng = np.random.default_rng([seed, 4])
    same = np.ones(len(of.kinds), bool)
    if of.answers.scores is not None:
        top = np.sort(of.answers.scores, axis=1)
        same &= top[:, -1] - top[:, -2] >= MARGIN
    for _ in range(DISTURBED):
        moved = noisy(of.inputs, spec, LEAST_NOISE, rng)
        same &= ask(source, moved, spec, classes=classes).labels == of.answers.labels

    return same | np.isin(of.kinds, AS_WRITTEN) if spec.kind == "text" else same
