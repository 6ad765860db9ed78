"""
Screens for targets that do not answer as one model does: noise, several models behind one address, routing by input.

When a verdict is found and budget is left, some probes are put again, and some again with a change too small to matter
to any model that computes. One model answers the same. A target whose answers change adds noise or has more than one
model behind it; one whose answers change only under the tiny change keeps what it has answered, or routes inputs by
their bytes. The screens come last, because repeated and nearly repeated inputs are what stateful defences look for
(Blacklight; Li et al., USENIX Security 2022). What is refused or fails says nothing here.
"""

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from .collect import Client, collect
from .errors import TargetError
from .records import UNANSWERED, Access, Decision, ProbeSuite, Responses

REPEATED: Final = 3
NUDGED: Final = 5
LARGE: Final = 40  # a budget that can spare some
NUDGE: Final = 2e-6  # of a feature's range: some steps of single precision
MOVED: Final = 0.02  # change of a score that no batch, thread or rounding explains
TOLD: Final = 2  # changes by a nudge from which on it is said; a single one may be a threshold met exactly


def reserve(budget: int, wanted: bool) -> int:
    """Questions of a budget to keep for the screens: none of a small one, where each is needed to decide at all."""
    return REPEATED + NUDGED if wanted and budget >= LARGE else 0


class Screens(NamedTuple):
    """Probes put again, as they were and nudged, and how many of them were answered otherwise. sent: all of them."""

    repeated: int = 0
    changed: int = 0
    nudged: int = 0
    changed_by_nudge: int = 0
    sent: int = 0

    @property
    def telling(self) -> bool:
        """Whether no single model answers so: one changed repetition is enough, of nudges it takes two."""
        return self.changed > 0 or self.changed_by_nudge >= TOLD


def screen(
    client: Client, suite: ProbeSuite, asked: Responses, left: int, access: Access | None, rng: np.random.Generator
) -> Screens:
    """Put some answered probes again. asked: answers to the suite so far. left: questions of the budget."""
    rows = np.flatnonzero(asked.answered)
    nudged = _nudged(suite, rng)
    again = _again(client, suite, asked, rows, min(REPEATED, left), access, rng)
    left -= again[2]
    if nudged is None:
        return Screens(*again[:2], 0, 0, again[2])
    moved = _again(client, nudged, asked, rows, min(NUDGED, left), access, rng)

    return Screens(*again[:2], *moved[:2], again[2] + moved[2])


def judged(decision: Decision, why: str, screens: Screens) -> tuple[Decision, str]:
    """
    The verdict in the light of the screens. A match stands: noise takes nothing from likeness, and would be a way out.
    """
    if not screens.telling:
        return decision, why
    if screens.changed:
        told = f"The same question got another answer in {screens.changed} of {screens.repeated} cases"
        meaning = "noise is added, or more than one model answers"
    else:
        told = f"A change too small to matter changed {screens.changed_by_nudge} of {screens.nudged} answers"
        meaning = "answers are kept and noise added, or inputs are routed by their bytes"
    if decision == "match":
        return decision, f"{why} {told}: {meaning}."

    return "evasion suspected", f"{told}: {meaning}, so that likeness and unlikeness say little. {why}"


def _again(
    client: Client,
    variant: ProbeSuite,
    asked: Responses,
    rows: np.ndarray,
    most: int,
    access: Access | None,
    rng: np.random.Generator,
) -> tuple[int, int, int]:
    """How many of so many probes were answered again, how many otherwise, and how many were sent."""
    if most < 1 or len(rows) == 0:
        return 0, 0, 0
    picked = np.sort(rng.choice(rows, min(most, len(rows)), replace=False))
    try:
        again = collect(client, variant, rows=picked, access=access, rng=rng)
    except TargetError:
        return 0, 0, len(picked)  # a recording, say, or a server that has had enough
    answered = picked[again.label[picked] != UNANSWERED]

    return len(answered), int(_differ(asked, again, answered, variant).sum()), again.sent


def _differ(first: Responses, second: Responses, rows: np.ndarray, suite: ProbeSuite) -> np.ndarray:
    """Bool (m,): probes answered otherwise. Of a regressor, by more than a share of what its answers vary."""
    a, b = first.score, second.score
    if suite.spec.output == "number":
        assert a is not None
        assert b is not None
        unit = float(np.nanstd(a)) or 1.0
        return np.abs(a[rows, 0] - b[rows, 0]) > MOVED * unit
    other = np.array([set(first.labels[row]).isdisjoint(second.labels[row]) for row in rows], bool)
    if a is not None and b is not None and a.shape == b.shape:
        other |= np.nan_to_num(np.abs(a[rows] - b[rows])).max(1, initial=0.0) > MOVED

    return other


def _nudged(suite: ProbeSuite, rng: np.random.Generator) -> ProbeSuite | None:
    """The suite with its fractional numbers changed a very little; None where there are none."""
    if not isinstance(suite.inputs, np.ndarray):
        return None
    flat = suite.inputs.reshape(len(suite), -1)
    free = suite.spec.numeric & (flat != np.round(flat)).any(0)
    if not free.any():
        return None
    width = np.maximum(np.ptp(flat, 0), 1e-6) * NUDGE
    moved = flat + np.where(free, rng.choice([-1.0, 1.0], flat.shape) * width, 0.0)

    return replace(suite, inputs=suite.spec.clip(moved.astype(np.float32).reshape(suite.inputs.shape)))
