"""Changed copies of ONNX graphs, run by ONNX Runtime: what is taken away is gone, what is rounded has few values."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from probe_match.clients import onnx as onnx_client
from probe_match.fingerprinting import changed_copies, graph_changes
from probe_match.fingerprinting.pools import make_pool
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "zoos"))
import onnx_graphs  # the zoo's, to make real graphs

X, Y = load_digits(return_X_y=True)
X = X.astype(np.float32)
MODELS: dict[str, Any] = {
    "linear": LogisticRegression(max_iter=2000),
    "forest": RandomForestClassifier(9, max_depth=6, random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=6, max_depth=4, random_state=0),
}


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    """Small models of ten digits."""
    return {name: model.fit(X[:600], Y[:600]) for name, model in MODELS.items()}


@pytest.fixture
def opened(fitted: dict[str, Any], tmp_path: Path) -> Any:
    """A client of one of them as a graph."""

    def open_one(name: str) -> onnx_client.OnnxClient:
        graph = onnx_graphs.Graph(64)
        graph.save(tmp_path / "m.onnx", onnx_graphs.answer(graph, fitted[name], 10), 10)
        return onnx_client.connect(str(tmp_path / "m.onnx"))

    return open_one


def weights(data: bytes) -> np.ndarray:
    """The one matrix of a linear graph."""
    (found,) = graph_changes.Graph(data).arrays
    return np.asarray(numpy_helper.to_array(found))


def scores(client: Any, data: bytes) -> np.ndarray:
    """What a changed copy answers to rows that nobody was trained on."""
    return np.asarray(client.with_graph(data).ask(X[600:]).scores)


def test_the_smallest_weights_go(opened: Any) -> None:
    """Half of them are 0, none of the larger half is touched, and the file given is left alone."""
    client = opened("linear")
    before = weights(client.graph)
    after = weights(graph_changes.pruned(client.graph, 0.5, np.random.default_rng(0)))

    assert (after == 0).mean() == pytest.approx(0.5, abs=0.01 + (before == 0).mean())
    assert (after[after != 0] == before[after != 0]).all()
    assert np.abs(before[after == 0]).max() <= np.abs(after[after != 0]).min()
    assert (weights(client.graph) == before).all()


def test_rounded_weights_have_few_values(opened: Any) -> None:
    """Three bits are eight values at most."""
    client = opened("linear")

    assert len(np.unique(weights(client.graph))) > 100
    assert len(np.unique(weights(graph_changes.quantised(client.graph, 3, "even")))) <= 8


def test_a_graph_with_fewer_trees_is_the_forest_with_fewer_trees(opened: Any, fitted: dict[str, Any]) -> None:
    """A third of nine: what is left answers the mean of three of the forest's own trees."""
    client = opened("forest")
    answers = scores(client, graph_changes.pruned(client.graph, 2 / 3, np.random.default_rng(1)))
    left = np.sort(np.random.default_rng(1).permutation(9)[:3])
    own = np.mean([fitted["forest"].estimators_[i].predict_proba(X[600:]) for i in left], axis=0)

    assert np.abs(answers - own).max() < 1e-5


def test_boosted_trees_lose_the_last(opened: Any, fitted: dict[str, Any]) -> None:
    """Each corrects those before it: a half of six rounds are the first three."""
    client = opened("boosting")
    answers = scores(client, graph_changes.pruned(client.graph, 0.5, np.random.default_rng(1)))
    *_, own = zip(range(3), fitted["boosting"].staged_predict_proba(X[600:]), strict=False)

    assert np.abs(answers - own[1]).max() < 1e-5


def test_a_tree_cut_to_its_root_answers_the_mean_of_its_leaves(opened: Any, fitted: dict[str, Any]) -> None:
    """Whatever the input, and each leaf counts once: how many rows came to it is not in the file."""
    client = opened("forest")
    trees = [estimator.tree_ for estimator in fitted["forest"].estimators_]
    means = [tree.value[tree.children_left < 0, 0].mean(0) for tree in trees]

    assert np.abs(scores(client, graph_changes.cut_back(client.graph, 1.0)) - np.mean(means, 0)).max() < 1e-5


@pytest.mark.parametrize("name", ["forest", "boosting"])
def test_splits_become_leaves_that_answer_the_mean_below(name: str, opened: Any) -> None:
    """As many splits fewer in every tree; with none left, every input has the mean of all leaves."""
    client = opened(name)

    def splits(data: bytes) -> dict[int, int]:
        (node,) = graph_changes.Graph(data).trees
        lists = {a.name: list(a.ints) or list(a.strings) for a in node.attribute}
        inner = [m != b"LEAF" for m in lists["nodes_modes"]]
        ids = lists["nodes_treeids"]
        return {tree: sum(i for i, t in zip(inner, ids, strict=True) if t == tree) for tree in set(ids)}

    before, after = splits(client.graph), splits(graph_changes.cut_back(client.graph, 0.4))
    assert after == {tree: n - int(0.4 * n) for tree, n in before.items()}
    gone = scores(client, graph_changes.cut_back(client.graph, 1.0))
    assert np.ptp(gone, axis=0).max() < 1e-6
    light = scores(client, graph_changes.cut_back(client.graph, 0.1))
    whole = np.asarray(client.ask(X[600:]).scores)
    assert 0 < np.abs(light - whole).mean() < np.abs(gone - whole).mean()


def test_a_graph_at_hand_has_changed_copies_of_each_kind(opened: Any) -> None:
    """They run, and most answer otherwise; one without weights has none."""
    client = opened("linear")
    made = changed_copies.changed(client, make_pool(X[:100], Y[:100].astype(np.int64)), 0)
    own = np.asarray(client.ask(X[600:]).scores)
    moved = [np.abs(np.asarray(twin.ask(X[600:]).scores) - own).max() > 1e-6 for _, _, twin in made]

    assert {kind for kind, _, _ in made} == {"pruned", "quantised"}
    assert all(moved)
    empty = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])], "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 3])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 3])],
    )  # fmt: skip
    data = onnx.helper.make_model(empty, opset_imports=[onnx.helper.make_opsetid("", 18)]).SerializeToString()
    none = graph_changes.copies(data, np.random.default_rng(0), shares=(0.5,), leaves=(0.5,), bits={"even": (8,)})
    assert list(none) == []


def test_matrices_of_signs_are_no_weights(opened: Any) -> None:
    """What chooses or sums classes holds 0, 1 and -1, and is left as it is."""
    graph = onnx_graphs.Graph(64)
    three = LogisticRegression(max_iter=2000).fit(X[:200][Y[:200] < 3], Y[:200][Y[:200] < 3])
    answers = onnx_graphs.answer(graph, three, 5)  # with a product that leaves two columns empty
    assert len(graph._constants) == 3
    model = onnx.helper.make_graph(
        graph._nodes, "g", [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 64])],
        [onnx.helper.make_tensor_value_info(answers, onnx.TensorProto.FLOAT, ["n", 5])], graph._constants,
    )  # fmt: skip
    data = onnx.helper.make_model(model, opset_imports=onnx_graphs.OPSETS).SerializeToString()

    assert weights(data).shape == (64, 3)
