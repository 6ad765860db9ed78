"""Probes from several generators in turn: what a paper asks, and what stands in for it where that cannot be had."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np

from .collect import Client
from .errors import BadData, TargetError, UsageError
from .records import Kind, Pool, ProbeSuite

NUMBERS: Final[tuple[Kind, ...]] = ("tabular", "image")
ANY: Final[tuple[Kind, ...]] = (*NUMBERS, "text")
Generate = Callable[..., ProbeSuite]


@dataclass(frozen=True)
class Step:
    """
    One generator with its parameters, on inputs of these kinds.

    gradient: only for a source that gives one. stand_in: not what the paper asks, but what is left where that cannot be
    had. found: made of the probes found so far, where these are two at least, instead of the pool's rows.
    """

    generator: str
    params: Mapping[str, Any] = field(default_factory=dict)
    kinds: tuple[Kind, ...] = ANY
    gradient: bool = False
    stand_in: bool = False
    found: bool = False


class Followed(NamedTuple):
    """suite: the probes. made: how many each generator made. stand_ins: how many are not what the paper asks."""

    suite: ProbeSuite
    made: dict[str, int]
    stand_ins: int


def follow(
    name: str,
    steps: Sequence[Step],
    source: Client,
    pool: Pool,
    *,
    n: int,
    seed: int,
    generators: Mapping[str, Generate],
    paired: bool = False,
) -> Followed:
    """
    At most n distinct probes, by each step what the steps before it left missing; in whole pairs where they are paired.

    Steps whose generator is not given, or that need a gradient which the source does not give, are passed over. name:
    what errors call it. Raises UsageError where that leaves no step, BadData where none found a probe.
    """
    n = n // 2 * 2 if paired else n
    parts: list[ProbeSuite] = []
    made: dict[str, int] = {}
    stand_ins = 0
    failed: BadData | TargetError | None = None
    for step in steps:
        if n <= sum(made.values()):
            break
        if step.generator not in generators or pool.spec.kind not in step.kinds:
            continue
        if step.gradient and not callable(getattr(source, "forward", None)):
            continue
        missing = n - sum(made.values())
        # Rows of the pool may be among the probes already; the others then make up for them.
        wanted = n if step.generator == "uniform" else missing
        rows = _found(pool, parts) if step.found else pool
        try:
            new = generators[step.generator](source, rows, n=wanted, seed=seed, **step.params)
        except BadData as error:
            failed = error
            continue
        except TargetError as error:  # a program without gradients still answers; a dead endpoint fails again below
            if not step.gradient:
                raise
            failed = error
            continue
        kept = np.arange(len(new)) if paired else _unseen(new, parts)[:missing]
        if len(kept):
            parts.append(new.take(kept))
            made[step.generator] = made.get(step.generator, 0) + len(kept)
            stand_ins += len(kept) if step.stand_in else 0
    if not parts:
        given = ", ".join(generators) or "none"
        raise failed or UsageError(
            f"{name} uses the generators {', '.join(step.generator for step in steps)}, got {given}"
        )

    return Followed(_together(parts), made, stand_ins)


def _found(pool: Pool, parts: Sequence[ProbeSuite]) -> Pool:
    """The probes so far as a pool, or the pool itself where they are fewer than two."""
    if sum(len(part) for part in parts) < 2:
        return pool

    return replace(pool, x=_together(parts).inputs, y=None)


def _unseen(suite: ProbeSuite, parts: Sequence[ProbeSuite]) -> np.ndarray:
    """Int (m,): which probes of the suite are not in the parts."""
    taken = {_key(probe) for part in parts for probe in part.inputs}

    return np.array([i for i, probe in enumerate(suite.inputs) if _key(probe) not in taken], int)


def _key(probe: np.ndarray | str) -> bytes:
    return probe.encode() if isinstance(probe, str) else probe.tobytes()


def _together(parts: Sequence[ProbeSuite]) -> ProbeSuite:
    """One suite of all parts in turn, otherwise as the first; all of generators, which know what the source answers."""
    arrays = [part.inputs for part in parts if isinstance(part.inputs, np.ndarray)]
    texts = tuple(text for part in parts if isinstance(part.inputs, tuple) for text in part.inputs)

    return replace(
        parts[0],
        inputs=np.concatenate(arrays) if arrays else texts,
        kinds=tuple(kind for part in parts for kind in part.kinds),
        weights=np.concatenate([part.weights for part in parts]),
        expected=np.concatenate([part.expected for part in parts if part.expected is not None]),
    )
