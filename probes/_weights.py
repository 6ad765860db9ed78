"""How the margin of a torch model depends on its weights, input by input."""

from typing import Any

import numpy as np
import torch


def sensitivities(source: Any, points: np.ndarray) -> np.ndarray:
    """
    Norm of the gradient of each margin with respect to all weights, over the margin; float64 (m,).

    points: float32 (m, *shape). All ones where the program carries no gradients.
    """
    weights = [p for p in source.module.parameters() if p.is_floating_point()]
    wanted = [p.requires_grad for p in weights]
    found = np.ones(len(points))
    for p in weights:
        p.requires_grad_(True)
    try:
        for i, point in enumerate(torch.from_numpy(points).to(source.device)):
            top = source.forward(point[None])[0].topk(2).values
            margin = top[0] - top[1]
            if not margin.requires_grad:
                break
            gradients = torch.autograd.grad(margin, weights, allow_unused=True)
            norm = sum(float((g.double() ** 2).sum()) for g in gradients if g is not None) ** 0.5
            found[i] = norm / max(float(margin.detach()), 1e-12)
    finally:
        for p, before in zip(weights, wanted, strict=True):
            p.requires_grad_(before)

    return found
