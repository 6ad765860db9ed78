"""
Which known model stands behind a target: ask, narrow, confirm, decide.

One reference goes straight to its own suite. Many references of one input share a public suite: its first answers rank
them, and the leading ones are confirmed on their own suites, within one budget for all of it.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from . import decoys, evasion, information
from .collect import Client, Progress, require_answers
from .confirming import BUDGET, Confirmed, check_limits, confirm, within
from .errors import DatabaseError, UsageError
from .joining import joinable, joined
from .ranking import Ranking, References, rank
from .records import UNANSWERED, Access, InputSpec, Match, Reference, Responses, Verdict
from .verdicts import MIN_ANSWERED, Evidence, decide, deciding_p, is_match

PUBLIC_SHARE: Final = 0.3  # of the budget, to rank many references
CONFIRMED: Final = 2  # leading references taken to their own suites
Screening = Literal["in doubt", "always", "never"]


class _Again(NamedTuple):
    """How probes are put again once there is a verdict."""

    access: Access | None
    rng: np.random.Generator
    screen: Screening


def match(
    client: Client,
    references: References,
    *,
    only: Sequence[str] = (),
    budget: int | None = None,
    alpha: float = 0.01,
    access: Access | None = None,
    seed: int = 0,
    stop_early: bool = True,
    progress: Progress | None = None,
    screen: Screening = "in doubt",
) -> Verdict:
    """
    Identify the model behind a client, open set: "none of them" is an answer.

    only: names of the references to consider, all if empty. budget: most questions to the client, 50 unless told.
    alpha: accepted rate of false accusations. access: "label" ignores scores. seed: order in which probes are sent.
    screen: when some probes are put again, within the budget, to see whether one model answers (see `evasion`): "in
    doubt" wherever the verdict is no match. Raises TargetError where the client fails or refuses everything.
    """
    check_limits(budget, alpha)
    groups = references.inputs(client.shape, only)
    searched = sum(len(names) for _, names in groups)
    if searched == 0:
        raise DatabaseError(f"no reference takes the inputs of {client.target} ({client.shape}); enroll one that does")
    shapes = {spec.shape for spec, _ in groups}
    if len(shapes) > 1:
        raise UsageError(
            f"{client.target} does not say what inputs it takes and the references take {sorted(shapes)}; "
            "name the ones to consider with --reference"
        )
    if searched == 1:
        alone = references.get(groups[0][1][0])
        if alone.panel is not None:
            return match_one(
                client, alone, budget=budget, alpha=alpha, access=access, seed=seed, stop_early=stop_early,
                progress=progress, screen=screen,
            )  # fmt: skip
    if budget is None:
        limit = decoys.room(BUDGET)
    else:
        budget = decoys.room(budget)
        limit = within(budget, _askable(references, groups, budget))
    kept = evasion.reserve(limit, screen != "never")
    limit -= kept
    rng = np.random.default_rng(seed)

    share = min(limit, max(MIN_ANSWERED, round(PUBLIC_SHARE * limit))) // len(groups)
    if share == 0:
        raise UsageError(
            f"expected a budget for the {len(groups)} different inputs of the references, got {limit}; "
            "raise it, or name the references to consider with --reference"
        )
    rankings = [rank(client, references, spec, names, share, access, rng, progress) for spec, names in groups]
    left = limit - sum(ranking.responses.sent for ranking in rankings)
    ranked = _ranked(rankings)

    confirmed: list[Confirmed] = []
    leaders = _leaders(references, rankings, ranked, left)
    for i, (reference, asked) in enumerate(leaders):
        known = 0 if asked is None else asked.sent
        most = min(left // (len(leaders) - i), len(reference.suite) - known)
        if known + most < MIN_ANSWERED:
            continue
        result = confirm(client, reference, most, searched, alpha, access, rng, stop_early, progress, asked)
        confirmed.append(result._replace(suite=references.get(reference.name).suite.digest))
        left -= result.responses.sent - known
        if is_match(confirmed[-1].evidence, searched, alpha):
            break
    if not confirmed:  # only answers to public suites are known: spend what is left on those
        rankings = [ranking.further(client, left // len(groups), access, rng, progress) for ranking in rankings]
        ranked = _ranked(rankings)

    again = _Again(access, rng, screen)

    return _verdict(client, confirmed, ranked, rankings, searched, alpha, limit + kept, again)


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
    screen: Screening = "in doubt",
) -> Verdict:
    """As `match`, against one reference that has a panel, on its own suite."""
    check_limits(budget, alpha)
    limit = within(None if budget is None else decoys.room(budget), len(reference.suite))
    rng = np.random.default_rng(seed)
    kept = evasion.reserve(limit, screen != "never")
    confirmed = confirm(client, reference, limit - kept, 1, alpha, access, rng, stop_early, progress)
    confirmed = confirmed._replace(suite=reference.suite.digest)

    again = _Again(access, rng, screen)

    return _verdict(client, [confirmed], [confirmed.evidence], [], 1, alpha, limit, again)


def _leaders(
    references: References, rankings: Sequence[Ranking], ranked: Sequence[Evidence], left: int
) -> list[tuple[Reference, Responses | None]]:
    """
    The references to take to their own suites, likeliest first, with the answers that count for them already: those to
    the public suite, where their peers answered it, too.
    """
    leaders: list[tuple[Reference, Responses | None]] = []
    for evidence in ranked[: max(1, min(CONFIRMED, left // MIN_ANSWERED))]:  # fewer, rather than too few for any
        reference = references.get(evidence.reference)
        ranking = next(ranking for ranking in rankings if reference.name in ranking.names)
        if joinable(reference):
            leaders.append(joined(reference, ranking.suite, ranking.responses))
        elif reference.panel is not None:
            leaders.append((reference, None))

    return leaders


def _askable(references: References, groups: Sequence[tuple[InputSpec, list[str]]], budget: int) -> int:
    """Probes that could be put to one suspect: every public suite, and the own suites of those confirmed."""
    suites = [references.public_suite(spec) for spec, _ in groups]
    public = sum(len(suite) for suite in suites if suite is not None)
    if budget <= public:
        return public
    own = sorted(references.own_probes([name for _, names in groups for name in names]), reverse=True)

    return public + sum(own[:CONFIRMED])


def _ranked(rankings: Sequence[Ranking]) -> list[Evidence]:
    """
    The best of each input before the second best of any: a ratio among two or three means little elsewhere.

    Best is who is likeliest: the normalised score says whether anybody stands out at all, not who it is.
    """
    likeliest = [sorted(ranking.evidence, key=lambda e: -e.llr) for ranking in rankings]
    places = [(place, e) for evidence in likeliest for place, e in enumerate(evidence)]

    return [e for _, e in sorted(places, key=lambda placed: (placed[0], -placed[1].llr))]


def _verdict(
    client: Client,
    confirmed: Sequence[Confirmed],
    ranked: Sequence[Evidence],
    rankings: Sequence[Ranking],
    searched: int,
    alpha: float,
    limit: int,
    again: _Again,
) -> Verdict:
    require_answers([c.responses for c in confirmed] + [ranking.responses for ranking in rankings])
    own = {c.reference.name: c for c in confirmed}
    evidence = [own[e.reference].evidence if e.reference in own else e for e in ranked]
    # Evidence from a reference's own suite outranks a place in the public list.
    evidence.sort(key=lambda e: (is_match(e, searched, alpha), e.reference in own, e.score), reverse=True)
    best = evidence[0]
    sent = sum(c.responses.sent - c.before for c in confirmed) + sum(r.responses.sent for r in rankings)
    answered = sum(int(c.responses.answered[c.before :].sum()) for c in confirmed)
    answered += sum(int(ranking.responses.answered.sum()) for ranking in rankings)
    if best.reference in own:
        digest, suite = own[best.reference].suite, own[best.reference].reference.suite
        shown, known = own[best.reference].responses, own[best.reference].reference.answers
        number = own[best.reference].reference.suite.spec.output == "number"
        given, source = (shown.score, _codes(known.label, known.score)) if number else (None, known.label)
        panel = own[best.reference].reference.panel
        usual = (
            None if number or panel is None else evasion.usual(shown.label, source, panel.labels[panel.rows("peer")])
        )
    else:
        leader = next(ranking for ranking in rankings if best.reference in ranking.names)
        digest, suite = leader.responses.suite, leader.suite
        shown, its = leader.responses, leader.answers_of(best.reference)
        number = leader.suite.spec.output == "number"
        given, source = (shown.score, _codes(np.zeros(len(its), int), its[:, None])) if number else (None, its)
        usual = None if number or leader.packed else evasion.usual(shown.label, source, leader.labels)
    put = ~np.isnan(shown.latency)
    decision, why = decide(best, _codes(shown.label, given)[put], source[put], shown.sent, searched, alpha)
    if again.screen == "always" or (again.screen == "in doubt" and decision != "match"):
        first = None if decision == "match" else usual
        screens = evasion.screen(client, suite, shown, limit - sent, again.access, again.rng, first)
        decision, why = evasion.judged(decision, why, screens)
        sent, answered = sent + screens.sent, answered + screens.answered
    relation = None
    if decision == "match":
        relation = own[best.reference].relation() if best.reference in own else "derived"

    return Verdict(
        target=client.target,
        decision=decision,
        reference=best.reference if decision == "match" else None,
        relation=relation,
        alpha=alpha,
        method="relative",
        suite=digest,
        access=shown.access,
        matches=tuple(_as_match(e, searched, alpha, relation if e is best else None) for e in evidence),
        sent=sent + decoys.put(),
        answered=answered,
        saved=max(0, limit - sent),
        coverage=answered / sent if sent else 0.0,
        cohort=best.peers,
        nearest_peer=best.nearest_peer,
        why=why,
        honest=best.honest,
        derived=best.derived,
        information=str(information.shown(shown.scores)),
        decoys=decoys.put(),
    )


def _codes(labels: np.ndarray, numbers: np.ndarray | None) -> np.ndarray:
    """Labels int (n,), or where a regressor gave numbers (n, 1), codes that are equal where the numbers are."""
    if numbers is None:
        return labels
    return np.where(labels == UNANSWERED, UNANSWERED, np.unique(numbers[:, 0], return_inverse=True)[1])


def _as_match(evidence: Evidence, searched: int, alpha: float, relation: str | None) -> Match:
    p, conformal = deciding_p(evidence, searched, alpha)
    return Match(evidence.reference, evidence.score, evidence.llr, p, conformal, relation)
