"""Every published scheme is a whole recipe: probes for a budget, and a similarity that is largest for a copy."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from probe_match.clients import function, sklearn
from probe_match.clients.torch import TorchClient, wrap
from probe_match.fingerprinting import registry, schemes
from probe_match.fingerprinting.collect import collect
from probe_match.fingerprinting.errors import BadData, NoAnswers, SuiteMismatch, TargetError, UsageError
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.probing import notes_of
from probe_match.fingerprinting.records import UNANSWERED, InputSpec, Pool, ProbeSuite, Responses
from probe_match.fingerprinting.schemes import SCHEMES
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from torch import nn

NAMES = tuple(SCHEMES)
ACCESSES = [(name, access) for name in NAMES for access in ("label", "scores") if access >= SCHEMES[name].access]
GENERATORS = {name: registry.load("probes", name).generate for name in registry.available("probes")}
each_scheme = pytest.mark.parametrize("name", NAMES)
each_access = pytest.mark.parametrize(("name", "access"), ACCESSES)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Torch on one core: such small batches gain nothing from two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Digits in random order: float32 (1797, 64) in [0, 1] and their labels."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return (x[order] / 16).astype(np.float32), y[order]


@cache
def linear() -> tuple[sklearn.SklearnClient, Pool]:
    """A scikit-learn model of 600 digits that gives no gradient, and 597 others as its pool; it errs on some thirty."""
    x, y = digits()
    return sklearn.wrap(LogisticRegression(max_iter=300).fit(x[:600], y[:600])), make_pool(x[1200:], y[1200:])


@cache
def suspects() -> dict[str, sklearn.SklearnClient]:
    """The source with its smaller half of weights gone, and models of other digits."""
    x, y = digits()
    pruned = deepcopy(linear()[0].estimator)
    pruned.coef_[np.abs(pruned.coef_) < np.median(np.abs(pruned.coef_))] = 0
    made = {"pruned": pruned}
    for seed in (1, 2, 3):
        made[f"honest {seed}"] = ExtraTreesClassifier(10, random_state=seed).fit(x[600:1200], y[600:1200])
    return {name: sklearn.wrap(model, name=name) for name, model in made.items()}


@cache
def network() -> tuple[TorchClient, Pool]:
    """A small convolutional network of the same digits as images, and its pool."""
    x, y = digits()
    x = x.reshape(-1, 1, 8, 8)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    optimiser = torch.optim.Adam(module.parameters(), 0.01)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(torch.from_numpy(x[:600])), torch.from_numpy(y[:600])).backward()
        optimiser.step()
    return wrap(module), Pool(InputSpec("image", (1, 8, 8)), x[1200:], y[1200:])


@cache
def suite_for(name: str, n: int, of: Callable[[], tuple[Any, Pool]] = linear) -> ProbeSuite:
    source, pool = of()
    return schemes.build(SCHEMES[name], source, pool, n=n, seed=0, generators=GENERATORS)


def answers(suite: ProbeSuite, rows: object) -> Responses:
    """Responses with the given labels (n,), or probabilities (n, k)."""
    given = np.asarray(rows)
    scores = given[:, None].astype(np.float32) if given.ndim == 2 else None
    labels = (given if scores is None else given.argmax(1)).astype(np.int64)[:, None]
    access = "label" if scores is None else "scores"
    return Responses(suite.digest, "test", access, labels, scores, np.zeros(len(given), np.float32), len(given))


def silenced(responses: Responses, rows: object) -> Responses:
    """The same answers but for the given probes, which got none."""
    labels = responses.labels.copy()
    labels[rows] = UNANSWERED
    scores = None if responses.scores is None else responses.scores.copy()
    if scores is not None:
        scores[rows] = np.nan
    return replace(responses, labels=labels, scores=scores)


def hand(name: str, kinds: tuple[str, ...], **params: Any) -> Callable[[object, object, str], float]:
    """The similarity of two models by their answers to a made-up suite."""
    n = len(kinds)
    inputs = np.arange(n, dtype=np.float32)[:, None] / n
    suite = ProbeSuite("hand", "hand", 0, InputSpec("tabular", (1,)), inputs, kinds, np.ones(n), params=params)
    return lambda a, b, access: schemes.similarity(SCHEMES[name], answers(suite, a), answers(suite, b), suite, access)


@pytest.mark.parametrize("n", [10, 20, 50])
@each_scheme
@pytest.mark.parametrize("of", [linear, network])
def test_a_budget_is_spent_on_distinct_probes(of: Callable[[], tuple[Any, Pool]], name: str, n: int) -> None:
    """Ten, twenty or fifty questions, no more, each with the source's own answer."""
    suite = suite_for(name, n, of)
    source = of()[0]

    assert len(suite) == n
    assert sum(suite.params["made"].values()) == n
    assert suite.params["scheme"] == name
    assert suite.params["classes"] == 10
    assert np.array_equal(suite.expected, collect(source, suite).label)
    if not SCHEMES[name].paired:
        assert len(np.unique(suite.inputs.reshape(n, -1), axis=0)) == n


@each_access
@pytest.mark.parametrize("of", [linear, network])
def test_an_exact_copy_scores_the_maximum(of: Callable[[], tuple[Any, Pool]], name: str, access: str) -> None:
    """Identical answers are 1, answers of a model of another kind are less, and nothing is above."""
    suite = suite_for(name, 20, of)
    own = collect(of()[0], suite)
    shape = suite.spec.shape
    other = suspects()["honest 1"]
    stranger = function.wrap(lambda x: other.estimator.predict_proba(x.reshape(len(x), -1)), shape=shape)
    alike = schemes.similarities(SCHEMES[name], own, [own, collect(stranger, suite)], suite, access)

    assert alike[0] == 1
    assert 0 <= alike[1] < 1 or name == "random"


@each_access
def test_a_pruned_copy_is_nearer_than_honest_models(name: str, access: str) -> None:
    """On fifty questions each scheme ranks a lightly changed copy first, honest models by their answers alone."""
    suite = suite_for(name, 50)
    own = collect(linear()[0], suite)
    asked = [collect(model, suite) for model in suspects().values()]
    alike = schemes.similarities(SCHEMES[name], own, asked, suite, access)

    assert alike[0] == alike.max()
    assert alike[0] > np.median(alike[1:])


@each_access
def test_a_first_part_of_a_suite_is_a_suite(name: str, access: str) -> None:
    """A bench may cut a suite of fifty to ten or twenty and ask no one again."""
    whole = suite_for(name, 50)
    for n in (10, 20):
        suite = whole.take(np.arange(n))
        own, other = collect(linear()[0], suite), collect(suspects()["honest 1"], suite)
        alike = schemes.similarities(SCHEMES[name], own, [own, other], suite, access)

        assert alike[0] == 1
        assert 0 <= alike[1] <= 1


@each_access
def test_refused_probes_are_left_out(name: str, access: str) -> None:
    """A copy that refuses every third question is still at 1; one that says nothing cannot be placed."""
    suite = suite_for(name, 50)
    own = collect(linear()[0], suite)
    partly, mute = silenced(own, np.arange(0, 50, 3)), silenced(own, np.arange(50))
    alike = schemes.similarities(SCHEMES[name], own, [partly, mute], suite, access)

    assert alike[0] == 1
    assert np.isnan(alike[1])
    with pytest.raises(NoAnswers, match="collect again"):
        schemes.similarity(SCHEMES[name], own, mute, suite, access)


@each_scheme
def test_scores_are_not_read_where_labels_are_asked_for(name: str) -> None:
    """With access label, a suspect's scores change nothing; what cannot do without says so."""
    scheme, suite = SCHEMES[name], suite_for(name, 20)
    own, other = collect(linear()[0], suite), collect(suspects()["honest 1"], suite)
    bare = collect(suspects()["honest 1"], suite, access="label")
    if scheme.access == "scores":
        with pytest.raises(UsageError, match=f"{name} compares scores, got access 'label'; use akh"):
            schemes.similarity(scheme, own, other, suite, "label")
    else:
        assert schemes.similarity(scheme, own, other, suite, "label") == schemes.similarity(
            scheme, own, bare, suite, "label"
        )
    if scheme.scores is not None:
        with pytest.raises(UsageError, match=f"expected scores for {name} from sklearn:honest 1, got labels only"):
            schemes.similarity(scheme, own, bare, suite, "scores")


def test_answers_to_other_probes_are_refused() -> None:
    """The suite says what was asked."""
    suite, other = suite_for("akh", 10), suite_for("random", 10)
    own = collect(linear()[0], other)

    with pytest.raises(SuiteMismatch, match="collect again"):
        schemes.similarities(SCHEMES["akh"], own, [own], suite, "label")


@pytest.mark.parametrize("name", ["random", "akh", "ipguard"])
def test_matching_rate_by_hand(name: str) -> None:
    """Three of four labels are the same."""
    alike = hand(name, ("x",) * 4)

    assert alike([0, 1, 2, 3], [0, 1, 2, 0], "label") == 3 / 4
    assert alike(np.eye(4), np.eye(4)[[0, 1, 2, 0]], "scores") == 3 / 4


def test_cosine_of_probabilities_by_hand() -> None:
    """One answer is the same, the other at a cosine of 1/sqrt(2)."""
    assert hand("akh-scores", ("x",) * 2)([[1, 0], [0.5, 0.5]], [[1, 0], [1, 0]], "scores") == pytest.approx(
        (1 + 0.5**0.5) / 2
    )


def test_modeldiff_by_hand() -> None:
    """
    Scores: distances (1, 0) and (1, 1) of two pairs have a cosine of 1/sqrt(2). Labels: of three pairs, 0 to 1 and 2 to
    0 are one step in three classes, 1 to 1 and 1 to 2 differ.
    """
    soft, hard = hand("modeldiff", ("x",) * 4), hand("modeldiff", ("x",) * 6, classes=3)
    left, right = [1, 0], [0, 1]

    assert soft([left, right, left, left], [left, right, left, right], "scores") == pytest.approx(0.5**0.5)
    assert hard([0, 1, 1, 1, 0, 2], [2, 0, 1, 2, 1, 0], "label") == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", ["sac-w", "sac-m"])
def test_sac_by_hand(name: str) -> None:
    """The two answers relate by a cosine of 0 in one model and 1/sqrt(2) in the other, twice in four entries."""
    alike = hand(name, ("x",) * 2)

    assert alike([[1, 0], [0, 1]], [[1, 0], [0.5, 0.5]], "scores") == pytest.approx(1 - 2 * 0.5**0.5 / 4)
    assert alike([0, 1], [1, 0], "label") == 1
    assert alike([0, 1], [0, 0], "label") == 0.5


def test_zest_by_hand() -> None:
    """
    One row of two parts. The first model's class 0 needs the first part, the other's the second; what is left is class
    1. Weights (1, 0 | 0, 1) and (0, 1 | 1, 0) are at a right angle, half way between alike and opposite.
    """
    alike = hand("zest", ("masks/0/1", "masks/0/2"))

    assert alike([[1, 0], [0, 1]], [[0, 1], [1, 0]], "scores") == pytest.approx(0.5)


def test_fbi_by_hand() -> None:
    """
    Right and wrong on the same rows is 1, whatever the wrong answers are. Independent errors tell nothing: 0. One error
    of two shared: I = H(1/4) + H(1/2) - H(1/4, 1/4, 1/2), and H(1/4) is the smaller.
    """
    alike = hand("fbi", tuple(f"uncertain/{y}" for y in (0, 1, 2, 3)))
    h = [-sum(p * np.log(p) for p in shares) for shares in ((0.25, 0.75), (0.5, 0.5), (0.25, 0.25, 0.5))]

    assert alike([0, 1, 0, 0], [0, 1, 3, 2], "label") == 1
    assert alike([0, 1, 0, 0], [0, 0, 2, 0], "label") == pytest.approx(0, abs=1e-12)
    assert alike([0, 1, 2, 0], [0, 1, 0, 0], "label") == pytest.approx((h[0] + h[1] - h[2]) / h[0])


def test_errors_run_out_and_mixtures_of_them_stand_in() -> None:
    """The source errs on thirty rows of its pool: all of them come first, the suite says how many others there are."""
    source, pool = linear()
    wrong = pool.x[source.estimator.predict(pool.x) != pool.y]
    suite = suite_for("akh", 50)

    assert 20 < len(wrong) < 50
    assert {row.tobytes() for row in suite.inputs[: len(wrong)]} == {row.tobytes() for row in wrong}
    assert suite.params["made"] == {"misclassified": len(wrong), "mixed": 50 - len(wrong)}
    assert suite.params["stand_ins"] == 50 - len(wrong)
    for mixture in suite.inputs[len(wrong) :]:
        assert (mixture == wrong).any(0).all()
    assert suite_for("akh", 20).params["stand_ins"] == 0


def test_a_source_without_errors_still_gets_a_suite() -> None:
    """A model that is right everywhere is asked about mixtures of rows it gets right."""
    x, y = digits()
    pool = make_pool(x[:300], y[:300])
    source = sklearn.wrap(ExtraTreesClassifier(10, random_state=0).fit(x[:300], y[:300]))
    suite = schemes.build(SCHEMES["sac-w"], source, pool, n=20, seed=0, generators=GENERATORS)

    assert suite.params["made"] == {"mixed": 20}
    assert suite.params["stand_ins"] == 20


def test_gradients_are_followed_where_there_are_any() -> None:
    """A network's IPGuard and ModelDiff are the papers', others are made with labels, and the suites say so."""
    boundary, pairs = (suite_for(name, 20, network) for name in ("ipguard", "modeldiff"))

    assert set(boundary.kinds) == {"boundary"}
    assert pairs.params["made"] == {"adversarial": 20}
    assert pairs.params["stand_ins"] == 0
    for name in ("ipguard", "modeldiff"):
        assert suite_for(name, 20).params["made"] == {"decision": 20}
        assert suite_for(name, 20).params["stand_ins"] == 20


def test_a_network_without_gradients_falls_back_on_labels() -> None:
    """A program may answer and refuse to be differentiated; a generator that is not installed is passed over, too."""
    source, pool = network()
    closed = SimpleNamespace(
        **{name: getattr(source, name) for name in ("target", "access", "shape", "classes", "batch", "ask", "device")},
        forward=lambda x: source.forward(x).detach(),
    )
    without_torch = {name: make for name, make in GENERATORS.items() if name != "boundary"}
    suites = [
        schemes.build(SCHEMES["ipguard"], closed, pool, n=6, seed=0, generators=GENERATORS),
        schemes.build(SCHEMES["ipguard"], source, pool, n=6, seed=0, generators=without_torch),
    ]

    assert [suite.params["made"] for suite in suites] == [{"decision": 6}] * 2


def test_a_dead_source_is_no_reason_to_fall_back() -> None:
    """What does not answer is an error, not a smaller suite."""

    def dead(x: np.ndarray) -> np.ndarray:
        raise RuntimeError("gone")

    with pytest.raises(TargetError, match="gone"):
        schemes.build(
            SCHEMES["akh"], function.wrap(dead, shape=(64,)), linear()[1], n=10, seed=0, generators=GENERATORS
        )


def test_pairs_are_neighbours_and_an_odd_question_is_not_asked() -> None:
    """Each pair is a pool row and a changed row; of eleven questions ten are spent."""
    source, pool = linear()
    suite = schemes.build(SCHEMES["modeldiff"], source, pool, n=11, seed=0, generators=GENERATORS)
    rows = {row.tobytes() for row in pool.x}

    assert len(suite) == 10
    assert all(row.tobytes() in rows for row in suite.inputs[::2])
    assert not any(row.tobytes() in rows for row in suite.inputs[1::2])


def test_zest_asks_ten_versions_of_one_row_after_another() -> None:
    """Fifty questions are five rows; the first of each ten is the row itself."""
    suite = suite_for("zest", 50, network)
    notes = [note.split("/") for note in notes_of(suite, "masks")]

    assert [int(row) for row, _ in notes] == sorted(int(row) for row, _ in notes)
    assert {int(row) for row, _ in notes[:10]} == {0}
    assert len({row for row, _ in notes}) in (5, 6)


@cache
def texts() -> tuple[function.FunctionClient, Pool]:
    """A model of shouting that errs on one of forty texts in five."""
    pool = Pool(InputSpec("text"), tuple(f"text {i}{'!' * (i % 2)}" for i in range(40)), np.arange(40) % 2)
    return function.wrap(
        lambda rows: np.array([int(t.endswith("!")) ^ (int(t[5:].strip("!")) % 5 == 0) for t in rows])
    ), pool


@each_scheme
def test_schemes_that_choose_rows_work_on_texts(name: str) -> None:
    """The others say in one line which do."""
    source, pool = texts()
    if SCHEMES[name].kinds != schemes.ANY:
        with pytest.raises(UsageError, match=f"{name} works on .*, this pool holds text; use random, akh, .*fbi$"):
            schemes.build(SCHEMES[name], source, pool, n=20, seed=0, generators=GENERATORS)
        return
    suite = schemes.build(SCHEMES[name], source, pool, n=20, seed=0, generators=GENERATORS)

    assert len(set(suite.inputs)) == 20
    assert set(suite.inputs) <= set(pool.x)
    if name in ("akh", "akh-scores", "sac-w"):
        assert suite.params["made"] == {"misclassified": 8, "uniform": 12}


def test_which_schemes_work_on_texts() -> None:
    """Those that choose among rows and compute nothing with them."""
    assert [name for name in NAMES if "text" in SCHEMES[name].kinds] == ["random", "akh", "akh-scores", "sac-w", "fbi"]


@pytest.mark.parametrize("name", ["akh", "akh-scores", "sac-w", "fbi"])
def test_errors_need_true_labels(name: str) -> None:
    """Without them nobody knows what the source gets wrong."""
    source, pool = linear()

    with pytest.raises(BadData, match=f"{name} needs the true labels of the pool"):
        schemes.build(SCHEMES[name], source, replace(pool, y=None), n=10, seed=0, generators=GENERATORS)


def test_a_budget_that_buys_nothing_is_refused() -> None:
    """No question, no pair of questions, no generator: each is one line."""
    source, pool = linear()

    for name, n, message in (("akh", 0, "at least 1, got 0"), ("modeldiff", 1, "at least 2, got 1")):
        with pytest.raises(UsageError, match=message):
            schemes.build(SCHEMES[name], source, pool, n=n, seed=0, generators=GENERATORS)
    with pytest.raises(UsageError, match="zest uses the generators masks, got uniform"):
        schemes.build(SCHEMES["zest"], source, pool, n=10, seed=0, generators={"uniform": GENERATORS["uniform"]})


@each_scheme
def test_the_seed_decides_the_suite(name: str) -> None:
    """One seed, one suite; another seed, other probes."""
    source, pool = network()
    again, other = (
        schemes.build(SCHEMES[name], source, pool, n=10, seed=seed, generators=GENERATORS) for seed in (0, 1)
    )

    assert again.digest == suite_for(name, 10, network).digest
    assert not np.array_equal(again.inputs, other.inputs)
