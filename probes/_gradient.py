"""
What generators that follow a gradient share: the source as a differentiable function, and the bounds as
tensors.
"""

import contextlib
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from probe_match.fingerprinting import registry
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.errors import MissingPackage, TargetError, UsageError
from probe_match.fingerprinting.records import InputSpec

MOST = 1 << 24  # numbers in one batch: 5,000 images of 3x32x32, 100 of 3x224x224
CACHED = 1 << 19  # on a CPU, whose cache holds what a small network makes of 170 images of 3x32x32: twice as fast
FEWEST = 32  # in a batch, where memory allows


@runtime_checkable
class Differentiable(Protocol):
    """
    A client that also gives gradients.

    forward: float32 (m, *shape) on `device` -> logits (m, k), k >= 2, differentiable with respect to its
    input.
    """

    target: str
    device: torch.device | str

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of a batch."""
        ...


def differentiable(generator: str, source: Client) -> Differentiable:
    """The source, if it gives gradients. Raises UsageError naming the generators that need labels only."""
    if isinstance(source, Differentiable):
        return source
    names = []
    for name in registry.available("probes"):
        with contextlib.suppress(MissingPackage):
            if registry.load("probes", name).NEEDS != "gradient":
                names.append(name)
    raise UsageError(
        f"{generator} needs the gradient of the source and {source.target} gives none; "
        f"use a torch source, or one of {', '.join(names)}"
    )


def logits_of(source: Differentiable, x: torch.Tensor) -> torch.Tensor:
    """
    Logits (m, k) of a batch. Raises TargetError where they are not that, or carry no gradient that x asks
    for.
    """
    logits = source.forward(x)
    if logits.ndim != 2 or len(logits) != len(x) or logits.shape[1] < 2:
        raise TargetError(
            f"expected logits (m, k) of two classes or more from {source.target}, got {tuple(logits.shape)}"
        )
    if x.requires_grad and not logits.requires_grad:
        raise TargetError(f"{source.target} gives outputs without a gradient; give the model itself, or use midpoints")

    return logits


def bounds(spec: InputSpec, device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
    """The lowest and highest value, float32 on `device`: (), or (*shape) where features have bounds of their own."""
    low, high = (
        torch.tensor(b, dtype=torch.float32).reshape(() if len(b) == 1 else spec.shape).to(device)
        for b in (spec.low, spec.high)
    )

    return low, high


def reach(spec: InputSpec, share: float, device: torch.device | str) -> torch.Tensor:
    """
    A share of the width between the bounds, float32 on `device`, () or (*shape); 0 for categories, which stay.
    """
    low, high = bounds(spec, device)
    width = share * (high - low)
    if spec.numeric.all():
        return width

    return width * torch.tensor(spec.numeric.reshape(spec.shape), dtype=torch.float32).to(device)


def parts(m: int, spec: InputSpec, device: torch.device | str) -> Iterator[slice]:
    """All m probes in as few batches as memory allows, on a CPU as its cache does."""
    width = int(np.prod(spec.shape))
    size = max(1, MOST // width)
    if torch.device(device).type == "cpu":
        size = min(size, max(FEWEST, CACHED // width))
    for start in range(0, m, size):
        yield slice(start, start + size)
