"""
Is a classifier or regressor still exactly the model it is claimed to be: few fragile probes, and what a change was.

The probes keep so far from any boundary that another runtime does not move an answer (`checks` roundings moved none),
so a single answer that is another, twice, is already rare; the chance is the verdict's p-value. What an endpoint hides,
scores rounded or left out, is not a change of the model, and is told beside.
"""

from typing import Final, NamedTuple

import numpy as np
from scipy.stats import binom

from . import change_kinds, information, rescaled
from .collect import Client, Progress, collect, merge, require_answers
from .errors import UsageError
from .fragile import LIGHT, MOVED
from .records import Access, Change, Decision, Fragile, Match, Responses, Verdict

EDGES: Final = 10  # asked to say whether anything changed
FIRST: Final = 4  # edges before the first look
BUDGET: Final = 228  # with what tells the kind of a change
CROSSED: Final = 0.3  # of the edges that a changed model answers otherwise, where no copy says
SCORE: Final = 1e-4  # scores that differ by no more are the same in any runtime
ENOUGH: Final = 0.8  # of the edges, answered, without which nothing is called unchanged
ANEW: Final = ("retrained", "distilled", "another model")  # kinds that share no weights with the claimed model
FEWEST_MOVED: Final = 2  # scores, or numbers, that are others where no label is
REPEATED: Final = 3  # other answers that are asked for again


class Differences(NamedTuple):
    """
    Among the probes asked: int rows answered otherwise, as asked again; rows whose second answer was another than the
    first; and how many questions that cost. hidden: what of the scores is not shown, "" for nothing.
    """

    rows: np.ndarray
    wavering: np.ndarray
    sent: int
    hidden: str


def verify(
    client: Client,
    fragile: Fragile,
    claim: str,
    *,
    budget: int | None = None,
    alpha: float = 0.01,
    access: Access | None = None,
    seed: int = 0,
    stop_early: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """
    The verdict on whether a model answers as the claimed one did; `match` means unchanged.

    budget: of all questions. stop_early: the edges are asked in looks, and no more of them once a change is sure.
    Raises UsageError for a budget that is too small to decide anything.
    """
    budget = BUDGET if budget is None else budget
    edges = min(EDGES, len(fragile.suite), int(fragile.suite.params.get("edges", EDGES)))
    if budget < edges:
        raise UsageError(f"expected a budget of at least {edges} questions, got {budget}")
    rng = np.random.default_rng(seed)
    asked, found = _look(client, fragile, edges, budget, alpha, access, rng, stop_early, progress)
    p = _p_value(fragile, found, edges)
    if p <= alpha:
        left = budget - asked.sent - found.sent
        rows = np.flatnonzero(np.isnan(asked.latency))[:left]
        if len(rows):
            more = collect(client, fragile.suite, rows=rows, access=access, rng=rng, progress=progress, patient=True)
            asked = merge(asked, more)
    return _verdict(fragile, claim, asked, found, p, alpha, edges)


def _look(
    client: Client,
    fragile: Fragile,
    edges: int,
    budget: int,
    alpha: float,
    access: Access | None,
    rng: np.random.Generator,
    stop_early: bool,
    progress: Progress | None,
) -> tuple[Responses, Differences]:
    """Ask the edges, the telling ones first, until a change is sure; whatever differs is asked again."""
    asked: Responses | None = None
    found = Differences(np.zeros(0, int), np.zeros(0, int), 0, "")
    done = 0
    for n in (*([FIRST] if stop_early and edges > FIRST else []), edges):
        rows = np.arange(done, n)
        new = collect(client, fragile.suite, rows=rows, access=access, rng=rng, progress=progress, patient=True)
        asked, done = new if asked is None else merge(asked, new), n
        different, hidden = _different(fragile, asked)
        fresh = np.setdiff1d(different, np.concatenate([found.rows, found.wavering]))
        fresh = fresh[: min(REPEATED, budget - asked.sent - found.sent)]
        same = _again(client, fragile, asked, fresh, access, rng)
        found = Differences(
            np.concatenate([found.rows, fresh[same]]), np.concatenate([found.wavering, fresh[~same]]),
            found.sent + len(fresh), hidden,
        )  # fmt: skip
        if _p_value(fragile, found, edges) <= alpha:
            break
    assert asked is not None
    require_answers([asked])

    return asked, found


def _again(
    client: Client,
    fragile: Fragile,
    asked: Responses,
    rows: np.ndarray,
    access: Access | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """Bool (m,): rows whose answer, asked for again, is the same as the first time. What stays silent is not."""
    if not len(rows):
        return np.zeros(0, bool)
    again = collect(client, fragile.suite, rows=rows, access=access, rng=rng, patient=True)
    same = (again.label[rows] == asked.label[rows]) & again.answered[rows]
    first, second = asked.score, again.score
    if first is not None and second is not None and first.shape == second.shape:
        moved = np.nan_to_num(np.abs(first[rows] - second[rows])).max(1)
        same &= moved <= _tolerance(fragile)

    return np.asarray(same)


def _tolerance(fragile: Fragile) -> float:
    """By how much a score, or a number, may differ in another runtime."""
    noise = float(fragile.suite.params.get("noise", 0.0))
    return MOVED * noise if fragile.suite.spec.output == "number" else max(SCORE, MOVED * noise)


def _different(fragile: Fragile, asked: Responses) -> tuple[np.ndarray, str]:
    """Int rows answered otherwise than by the claimed model, and what of the scores is not shown."""
    known = fragile.answers
    both = np.flatnonzero(asked.answered & known.answered)
    own, its = known.score, asked.score
    number = fragile.suite.spec.output == "number"
    labels = both[asked.label[both] != known.label[both]]
    if own is None:
        return labels, ""
    if its is None or asked.scores is None:
        return labels, "" if number else "labels only"
    level = information.shown(asked.scores[both])
    tolerance = _tolerance(fragile)
    if level.top is not None or own.shape != its.shape:
        return labels, str(level)
    gap = np.abs(own[both] - its[both]).max(1)
    step = rescaled.grid(its[both], own[both], tolerance, None if number else 1.0)
    if step:  # of rounded scores, ties are broken by the order of classes, so that labels say nothing
        return both[gap > step / 2 + tolerance], f"rounded to {step:.3g}"

    moved = both[gap > tolerance]
    # One score alone may jump where a vote among other classes is near: a change of the model moves more than one.
    return np.union1d(labels, moved if len(moved) >= FEWEST_MOVED else labels), ""


def _p_value(fragile: Fragile, found: Differences, edges: int) -> float:
    """Chance that the unchanged model answers so many edges otherwise in another runtime, however early one looks."""
    rate = 1 / (1 + int(fragile.suite.params.get("checks", 0)))
    return float(binom.sf(len(found.rows) + len(found.wavering) - 1, edges, rate))


def _verdict(
    fragile: Fragile, claim: str, asked: Responses, found: Differences, p: float, alpha: float, edges: int
) -> Verdict:
    sent, answered = asked.sent + found.sent, int(asked.answered.sum())
    looked = np.flatnonzero(~np.isnan(asked.latency))
    looked = looked[looked < edges]
    n, seen = int(asked.answered[looked].sum()), len(looked)
    m = len(found.rows) + len(found.wavering)
    change = None
    decision: Decision
    relation: str | None = None
    if p <= alpha:
        if len(found.wavering) > len(found.rows):
            change = rescaled.wrapped("noise")
        else:
            change = (
                rescaled.told(fragile, asked, _tolerance(fragile))
                or rescaled.rounded_labels(fragile, asked)
                or change_kinds.told(fragile, asked)
            )
        decision, relation = "no match", "modified" if change is None or _modified(change) else None
        again = "and again when asked again" if len(found.rows) else "and still otherwise when asked again"
        why = (
            f"Of {n} fragile probes the target answers {m} otherwise than '{claim}' does, {again}: in another runtime "
            f"the unchanged model would with probability {p:.2g}. {_kind(change)}"
        )
    elif n < ENOUGH * edges:
        decision = "inconclusive"
        why = f"Only {n} of {edges} fragile probes were answered; ask again when the target answers."
    elif m:
        decision = "inconclusive"
        why = (
            f"{m} of {n} fragile probes answered otherwise than '{claim}' does, but rounding "
            f"was tried too seldom when it was enrolled to rule that out (p = {p:.2g}); raise draws or --alpha."
        )
    else:
        decision, relation = "match", "identical"
        why = f"All {n} fragile probes are answered as '{claim}' answered them.{_power(fragile, edges)}"
    if found.hidden and decision == "match":
        why += f" The target shows less of its scores ({found.hidden}), which changes no decision of the model."
    crossed = _crossed(fragile, edges)
    rate = 1 / (1 + int(fragile.suite.params.get("checks", 0)))
    llr = m * np.log(rate / crossed) + (n - m) * np.log((1 - rate) / (1 - crossed))

    return Verdict(
        target=asked.target, decision=decision, reference=claim, relation=relation, alpha=alpha, method="sensitive",
        suite=fragile.suite.digest, access=asked.access, matches=(Match(claim, 1 - m / max(n, 1), float(llr), p, p),),
        sent=sent, answered=answered + found.sent, saved=edges - seen,
        coverage=answered / max(int((~np.isnan(asked.latency)).sum()), 1),
        cohort=0 if fragile.panel is None else len(fragile.panel.rows("peer")), nearest_peer=None, why=why,
        information=found.hidden, change=change,
    )  # fmt: skip


def _kind(change: Change | None) -> str:
    if change is None:
        return "What was changed cannot be told: no changed copies of it are known."
    group, odds = next(iter(change_kinds.groups(change).items()))
    likeliest = f"likeliest kind: {change.kind}, {change.confidence:.2f}"
    if change.kind == change_kinds.STILL:
        return (
            f"It is rather a changed copy than a model trained anew, with probability {change.confidence:.2f}; whether "
            "fine-tuned, pruned, quantised or wrapped is not told: its weights were not at hand when it was enrolled."
        )
    if not _modified(change):
        return (
            f"It is another model rather than a changed copy: {group} with probability {odds:.2f} ({likeliest}); "
            "whether it derives from the claimed one is for `match` to say."
        )
    if group == change.kind.partition(" (")[0]:
        return f"It is modified, and looks {change.kind} with probability {change.confidence:.2f}."

    return f"It is modified: {group} with probability {odds:.2f} ({likeliest})."


def _modified(change: Change) -> bool:
    """Whether the model is rather itself, changed, than one trained anew, be it on the claimed model's answers."""
    return sum(odds for kind, odds in change.odds.items() if kind in ANEW) <= 0.5


def _flips(fragile: Fragile, edges: int) -> np.ndarray:
    """Bool (copies, edges): edges that copies of the model, lightly changed on purpose, answer otherwise."""
    panel = fragile.panel
    if panel is None:
        return np.zeros((0, edges), bool)
    rows = [i for i, kind in enumerate(panel.families) if kind in LIGHT]
    if fragile.suite.spec.output == "number":
        assert panel.scores is not None
        assert fragile.answers.scores is not None
        gap = np.abs(panel.scores[rows][:, :edges, 0] - fragile.answers.scores[:edges, 0, 0])
        return np.asarray(gap > _tolerance(fragile))
    return np.asarray(panel.labels[rows][:, :edges] != fragile.answers.label[:edges])


def _crossed(fragile: Fragile, edges: int) -> float:
    flips = _flips(fragile, edges)
    return float(np.clip(flips.mean(), 0.05, 0.95)) if flips.size else CROSSED


def _power(fragile: Fragile, edges: int) -> str:
    flips = _flips(fragile, edges)
    if not len(flips):
        return ""
    return f" {int(flips.any(1).sum())} of {len(flips)} copies that were changed on purpose answer otherwise."
