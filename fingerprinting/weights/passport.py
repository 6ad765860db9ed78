"""
A component that works only with its owner's passport (Fan et al., NeurIPS 2019): the scale and shift after a layer are
not parameters, but the layer's own weights projected by secret vectors.

The signs of the scales are the signature's bits. Training keeps them apart from 0 (`penalty`); whoever swaps the
passport gets other scales, and a model that answers badly. Reading needs no torch: see `checking.read_passports`.
"""

import secrets
from collections.abc import Sequence
from typing import Final

import torch
from probe_match.fingerprinting.errors import UsageError
from torch import Tensor, nn

from . import marks
from .marks import Mark

MARGIN: Final = 1.0  # that scales keep from 0; at the start of training they have a spread of .58


class PassportLayer(nn.Module):
    """A convolution or linear layer, normalised, then scaled and shifted by its weights' projections on a passport."""

    scale_passport: Tensor
    shift_passport: Tensor

    def __init__(self, layer: nn.Conv2d | nn.Linear, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.layer = layer
        outputs = layer.weight.shape[0]
        norm = nn.BatchNorm2d if isinstance(layer, nn.Conv2d) else nn.BatchNorm1d
        self.norm: nn.Module = norm(outputs, affine=False)
        # not in the state dict: who copies the weights has no passport
        self.register_buffer("scale_passport", scale, persistent=False)
        self.register_buffer("shift_passport", shift, persistent=False)

    def scales(self) -> Tensor:
        """(outputs,): what the normalised outputs are multiplied by."""
        return self.layer.weight.flatten(1) @ self.scale_passport

    def forward(self, inputs: Tensor) -> Tensor:
        """What the layer answers, with the passport's scale and shift."""
        normal: Tensor = self.norm(self.layer(inputs))
        shape = (1, -1, *[1] * (normal.ndim - 2))
        shifts = self.layer.weight.flatten(1) @ self.shift_passport
        return normal * self.scales().view(shape) + shifts.view(shape)


def choose(module: nn.Module, names: Sequence[str], salt: str | None = None) -> Mark:
    """A mark in the named layers of a module that has no passports yet. names: as `named_modules` gives them."""
    layers = dict(module.named_modules())
    for name in names:
        if not isinstance(layers.get(name), nn.Conv2d | nn.Linear):
            raise UsageError(f"'{name}' is no convolution or linear layer of the model; a passport goes after one")
    tensors = tuple((f"{n}.layer.weight", tuple(layers[n].weight.shape)) for n in names)
    outputs = sum(shape[0] for _, shape in tensors)
    if outputs < marks.BITS:
        raise UsageError(f"the layers have {outputs} outputs together; a signature of {marks.BITS} bits needs as many")
    return Mark("passport", tensors, salt or secrets.token_hex(16))


def install(module: nn.Module, mark: Mark, key: str) -> None:
    """Put passports after a mark's layers, in place; train the model afterwards, with `penalty`."""
    for name, shape in mark.tensors:
        path = name.removesuffix(".layer.weight")
        parent, _, own = path.rpartition(".")
        size = int(torch.Size(shape[1:]).numel())
        scale, shift = (torch.from_numpy(marks.signs(key, mark, f"{use}:{name}", size)) for use in ("scale", "shift"))
        holder = module.get_submodule(parent)
        layer = holder.get_submodule(own)
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        setattr(holder, own, PassportLayer(layer, scale, shift))


def penalty(module: nn.Module, mark: Mark, key: str) -> Tensor:
    """Hinge loss on the signs of the scales (the paper's sign loss), to be added to the training loss."""
    found = [m.scales() for _, m in _passports(module, mark)]
    scales = torch.cat(found)[: marks.BITS]
    bits = torch.from_numpy(marks.signature(key, mark)).to(scales)
    return torch.relu(MARGIN - bits * scales).mean()


def _passports(module: nn.Module, mark: Mark) -> list[tuple[str, PassportLayer]]:
    found = [(name, module.get_submodule(name.removesuffix(".layer.weight"))) for name, _ in mark.tensors]
    return [(name, layer) for name, layer in found if isinstance(layer, PassportLayer)]
