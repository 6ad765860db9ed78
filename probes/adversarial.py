"""
Pool rows moved a little so that the source errs (FGSM: Goodfellow et al., ICLR 2015; PGD: Madry et al., ICLR
2018).

Whether such an input fools another model too says how close the two are; the seeds of ModelDiff, DeepJudge
and most gradient-based fingerprints. All probes are moved in one batch.
"""

import numpy as np
import torch
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.errors import UsageError
from probe_match.fingerprinting.probing import distinct, numbers_of, pairs_in, side_by_side, suite_of
from probe_match.fingerprinting.records import Pool, ProbeSuite
from torch.nn import functional

from ._gradient import Differentiable, bounds, differentiable, logits_of, parts, reach

KINDS = ("tabular", "image")
NEEDS = "gradient"


def generate(
    source: Client, pool: Pool, *, n: int, seed: int, eps: float = 0.03, steps: int = 10, paired: bool = False
) -> ProbeSuite:
    """
    At most n distinct inputs, each within eps of a pool row, those whose label changed first.

    paired: each input preceded by the row it came from, n // 2 pairs of distinct rows (ModelDiff).

    eps: largest move of any feature, in widths of its bounds. steps: of PGD, from a random start, each 2.5
    eps / steps long; 1 is FGSM. Categorical columns stay as they are. Asks n questions besides the gradients.
    Raises UsageError where the source gives no gradient.
    """
    if not 0 < eps <= 1 or steps < 1:
        raise UsageError(f"adversarial takes eps above 0 and at most 1 and at least 1 step, got {eps} and {steps}")
    model = differentiable("adversarial", source)
    rng = np.random.default_rng(seed)
    x = numbers_of("adversarial", pool, KINDS)
    order = rng.permutation(len(x))
    start = x[order[: pairs_in(n)] if paired else np.resize(order, n)]
    offset = rng.uniform(-1, 1, start.shape).astype(np.float32) * (steps > 1)
    low, high = bounds(pool.spec, model.device)
    radius = reach(pool.spec, eps, model.device)
    moved, fooled = [], []
    for part in parts(len(start), pool.spec, model.device):
        origin, jitter = (torch.from_numpy(v[part]).to(model.device) for v in (start, offset))
        # Both boxes at once: around the row, and the bounds.
        least, most = torch.maximum(origin - radius, low), torch.minimum(origin + radius, high)
        points, changed = _ascend(model, origin, origin + jitter * radius, least, most, radius, steps)
        moved.append(points.cpu().numpy())
        fooled.append(changed.cpu().numpy())
    changed_first = np.argsort(~np.concatenate(fooled), kind="stable")
    inputs = np.concatenate(moved)[changed_first]
    if paired:
        inputs = side_by_side(start[changed_first], inputs)
        return suite_of("adversarial", source, pool, inputs, seed=seed, eps=eps, steps=steps, pairs="neighbours")

    return suite_of("adversarial", source, pool, distinct(inputs), seed=seed, eps=eps, steps=steps)


def _ascend(
    model: Differentiable,
    origin: torch.Tensor,
    start: torch.Tensor,
    least: torch.Tensor,
    most: torch.Tensor,
    radius: torch.Tensor,
    steps: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (m, *shape) in the box where the loss on the origin's label is high, and bool (m,): label changed."""
    stride = radius if steps == 1 else radius * 2.5 / steps
    with torch.no_grad():
        own = logits_of(model, origin).argmax(1)
    points = torch.clamp(start, least, most)
    for _ in range(steps):
        points.requires_grad_()
        loss = functional.cross_entropy(logits_of(model, points), own, reduction="sum")
        gradient = torch.autograd.grad(loss, points)[0]
        points = points.detach().add_(gradient.sign_().mul_(stride)).clamp_(least, most)
    with torch.no_grad():
        return points, logits_of(model, points).argmax(1) != own
