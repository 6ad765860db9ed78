"""
Screens for targets that do not answer as one model does: noise, several models behind one address, routing by input.

When a verdict is found and budget is left, some probes are put again, and some again with a change too small to matter
to any model that computes. One model answers the same. A target whose answers change adds noise or has more than one
model behind it; one whose answers change only under the tiny change keeps what it has answered, or routes inputs by
their bytes. What another model answers in one case of ten is seen by putting many probes again, for which a verdict
found early leaves room. A probe whose answer changed is then put a few times more: several models jump between a few
answers that come again exactly, noise wanders. The screens come last, because repeated and nearly repeated inputs are
what stateful defences look for (Blacklight; Li et al., USENIX Security 2022). What is refused or fails says nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from .collect import Client, collect
from .errors import TargetError
from .records import UNANSWERED, Access, Decision, ProbeSuite, Responses

REPEATED: Final = 3
NUDGED: Final = 5
MOST: Final = (12, 20)  # repeated and nudged, where so many questions are left
ONCE_MORE: Final = 4  # times that one changed probe is put again to see how it changes
JUMP: Final = 0.1  # of the widest change: answers that come nearer to another than this are the same answer
LARGE: Final = 40  # a budget that can spare some
NUDGE: Final = 2e-6  # of a feature's range: some steps of single precision
MOVED: Final = 0.02  # change of a score that no batch, thread or rounding explains
NUDGED_FAR: Final = 0.1  # change of a score that is more than some trees whose thresholds a probe meets


def reserve(budget: int, wanted: bool) -> int:
    """Questions of a budget to keep for the screens: none of a small one, where each is needed to decide at all."""
    return REPEATED + NUDGED if wanted and budget >= LARGE else 0


class Screens(NamedTuple):
    """
    Probes answered again, as they were and nudged, and how many of them were answered otherwise. sent, answered: all
    questions. flipped: a repeated probe got another label. jumps: whether answers to one probe change among a few; None
    is not known.
    """

    repeated: int = 0
    changed: int = 0
    nudged: int = 0
    changed_by_nudge: int = 0
    sent: int = 0
    answered: int = 0
    flipped: bool = False
    jumps: bool | None = None

    @property
    def telling(self) -> bool:
        """Whether no single model answers so."""
        return self.changed > 0 or self.changed_by_nudge > 0


def screen(
    client: Client,
    suite: ProbeSuite,
    asked: Responses,
    left: int,
    access: Access | None,
    rng: np.random.Generator,
    usual: np.ndarray | None = None,
) -> Screens:
    """
    Put some answered probes again. asked: answers to the suite so far. left: questions of the budget. usual: float
    (n,), how many honest models answer as the source does where the target did, 1 where it did not: the least usual
    answers are the likeliest to come from a copy that answers now and then, so those are put again first.
    """
    rows = rng.permutation(np.flatnonzero(asked.answered))
    if usual is not None:
        rows = rows[np.argsort(usual[rows], kind="stable")]
    below = _nudged(suite, -1.0)
    most = left if below is None else REPEATED * left // (REPEATED + NUDGED)
    again = _again(client, suite, asked, rows[: min(MOST[0], max(most, min(REPEATED, left)))], access, rng)
    sent, answered, changed, jumps = again.sent, len(again.rows), again.changed, None
    if len(changed) and left - sent >= ONCE_MORE and asked.scores is not None:
        more, jumps = _once_more(client, suite, [asked, again.responses], int(changed[0]), access, rng)
        sent, answered = sent + more, answered + (0 if jumps is None else more)
    nudged = by_nudge = 0
    if below is not None and not len(changed):  # else it is known already
        nudged, by_nudge, more, replies = _nudges(
            client, suite, below, asked, rows[: MOST[1]], left - sent, access, rng
        )
        sent, answered = sent + more, answered + replies
    spare = Again()
    if not len(changed) and not by_nudge:  # a question that no nudge could use
        rest = rows[len(again.rows) : MOST[0]][: left - sent]
        spare = _again(client, suite, asked, rest, access, rng)
    flipped = any(bool((asked.label[some.rows] != some.label).any()) for some in (again, spare))

    return Screens(
        len(again.rows) + len(spare.rows), len(changed) + len(spare.changed), nudged, by_nudge, sent + spare.sent,
        answered + len(spare.rows), flipped, jumps,
    )  # fmt: skip


def _nudges(
    client: Client,
    suite: ProbeSuite,
    below: ProbeSuite,
    asked: Responses,
    rows: np.ndarray,
    left: int,
    access: Access | None,
    rng: np.random.Generator,
) -> tuple[int, int, int, int]:
    """
    How many nudged probes were answered, how many got another answer for it, questions sent, and those answered.

    A tree's threshold that a probe meets exactly is passed in one direction only, and of many trees few change: what
    counts changes far, and in both directions, or in one for two probes. Of labels alone it takes one more.
    """
    above = _nudged(suite, 1.0)
    assert above is not None
    needed = 2 if asked.scores is None else 1
    put = nudged = once = twice = sent = answered = 0
    while left - sent >= 2 and put < len(rows) and twice < needed and once <= needed:
        some = rows[put : put + max(1, (left - sent) * 2 // 3)]
        first = _again(client, below, asked, some, access, rng, NUDGED_FAR)
        put, nudged, once = put + len(some), nudged + len(first.rows), once + len(first.changed)
        sent, answered = sent + first.sent, answered + len(first.rows)
        if once <= needed:
            second = _again(client, above, asked, first.changed[: left - sent], access, rng, NUDGED_FAR)
            twice += len(second.changed)
            sent, answered = sent + second.sent, answered + len(second.rows)
    changed = max(once, twice) if twice >= needed or once > needed else 0

    return nudged, changed, sent, answered


def judged(decision: Decision, why: str, screens: Screens) -> tuple[Decision, str]:
    """
    The verdict in the light of the screens. A match stands: noise takes nothing from likeness, and would be a way out.
    """
    if not screens.telling:
        return decision, why
    if screens.changed:
        told = f"The same question got another answer in {screens.changed} of {screens.repeated} cases"
        meaning = {
            None: "noise is added, or more than one model answers",
            True: "the answers jump between a few, as where more than one model answers",
            False: "the answers wander, as where noise is added",
        }[screens.jumps]
    else:
        told = f"A change too small to matter changed {screens.changed_by_nudge} of {screens.nudged} answers"
        meaning = "answers are kept and noise added, or inputs are routed by their bytes"
    if decision == "match":
        return decision, f"{why} {told}: {meaning}."

    # A little noise, which turns no label, hides no copy, and many an honest server has it.
    slight = screens.changed > 0 and screens.jumps is False and not screens.flipped
    found: Decision = "inconclusive" if slight else "evasion suspected"

    return found, f"{told}: {meaning}, so that likeness and unlikeness say little. {why}"


class Again(NamedTuple):
    """Probes that were answered again, int (m,), their labels, and those answered otherwise. sent: questions."""

    rows: np.ndarray = np.zeros(0, int)
    label: np.ndarray = np.zeros(0, int)
    changed: np.ndarray = np.zeros(0, int)
    sent: int = 0
    responses: Responses | None = None


def _again(
    client: Client,
    variant: ProbeSuite,
    asked: Responses,
    rows: np.ndarray,
    access: Access | None,
    rng: np.random.Generator,
    moved: float = MOVED,
) -> Again:
    """These probes, put again. moved: change of a score from which on an answer is another."""
    if len(rows) == 0:
        return Again()
    picked = np.sort(rows)
    try:
        again = collect(client, variant, rows=picked, access=access, rng=rng)
    except TargetError:
        return Again(sent=len(picked))  # a recording, say, or a server that has had enough
    answered = picked[again.label[picked] != UNANSWERED]
    changed = answered[_differ(asked, again, answered, variant, moved)]

    return Again(answered, again.label[answered], changed, again.sent, again)


def _once_more(
    client: Client,
    suite: ProbeSuite,
    before: Sequence[Responses | None],
    row: int,
    access: Access | None,
    rng: np.random.Generator,
) -> tuple[int, bool | None]:
    """Questions sent, and whether the answers to one probe jump; None where they say nothing."""
    try:
        more = collect(client, suite, rows=np.array([row]), repeats=ONCE_MORE, access=access, rng=rng)
    except TargetError:
        return ONCE_MORE, None
    given = [one.scores[row] for one in (*before, more) if one is not None and one.scores is not None]
    if len({some.shape[1] for some in given}) != 1:
        return more.sent, None
    answers = np.concatenate(given).astype(np.float64)
    answers = answers[~np.isnan(answers).any(1)]
    if len(answers) < ONCE_MORE:
        return more.sent, None

    return more.sent, jumping(answers)


def jumping(answers: np.ndarray) -> bool:
    """
    Whether answers to one question, (m, k), are few that come again: most have another far nearer than the farthest.
    """
    apart = np.abs(answers[:, None] - answers[None]).max(2)
    nearest = np.where(np.eye(len(apart), dtype=bool), np.inf, apart).min(1)

    return bool(np.median(nearest) <= JUMP * apart.max())


def _differ(
    first: Responses, second: Responses, rows: np.ndarray, suite: ProbeSuite, moved: float = MOVED
) -> np.ndarray:
    """Bool (m,): probes answered otherwise. Of a regressor, by more than a share of what its answers vary."""
    a, b = first.score, second.score
    if suite.spec.output == "number":
        assert a is not None
        assert b is not None
        unit = float(np.nanstd(a)) or 1.0
        return np.abs(a[rows, 0] - b[rows, 0]) > moved * unit
    other = np.array([set(first.labels[row]).isdisjoint(second.labels[row]) for row in rows], bool)
    if a is None or b is None or a.shape != b.shape:
        return other
    far = np.nan_to_num(np.abs(a[rows] - b[rows])).max(1, initial=0.0) > moved

    return far | other if moved == MOVED else far  # beside a boundary, a label turns with hardly any score


def _nudged(suite: ProbeSuite, sign: float) -> ProbeSuite | None:
    """The suite with its measured numbers a very little larger (1) or smaller (-1); None where there are none."""
    if not isinstance(suite.inputs, np.ndarray):
        return None
    flat = suite.inputs.reshape(len(suite), -1)
    free = suite.spec.numeric & (flat != np.round(flat)).any(0)
    if not free.any():
        return None
    width = np.maximum(np.ptp(flat, 0), 1e-6) * NUDGE
    moved = (flat + np.where(free, sign * width, 0.0)).astype(np.float32).reshape(suite.inputs.shape)
    # What lies outside the bounds stays there: to be moved into them is no nudge.
    inside = suite.spec.clip(suite.inputs) == suite.inputs

    return replace(suite, inputs=np.where(inside, suite.spec.clip(moved), moved).astype(suite.inputs.dtype))


def usual(given: np.ndarray, source: np.ndarray, others: np.ndarray) -> np.ndarray:
    """
    Float (n,): the share of other models that answer as the source does, where the target does; elsewhere 1.

    given, source: labels int (n,), the target's and the source's. others: labels int (models, n).
    """
    return np.where(given == source, (others == source).mean(0) if len(others) else 0.5, 1.0)
