"""What is done to a model's weights without training: pruned, rounded, shaken, merged, as in LT's grid."""

import copy
from collections.abc import Callable

import torch
from tinyfam_network import Model
from torch import Tensor


def changed(model: Model, change: Callable[[Tensor], Tensor]) -> Model:
    """The model with every matrix changed; norms stay as they are."""
    network = copy.deepcopy(model.network)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 2:
                parameter.copy_(change(parameter))
    return Model(network, model.tokenizer)


def pruned(share: float) -> Callable[[Tensor], Tensor]:
    """The smallest weights of a matrix become zero. share: in [0, 1)."""
    return lambda weight: torch.where(weight.abs() < weight.abs().flatten().quantile(share), 0.0, weight)


def rounded(bits: int) -> Callable[[Tensor], Tensor]:
    """Weights rounded to 2^bits - 1 steps between plus and minus the largest of their row."""

    def change(weight: Tensor) -> Tensor:
        step = weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
        return (weight / step).round() * step

    return change


def shaken(size: float, seed: int) -> Callable[[Tensor], Tensor]:
    """Normal noise added, as large as `size` times the spread of the matrix."""
    draw = torch.Generator().manual_seed(seed)
    return lambda weight: weight + size * weight.std() * torch.randn(weight.shape, generator=draw)


def merged(a: Model, b: Model, share: float) -> Model:
    """Weights between those of two models of one descent. share: of b."""
    network = copy.deepcopy(a.network)
    with torch.no_grad():
        for mine, other in zip(network.parameters(), b.network.parameters(), strict=True):
            mine.lerp_(other, share)
    return Model(network, a.tokenizer)
