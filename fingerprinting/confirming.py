"""
Confirming one reference on its own suite: ask in order of information, weigh, stop when the answer is clear.
"""

from typing import Final, NamedTuple

import numpy as np

from . import alignment, decoys
from .calibration import PValues, p_values
from .collect import Client, Progress, collect, merge
from .errors import UsageError
from .information import as_shown, widened
from .looking import Looks, looks
from .methods import relative
from .records import Access, Reference, Responses
from .verdicts import MIN_ANSWERED, Evidence, by_rank, is_match

BUDGET: Final = 50
SAME_SCORE: Final = 1e-3  # runtimes differ in the last digits
EARLY_SHARE: Final = 0.2  # of alpha, for all looks before the last
TELLING: Final = 20  # labels alone, below this many, do not tell a copy from a model trained on its answers
COPIED: Final = 0.8  # agreement under renamed classes from which on it is worth a person's look
MODIFIED: Final = 0.95  # agreement from which a copy is called modified rather than derived


class Confirmed(NamedTuple):
    """
    One reference's suite, asked: what was answered, what it shows, whether it stopped early, and how many of the
    answers were there before. suite: digest of the reference's own, as it is known to others.
    """

    reference: Reference
    responses: Responses
    evidence: Evidence
    stopped_early: bool
    before: int = 0
    suite: str = ""

    def relation(self) -> str | None:
        """
        identical: all answers and scores equal; modified: nearly all; derived: fewer. None: too few to tell. A
        regressor is modified where its deviations are nearly the source's.
        """
        own, its = self.responses.score, as_shown(self.reference, self.responses).answers.score
        asked = self.responses.answered
        number = self.reference.suite.spec.output == "number"
        if own is not None and its is not None:
            unit = float(its[asked].std()) if number else 1.0
            same = own.shape == its.shape and float(np.abs(own[asked] - its[asked]).max()) < SAME_SCORE * unit
            if same or self.evidence.agreement == 1.0:
                return "identical" if same else "modified"
        if int(asked.sum()) < TELLING and not number:
            return None
        if self.evidence.agreement == 1.0:
            return "identical"
        return "modified" if self.evidence.agreement >= MODIFIED else "derived"


def check_limits(budget: int | None, alpha: float) -> None:
    """Raise UsageError for a budget below 1 or an alpha outside (0, 0.5]."""
    if budget is not None and budget < 1:
        raise UsageError(f"expected a budget of at least 1 question, got {budget}")
    if not 0 < alpha <= 0.5:
        raise UsageError(f"expected alpha above 0 and at most 0.5, got {alpha:g}")


def within(budget: int | None, probes: int) -> int:
    """The budget to use with that many probes; raises UsageError for one that asks for more than there are."""
    if budget is not None and budget > probes:
        raise UsageError(
            f"expected a budget of at most the suite's {probes} probes, got {budget}; enroll with more --probes"
        )
    return min(decoys.room(BUDGET), probes) if budget is None else budget


def confirm(
    client: Client,
    reference: Reference,
    budget: int,
    searched: int,
    alpha: float,
    access: Access | None,
    rng: np.random.Generator,
    stop_early: bool = True,
    progress: Progress | None = None,
    asked: Responses | None = None,
) -> Confirmed:
    """
    Ask a reference's suite in its order of information, and stop as soon as the answer is clear.

    budget: of new questions. asked: answers to the first probes that are there already.
    """
    before = 0 if asked is None else asked.sent
    budget += before
    k = None if reference.panel is None or reference.panel.scores is None else reference.panel.scores.shape[2]
    asked = None if asked is None else widened(asked, k)
    plan = [n for n in looks(budget) if n >= before] if stop_early else [budget]
    highest = -np.inf
    done = before
    for at, n in enumerate(plan):
        if n > done:
            rows = np.arange(done, n)
            new = collect(client, reference.suite, rows=rows, access=access, rng=rng, progress=progress, patient=True)
            new = widened(new, k)
            asked, done = new if asked is None else merge(asked, new), n
        assert asked is not None
        evidence = weigh(reference, asked, searched, alpha)
        if len(plan) > 1 and evidence.peers:
            highest = max(highest, evidence.score)
            evidence = _on_the_way(reference, asked, evidence, plan, at, highest, alpha)
        if n < budget and is_clear(evidence, searched, alpha):
            return Confirmed(reference, asked, evidence, True, before)
    assert asked is not None

    return Confirmed(reference, asked, evidence, False, before)


def _on_the_way(
    reference: Reference, asked: Responses, evidence: Evidence, plan: list[int], at: int, highest: float, alpha: float
) -> Evidence:
    """The evidence of look `at`, its p-value by rank one that holds at any look, and whether going on is hopeless."""
    reference = as_shown(reference, asked)
    silent = np.flatnonzero(~asked.answered[: plan[at]])
    rows = [np.setdiff1d(np.arange(n), silent) for n in plan]
    known = relative.scale(reference, asked.label, asked.score)
    path = Looks([relative.scale_of(reference, some, known.soft) for some in rows if len(some)])
    conformal = float(path.conformal(np.array([highest]), np.array([evidence.kin]))[0])
    at -= len(plan) - len(path.scales)
    hopeless = bool(path.hopeless(at, np.array([evidence.score]), alpha)[0])

    return evidence._replace(p=evidence.p._replace(conformal=conformal), hopeless=hopeless)


def is_clear(evidence: Evidence, searched: int, alpha: float) -> bool:
    """
    Whether asking may stop before the budget is spent.

    For a match the p-value must reach alpha; where that is no rank among peers, which would hold at any look, the
    likelihood ratio must pass the anytime-valid bound (Ville 1939) of a share of alpha, too. For no match the ratio
    must fall below alpha or going on be hopeless, and the answers be ones of this task: those of a copy with permuted
    labels are not, until enough of them show the permutation.
    """
    if is_match(evidence, searched, alpha):
        return by_rank(evidence, searched, alpha) or evidence.llr >= np.log(searched / (EARLY_SHARE * alpha))
    return bool((evidence.llr <= np.log(alpha) or evidence.hopeless) and not evidence.strange)


def weigh(reference: Reference, asked: Responses, searched: int = 1, alpha: float = 0.01) -> Evidence:
    """What the answers to a reference's own suite show. searched, alpha: what its power is stated for."""
    labels = asked.label
    if asked.answered.sum() < MIN_ANSWERED:
        return Evidence(reference.name, 0.0, 0.0, p_values(0.0, np.zeros(0)), False, 0, 0.0, 0.0, None)
    reference = as_shown(reference, asked)
    scale = relative.scale(reference, labels, asked.score)
    given = labels[scale.rows]
    scores = asked.score[scale.rows] if scale.soft and asked.score is not None else None
    strange = renamed = False
    if isinstance(scale, relative.Scale):
        likelihood = alignment.plausible(scale.mixtures.rates.frequency, scale.source)
        strange = alignment.is_strange(given, likelihood)
        meaning = alignment.find(given, likelihood) if strange else None
        if meaning is not None and (alignment.rename(given, meaning) == scale.source).mean() >= COPIED:
            renamed, strange = True, False
            given = alignment.rename(given, meaning)
            scores = None if scores is None else alignment.reorder(scores, meaning)
    seen = scale.weigh(given[None], None if scores is None else scores[None])
    score = float(seen.score[0])
    evidence = Evidence(
        reference=reference.name,
        score=score,
        llr=float(seen.llr[0]),
        p=PValues(float(seen.predictive[0]), float(seen.conformal[0])),
        beats_all=bool((score > scale.peer_scores).all()),
        peers=len(scale.peer_scores),
        agreement=scale.likeness(given, scores),
        power=0.0,
        nearest_peer=scale.nearest_peer(),
        output=reference.suite.spec.output,
        strange=strange,
        renamed=renamed,
        kin=bool(seen.kin[0]),
        honest=tuple(scale.peer_scores.tolist()),
        derived=tuple(scale.shadows.score.tolist()),
    )

    return evidence._replace(power=_power(scale, evidence, searched, alpha))


def _power(scale: relative.Scale | relative.DeviationScale, evidence: Evidence, searched: int, alpha: float) -> float:
    """Share of the shadows that the same probes would find as a suspect is found."""
    found = [is_match(shadow, searched, alpha) for shadow in evidences(scale, scale.shadows, evidence)]
    return float(np.mean(found)) if found else 0.0


def evidences(
    scale: relative.Scale | relative.DeviationScale, seen: relative.Weighed, like: Evidence
) -> list[Evidence]:
    """What is known of each model of `seen`, all else as in `like`."""
    highest = scale.peer_scores.max(initial=-np.inf)
    return [
        like._replace(llr=llr, score=score, p=PValues(predictive, conformal), beats_all=score > highest)
        for llr, score, predictive, conformal in zip(*(values.tolist() for values in seen[:4]), strict=True)
    ]
