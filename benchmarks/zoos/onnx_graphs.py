"""
Fitted scikit-learn models as ONNX graphs, with what an endpoint may do to its inputs and answers in the graph itself.

A graph is built tensor by tensor: `answer` adds a model and names its answers, the wrappers take such a name and give
another, `save` writes the file. skl2onnx is not used: its boosting fails on current onnx, and its tree ensembles are
three times larger; here every ensemble is one TreeEnsembleRegressor and every classifier ends in its probabilities.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.base import is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.neural_network._multilayer_perceptron import BaseMultilayerPerceptron
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC, SVR

INPUT = "x"
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


class Graph:
    """A graph under construction; tensors are known by their names, the input by INPUT: float32 (n, width)."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, values: Any) -> str:
        """An array, float64 stored as float32."""
        array = np.asarray(values)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """The only output of one operation."""
        name = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        return name

    def save(self, path: Path, answers: str, k: int) -> None:
        """Write atomically. k classes: `label` int64 (n,), `probabilities` float32 (n, k); 0: `variable` (n, 1)."""
        outputs = {"probabilities" if k else "variable": (TensorProto.FLOAT, ["n", k or 1])}
        nodes = [*self._nodes, helper.make_node("Identity", [answers], [next(iter(outputs))])]
        if k:
            nodes.append(helper.make_node("ArgMax", [answers], ["label"], axis=1, keepdims=0))
            outputs = {"label": (TensorProto.INT64, ["n"]), **outputs}
        graph = helper.make_graph(
            nodes, path.stem,
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", self.width])],
            [helper.make_tensor_value_info(name, *given) for name, given in outputs.items()],
            self._constants,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=OPSETS, ir_version=9, producer_name="probe-match zoo")
        onnx.checker.check_model(model)
        part = path.with_name(path.name + ".part")
        part.write_bytes(model.SerializeToString())
        part.replace(path)


def answer(graph: Graph, model: Any, k: int, x: str = INPUT) -> str:
    """
    Add a fitted model; names its probabilities (n, k), or its values (n, outputs) if it is a regressor.

    A support vector classifier's probabilities are the softmax of its decision function, as it has no other.
    """
    if isinstance(model, Pipeline):
        *scalers, last = (step for _, step in model.steps)
        for scaler in scalers:
            x = graph.op("Div", graph.op("Sub", x, graph.constant(scaler.mean_)), graph.constant(scaler.scale_))
        return answer(graph, last, k, x)
    if isinstance(model, TransformedTargetRegressor):
        scaler = model.transformer_
        return affine(graph, answer(graph, model.regressor_, k, x), scaler.scale_, scaler.mean_)
    if isinstance(model, BaseForest):
        values = _forest(graph, model, x)
        return _all_classes(graph, values, model.classes_, k) if is_classifier(model) else values
    if isinstance(model, BaseHistGradientBoosting):
        values = _boosting(graph, model, x)
    elif isinstance(model, BaseMultilayerPerceptron):
        values = _network(graph, model, x)
    elif isinstance(model, SVC | SVR):
        values = _kernel(graph, model, x)
    else:
        values = _dense(graph, x, np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_))
    if not is_classifier(model):
        return values
    if len(model.classes_) == 2:  # one value z: softmax of (0, z) is its sigmoid
        values = graph.op("MatMul", values, graph.constant([[0.0, 1.0]]))

    return _all_classes(graph, graph.op("Softmax", values, axis=1), model.classes_, k)


def affine(graph: Graph, values: str, scale: Any, shift: Any) -> str:
    """A straight line: values * scale + shift."""
    return graph.op("Add", graph.op("Mul", values, graph.constant(scale)), graph.constant(shift))


def rounded(graph: Graph, values: str, step: float) -> str:
    """The nearest multiple of step, halves to the even one."""
    unit = graph.constant(np.float64(step))
    return graph.op("Mul", graph.op("Round", graph.op("Div", values, unit)), unit)


def tempered(graph: Graph, probabilities: str, temperature: float) -> str:
    """Probabilities to the power of 1/temperature, summing to 1 again."""
    return normalised(graph, graph.op("Pow", probabilities, graph.constant(np.float64(1 / temperature))))


def normalised(graph: Graph, values: str) -> str:
    """Rows of probabilities from any values: negative ones are 0, the rest sums to 1."""
    positive = graph.op("Add", graph.op("Relu", values), graph.constant(np.float64(1e-9)))  # a row may be all 0
    total = graph.op("ReduceSum", positive, graph.constant(np.array([1])), keepdims=1)
    return graph.op("Div", positive, total)


def noisy(graph: Graph, sd: np.ndarray, seed: int) -> str:
    """The input with Gaussian noise of the given standard deviation per feature (width,), new for every question."""
    noise = graph.op("RandomNormalLike", INPUT, dtype=TensorProto.FLOAT, seed=float(seed % 65536))
    return graph.op("Add", INPUT, graph.op("Mul", noise, graph.constant(sd)))


def mean(graph: Graph, answers: Sequence[str]) -> str:
    """The mean of several models' answers."""
    return graph.op("Mean", *answers)


def _all_classes(graph: Graph, probabilities: str, classes: np.ndarray, k: int) -> str:
    """Columns for all k classes, 0 for those the model never saw."""
    if len(classes) == k:
        return probabilities
    return graph.op("MatMul", probabilities, graph.constant(np.eye(k)[np.asarray(classes, int)]))


def _dense(graph: Graph, x: str, weights: np.ndarray, bias: np.ndarray) -> str:
    return graph.op("Gemm", x, graph.constant(weights), graph.constant(bias))


def _network(graph: Graph, model: Any, x: str) -> str:
    for layer, (weights, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        x = _dense(graph, x, weights, bias)
        if layer < len(model.coefs_) - 1:
            x = graph.op(ACTIVATIONS[model.activation], x)
    return x


def _kernel(graph: Graph, model: Any, x: str) -> str:
    """Decision values, one per class (two classes: one) as scikit-learn's `ovr` shape has them; a regressor's value."""
    vectors = np.asarray(model.support_vectors_)
    products = graph.op("MatMul", x, graph.constant(vectors.T))
    if model.kernel == "rbf":  # exp(-gamma |x - s|^2)
        squares = graph.op("ReduceSumSquare", x, graph.constant(np.array([1])), keepdims=1)
        inner = graph.op("Add", affine(graph, products, -2.0, (vectors**2).sum(1)), squares)
        products = graph.op("Exp", graph.op("Mul", inner, graph.constant(np.float64(-model._gamma))))
    duals, k = np.asarray(model.dual_coef_), len(getattr(model, "classes_", ()))
    if k <= 2:
        return _dense(graph, products, duals.T, model.intercept_)
    # one against one: a pair's value sums the vectors of its two classes, votes decide, confidence breaks ties
    of = np.repeat(np.arange(k), model.n_support_)
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    weights = np.zeros((len(vectors), len(pairs)))
    first, second = np.zeros((2, len(pairs), k))
    for pair, (i, j) in enumerate(pairs):
        weights[of == i, pair] = duals[j - 1, of == i]
        weights[of == j, pair] = duals[i, of == j]
        first[pair, i] = second[pair, j] = 1
    values = _dense(graph, products, weights, model.intercept_)
    wins = graph.op("Cast", graph.op("GreaterOrEqual", values, graph.constant(0.0)), to=TensorProto.FLOAT)
    votes = _dense(graph, wins, first - second, second.sum(0))
    confidence = graph.op("MatMul", values, graph.constant(first - second))
    size = affine(graph, graph.op("Abs", confidence), 3.0, 3.0)
    return graph.op("Add", votes, graph.op("Div", confidence, size))


def _forest(graph: Graph, model: Any, x: str) -> str:
    trees = []
    for tree in (estimator.tree_ for estimator in model.estimators_):
        values = tree.value[:, 0, :] if is_classifier(model) else tree.value[:, :, 0]
        if is_classifier(model):
            values = values / np.maximum(values.sum(1, keepdims=True), 1e-12)
        leaf = tree.children_left < 0
        trees.append(
            (
                tree.feature,
                tree.threshold,
                tree.children_left,
                tree.children_right,
                leaf,
                values / len(model.estimators_),
            )
        )
    return _ensemble(graph, x, trees, [0] * len(trees), trees[0][5].shape[1])


def _boosting(graph: Graph, model: Any, x: str) -> str:
    trees, targets = [], []
    for stage in model._predictors:
        for target, nodes in enumerate(predictor.nodes for predictor in stage):
            split = [nodes[name] for name in ("feature_idx", "num_threshold", "left", "right")]
            trees.append((*split, nodes["is_leaf"].astype(bool), nodes["value"][:, None]))
            targets.append(target)
    base = np.asarray(model._baseline_prediction, float).reshape(-1)
    return graph.op("Add", _ensemble(graph, x, trees, targets, len(base)), graph.constant(base))


def _ensemble(graph: Graph, x: str, trees: list[Any], targets: list[int], outputs: int) -> str:
    """Sum of trees (feature, threshold, left, right, leaf, values (nodes, m)); m values go to outputs target, …"""
    parts: dict[str, list[np.ndarray]] = {}
    for number, ((feature, threshold, left, right, leaf, values), target) in enumerate(
        zip(trees, targets, strict=True)
    ):
        kept = _reachable(left, right, leaf)
        inner = ~leaf[kept]
        leaves = kept[~inner]
        at, which = np.nonzero(values[leaves])
        if not len(at):  # the runtime wants every leaf to have a value somewhere in the tree
            at, which = np.zeros((2, 1), int)
        for name, array in {
            "nodes_treeids": np.full(len(kept), number), "nodes_nodeids": kept,
            "nodes_featureids": np.where(inner, feature[kept], 0),
            "nodes_values": np.where(inner, _below(threshold[kept]), 0),
            "nodes_truenodeids": np.where(inner, left[kept], 0), "nodes_falsenodeids": np.where(inner, right[kept], 0),
            "nodes_modes": np.where(inner, b"BRANCH_LEQ", b"LEAF"),
            "target_treeids": np.full(len(at), number), "target_nodeids": leaves[at],
            "target_ids": which + target, "target_weights": values[leaves][at, which],
        }.items():  # fmt: skip
            parts.setdefault(name, []).append(np.asarray(array))
    lists = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    exact = {name: (a.astype(np.int64) if a.dtype.kind in "iu" else a).tolist() for name, a in lists.items()}

    return graph.op("TreeEnsembleRegressor", x, domain="ai.onnx.ml", n_targets=outputs, **exact)


def _reachable(left: np.ndarray, right: np.ndarray, leaf: np.ndarray) -> np.ndarray:
    """Int: the nodes that a question can come to; collapsing leaves cuts the others off."""
    found, level = [np.array([0])], np.array([0])
    while len(level := level[~leaf[level]]):
        level = np.concatenate([left[level], right[level]]).astype(np.int64)
        found.append(level)
    return np.sort(np.concatenate(found))


def _below(threshold: np.ndarray) -> np.ndarray:
    """The largest float32 not above each threshold: x <= t decides alike for every float32 x."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)
