"""Confirming one reference: how many are asked, when it stops, and what silence and disguise lead to."""

from dataclasses import replace

import numpy as np
import pytest
import worlds
from probe_match.fingerprinting.collect import collect
from probe_match.fingerprinting.confirming import (
    BUDGET,
    Confirmed,
    check_limits,
    confirm,
    weigh,
    within,
)
from probe_match.fingerprinting.errors import NoAnswers, UsageError
from probe_match.fingerprinting.looking import FIRST_LOOK, Looks, looks
from probe_match.fingerprinting.methods import relative
from probe_match.fingerprinting.records import UNANSWERED, Reference, Responses
from probe_match.fingerprinting.verdicts import MIN_ANSWERED, decide
from samples import make_reference
from worlds import client, copies, honest, source


@pytest.fixture(scope="module")
def reference() -> Reference:
    """The owner's model, with its panel."""
    return worlds.enrolled().reference


def asked(reference: Reference, answer: worlds.Answer, n: int = 50) -> Responses:
    """Answers to the first n probes of its suite."""
    return collect(client(answer), reference.suite, rows=np.arange(n))


def silenced(responses: Responses, rows: np.ndarray) -> Responses:
    """The same probes sent, but these unanswered."""
    labels = responses.labels.copy()
    labels[rows] = UNANSWERED
    return replace(responses, labels=labels)


def confirmed(reference: Reference, answer: worlds.Answer, budget: int = 50, stop_early: bool = True) -> Confirmed:
    """The reference confirmed against a suspect, alone."""
    return confirm(client(answer), reference, budget, 1, 0.01, None, np.random.default_rng(0), stop_early)


@pytest.mark.parametrize(
    ("budget", "plan"),
    [(1, [1]), (9, [9]), (10, [10]), (11, [10, 11]), (50, [10, 15, 22, 34, 50]), (64, [10, 15, 22, 34, 51, 64])],
)
def test_looks_are_few_and_end_at_the_budget(budget: int, plan: list[int]) -> None:
    """Ten answers first, then half as many again each time."""
    assert looks(budget) == plan


@pytest.mark.parametrize("budget", range(1, 200, 7))
def test_looks_rise(budget: int) -> None:
    """Every look has more answers than the one before, and none more than the budget."""
    plan = looks(budget)

    assert plan == sorted(set(plan))
    assert plan[-1] == budget


def test_limits_are_checked() -> None:
    """No question, or a rate that is none, is refused before anything is asked."""
    check_limits(None, 0.01)
    check_limits(1, 0.5)
    for budget, alpha in ((0, 0.01), (-5, 0.01), (50, 0.0), (50, 0.51), (50, 1.5), (50, -0.1), (50, float("nan"))):
        with pytest.raises(UsageError, match="expected"):
            check_limits(budget, alpha)


def test_a_budget_fits_the_suite() -> None:
    """Unless told, fifty or as many as there are; told more than there are is an error."""
    assert within(None, 64) == BUDGET
    assert within(None, 20) == 20
    assert within(20, 20) == 20
    with pytest.raises(UsageError, match="at most the suite's 20 probes, got 21"):
        within(21, 20)


def test_clear_answers_stop_early(reference: Reference) -> None:
    """The source itself is clear after the first look; a suspect at the border is asked the whole budget."""
    answer = worlds.Counting(source().predict)
    clear = confirmed(reference, answer)
    border = worlds.Counting(honest()["same data, forest 10"].predict)
    unclear = confirmed(reference, border)

    assert (answer.rows, clear.stopped_early) == (FIRST_LOOK, True)
    assert (border.rows, unclear.stopped_early) == (50, False)
    assert clear.responses.sent == FIRST_LOOK
    assert clear.responses.answered[:FIRST_LOOK].all()
    assert not clear.responses.answered[FIRST_LOOK:].any()


def test_stopping_early_for_a_match_needs_the_bound(reference: Reference) -> None:
    """Whoever is named before the budget is spent has passed the anytime-valid bound, too."""
    for model in (source(), *copies().values()):
        result = confirmed(reference, model.predict)
        if result.stopped_early and result.evidence.llr > 0:
            assert result.evidence.llr >= np.log(1 / 0.01)


@pytest.mark.parametrize("budget", [1, 7, 8, 13, 64])
def test_the_budget_is_kept(budget: int, reference: Reference) -> None:
    """Never more than the budget is asked, in however many looks."""
    answer = worlds.Counting(honest()["same data, network 10"].predict)
    result = confirmed(reference, answer, budget)

    assert answer.rows == result.responses.sent <= budget
    assert answer.rows >= min(budget, FIRST_LOOK)


def test_the_order_of_questions_says_nothing(reference: Reference) -> None:
    """Probes of one look are sent in a random order, and what is concluded does not depend on it."""
    first: list[np.ndarray] = []
    second: list[np.ndarray] = []
    results = [
        confirm(
            client(lambda x, kept=kept: kept.append(x) or source().predict(x)),  # type: ignore[misc,func-returns-value]
            reference, 40, 1, 0.01, None, np.random.default_rng(seed), stop_early=False,
        )
        for seed, kept in ((1, first), (2, second))
    ]  # fmt: skip

    assert not np.array_equal(first[0], second[0])
    assert not np.array_equal(first[0], np.asarray(reference.suite.inputs)[:40])
    assert results[0].evidence == results[1].evidence


def test_the_source_itself_is_identical(reference: Reference) -> None:
    """All labels equal, and where both give scores those as well; the same labels with other scores are modified."""
    assert confirmed(reference, source().predict, stop_early=False).relation() == "identical"

    rows = reference.suite.inputs
    proba = source().predict_proba(rows).astype(np.float32)[:, None]
    labels = proba.argmax(2)
    scored = replace(reference, answers=replace(reference.answers, scores=proba, labels=labels, access="scores"))
    same = confirmed(scored, source().predict_proba)
    bent = confirmed(
        scored, lambda x: source().predict_proba(x) ** 2 / (source().predict_proba(x) ** 2).sum(1)[:, None]
    )
    wider = confirmed(scored, lambda x: np.pad(source().predict_proba(x), ((0, 0), (0, 1))))

    assert same.relation() == "identical"
    assert bent.evidence.agreement == wider.evidence.agreement == 1
    assert bent.relation() == wider.relation() == "modified"


def test_a_stolen_copy_is_derived(reference: Reference) -> None:
    """A copy of another model class disagrees now and then; a model with one answer in fifty changed is modified."""
    [odd] = np.asarray(reference.suite.inputs)[[7]]

    def changed(x: np.ndarray) -> np.ndarray:
        labels: np.ndarray = source().predict(x)
        return np.where((x == odd).all(1), (labels + 1) % worlds.CLASSES, labels)

    assert confirmed(reference, copies()["network"].predict, stop_early=False).relation() == "derived"
    assert confirmed(reference, changed, stop_early=False).relation() == "modified"


def test_ten_labels_do_not_tell_a_copy_from_its_source(reference: Reference) -> None:
    """A thief may repeat the first ten labels as well: who stops there says match, and no more."""
    result = confirmed(reference, source().predict)

    assert int(result.responses.answered.sum()) < 20
    assert result.relation() is None


def test_evidence_says_what_the_plot_needs(reference: Reference) -> None:
    """Scores are standard deviations above the calibration peers, all of which are listed with the nearest named."""
    evidence = weigh(reference, asked(reference, copies()["trees"].predict))
    panel = reference.panel
    assert panel is not None
    assert evidence.nearest_peer is not None

    assert len(evidence.honest) == evidence.peers == len(panel.rows("peer", "calibrate"))
    assert len(evidence.derived) == len(panel.rows("shadow"))
    assert np.mean(evidence.honest) == pytest.approx(0, abs=1e-9)
    assert np.std(evidence.honest, ddof=1) == pytest.approx(1)
    assert evidence.nearest_peer[1] == max(evidence.honest)
    assert evidence.nearest_peer[0] in panel.names
    assert 0.5 < evidence.power <= 1
    assert evidence.beats_all == (evidence.score > max(evidence.honest))


def test_power_grows_with_questions(reference: Reference) -> None:
    """More answers find more of the copies made on purpose."""
    ten, fifty = (weigh(reference, asked(reference, source().predict, n)).power for n in (10, 50))

    assert 0 <= ten <= fifty <= 1
    assert fifty > 0.5


@pytest.mark.parametrize("name", ["trees", "network"])
@pytest.mark.parametrize("answered", [0, 5, 8, 20, 39])
def test_silence_is_not_innocence(name: str, answered: int, reference: Reference) -> None:
    """Below four in five of fifty answered, nobody is cleared, thief or honest, and nobody is named."""
    for model in (copies()[name], honest()[f"other data, {'forest' if name == 'trees' else name} 10"]):
        given = silenced(asked(reference, model.predict), np.random.default_rng(1).permutation(50)[answered:])
        evidence = weigh(reference, given)
        decision, _ = decide(evidence, given.label[:50], reference.answers.label[:50], 50, 1, 0.01)

        assert decision == ("inconclusive" if answered < MIN_ANSWERED else "evasion suspected")


def test_unanswered_probes_weigh_nothing(reference: Reference) -> None:
    """The evidence of answers with gaps is that of the answers without the gaps."""
    whole = asked(reference, copies()["trees"].predict)
    gaps = np.array([3, 17, 18, 40])
    rest = np.setdiff1d(np.arange(50), gaps)
    only = collect(client(copies()["trees"].predict), reference.suite, rows=rest)

    assert weigh(reference, silenced(whole, gaps)) == weigh(reference, only)
    assert weigh(reference, only) != weigh(reference, whole)


def test_a_handful_of_answers_is_no_evidence(reference: Reference) -> None:
    """Seven perfect answers: ratio 0, p 1, no peers, no power."""
    evidence = weigh(reference, asked(reference, source().predict, 7))

    assert (evidence.llr, evidence.p, evidence.peers, evidence.power) == (0.0, (1.0, 1.0), 0, 0.0)


def test_one_answer_to_everything_is_evasion(reference: Reference) -> None:
    """An endpoint that says one thing to all probes is no model, whatever that thing is."""
    for label in range(worlds.CLASSES):
        result = confirmed(reference, lambda x, label=label: np.full(len(x), label))  # type: ignore[misc]
        sent = ~np.isnan(result.responses.latency)
        decision, _ = decide(
            result.evidence, result.responses.label[sent], reference.answers.label[sent], int(sent.sum()), 1, 0.01
        )

        assert decision == "evasion suspected"


def test_labels_nobody_knows_are_no_match(reference: Reference) -> None:
    """A suspect with many more classes is weighed without a crash, and is nobody's copy."""
    evidence = weigh(reference, asked(reference, lambda x: np.arange(len(x)) + 100))

    assert evidence.llr < 0
    assert np.isfinite([evidence.score, evidence.llr, *evidence.p]).all()


def test_a_reference_without_peers_has_no_scale() -> None:
    """The error says how to get some."""
    bare = replace(make_reference(), panel=None)
    with pytest.raises(NoAnswers, match="enroll it with --pool"):
        relative.scale(bare, bare.answers.label)
    with pytest.raises(NoAnswers, match="none of the 5"):
        relative.scale(make_reference(), np.full(5, UNANSWERED))


def test_the_p_value_counts_every_look(reference: Reference) -> None:
    """It is the rank of the highest score on the way among the peers' highest, not that of the last look alone."""
    path = Looks([relative.scale_of(reference, np.arange(n), soft=False) for n in looks(50)])
    differ = 0
    for model in honest().values():
        result = confirmed(reference, model.predict)
        seen = [weigh(reference, asked(reference, model.predict, n)) for n in looks(result.responses.sent)]
        highest = np.array([max(evidence.score for evidence in seen)])
        expected = path.conformal(highest, np.array([seen[-1].kin]))[0]
        differ += abs(expected - seen[-1].p.conformal) > 1e-9

        assert result.evidence.p.conformal == pytest.approx(expected)
    assert differ
