"""
Which known model stands behind a target: ask, narrow, confirm, decide.

One reference goes straight to its own suite. Many references of one input share a public suite: its first answers rank
them, and the leading ones are confirmed on their own suites, within one budget for all of it.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np

from . import cohort
from .calibration import p_values
from .collect import Client, Progress, collect, merge
from .errors import UsageError
from .methods import relative
from .records import Access, InputSpec, Match, ProbeSuite, Reference, Responses, Verdict
from .verdicts import MIN_ANSWERED, Evidence, decide, deciding_p, is_match, look_weight

BUDGET: Final = 50
FIRST_LOOK: Final = 10  # answers before the first decision
PUBLIC_SHARE: Final = 0.4  # of the budget, to rank many references
CONFIRMED: Final = 2  # leading references taken to their own suites


class References(Protocol):
    """What matching needs of a database; every reading method may raise DatabaseError."""

    def comparable(self, shape: tuple[int, ...] | None) -> list[str]:
        """Names of the references that take inputs of this shape (of any, if None)."""
        ...

    def get(self, name: str) -> Reference:
        """One whole reference."""
        ...

    def public_suite(self, spec: InputSpec) -> ProbeSuite | None:
        """The suite that references of this input share."""
        ...

    def public_labels(self, spec: InputSpec) -> tuple[list[str], np.ndarray]:
        """Names, and labels int16 (references, n) to the public suite."""
        ...


class Confirmed(NamedTuple):
    """One reference's own suite, asked: what was answered, what it shows, and at how many probes it stopped."""

    reference: Reference
    responses: Responses
    evidence: Evidence
    stopped_early: bool


def match(
    client: Client,
    references: References,
    *,
    budget: int | None = None,
    alpha: float = 0.01,
    access: Access | None = None,
    seed: int = 0,
    stop_early: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """
    Identify the model behind a client, open set: "none of them" is an answer.

    budget: most questions to the client, 50 unless told. alpha: accepted rate of false accusations. access: "label"
    ignores scores. seed: order in which probes are sent. Raises TargetError where the client fails.
    """
    names = references.comparable(client.shape)
    check_limits(budget, alpha)
    rng = np.random.default_rng(seed)
    if not names:
        decision, why = decide(None, np.zeros(0, int), np.zeros(0, int), 0, 0, alpha)
        return Verdict(
            client.target, decision, None, None, alpha, "relative", "", access or "label",
            (), 0, 0, 0, 0.0, 0, None, why,
        )  # fmt: skip
    first = references.get(names[0])
    if len(names) == 1 and first.panel is not None:
        return match_one(
            client,
            first,
            budget=budget,
            alpha=alpha,
            access=access,
            seed=seed,
            stop_early=stop_early,
            progress=progress,
        )

    return _match_many(client, references, first.suite.spec, budget, alpha, access, rng, stop_early, progress)


def match_one(
    client: Client,
    reference: Reference,
    *,
    budget: int | None = None,
    alpha: float = 0.01,
    access: Access | None = None,
    seed: int = 0,
    stop_early: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """As `match`, against one reference that has a panel, on its own suite."""
    check_limits(budget, alpha)
    limit = within(budget, len(reference.suite))
    rng = np.random.default_rng(seed)
    confirmed = confirm(client, reference, limit, 1, alpha, access, rng, stop_early, progress)

    return _verdict(client, [confirmed], [], confirmed.responses, 1, alpha, limit)


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
    return min(BUDGET, probes) if budget is None else budget


def looks(budget: int) -> list[int]:
    """Numbers of answers at which a decision is tried: 10, 15, 23, … up to the budget."""
    at = [float(FIRST_LOOK)]
    while at[-1] * 1.5 < budget:
        at.append(at[-1] * 1.5)
    return [*(round(n) for n in at if n < budget), budget]


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
) -> Confirmed:
    """
    Ask a reference's own suite in its order of information, and stop as soon as the answer is clear.

    To stop early for a match, the likelihood ratio must pass searched/alpha (an anytime-valid bound, Ville 1939) and
    the calibrated p-value its share of alpha; to stop for no match, the ratio must fall below alpha.
    """
    plan = looks(budget) if stop_early else [budget]
    asked: Responses | None = None
    done = 0
    for look, n in enumerate(plan):
        new = collect(client, reference.suite, rows=np.arange(done, n), access=access, rng=rng, progress=progress)
        asked = new if asked is None else merge(asked, new)
        done = n
        evidence = weigh(reference, asked, look_weight(look, len(plan)), alpha)
        clear = evidence.llr >= np.log(searched / alpha) and is_match(evidence, searched, alpha)
        if look + 1 < len(plan) and (clear or evidence.llr <= np.log(alpha)):
            return Confirmed(reference, asked, evidence, True)
    assert asked is not None

    return Confirmed(reference, asked, evidence, False)


def weigh(reference: Reference, asked: Responses, weight: float = 1.0, alpha: float = 0.01) -> Evidence:
    """What the answers to a reference's own suite show. weight: see `verdicts.look_weight`."""
    labels = asked.label
    if asked.answered.sum() < MIN_ANSWERED:
        return Evidence(reference.name, 0.0, 0.0, p_values(0.0, np.zeros(0)), False, 0, 0.0, 0.0, None)
    scale = relative.scale(reference, labels)
    given = labels[scale.rows]
    llr = scale.llr(given)
    p = scale.p_values(llr, weight)
    found = [scale.p_values(float(shadow), weight).predictive <= alpha for shadow in scale.shadows]

    return Evidence(
        reference=reference.name,
        score=scale.score(llr),
        llr=llr,
        p=p,
        beats_all=bool((llr > scale.peers).all()),
        peers=len(scale.peers),
        agreement=float((given == scale.source).mean()),
        power=float(np.mean(found)) if found else 0.0,
        nearest_peer=scale.nearest_peer() if len(scale.peers) else None,
        honest=tuple(scale.score(float(peer)) for peer in scale.peers),
        derived=tuple(scale.score(float(shadow)) for shadow in scale.shadows),
    )


def _match_many(
    client: Client,
    references: References,
    spec: InputSpec,
    budget: int | None,
    alpha: float,
    access: Access | None,
    rng: np.random.Generator,
    stop_early: bool,
    progress: Progress | None,
) -> Verdict:
    suite = references.public_suite(spec)
    if suite is None:
        raise UsageError("the references share no public suite; enroll them again with this version")
    names, labels = references.public_labels(spec)
    limit = BUDGET if budget is None else budget
    first = min(len(suite), max(FIRST_LOOK, round(PUBLIC_SHARE * limit)), limit)
    public = collect(client, suite, rows=np.arange(first), access=access, rng=rng, progress=progress)
    ranked = cohort.compare(public.label, labels.astype(np.int64), names)

    confirmed: list[Confirmed] = []
    left = limit - first
    for evidence in ranked[:CONFIRMED]:
        reference = references.get(evidence.reference)
        if reference.panel is None or left < FIRST_LOOK:
            continue
        share = min(left, len(reference.suite))
        confirmed.append(confirm(client, reference, share, len(names), alpha, access, rng, stop_early, progress))
        left -= confirmed[-1].responses.sent
        if is_match(confirmed[-1].evidence, len(names), alpha):
            break
    if not confirmed and left > 0 and first < len(suite):
        more = np.arange(first, min(len(suite), first + left))
        public = merge(public, collect(client, suite, rows=more, access=access, rng=rng, progress=progress))
        ranked = cohort.compare(public.label, labels.astype(np.int64), names)

    return _verdict(client, confirmed, ranked, public, len(names), alpha, limit)


def _verdict(
    client: Client,
    confirmed: Sequence[Confirmed],
    ranked: Sequence[Evidence],
    public: Responses,
    searched: int,
    alpha: float,
    limit: int,
) -> Verdict:
    own = {c.reference.name: c.evidence for c in confirmed}
    evidence = [own.get(e.reference, e) for e in ranked] or list(own.values())
    # Evidence from a reference's own suite outranks a place in the public list.
    evidence.sort(key=lambda e: (is_match(e, searched, alpha), e.reference in own, e.score), reverse=True)
    best = evidence[0]
    basis = next((c for c in confirmed if c.reference.name == best.reference), None)
    shown = public if basis is None else basis.responses
    asked = [c.responses for c in confirmed] + ([] if public in [c.responses for c in confirmed] else [public])
    sent, answered = sum(r.sent for r in asked), sum(int(r.answered.sum()) for r in asked)
    source = np.zeros(0, int) if basis is None else basis.reference.answers.label
    decision, why = decide(best, _sent_labels(shown), source, shown.sent, searched, alpha)
    relation = None
    if decision == "match" and basis is not None:
        relation = _relation(best, basis)

    return Verdict(
        target=client.target,
        decision=decision,
        reference=best.reference if decision == "match" else None,
        relation=relation,
        alpha=alpha,
        method="relative",
        suite=shown.suite,
        access=shown.access,
        matches=tuple(_as_match(e, searched, alpha, relation if e is best else None) for e in evidence),
        sent=sent,
        answered=answered,
        saved=max(0, limit - sent),
        coverage=answered / sent if sent else 0.0,
        cohort=best.peers,
        nearest_peer=best.nearest_peer,
        why=why,
        honest=best.honest,
        derived=best.derived,
    )


def _as_match(evidence: Evidence, searched: int, alpha: float, relation: str | None) -> Match:
    p, conformal = deciding_p(evidence, searched, alpha)
    return Match(evidence.reference, evidence.score, evidence.llr, p, conformal, relation)


def _sent_labels(responses: Responses) -> np.ndarray:
    return responses.label[~np.isnan(responses.latency)]


def _relation(best: Evidence, basis: Confirmed) -> str:
    """identical: every answer equal, scores within rounding; modified: nearly all; derived: less."""
    if best.agreement == 1.0:
        own, its = basis.responses.score, basis.reference.answers.score
        asked = basis.responses.answered
        same_shape = own is not None and its is not None and own.shape == its.shape
        if not same_shape or float(np.abs(own[asked] - its[asked]).max()) < 1e-3:  # type: ignore[index]
            return "identical"
    return "modified" if best.agreement >= 0.95 else "derived"
