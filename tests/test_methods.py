"""Every method keeps the contract of `fingerprinting/methods/__init__.py`, and each agrees with a known oracle."""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from probe_match.clients import function
from probe_match.fingerprinting import registry, storage
from probe_match.fingerprinting.collect import collect
from probe_match.fingerprinting.errors import NoAnswers, SuiteMismatch, UsageError
from probe_match.fingerprinting.methods import (
    agreement,
    correlation,
    decision_distance,
    mutual_information,
    scores,
)
from probe_match.fingerprinting.records import UNANSWERED, InputSpec, ProbeSuite, Responses, Signature
from scipy.spatial.distance import cosine, jensenshannon
from scipy.stats import binomtest
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

N, K = 24, 4
MODULES = [registry.load("fingerprinting.methods", name) for name in registry.available("fingerprinting.methods")]
METHODS = [m for m in MODULES if hasattr(m, "represent") and hasattr(m, "distance")]
# One case per kind of answer that a method reads: what only takes labels is asked for no more.
CASES = [
    pytest.param(method, access, id=f"{method.__name__.rsplit('.', 1)[-1]}-{access}")
    for method in METHODS
    for access in sorted(method.READS)
]
contract = pytest.mark.parametrize(("method", "access"), CASES)


def suite_of(n: int = N, seed: int = 0, **params: str) -> ProbeSuite:
    inputs = np.random.default_rng(seed).random((n, 3)).astype(np.float32)
    spec = InputSpec("tabular", (3,))
    return ProbeSuite("test", "uniform", seed, spec, inputs, versions(n), np.ones(n), params=params)


def versions(n: int) -> tuple[str, ...]:
    """Kinds that call every six probes versions of one row, with some of six parts shown; only lime reads them."""
    shown = np.random.default_rng(9).integers(1, 63, n)
    return tuple(f"masks/{i // 6}/{63 if i % 6 == 0 else shown[i]}" for i in range(n))


def responses_of(suite: ProbeSuite, seed: int, access: str = "scores", k: int = K) -> Responses:
    rows = np.random.default_rng(seed).dirichlet(np.full(k, 0.5), len(suite)).astype(np.float32)
    return given(suite, rows.argmax(1), rows if access == "scores" else None)


def given(suite: ProbeSuite, labels: object, rows: np.ndarray | None = None) -> Responses:
    """Responses with the given labels (n,) and score rows (n, k)."""
    array = np.asarray(labels, np.int64)[:, None]
    some = None if rows is None else np.asarray(rows, np.float32)[:, None]
    access = "label" if rows is None else "scores"
    return Responses(suite.digest, "test", access, array, some, np.zeros(len(array), np.float32), len(array))


def silenced(responses: Responses, rows: object) -> Responses:
    """The same responses without an answer to the given probes."""
    labels = responses.labels.copy()
    labels[rows] = UNANSWERED
    cut = None if responses.scores is None else responses.scores.copy()
    if cut is not None:
        cut[rows] = np.nan
    return replace(responses, labels=labels, scores=cut)


def two(method: ModuleType, access: str) -> tuple[Signature, Signature]:
    suite = suite_of()
    return tuple(method.represent(responses_of(suite, seed, access), suite) for seed in (1, 2))


def test_every_published_scheme_is_a_method() -> None:
    """The names on the command line are the file names."""
    names = {method.__name__.rsplit(".", 1)[-1] for method in METHODS}

    assert names >= {"agreement", "correlation", "decision_distance", "lime", "mutual_information", "scores"}


@contract
def test_identical_answers_are_at_zero(method: ModuleType, access: str) -> None:
    """A model asked twice is its own copy, exactly."""
    suite = suite_of()
    answers = responses_of(suite, 1, access)

    assert method.distance(method.represent(answers, suite), method.represent(answers, suite)) == 0


@contract
def test_distance_is_symmetric_finite_and_positive(method: ModuleType, access: str) -> None:
    """Neither of two models is the first, and unrelated answers are apart."""
    a, b = two(method, access)

    assert method.distance(a, b) == method.distance(b, a)
    assert 0 < method.distance(a, b) <= 1


@contract
def test_unanswered_probes_are_not_disagreement(method: ModuleType, access: str) -> None:
    """A refusal says nothing about where a model came from."""
    suite = suite_of()
    answers = responses_of(suite, 1, access)
    partly = method.represent(silenced(answers, [0, 5, 6, 23]), suite)

    assert method.distance(method.represent(answers, suite), partly) == 0
    assert np.isfinite(partly.values).all()


@contract
def test_only_commonly_answered_probes_count(method: ModuleType, access: str) -> None:
    """What one model refuses is left out for both, so the rest gives the distance of the rest."""
    suite = suite_of()
    one, other = responses_of(suite, 1, access), responses_of(suite, 2, access)
    late = np.arange(N // 2, N)
    partly = method.distance(method.represent(silenced(one, late), suite), method.represent(other, suite))
    early = suite.take(np.arange(N // 2))
    cut = [
        replace(
            r, suite=early.digest, labels=r.labels[: N // 2], scores=None if r.scores is None else r.scores[: N // 2]
        )
        for r in (one, other)
    ]

    assert partly == pytest.approx(method.distance(*(method.represent(r, early) for r in cut)), abs=1e-6)


@contract
def test_weightless_probes_do_not_count(method: ModuleType, access: str) -> None:
    """Probes that are shown but not scored change no distance."""
    suite = suite_of()
    weights = np.ones(N)
    weights[:4] = 0
    suite = replace(suite, weights=weights)
    answers = responses_of(suite, 1, access)
    other = replace(answers, labels=answers.labels.copy())
    other.labels[:4] = (other.labels[:4] + 1) % K

    assert method.distance(method.represent(answers, suite), method.represent(other, suite)) == 0


@contract
def test_another_suite_is_refused(method: ModuleType, access: str) -> None:
    """Answers to different questions are never compared."""
    here, there = suite_of(seed=0), suite_of(seed=1)
    a = method.represent(responses_of(here, 1, access), here)
    b = method.represent(responses_of(there, 1, access), there)

    with pytest.raises(SuiteMismatch, match=f"{here.digest[:15]}… and {there.digest[:15]}…; collect again"):
        method.distance(a, b)
    with pytest.raises(SuiteMismatch, match="collect again"):
        method.represent(responses_of(here, 1, access), there)


@contract
def test_no_common_answer_is_an_error(method: ModuleType, access: str) -> None:
    """Two models that share no answered probe cannot be compared."""
    suite = suite_of()
    answers = responses_of(suite, 1, access)
    a = method.represent(silenced(answers, np.arange(N // 2)), suite)
    b = method.represent(silenced(answers, np.arange(N // 2, N)), suite)

    with pytest.raises(NoAnswers, match="got 0 of"):
        method.distance(a, b)


@contract
def test_repeats_are_read_as_one_answer(method: ModuleType, access: str) -> None:
    """Asking every probe three times gives the signature of asking it once, where the model is steady."""
    suite = suite_of()
    once = responses_of(suite, 1, access)
    thrice = replace(
        once,
        labels=np.repeat(once.labels, 3, 1),
        scores=None if once.scores is None else np.repeat(once.scores, 3, 1),
    )

    assert method.distance(method.represent(once, suite), method.represent(thrice, suite)) < 1e-6


@contract
def test_signatures_survive_storage(method: ModuleType, access: str) -> None:
    """A stored signature is the signature."""
    a, b = two(method, access)
    again = storage.from_bytes(Signature, storage.to_bytes(a))

    assert again.digest == a.digest
    assert method.distance(again, b) == method.distance(a, b)


def test_signatures_of_two_methods_are_refused() -> None:
    """Labels kept by one method are not compared by another."""
    suite = suite_of()
    answers = responses_of(suite, 1)

    with pytest.raises(UsageError, match="got agreement and mutual_information"):
        agreement.distance(agreement.represent(answers, suite), mutual_information.represent(answers, suite))


@pytest.mark.parametrize("method", [correlation, decision_distance])
def test_labels_are_not_compared_with_scores(method: ModuleType) -> None:
    """A method that reads both never mixes them: the gap between the two would look like another model."""
    suite = suite_of()
    a, b = (method.represent(responses_of(suite, 1, access), suite) for access in ("label", "scores"))

    with pytest.raises(UsageError, match="one of each; ask both with --access label"):
        method.distance(a, b)


@pytest.fixture
def ten_labels() -> tuple[Signature, Signature]:
    """Agreement signatures of two models that agree on 7 of 8 commonly answered probes of 10."""
    suite = suite_of(10)
    a = given(suite, [0, 1, 2, 3, 0, 1, 2, 3, UNANSWERED, 1])
    b = given(suite, [0, 1, 2, 3, 0, 1, 2, 0, 2, UNANSWERED])
    return agreement.represent(a, suite), agreement.represent(b, suite)


def test_agreement_by_hand(ten_labels: tuple[Signature, Signature]) -> None:
    """One of eight common answers differs."""
    assert agreement.distance(*ten_labels) == 1 / 8


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.875, 1.0])
def test_p_value_is_the_exact_binomial_tail(ten_labels: tuple[Signature, Signature], rate: float) -> None:
    """Seven of eight agreements are as likely by chance as scipy's exact test says."""
    expected = binomtest(7, 8, rate, alternative="greater").pvalue

    assert agreement.p_value(*ten_labels, rate) == pytest.approx(expected, rel=1e-12)


def test_p_value_stays_exact_far_out() -> None:
    """A full match on 400 probes against peers that agree on half is 2^-400, not 0; none at all is 1."""
    suite = suite_of(400)
    zeros, ones = (agreement.represent(given(suite, np.full(400, c)), suite) for c in (0, 1))

    assert agreement.p_value(zeros, zeros, 0.5) == pytest.approx(0.5**400, rel=1e-9, abs=0)
    assert agreement.p_value(zeros, ones, 0.5) == 1


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_p_value_needs_a_rate(ten_labels: tuple[Signature, Signature], rate: float) -> None:
    """A rate that is no probability is refused."""
    with pytest.raises(UsageError, match="from 0 to 1"):
        agreement.p_value(*ten_labels, rate)


def test_correlation_is_the_difference_of_cosine_matrices() -> None:
    """Every entry is scipy's cosine of two rows, and the distance their mean difference."""
    suite = suite_of(6)
    a, b = responses_of(suite, 1), responses_of(suite, 2)
    grams = [np.array([[1 - cosine(u, v) for u in r.scores[:, 0]] for v in r.scores[:, 0]]) for r in (a, b)]
    got = [correlation.represent(r, suite) for r in (a, b)]

    np.testing.assert_allclose(got[0].values, grams[0], atol=1e-6)
    assert correlation.distance(*got) == pytest.approx(np.abs(grams[0] - grams[1]).mean(), abs=1e-6)


def test_correlation_by_hand_with_labels() -> None:
    """Labels 0 0 1 relate one pair, 0 1 1 another: four of nine entries differ."""
    suite = suite_of(3)
    a, b = (correlation.represent(given(suite, labels), suite) for labels in ([0, 0, 1], [0, 1, 1]))

    assert correlation.distance(a, b) == pytest.approx(4 / 9)


def test_one_probe_has_no_correlation() -> None:
    """Every model relates a probe to itself alike, so one common answer is none."""
    suite = suite_of(3)
    a = correlation.represent(given(suite, [0, UNANSWERED, UNANSWERED]), suite)

    with pytest.raises(NoAnswers, match="at least 2 probes answered by both, got 1 of 3"):
        correlation.distance(a, a)


@pytest.mark.parametrize(
    ("method", "access"),
    [case for case in CASES if case.values[0] in (correlation, decision_distance, mutual_information)],
)
def test_renamed_classes_change_nothing(method: ModuleType, access: str) -> None:
    """A copy whose classes are permuted, and one more of which never occurs, is still at zero."""
    suite = suite_of()
    answers = responses_of(suite, 1, access)
    order = np.array([2, 0, 3, 1])
    rows = None
    if answers.scores is not None:
        rows = np.zeros((N, K + 1), np.float32)
        rows[:, order] = answers.scores[:, 0]
    renamed = given(suite, order[answers.labels[:, 0]], rows)

    assert method.distance(method.represent(answers, suite), method.represent(renamed, suite)) < 1e-6


@pytest.mark.parametrize("pairs", ["neighbours", "halves"])
def test_decision_distances_are_cosines_of_pairs(pairs: str) -> None:
    """Each value is scipy's cosine distance of a pair, and the distance the cosine distance of the vectors."""
    suite = suite_of(9, pairs=pairs)
    a, b = responses_of(suite, 1), responses_of(suite, 2)
    left = np.arange(4) if pairs == "halves" else np.arange(0, 8, 2)
    right = left + (4 if pairs == "halves" else 1)
    ddv = [np.array([cosine(r.scores[i, 0], r.scores[j, 0]) for i, j in zip(left, right, strict=True)]) for r in (a, b)]
    got = [decision_distance.represent(r, suite) for r in (a, b)]

    np.testing.assert_allclose(got[0].values, ddv[0], atol=1e-6)
    assert decision_distance.distance(*got) == pytest.approx(cosine(*ddv), abs=1e-6)


def test_decision_distance_by_hand_with_labels() -> None:
    """One model crosses pairs 0 and 1, the other pair 0 alone: 1 - 1/sqrt(2). A model that crosses none is at 1."""
    suite = suite_of(6)
    both, first, none = (
        decision_distance.represent(given(suite, labels), suite)
        for labels in ([0, 1, 0, 1, 2, 2], [0, 1, 0, 0, 2, 2], [0, 0, 0, 0, 2, 2])
    )

    assert decision_distance.distance(both, first) == pytest.approx(1 - 0.5**0.5)
    assert decision_distance.distance(both, none) == 1
    assert decision_distance.distance(none, none) == 0


def test_shifts_by_hand() -> None:
    """2 to 0 is one step on in three classes, as 0 to 1 is, and two steps back where their number is not known."""
    labels = [2, 0, 0, 1, 1, 1, UNANSWERED, 1]
    known, unknown = suite_of(8, classes=3), suite_of(8)
    a, b = (decision_distance.shifts(given(s, labels), s) for s in (known, unknown))
    other = decision_distance.shifts(given(known, [0, 1, 0, 2, 2, 2, 1, 1]), known)

    assert a.values[:3].tolist() == [1, 1, 0]
    assert b.values[:3].tolist() == [-2, 1, 0]
    assert a.answered.tolist() == [True, True, True, False]
    assert agreement.distance(a, other) == pytest.approx(1 / 3)


def test_decision_distance_needs_a_pair() -> None:
    """A suite of one probe has no pair to take a distance of."""
    suite = suite_of(1)

    with pytest.raises(UsageError, match="got a suite of 1; use at least 2"):
        decision_distance.represent(responses_of(suite, 1), suite)


def test_mutual_information_agrees_with_scikit_learn() -> None:
    """Information and entropies are scikit-learn's, the entropy being the information of a variable with itself."""
    suite = suite_of(200)
    u = np.random.default_rng(0).integers(0, K, 200)
    v = np.where(np.random.default_rng(1).random(200) < 0.6, u, 3)
    a, b = (mutual_information.represent(given(suite, labels), suite) for labels in (u, v))
    expected = 1 - mutual_info_score(u, v) / min(mutual_info_score(u, u), mutual_info_score(v, v))

    assert mutual_information.distance(a, b) == pytest.approx(expected, abs=1e-12)


def test_information_is_about_the_rank_of_the_true_label_where_that_is_known() -> None:
    """Labels say right or wrong, scores which place the truth has, the sixth and later alike."""
    suite = replace(suite_of(4), kinds=("uncertain/0", "uncertain/1", "uncertain/6", "uncertain/9"))
    rows = np.tile(np.array([0.3, 0.2, 0.15, 0.14, 0.1, 0.06, 0.05]), (4, 1))
    hard = mutual_information.represent(given(suite, [0, 0, 0, 9]), suite)
    soft = mutual_information.represent(given(suite, [0, 0, 0, 0], rows), suite)

    assert hard.values.tolist() == [0, 1, 1, 0]
    assert soft.values.tolist() == [0, 1, 5, 5]
    assert mutual_information.distance(soft, soft) == 0


def test_constant_answers_tell_nothing() -> None:
    """A model that always says 3 is no copy of one that says 5, nor of one that answers."""
    suite = suite_of(10)
    three, five, real = (
        mutual_information.represent(given(suite, labels), suite) for labels in ([3] * 10, [5] * 10, list(range(10)))
    )

    assert mutual_information.distance(three, three) == 0
    assert mutual_information.distance(three, five) == 1
    assert mutual_information.distance(three, real) == 1


def test_scores_agree_with_scipy() -> None:
    """The divergence is the square of scipy's Jensen-Shannon distance in base 2, the other distance its cosine."""
    suite = suite_of()
    a, b = responses_of(suite, 1), responses_of(suite, 2)
    p, q = a.scores[:, 0], b.scores[:, 0]
    signatures = scores.represent(a, suite), scores.represent(b, suite)
    cosines = [cosine(u, v) for u, v in zip(p, q, strict=True)]

    assert scores.distance(*signatures) == pytest.approx((jensenshannon(p, q, axis=1, base=2) ** 2).mean(), abs=1e-6)
    assert scores.cosine_distance(*signatures) == pytest.approx(np.mean(cosines), abs=1e-6)


def test_certain_and_opposite_scores_are_one_bit_apart() -> None:
    """Zeros in the probabilities are no infinities."""
    suite = suite_of(2)
    a = scores.represent(given(suite, [0, 0], np.array([[1, 0], [1, 0]])), suite)
    b = scores.represent(given(suite, [1, 1], np.array([[0, 1], [0, 1]])), suite)

    assert scores.distance(a, b) == pytest.approx(1)
    assert scores.cosine_distance(a, b) == pytest.approx(1)


def test_scores_are_needed_for_scores() -> None:
    """A model that only gives labels is told which method to use."""
    suite = suite_of()

    with pytest.raises(UsageError, match="got labels only; choose a method that reads labels"):
        scores.represent(responses_of(suite, 1, "label"), suite)


def test_scores_over_other_classes_are_refused() -> None:
    """Probabilities of different classes have no divergence."""
    suite = suite_of()
    a, b = (scores.represent(responses_of(suite, 1, k=k), suite) for k in (3, 4))

    with pytest.raises(UsageError, match="got 3 and 4; compare by correlation"):
        scores.distance(a, b)


@pytest.fixture(scope="module")
def digit_zoo() -> tuple[ProbeSuite, dict[str, Responses]]:
    """Pairs of a digit and its blurred copy, answered by a forest, a noisy copy of it and unrelated models."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(x))
    own, others, rest = order[:600], order[600:1200], order[1200:1260]
    forest = RandomForestClassifier(40, random_state=0).fit(x[own], y[own])
    models = {"source": forest.predict_proba, "copy": _noisy(forest)}
    for model in (
        RandomForestClassifier(40, random_state=1),
        ExtraTreesClassifier(40, random_state=2),
        LogisticRegression(max_iter=2000),
        KNeighborsClassifier(5),
        GaussianNB(var_smoothing=0.01),
    ):
        models[type(model).__name__] = model.fit(x[others], y[others]).predict_proba

    noisy = np.clip(x[rest] + rng.normal(0, 0.3, x[rest].shape), 0, 1)
    inputs = np.stack([x[rest], noisy], 1).reshape(-1, 64).astype(np.float32)
    n = len(inputs)
    spec = InputSpec("tabular", (64,))
    suite = ProbeSuite("digits", "test", 0, spec, inputs, versions(n), np.ones(n))
    return suite, {name: collect(function.wrap(m, name=name), suite) for name, m in models.items()}


def _noisy(forest: RandomForestClassifier) -> Callable[[np.ndarray], np.ndarray]:
    """The forest with a tenth of its trees gone, its probabilities shaken and rounded to three digits."""
    trees = copy(forest)
    trees.estimators_ = forest.estimators_[:36]

    def answer(x: np.ndarray) -> np.ndarray:
        p = trees.predict_proba(x) + np.random.default_rng(3).uniform(0, 0.03, (len(x), 10))
        return np.round(p / p.sum(1, keepdims=True), 3)

    return answer


@contract
def test_a_noisy_copy_ranks_before_every_unrelated_model(
    method: ModuleType, access: str, digit_zoo: tuple[ProbeSuite, dict[str, Responses]]
) -> None:
    """On real models each method finds the copy first."""
    suite, answers = digit_zoo
    if access == "label":
        answers = {name: replace(r, access="label", scores=None) for name, r in answers.items()}
    signatures = {name: method.represent(r, suite) for name, r in answers.items()}
    distances = {name: method.distance(signatures["source"], s) for name, s in signatures.items() if name != "source"}

    assert min(distances, key=distances.__getitem__) == "copy", distances
    assert distances.pop("copy") > 0


def test_contributions_of_a_straight_line_are_its_slopes() -> None:
    """A model that is linear in two of three features contributes by slope and spread, nothing by curves or pairs."""
    from probe_match.fingerprinting.explain.surrogate import estimate

    x = np.random.default_rng(0).normal(size=(4000, 3))
    y = 2 * x[:, :1] - x[:, 1:2]
    parts = estimate(x, y)

    usual = np.sqrt(2 / np.pi) / 1.1  # mean of |z|, less what a ridge of a tenth takes
    assert np.allclose(parts.linear[:, 0], [2 * usual, usual, 0], atol=0.05)
    assert parts.nonlinear.max() < 0.05
    assert parts.paired.max() < 0.1


def test_contributions_find_products_and_squares() -> None:
    """A square is nonlinear, a product is a pair, and neither is linear."""
    from probe_match.fingerprinting.explain.surrogate import estimate

    x = np.random.default_rng(0).normal(size=(4000, 4))
    parts = estimate(x, np.stack([x[:, 0] ** 2, x[:, 1] * x[:, 2]], 1))

    assert parts.nonlinear[:, 0].argmax() == 0
    assert set(np.argsort(-parts.paired[:, 1])[:2].tolist()) == {1, 2}
    assert parts.linear.max() < 0.15


def test_contributions_of_labels_and_scores_are_not_compared() -> None:
    """One model's labels and another's scores have contributions in different units."""
    from probe_match.fingerprinting.methods import contributions

    suite = suite_of()
    a, b = (contributions.represent(responses_of(suite, 1, access), suite) for access in ("label", "scores"))

    with pytest.raises(UsageError, match="labels of both"):
        contributions.distance(a, b)
