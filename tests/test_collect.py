"""Asking a model: batches, checks, order and repeats, with real callables as models."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import scipy.special
from probe_match.clients.function import FunctionClient, wrap
from probe_match.fingerprinting.answers import check
from probe_match.fingerprinting.collect import Answers, Asked, Client, ask, collect, merge
from probe_match.fingerprinting.errors import SuiteMismatch, TargetError, UsageError
from probe_match.fingerprinting.records import UNANSWERED, InputSpec
from samples import IMAGE, make_suite

RNG = np.random.default_rng(0)
PROBABILITIES = RNG.dirichlet(np.ones(3), 7).astype(np.float32)
LOGITS = (RNG.normal(0, 3, (7, 3))).astype(np.float32)
SUITE = make_suite(n=7)


def brightness(x: np.ndarray) -> np.ndarray:
    """A deterministic model: which quarter of [0, 1] the mean pixel is in."""
    return (x.reshape(len(x), -1).mean(1) * 4).astype(int)


def answering(answer: Any) -> Client:
    """A model that always answers the same."""
    return wrap(lambda _: answer, name="model")


def checked(labels: Any = None, scores: Any = None, m: int = 7, classes: Sequence[str] = ()) -> Asked:
    return check(Answers(labels, scores), m, classes, answering(0))


@pytest.mark.parametrize("batch", [1, 3, 7, 100])
def test_batches_make_no_difference(batch: int) -> None:
    """A model is asked at most as many inputs at once as it takes, and answers come back in order."""
    sizes: list[int] = []

    def model(x: np.ndarray) -> np.ndarray:
        sizes.append(len(x))
        return brightness(x)

    client = wrap(model)
    client.batch = batch
    ticks: list[int] = []
    asked = ask(client, SUITE.inputs, IMAGE, progress=ticks.append)

    np.testing.assert_array_equal(asked.labels, brightness(np.asarray(SUITE.inputs)))
    assert asked.labels.dtype == np.int64
    assert max(sizes) <= batch
    assert sum(sizes) == sum(ticks) == 7


def test_asking_nothing_asks_nothing() -> None:
    """No inputs, no call and no error."""
    asked = ask(wrap(lambda _: 1 / 0), np.zeros((0, 2, 2), np.float32), IMAGE)

    assert asked.labels.shape == (0,)


def test_texts_are_asked_as_they_are() -> None:
    """A model of texts is handed the texts."""
    asked = ask(wrap(lambda texts: np.array([len(t) for t in texts])), ("a", "bbb"), InputSpec("text"))

    assert asked.labels.tolist() == [1, 3]


def test_repeats_in_any_order_land_where_they_belong() -> None:
    """Shuffled questions, each asked three times, come back in suite order."""
    seen: list[np.ndarray] = []

    def model(x: np.ndarray) -> np.ndarray:
        seen.append(x)
        return brightness(x)

    plain = collect(wrap(brightness), SUITE)
    shuffled = collect(wrap(model), SUITE, repeats=3, rng=np.random.default_rng(1))
    order = np.concatenate(seen)

    np.testing.assert_array_equal(shuffled.labels, np.repeat(plain.labels, 3, axis=1))
    assert (plain.sent, shuffled.sent) == (7, 21)
    assert not np.array_equal(order, np.repeat(np.asarray(SUITE.inputs), 3, axis=0))
    assert np.isfinite(shuffled.latency).all()


def test_one_seed_gives_one_order() -> None:
    """Equal generators send equal sequences."""
    seen: list[np.ndarray] = []

    def model(x: np.ndarray) -> np.ndarray:
        seen.append(x)
        return brightness(x)

    for seed in (1, 1, 2):
        collect(wrap(model), SUITE, rng=np.random.default_rng(seed))

    assert np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


def test_probes_that_were_not_asked_stay_unanswered() -> None:
    """A part of a suite is answered in its own rows; the others hold no label, no score and no time."""
    responses = collect(wrap(lambda x: scipy.special.softmax(x.reshape(len(x), -1), 1)), SUITE, rows=np.array([4, 1]))

    assert responses.scores is not None
    assert np.flatnonzero(responses.answered).tolist() == [1, 4]
    assert responses.label[0] == UNANSWERED
    assert np.isnan(responses.scores[[0, 2, 3, 5, 6]]).all()
    np.testing.assert_allclose(responses.scores[4, 0], scipy.special.softmax(SUITE.inputs[4].ravel()), rtol=1e-5)  # type: ignore[union-attr]
    assert np.isnan(responses.latency).tolist() == [True, False, True, True, False, True, True]
    assert responses.sent == 2


def test_no_rows_are_no_questions() -> None:
    """An empty choice of probes gives responses in which nothing was answered."""
    responses = collect(wrap(brightness), SUITE, rows=np.array([]))

    assert not responses.answered.any()
    assert responses.sent == 0


def test_no_repeats_are_refused() -> None:
    """A probe is asked at least once."""
    with pytest.raises(UsageError, match="repeats must be at least 1, got 0"):
        collect(wrap(brightness), SUITE, repeats=0)


def test_a_model_of_another_shape_is_not_asked() -> None:
    """A known mismatch is found before anything is sent."""
    with pytest.raises(TargetError, match=r"takes inputs of shape \(3,\), the probes are \(2, 2\)"):
        collect(wrap(lambda x: 1 / 0, shape=(3,)), SUITE)


def test_scores_can_be_ignored() -> None:
    """Label access throws scores away and keeps the label they imply."""
    model = answering(PROBABILITIES)
    responses = collect(model, SUITE, access="label")

    assert (responses.access, responses.scores) == ("label", None)
    np.testing.assert_array_equal(responses.label, PROBABILITIES.argmax(1))


def test_label_names_become_indices() -> None:
    """Names are looked up among the reference's classes, whatever their type."""
    named = ["dog", "cat", "dog", "dog", "cat", "cat", "cat"]
    numbers = np.array([10, 20, 10, 10, 20, 20, 20])
    expected = [1, 0, 1, 1, 0, 0, 0]

    for labels in (np.array(named), np.array(named, object), np.array([n.encode() for n in named])):
        assert checked(labels, classes=("cat", "dog")).labels.tolist() == expected
    for labels in (numbers, numbers.astype(float), numbers[:, None]):
        assert checked(labels, classes=("20", "10")).labels.tolist() == expected


def test_an_unknown_label_name_is_an_error() -> None:
    """A label that no reference knows names itself and the known ones."""
    with pytest.raises(TargetError, match="answered the label 'eel'; known are cat, dog"):
        checked(np.array(["cat"] * 6 + ["eel"]), classes=("cat", "dog"))


def test_texts_without_known_names_are_an_error_with_advice() -> None:
    """Names need a pool that names them; numbers written as text are numbers."""
    with pytest.raises(TargetError, match="got the text 'cat'; enroll with a pool whose labels are those names"):
        checked(np.array(["cat"] * 7))
    assert checked(np.array(["2"] * 7, object)).labels.tolist() == [2] * 7


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(6, int), r"expected 7 labels from function:model, got an answer of shape \(6,\)"),
        (np.zeros((7, 2), int), r"shape \(7, 2\)"),
        (np.int64(3), r"shape \(\)"),
        (np.full(7, 0.5), "expected integer labels"),
        (np.full(7, np.nan), "expected integer labels"),
        (np.full(7, np.inf), "expected integer labels"),
        (np.full(7, -1), "expected labels from 0 to 32000"),
        (np.full(7, 2**40), "expected labels from 0 to 32000"),
        (np.full(7, 1j), "expected integer labels from function:model, got complex128"),
        (np.zeros(7, "datetime64[s]"), "expected integer labels"),
    ],
)
def test_labels_that_are_none_are_an_error(labels: np.ndarray, message: str) -> None:
    """Wrong counts, fractions and numbers out of range say what came."""
    with pytest.raises(TargetError, match=message):
        checked(labels)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (PROBABILITIES[:6], r"expected 7 rows of scores from function:model, got an answer of shape \(6, 3\)"),
        (PROBABILITIES[None], r"shape \(1, 7, 3\)"),
        (np.zeros((7, 0)), r"shape \(7, 0\)"),
        (np.array([["a", "b"]] * 7), "expected numbers as scores"),
        (np.array(["a"] * 7), "expected numbers as scores"),
        (np.where(np.arange(7)[:, None] == 4, np.nan, LOGITS), r"answered NaN or infinity \(1 of 7 rows, first at 4\)"),
        (np.full((7, 3), np.inf), r"answered NaN or infinity \(7 of 7 rows, first at 0\)"),
        (np.full((7, 2), 1e300), "answered NaN or infinity"),
        (PROBABILITIES / 2, "expected probabilities that sum to 1 from function:model, got rows that sum to 0.5"),
    ],
)
def test_scores_that_are_none_are_an_error(scores: np.ndarray, message: str) -> None:
    """Wrong shapes, texts, NaN and probabilities that do not sum to 1 say what came."""
    with pytest.raises(TargetError, match=message):
        checked(scores=scores)


def test_probabilities_are_kept_and_logits_are_not() -> None:
    """Probabilities stay as they are; logits become probabilities as scipy's softmax makes them."""
    kept, made = checked(scores=PROBABILITIES), checked(scores=LOGITS)

    assert kept.scores is not None
    assert made.scores is not None
    np.testing.assert_array_equal(kept.scores, PROBABILITIES)
    np.testing.assert_allclose(made.scores, scipy.special.softmax(LOGITS, 1), rtol=1e-5)
    np.testing.assert_array_equal(made.labels, LOGITS.argmax(1))
    assert made.labels.dtype == np.int64


@pytest.mark.parametrize("shape", [(7,), (7, 1)])
def test_one_probability_stands_for_two(shape: tuple[int, ...]) -> None:
    """The single output of a binary classifier is the probability of the second class."""
    p = np.linspace(0.1, 0.9, 7, dtype=np.float32)
    asked = checked(scores=p.reshape(shape))

    np.testing.assert_allclose(asked.scores, np.stack([1 - p, p], 1), rtol=1e-6)  # type: ignore[arg-type]
    assert asked.labels.tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_an_answer_without_anything_is_an_error() -> None:
    """Neither labels nor scores is no answer."""
    with pytest.raises(TargetError, match="neither labels nor scores"):
        checked()


def of_classes(classes: tuple[str, ...], scores: np.ndarray) -> FunctionClient:
    client = wrap(lambda _: scores, name="model")
    client.classes = classes
    return client


@pytest.mark.parametrize("scores", [PROBABILITIES, LOGITS, -np.abs(LOGITS)])
def test_score_columns_follow_the_names(scores: np.ndarray) -> None:
    """Columns are put in the reference's order, and a class the model does not know gets probability 0."""
    names = ("eel", "cat", "dog")
    probabilities = scipy.special.softmax(scores, 1) if scores is not PROBABILITIES else scores
    asked = ask(of_classes(names, scores), SUITE.inputs, IMAGE, classes=("cat", "dog", "eel", "fox"))

    assert asked.scores is not None
    np.testing.assert_allclose(asked.scores[:, :3], probabilities[:, [1, 2, 0]], rtol=1e-5)
    np.testing.assert_array_equal(asked.scores[:, 3], 0)
    np.testing.assert_array_equal(asked.labels, probabilities[:, [1, 2, 0]].argmax(1))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cat", "dog", "gnu"), "scores the class 'gnu'; known are cat, dog, eel"),
        (("cat", "dog"), "expected scores for the 2 classes of function:model, got 3"),
    ],
)
def test_scores_of_other_classes_are_an_error(names: tuple[str, ...], message: str) -> None:
    """A class that no reference knows cannot be compared."""
    with pytest.raises(TargetError, match=message):
        ask(of_classes(names, PROBABILITIES), SUITE.inputs, IMAGE, classes=("cat", "dog", "eel"))


def test_too_few_scores_for_the_classes_are_an_error() -> None:
    """Nameless columns must be as many as the reference's classes."""
    with pytest.raises(TargetError, match="expected scores for 4 classes from function:model, got 3"):
        checked(scores=PROBABILITIES, classes=("a", "b", "c", "d"))


def growing() -> Callable[[np.ndarray], np.ndarray]:
    width = iter(range(2, 9))
    return lambda x: np.full((len(x), k := next(width)), 1 / k)


def test_scores_that_change_width_are_an_error() -> None:
    """All batches of one question have the same number of scores."""
    client = wrap(growing())
    client.batch = 4

    with pytest.raises(TargetError, match="the same number of scores for all inputs"):
        ask(client, SUITE.inputs, IMAGE)


def test_two_rounds_of_answers_are_one() -> None:
    """The second round fills what the first did not ask, and never overwrites it."""
    first = collect(wrap(brightness), SUITE, rows=np.array([0, 1]))
    second = collect(wrap(lambda x: np.full(len(x), 9)), SUITE, rows=np.array([1, 2]))
    both = merge(first, second)

    assert both.labels[:, 0].tolist() == [*first.labels[:2, 0].tolist(), 9, -1, -1, -1, -1]
    assert both.sent == 4
    with pytest.raises(SuiteMismatch, match="collect again"):
        merge(first, collect(wrap(brightness), make_suite(1, n=7)))
