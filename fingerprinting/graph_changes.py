"""
Changed copies of an ONNX graph: its weights or trees pruned, cut back, or kept in few bits.

As `weight_changes` has it for scikit-learn's models, of what a file holds: the weights that matrix products and
convolutions take, coefficients of linear and kernel nodes, and tree ensembles. A graph cannot be fitted, so none is
fine-tuned or trained again, and keeps no count of rows, so the splits that become leaves are the lowest. Needs the
package onnx.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import onnx
from onnx import numpy_helper

from .weight_changes import LEVELS, snap

PRODUCTS: Final = {"MatMul": (0, 1), "Gemm": (0, 1), "Conv": (1,), "ConvTranspose": (1,)}  # inputs that may be weights
COEFFICIENTS: Final = ("LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor")
TREES: Final = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
FLOATS: Final = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
LEAST: Final = 4  # numbers; smaller constants are units and axes rather than weights
Values = Callable[[np.ndarray], np.ndarray]  # new weights of an array, same shape


class Graph:
    """
    A graph whose numbers can be replaced. arrays: tensors of weights. lists: attributes of coefficients. trees: nodes
    of tree ensembles. All are empty where nothing can be changed.
    """

    def __init__(self, data: bytes) -> None:
        self.model = onnx.load_from_string(data)
        graph = self.model.graph
        tensors = {tensor.name: tensor for tensor in graph.initializer}
        constants = [node for node in graph.node if node.op_type == "Constant"]
        tensors |= {node.output[0]: a.t for node in constants for a in node.attribute if a.HasField("t")}
        named = [n.input[i] for n in graph.node for i in PRODUCTS.get(n.op_type, ()) if i < len(n.input)]
        self.arrays: list[Any] = [tensors[name] for name in dict.fromkeys(named) if _learnt(tensors.get(name))]
        self.lists: list[Any] = [
            a for n in graph.node if n.op_type in COEFFICIENTS for a in n.attribute if a.name == "coefficients"
        ]
        self.trees: list[Any] = [n for n in graph.node if n.op_type in TREES]

    def __bool__(self) -> bool:
        return bool(self.arrays or self.lists or self.trees)

    def reweighted(self, change: Values) -> None:
        """Every array of weights as a function of itself."""
        for tensor in self.arrays:
            values = numpy_helper.to_array(tensor)
            changed = change(values.astype(np.float64)).astype(values.dtype)
            tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
        for attribute in self.lists:
            attribute.floats[:] = change(np.array(attribute.floats)).tolist()

    def data(self) -> bytes:
        """The file."""
        return bytes(self.model.SerializeToString())


def pruned(data: bytes, share: float, rng: np.random.Generator) -> bytes:
    """A share of the smallest weights taken away, or of the trees."""
    graph = Graph(data)

    def smallest(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values.flat[np.argsort(np.abs(values), axis=None, kind="stable")[: round(share * values.size)]] = 0
        return values

    graph.reweighted(smallest)
    for node in graph.trees:
        _fewer(node, share, rng)
    return graph.data()


def cut_back(data: bytes, share: float) -> bytes:
    """A share of the splits of every ensemble made leaves that answer the mean of those below."""
    graph = Graph(data)
    for node in graph.trees:
        _cut(node, share)
    return graph.data()


def quantised(data: bytes, bits: int, how: str) -> bytes:
    """Weights, and values of leaves, in 2 ** bits levels, as `weight_changes.LEVELS` says how; thresholds in 256."""
    graph = Graph(data)
    graph.reweighted(lambda values: LEVELS[how](values, 2**bits))
    for node in graph.trees:
        weights = _attribute(node, _prefix(node) + "weights")
        weights.floats[:] = LEVELS[how](np.array(weights.floats), 2**bits).tolist()
        nodes = _columns(node, "nodes_")
        snap([(nodes["nodes_featureids"], nodes["nodes_values"], nodes["nodes_modes"] != b"LEAF")])
        _store(node, {"nodes_values": nodes["nodes_values"]})
    return graph.data()


def copies(
    data: bytes, rng: np.random.Generator, *, shares: tuple[float, ...], leaves: tuple[float, ...],
    bits: dict[str, tuple[int, ...]],
) -> Iterator[tuple[str, str, bytes]]:  # fmt: skip
    """Kind, name and file of every changed copy; none of a graph in which nothing can be changed."""
    graph = Graph(data)
    if not graph:
        return
    for share in shares:
        yield "pruned", f"{share:.0%} pruned", pruned(data, share, rng)
    for share in leaves if graph.trees else ():
        yield "pruned", f"{share:.0%} of splits pruned", cut_back(data, share)
    for how, several in bits.items():
        for some in several:
            yield "quantised", f"rounded to {some} bits, {how}", quantised(data, some, how)


def _learnt(tensor: Any) -> bool:
    """Whether a tensor holds weights: of several axes, and more than signs, which choose and sum classes."""
    if tensor is None or tensor.data_type not in FLOATS or len(tensor.dims) < 2:
        return False
    return bool(np.prod(tensor.dims) >= LEAST) and not np.isin(numpy_helper.to_array(tensor), (-1, 0, 1)).all()


def _attribute(node: Any, name: str) -> Any:
    return next(a for a in node.attribute if a.name == name)


def _prefix(node: Any) -> str:
    return "class_" if node.op_type == "TreeEnsembleClassifier" else "target_"


def _columns(node: Any, start: str) -> dict[str, np.ndarray]:
    """The parallel lists of an ensemble whose names begin so."""
    found = {}
    for a in node.attribute:
        if a.name.startswith(start):
            values = a.ints or a.floats or a.strings
            found[a.name] = np.array(list(values), object if a.strings else None)
    return found


def _store(node: Any, columns: dict[str, np.ndarray]) -> None:
    for name, values in columns.items():
        old = _attribute(node, name)
        for field in ("ints", "floats", "strings"):
            if getattr(old, field):
                del getattr(old, field)[:]
                getattr(old, field).extend(values.tolist())


def _fewer(node: Any, share: float, rng: np.random.Generator) -> None:
    """Trees taken away: any of a forest, whose rest weighs more; the last of boosted ones, which correct each other."""
    prefix = _prefix(node)
    nodes, leaves = _columns(node, "nodes_"), _columns(node, prefix)
    trees = np.unique(nodes["nodes_treeids"])
    count = max(1, round((1 - share) * len(trees)))
    forest = bool((leaves[prefix + "weights"] >= 0).all())
    kept = rng.permutation(trees)[:count] if forest else trees[:count]
    inside = np.isin(leaves[prefix + "treeids"], kept)
    leaves = {name: values[inside] for name, values in leaves.items()}
    if forest:
        leaves[prefix + "weights"] = leaves[prefix + "weights"] * len(trees) / count
    _store(node, {name: values[np.isin(nodes["nodes_treeids"], kept)] for name, values in nodes.items()})
    _store(node, leaves)


def _cut(node: Any, share: float) -> None:
    prefix = _prefix(node)
    nodes, leaves = _columns(node, "nodes_"), _columns(node, prefix)
    kept, weights = [], []
    for tree in np.unique(nodes["nodes_treeids"]):
        rows, its = (np.flatnonzero(c == tree) for c in (nodes["nodes_treeids"], leaves[prefix + "treeids"]))
        own, ends = {n: v[rows] for n, v in nodes.items()}, {n: v[its] for n, v in leaves.items()}
        small, grown = _shorter(own, ends, prefix, share)
        kept.append(small)
        weights.append(grown)
    _store(node, {name: np.concatenate([part[name] for part in kept]) for name in kept[0]})
    _store(node, {name: np.concatenate([part[name] for part in weights]) for name in weights[0]})


def _shorter(
    nodes: dict[str, np.ndarray], leaves: dict[str, np.ndarray], prefix: str, share: float
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """One tree without the lowest of its splits, which answer what the leaves below them do on average."""
    at = {int(n): i for i, n in enumerate(nodes["nodes_nodeids"])}
    split = nodes["nodes_modes"] != b"LEAF"
    below: dict[int, list[int]] = {}

    def under(node: int) -> list[int]:
        stack, order = [node], []
        while stack:  # parents before their children
            order.append(stack.pop())
            i = at[order[-1]]
            if split[i]:
                stack += [int(nodes["nodes_truenodeids"][i]), int(nodes["nodes_falsenodeids"][i])]
        for one in reversed(order):
            i = at[one]
            ends = (int(nodes["nodes_truenodeids"][i]), int(nodes["nodes_falsenodeids"][i])) if split[i] else ()
            below[one] = [leaf for end in ends for leaf in below[end]] if split[i] else [one]
        return order

    root = (set(at) - {int(n) for c in ("nodes_truenodeids", "nodes_falsenodeids") for n in nodes[c][split]}) or {0}
    order = under(next(iter(root)))
    splits = sorted((n for n in order if split[at[n]]), key=lambda n: len(below[n]))
    cut = set(splits[: int(share * len(splits))])
    gone = {n for c in cut for n in _descendants(c, nodes, at, split)}
    tops = [n for n in order if n in cut and n not in gone]
    keep = np.array([int(n) not in gone for n in nodes["nodes_nodeids"]])
    made = {name: values.copy() for name, values in nodes.items()}
    for n in tops:
        made["nodes_modes"][at[n]] = b"LEAF"
        made["nodes_truenodeids"][at[n]] = made["nodes_falsenodeids"][at[n]] = 0
    own = leaves[prefix + "nodeids"]
    stay = ~np.isin(own, list(gone))
    parts = [{name: values[stay] for name, values in leaves.items()}]
    for n in tops:
        rows = np.flatnonzero(np.isin(own, below[n]))
        for target in np.unique(leaves[prefix + "ids"][rows]):
            those = rows[leaves[prefix + "ids"][rows] == target]
            mean = leaves[prefix + "weights"][those].sum() / len(below[n])
            one = {name: values[those[:1]].copy() for name, values in leaves.items()}
            one[prefix + "nodeids"][0], one[prefix + "weights"][0] = n, mean
            parts.append(one)

    return {n: v[keep] for n, v in made.items()}, {n: np.concatenate([p[n] for p in parts]) for n in leaves}


def _descendants(node: int, nodes: dict[str, np.ndarray], at: dict[int, int], split: np.ndarray) -> Iterator[int]:
    stack = [node]
    while stack:
        i = at[stack.pop()]
        if split[i]:
            ends = [int(nodes["nodes_truenodeids"][i]), int(nodes["nodes_falsenodeids"][i])]
            yield from ends
            stack += ends
