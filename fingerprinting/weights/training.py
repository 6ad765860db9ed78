"""Training a network with a mark's penalty in its loss. Needs torch."""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

WEIGHTS: Final = {"regulariser": 1.0, "passport": 1.0}  # of the penalty beside the cross-entropy


def train(
    module: nn.Module,
    x: np.ndarray,
    y: np.ndarray,
    *,
    penalty: Callable[[], Tensor] | None = None,
    weight: float = 1.0,
    epochs: int,
    rate: float = 1e-3,
    batch: int = 128,
    seed: int = 0,
) -> None:
    """
    Train a classifier in place (Adam, cross-entropy), adding weight × penalty() to the loss of every batch.

    x: float32 (n, …); y: int64 (n,); penalty: such as `lambda: regulariser.penalty(module, mark, key)`.
    """
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    optimiser = torch.optim.Adam(module.parameters(), rate)
    rng = np.random.default_rng(seed)
    module.train()
    for _ in range(epochs):
        order = torch.from_numpy(rng.permutation(len(x)))
        for at in range(0, len(x), batch):
            rows = order[at : at + batch]
            if len(rows) < 2:  # batch normalisation needs two
                continue
            loss = nn.functional.cross_entropy(module(inputs[rows]), labels[rows])
            if penalty is not None:
                loss = loss + weight * penalty()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    module.eval()
