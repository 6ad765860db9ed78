"""
Points on the boundary between two classes, followed by gradient (IPGuard; Cao, Jia, Gong, AsiaCCS 2021, eq.
5).

Copies that keep the weights, pruned or rounded, keep their boundaries too; a model trained on the source's
answers does not. All probes are optimised in one batch, and each leaves it as soon as it has arrived.
"""

import numpy as np
import torch
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.probing import distinct, numbers_of, suite_of
from probe_match.fingerprinting.records import Pool, ProbeSuite

from ._gradient import Differentiable, bounds, differentiable, logits_of, parts, reach

KINDS = ("tabular", "image")
NEEDS = "gradient"
BETAS = (0.9, 0.999)  # Adam's usual ones


def generate(
    source: Client,
    pool: Pool,
    *,
    n: int,
    seed: int,
    k: float | None = None,
    iterations: int = 500,
    rate: float = 0.01,
) -> ProbeSuite:
    """
    At most n distinct points that started as pool rows of label i and are now just inside a random other
    class j.

    k: by how much logit j exceeds logit i at the end; by default a tenth of the median gap between the two
    largest logits on the rows started from, so that it fits models of any temperature. rate: Adam's, in
    widths of the bounds. Probes that have not arrived after `iterations` are dropped. Asks n questions
    besides the gradients. Raises UsageError where the source gives no gradient, BadData where no probe
    arrives.
    """
    model = differentiable("boundary", source)
    rng = np.random.default_rng(seed)
    x = numbers_of("boundary", pool, KINDS)
    start = torch.from_numpy(x[np.resize(rng.permutation(len(x)), n)])
    turn = torch.from_numpy(rng.random(n))
    low, high = bounds(pool.spec, model.device)
    step = reach(pool.spec, rate, model.device)
    arrived = []
    for part in parts(len(start), pool.spec, model.device):
        points = start[part].to(model.device)
        with torch.no_grad():
            logits = logits_of(model, points)
        classes, i = logits.shape[1], logits.argmax(1)
        j = (i + 1 + (turn[part].to(model.device) * (classes - 1)).long()) % classes
        if k is None:
            best = logits.topk(2).values
            k = float((best[:, 0] - best[:, 1]).median()) / 10
        arrived.append(_optimise(model, points, i, j, low, high, step, k, iterations).cpu().numpy())
    inputs = distinct(np.concatenate(arrived))
    if len(inputs) == 0:
        raise BadData(
            f"no probe reached the boundary of {source.target} in {iterations} steps at k={k:.3g}; "
            "use more iterations, a larger rate or a smaller k"
        )

    return suite_of("boundary", source, pool, inputs, seed=seed, k=k, iterations=iterations, rate=rate)


def objective(logits: torch.Tensor, i: torch.Tensor, j: torch.Tensor, k: float) -> torch.Tensor:
    """
    ReLU(Z_i - Z_j + k) + ReLU(max_{t not i, j} Z_t - Z_i) per probe, (m,); 0 on the boundary's far side.

    logits Z: (m, classes); i, j: int64 (m,), the class started from and the class aimed at.
    """
    z_i, z_j = (logits.gather(1, c[:, None])[:, 0] for c in (i, j))
    pair = torch.stack([i, j], 1)
    third = logits.scatter(1, pair, -torch.inf).amax(1)

    return torch.relu(z_i - z_j + k) + torch.relu(third - z_i)


def _optimise(
    model: Differentiable,
    start: torch.Tensor,
    i: torch.Tensor,
    j: torch.Tensor,
    low: torch.Tensor,
    high: torch.Tensor,
    step: torch.Tensor,
    k: float,
    iterations: int,
) -> torch.Tensor:
    """
    The points that reached an objective of 0, (at most m, *shape), in the order of their starts.

    Adam by hand: its state is per number, so probes do not touch each other, and those that arrive can leave.
    """
    goal = torch.full_like(start, torch.nan)
    left = torch.arange(len(start), device=start.device)
    x, mean, square = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    for t in range(iterations + 1):
        x.requires_grad_()
        loss = objective(logits_of(model, x), i, j, k)
        done = loss.detach() <= 0
        if done.all() or t == iterations:
            goal[left[done]] = x.detach()[done]
            break
        gradient = torch.autograd.grad(loss.sum(), x)[0]
        x = x.detach()
        if done.any():
            goal[left[done]] = x[done]
            left, x, mean, square, gradient, i, j = (v[~done] for v in (left, x, mean, square, gradient, i, j))
        mean.lerp_(gradient, 1 - BETAS[0])
        square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        # Both bias corrections in one number; a step of 0 makes the divisor infinite, and so the move 0.
        unbias = (1 - BETAS[1] ** (t + 1)) ** 0.5
        divisor = square.sqrt().add_(1e-8 * unbias).div_(step)
        x.addcdiv_(mean, divisor, value=-unbias / (1 - BETAS[0] ** (t + 1))).clamp_(low, high)

    return goal[~goal.flatten(1).isnan().any(1)]
