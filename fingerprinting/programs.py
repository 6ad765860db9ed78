"""
Exported torch programs as networks that can be trained: their mode switched, their weights drawn afresh.

An exported program is a graph of core operators that was recorded in one mode. What the mode decides, batch
normalisation and dropout, stands in the graph as an argument and is changed there. Weights of layers that everyone
starts the same way are drawn as torch draws them. Needs torch.
"""

import math
from typing import Final

import torch
from torch import fx, nn

LAYERS: Final = ("conv1d", "conv2d", "linear")  # operators whose second argument is the weight, the third the bias
NORMS: Final = {"batch_norm": 1, "layer_norm": 2, "group_norm": 2}  # where the weight stands; the bias follows
MODES: Final = {"batch_norm": 5, "dropout": 2}  # where it stands whether the program is being trained


def set_mode(module: nn.Module, *, training: bool) -> None:
    """Train or evaluate, whether the module is one of its author's making or an exported program."""
    try:
        module.train(training)
    except NotImplementedError:  # of an exported program, which has but one mode
        if isinstance(module, fx.GraphModule):
            for node in module.graph.nodes:
                if (at := MODES.get(_operator(node))) is not None:
                    node.update_arg(at, training)
            module.recompile()


def restart(module: nn.Module) -> bool:
    """
    Draw the weights of an exported program afresh, from torch's global generator; False, and nothing done, where some
    weight is none of a common layer's, so that how to start it is unknown.
    """
    if not isinstance(module, fx.GraphModule):
        return False
    given = {node: _tensor(module, node.target) for node in module.graph.nodes if node.op == "get_attr"}
    layers: list[tuple[torch.Tensor | None, torch.Tensor | None]] = []
    norms: list[tuple[torch.Tensor | None, torch.Tensor | None]] = []
    for node in module.graph.nodes:
        name = _operator(node)
        at = 1 if name in LAYERS else NORMS.get(name)
        if at is not None:
            weight, bias = (given.get(node.args[i]) if len(node.args) > i else None for i in (at, at + 1))
            (layers if name in LAYERS else norms).append((weight, bias))
            if name == "batch_norm":
                norms.append((given.get(node.args[4]), given.get(node.args[3])))  # variance 1, mean 0
    known = {id(tensor) for pair in layers + norms for tensor in pair}
    if not all(id(p) in known for p in module.parameters()):
        return False
    with torch.no_grad():
        for weight, bias in norms:
            if weight is not None:
                weight.fill_(1)
            if bias is not None:
                bias.zero_()
        for weight, bias in layers:
            if weight is None:
                continue
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))  # as the layers of torch start
            if bias is not None:
                nn.init.uniform_(bias, -(bound := weight[0].numel() ** -0.5), bound)

    return True


def _operator(node: fx.Node) -> str:
    """The name of a core operator, such as "conv2d", or nothing."""
    schema = getattr(node.target, "_schema", None)
    return "" if schema is None else str(schema.name).removeprefix("aten::").removesuffix("_")


def _tensor(module: nn.Module, name: object) -> torch.Tensor | None:
    found: object = module
    for part in str(name).split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, torch.Tensor) else None
