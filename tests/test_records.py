"""The records: what they refuse when made, and what they tell."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.records import UNANSWERED, InputSpec, Pool, Responses
from samples import IMAGE, make_panel, make_reference, make_responses, make_suite

ROWS = InputSpec("tabular", (3,), (0.0, 0.0, 0.0), (9.0, 2.0, 1.0), ("age", "job", "x"), ((), ("a", "b", "c"), ()))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "video"}, "input kind must be tabular, image, text or chat, got 'video'"),
        ({"kind": "tabular", "shape": (3,), "low": (0.0, 0.0)}, r"one finite number or one per feature \(3\)"),
        ({"kind": "tabular", "shape": (3,), "high": (np.inf,)}, "high must be one finite number"),
        ({"kind": "tabular", "shape": (1,), "low": (2.0,)}, r"got \(2.0,\) and \(1.0,\); swap them"),
        ({"kind": "tabular", "shape": (2,), "features": ("a",)}, "expected 2 feature names, got 1"),
        ({"kind": "tabular", "shape": (2,), "categories": ((),)}, "expected categories for 2 columns, got 1"),
    ],
)  # fmt: skip
def test_impossible_inputs_are_refused(values: dict[str, Any], message: str) -> None:
    """An input spec says what is wrong with it."""
    with pytest.raises(BadData, match=message):
        InputSpec(**values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": np.zeros((0, 2, 2), np.float32), "kinds": ()}, "at least one probe"),
        ({"inputs": np.zeros((5, 2, 2))}, r"expected float32 probes of shape \(2, 2\), got float64"),
        ({"inputs": np.zeros((5, 4), np.float32)}, r"got float32 \(4,\)"),
        ({"inputs": np.full((5, 2, 2), np.nan, np.float32)}, "finite numbers, got NaN"),
        ({"kinds": ("uniform",) * 4}, r"one kind per probe \(5\), got 4"),
        ({"weights": np.ones(6)}, r"one weight per probe \(5\), got 6"),
        ({"expected": np.zeros(1, int)}, r"one expected answer per probe \(5\), got 1"),
    ],
)
def test_impossible_suites_are_refused(changes: dict[str, Any], message: str) -> None:
    """A suite has finite probes of its input's shape, and one of everything per probe."""
    with pytest.raises(BadData, match=message):
        make_suite(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros(5, np.int64)}, r"expected int64 labels \(n, r\), got int64 \(5,\)"),
        ({"labels": np.zeros((5, 1), np.int32)}, r"expected int64 labels \(n, r\), got int32"),
        ({"scores": np.zeros((5, 3), np.float32)}, r"expected scores \(n, r, k\)"),
        ({"scores": np.zeros((4, 1, 3), np.float32)}, r"for labels \(5, 1\), got \(4, 1, 3\)"),
    ],
)
def test_impossible_responses_are_refused(changes: dict[str, Any], message: str) -> None:
    """Labels and scores of a response have one row per probe and repeat."""
    with pytest.raises(BadData, match=message):
        replace(make_responses(make_suite()), **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"names": ("peer 1",)},
        {"uses": ()},
        {"labels": np.zeros((2, 5), np.int16)},
        {"labels": np.zeros(3, np.int16)},
        {"labels": np.zeros((3, 5))},
        {"scores": np.zeros((3, 4, 2), np.float16)},
    ],
    ids=["names", "uses", "rows", "dimensions", "fractions", "scores"],
)
def test_impossible_panels_are_refused(changes: dict[str, Any]) -> None:
    """A panel has one name, role, use and row of answers per model."""
    with pytest.raises(BadData):
        replace(make_panel(), **changes)


@pytest.mark.parametrize("name", ["", "a\nb", "red\x1b[31m", "left\u202eright", "x" * 201])
def test_names_that_could_deceive_a_reader_are_refused(name: str) -> None:
    """A reference's name is printable, not empty and not endless."""
    with pytest.raises(BadData, match="a printable name of at most 200 characters"):
        make_reference(name)


def test_answers_to_other_probes_are_refused() -> None:
    """A reference holds answers to its own suite, one per probe."""
    reference, other = make_reference(), make_suite(7)
    short = replace(make_responses(other), suite=reference.suite.digest, labels=np.zeros((4, 1), np.int64), scores=None)

    with pytest.raises(BadData, match="answers to another suite; enroll it again"):
        replace(reference, answers=make_responses(other))
    with pytest.raises(BadData, match="to 5 probes, got"):
        replace(reference, answers=short)
    with pytest.raises(BadData, match="to 5 probes, got"):
        replace(reference, panel=make_panel(6))


def test_the_most_frequent_answer_wins_and_refusals_do_not_vote() -> None:
    """The label of a probe is the mode of its repeats, as scipy counts it; silence throughout stays silence."""
    rng = np.random.default_rng(0)
    labels = rng.integers(UNANSWERED, 4, (200, 5))
    labels[0] = UNANSWERED
    responses = Responses("sha256:0", "x", "label", labels, None, np.zeros(200, np.float32), 1000)
    votes = [row[row != UNANSWERED] for row in labels]
    expected = [scipy.stats.mode(row).mode if len(row) else UNANSWERED for row in votes]

    np.testing.assert_array_equal(responses.label, expected)
    np.testing.assert_array_equal(responses.answered, [len(row) > 0 for row in votes])
    assert responses.label[0] == UNANSWERED


def test_scores_are_averaged_over_the_answered_repeats() -> None:
    """A repeat without scores neither counts nor turns the others into NaN."""
    scores = np.array([[[0.2, 0.8], [0.4, 0.6]], [[1, 0], [np.nan] * 2], [[np.nan] * 2] * 2], np.float32)
    labels = np.array([[1, 1], [0, -1], [-1, -1]])
    responses = Responses("sha256:0", "x", "scores", labels, scores, np.zeros(3, np.float32), 6)

    assert responses.score is not None
    np.testing.assert_allclose(responses.score, [[0.3, 0.7], [1, 0], [np.nan, np.nan]], rtol=1e-6)


def test_no_scores_stay_none() -> None:
    """Labels alone give no scores."""
    assert make_responses(make_suite(), scores=False).score is None


def test_categories_are_shown_to_models_as_they_were_observed() -> None:
    """Codes become values where a column is categorical and stay numbers elsewhere."""
    rows = ROWS.decode(np.array([[1.5, 2, 0.25], [3, 0, 1]], np.float32))

    assert rows.tolist() == [[1.5, "c", 0.25], [3.0, "a", 1.0]]
    assert ROWS.numeric.tolist() == [True, False, True]


def test_numeric_rows_are_shown_as_they_are() -> None:
    """Without categories decoding changes nothing."""
    x = np.ones((2, 2, 2), np.float32)

    assert IMAGE.decode(x) is x


def test_inputs_are_clipped_feature_by_feature() -> None:
    """Each feature has bounds of its own; one bound serves all."""
    far = np.array([[-5, 5, 0.5], [50, -1, 7]], np.float32)

    assert ROWS.clip(far).tolist() == [[0, 2, 0.5], [9, 0, 1]]
    assert IMAGE.clip(np.full((1, 2, 2), 3.0)).max() == 1
    assert ROWS.clip(far).dtype == np.float32


@pytest.mark.parametrize(
    ("shape", "axis"), [((8, 8), None), ((3, 8, 8), 0), ((1, 8, 8), 0), ((8, 8, 3), 2), ((8, 8, 1), 2)]
)
def test_the_channel_axis_is_the_short_one(shape: tuple[int, ...], axis: int | None) -> None:
    """Channels come first or last."""
    assert InputSpec("image", shape).channel_axis == axis


def test_inputs_are_accepted_by_kind_shape_and_known_names() -> None:
    """Unknown feature names are no obstacle, other ones are."""
    nameless = replace(ROWS, features=())

    assert ROWS.accepts(nameless)
    assert nameless.accepts(ROWS)
    assert not ROWS.accepts(replace(ROWS, features=("age", "job", "y")))
    assert not ROWS.accepts(InputSpec("image", (3,)))
    assert not IMAGE.accepts(InputSpec("image", (2, 3)))


def test_rows_are_taken_in_the_order_asked_for() -> None:
    """A part of a pool or suite keeps what belongs to each row together."""
    x = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    pool = Pool(IMAGE, x, np.array([5, 6, 7])).take(np.array([2, 0]))
    texts = Pool(InputSpec("text"), ("a", "b", "c")).take(np.array([True, False, True]))
    suite = make_suite(kinds=tuple("abcde"), weights=np.arange(5.0)).take(np.array([4, 1]))

    assert pool.x[:, 0, 0].tolist() == [8, 0]  # type: ignore[call-overload]
    assert pool.y is not None
    assert pool.y.tolist() == [7, 5]
    assert (texts.x, texts.y, len(texts)) == (("a", "c"), None, 2)
    assert (suite.kinds, suite.weights.tolist(), suite.expected.tolist()) == (("e", "b"), [4, 1], [1, 1])  # type: ignore[union-attr]
    np.testing.assert_array_equal(suite.inputs, make_suite().inputs[[4, 1]])


def test_panel_rows_are_found_by_role_and_use() -> None:
    """Same-data peers are peers too, unless they are asked for by name."""
    panel = make_panel()

    assert panel.rows("peer").tolist() == [0, 1]
    assert panel.rows("same-data peer").tolist() == [1]
    assert panel.rows("shadow", "select", "estimate").tolist() == [2]
    assert panel.rows("peer", "select").tolist() == []
