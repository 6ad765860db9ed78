"""Every form in which servers answer comes out as the same labels and scores, by label wherever one is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from probe_match.clients._shapes import normalise
from probe_match.fingerprinting import answers, collect
from probe_match.fingerprinting.audits import Audit
from probe_match.fingerprinting.errors import TargetError
from probe_match.fingerprinting.guards import GuardedClient
from probe_match.fingerprinting.ledger import open_ledger, read_ledger
from probe_match.fingerprinting.records import InputSpec

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
ROWS = [{"0": 0.7, "1": 0.2, "2": 0.1}, {"0": 0.1, "1": 0.3, "2": 0.6}]
SORTED = [
    [{"label": "0", "score": 0.7}, {"label": "1", "score": 0.2}, {"label": "2", "score": 0.1}],
    [{"score": 0.6, "label": "2"}, {"score": 0.3, "label": "1"}, {"score": 0.1, "label": "0"}],
]
WHOLE: dict[str, Any] = {
    "matrix": P.tolist(),
    "matrix of matrices": [[row] for row in P.tolist()],
    "flat data and its shape": {"shape": [2, 3], "data": P.ravel().tolist()},
    "nested data and its shape": {"shape": [2, 3], "data": P.tolist()},
    "one object per input": ROWS,
    "zipmap": [{0: 0.7, 1: 0.2, 2: 0.1}, {0: 0.1, 1: 0.3, 2: 0.6}],
    "label and score, sorted": SORTED,
    "label and score, in capitals": [[{"Label": e["label"], "Score": e["score"]} for e in row] for row in SORTED],
    "HF labels": [[{"label": f"LABEL_{e['label']}", "score": e["score"]} for e in row] for row in SORTED],
    "a label and its confidences": [
        {"label": row[0]["label"], "confidences": [{"label": e["label"], "confidence": e["score"]} for e in row]}
        for row in SORTED
    ],
    "index texts": [[f"{e['score']}:{e['label']}" for e in row] for row in SORTED],
    "index texts in one list": [f"{e['score']}:{e['label']}" for row in SORTED for e in row],
    "index and label texts": [[f"{e['score']}:9:{e['label']}" for e in row] for row in SORTED],
    "parallel lists per input": [{"classes": ["2", "0", "1"], "scores": [p[2], p[0], p[1]]} for p in P.tolist()],
    "classes once, then a matrix": {"classes": ["1", "0", "2"], "probabilities": P[:, [1, 0, 2]].tolist()},
    "columns by class": {"1": [0.2, 0.3], "0": [0.7, 0.1], "2": [0.1, 0.6]},
    "one named matrix": {"output": P.tolist()},
    "labels beside a matrix": {"label": [0, 2], "probabilities": P.tolist()},
    "scores in an object per input": [
        {"probabilities": row, "label": i} for row, i in zip(P.tolist(), (0, 2), strict=True)
    ],
}


class Fixed:
    """A client that answers what it is given."""

    target, access, shape, classes, batch = "fixed", "scores", None, (), 4096

    def __init__(self, value: Any, names: Any = ()) -> None:
        self.value, self.names = value, names

    def ask(self, inputs: Any) -> answers.Answers:
        """The value, read."""
        return normalise(json.loads(json.dumps(self.value)), len(inputs), "fixed", names=self.names)

    def close(self) -> None:
        """Nothing is held."""


def asked(value: Any, m: int = 2, classes: tuple[str, ...] = (), names: Any = ()) -> answers.Asked:
    return collect.ask(Fixed(value, names), np.zeros((m, 1), np.float32), InputSpec("tabular", (1,)), classes=classes)


@pytest.mark.parametrize("value", WHOLE.values(), ids=WHOLE.keys())
def test_all_scores_are_read_alike(value: Any) -> None:
    """Order, nesting and spelling make no difference."""
    given = asked(value)

    assert given.labels.tolist() == [0, 2]
    assert given.scores == pytest.approx(P, abs=1e-6)


@pytest.mark.parametrize(
    "value",
    [P[0].tolist(), [P[0].tolist()], ROWS[0], [ROWS[0]], SORTED[0], [SORTED[0]],
     {"classes": ["1", "0", "2"], "scores": [0.2, 0.7, 0.1]}, {"shape": [1, 3], "data": P[0].tolist()},
     {"prediction": ROWS[0]}, {"label": "0", "confidences": SORTED[0]}],
)  # fmt: skip
def test_a_single_input_may_come_without_its_list(value: Any) -> None:
    """Servers that take one input at a time answer with its scores alone."""
    given = asked(value, 1)

    assert given.scores == pytest.approx(P[:1], abs=1e-6)


@pytest.mark.parametrize(
    "value", [[3, 5], ["3", "5"], [[3], [5]], {"predict": [3, 5]}, [{"label": 3}, {"label": "5"}], [3.0, 5.0]]
)
def test_bare_labels_are_labels(value: Any) -> None:
    """Numbers and texts, in lists and objects."""
    given = asked(value)

    assert (given.labels.tolist(), given.scores) == ([3, 5], None)


def test_a_single_label_may_come_alone() -> None:
    """As a number, a text or an object."""
    assert [asked(value, 1).labels.tolist() for value in (3, "3", {"class": 3}, [3])] == [[3]] * 4


def test_what_comes_by_label_goes_by_label() -> None:
    """Names put scores in the reference's order, whatever the server's."""
    value = [{"cat": 0.1, "ant": 0.9}, {"ant": 0.2, "cat": 0.8}]
    given = asked(value, classes=("ant", "bee", "cat"))

    assert given.labels.tolist() == [0, 2]
    assert given.scores is not None
    assert np.nan_to_num(given.scores[0], nan=-1) == pytest.approx([0.9, -1, 0.1])
    named = asked([[0.1, 0.9], [0.8, 0.2]], classes=("ant", "cat"), names=["cat", "ant"]).scores
    assert named == pytest.approx(np.array([[0.9, 0.1], [0.2, 0.8]]))


def test_as_many_inputs_as_classes_are_no_reason_to_mistake_names_for_labels() -> None:
    """Three rows of three classes in the server's order: `classes` name the columns, `labels` the inputs."""
    rows = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3]])
    named = asked({"probabilities": rows[:, ::-1].tolist(), "classes": ["2", "1", "0"]}, 3)
    labelled = asked({"probabilities": rows.tolist(), "labels": [0, 2, 1]}, 3)

    assert named.labels.tolist() == labelled.labels.tolist() == [0, 2, 1]
    assert named.scores == pytest.approx(rows, abs=1e-6)


def test_classes_that_are_not_shown_stay_unknown() -> None:
    """Of three shown classes of ten, nobody invents the others; the label is the likeliest shown."""
    given = asked([[{"label": "7", "score": 0.5}, {"label": "2", "score": 0.3}], [{"label": "1", "score": 0.9}]])

    assert given.labels.tolist() == [7, 1]
    assert given.scores is not None
    assert (~np.isnan(given.scores)).sum(1).tolist() == [2, 1]


def test_requests_that_show_other_classes_fit_together() -> None:
    """One input per request, each with the scores of its own likeliest classes."""

    class OneByOne(Fixed):
        batch = 1

        def ask(self, inputs: Any) -> answers.Answers:
            return normalise(self.value[int(inputs[0, 0])], 1, "fixed")

    client = OneByOne([{"0": 0.6, "1": 0.3}, {"4": 0.9}, {"2": 0.5, "3": 0.2}])
    given = collect.ask(client, np.arange(3, dtype=np.float32)[:, None], InputSpec("tabular", (1,)))

    assert given.labels.tolist() == [0, 4, 2]
    assert given.scores is not None
    assert given.scores.shape == (3, 5)


def test_probabilities_slightly_over_one_are_one() -> None:
    """A forest in single precision says 1.0000004."""
    assert asked([{"0": 1.0000004, "1": 0.0}, {"0": 0.0, "1": 1.0000004}]).scores.max() == 1.0  # type: ignore[union-attr]


NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1))
LEAVES = st.one_of(
    st.none(), st.booleans(), NUMBERS, st.text(max_size=8), st.sampled_from(["0.5:1", "cat", "3", "LABEL_2", "1e999:0"])
)
KEYS = st.one_of(
    st.text(max_size=4),
    st.sampled_from(
        ["label", "score", "scores", "classes", "probabilities", "confidences", "shape", "data", "0", "1", "2"]
    ),
)
ANY_JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=ANY_JSON, m=st.integers(1, 3), names=st.lists(st.text(max_size=3), max_size=3))
def test_whatever_a_server_answers_is_an_answer_or_our_error(value: Any, m: int, names: list[str]) -> None:
    """Any JSON at all becomes as many labels as inputs, or one line."""
    for classes in ((), ("cat", "0", "1")):
        try:
            given_ = asked(value, m, classes, names)
        except TargetError as error:
            assert "\n" not in str(error)  # noqa: PT017 - what is not raised is an answer
        else:
            assert given_.labels.shape == (m,)
            assert given_.scores is None or (given_.scores.shape[0] == m and not np.isnan(given_.scores).all(1).any())


@pytest.mark.parametrize(
    "value",
    [[], {}, None, "", [1], [[0.1, 0.9], [0.2]], [[0.1, 0.9], 3], [None, None], {"a": {}}, [[], []], "x" * 500,
     [[{"label": "0"}, {"score": 1}]] * 2, {"shape": [2, 3], "data": [1]}, {"shape": [[]], "data": []},
     [{"0": 3.4028235677973366e38}] * 2, [{"0": 3.4e37, "1": 3.4e38}] * 2, [[3e38, 3e38]] * 2, [[1e300, 0.0]] * 2,
     [{"0": 0.9, "1": 0.9}] * 2, [{"cat": 0.9, "ant": 0.1}] * 2, [{"99999999": 1.0}] * 2, [{"0": -0.5}] * 2],
)  # fmt: skip
def test_nonsense_is_one_line(value: Any) -> None:
    """Whatever comes, it is our error."""
    with pytest.raises(TargetError) as caught:
        asked(value)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        [[0.1, 0.9], None, [0.8, 0.2]],
        [[0.1, 0.9], [None, 0.3], [0.8, 0.2]],
        [[0.1, 0.9], [0.3], [0.8, 0.2]],
        [[0.1, 0.9], {"error": "cannot"}, [0.8, 0.2]],
        {"0": [0.1, None, 0.8], "1": [0.9, None, 0.2]},
        [[{"label": "1", "score": 0.9}, {"label": "0", "score": 0.1}], [], [{"label": "0", "score": 0.8}]],
        {"labels": [1, None, 0], "scores": [[0.1, 0.9], None, [0.8, 0.2]]},
        [1, None, 0],
        ["1", None, "0"],
        {"shape": [3, 2], "data": [0.1, 0.9, None, None, 0.8, 0.2]},
    ],
)
def test_an_input_without_an_answer_leaves_the_others_theirs(value: Any, tmp_path: Path) -> None:
    """Null, an empty or a shorter row, an error in its place: that input is unusable, and no other; in a ledger too."""
    spec = InputSpec("tabular", (1,))
    x = np.arange(3, dtype=np.float32)[:, None]
    found = collect.ask(Fixed(value, ()), x, spec, partly=True)
    with open_ledger(tmp_path / "a", target="fixed") as ledger:
        collect.ask(GuardedClient(Fixed(value, ()), Audit(ledger)), x, spec, partly=True)
    with read_ledger(tmp_path / "a") as ledger:
        again = collect.ask(GuardedClient(Fixed(value, ()), Audit(ledger, offline=True)), x, spec, partly=True)

    assert found.labels.tolist() == again.labels.tolist() == [1, -1, 0]


def test_answers_of_two_forms_are_an_error() -> None:
    """Where it is a draw, nobody can say which rows are wrong."""
    with pytest.raises(TargetError, match="as many scores for each input"):
        normalise([[0.1, 0.9], [0.1, 0.2, 0.7]], 2, "it")
