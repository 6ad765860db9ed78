"""
Light changes to a torch module, as someone who holds the weights would make them: fine-tuned, pruned, rounded.

Needs torch. The module itself is never touched; each copy has weights of its own.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from .fitting import BATCH, affordable_steps, batches, fit, one_thread, seeded, twin_of
from .programs import set_mode
from .records import Pool

EPOCHS: Final = 3
FLOPS: Final = 5e11  # most that one copy may cost: some 10 s on two cores
LEAST_STEPS: Final = 8  # fewer would change nothing, so that copies of larger modules are not fine-tuned
RATE: Final = 1e-3
BITS: Final = (7, 6, 5, 4)  # of cheap copies
SHARES: Final = (0.3, 0.6, 0.8)  # of the weights that pruning takes away


def copies(client: Any, train: Pool, seed: int) -> list[tuple[str, Any]]:
    """
    Changed copies of a client's module by name, as clients.

    client: anything with a torch `.module`, its `.device` and a differentiable `.forward`. train: labelled rows to
    fine-tune on. Empty where the module cannot be copied or its weights are no float32 numbers.
    """
    assert isinstance(train.x, np.ndarray)
    assert train.y is not None
    if (first := twin_of(client)) is None or (rows := _rows(client, first, train)) is None:
        return []
    x, y = rows
    one = x[:1]
    wanted = EPOCHS * len(x) // BATCH
    steps = min(wanted, affordable_steps(first.forward, one, FLOPS))
    take = batches(x, train.spec)

    def tuned(twin: Any, *, last: bool = False, after: Callable[[], None] | None = None) -> Any:
        names = [name for name, p in twin.module.named_parameters() if p.ndim > 1]
        layer = names[-1].rpartition(".")[0] if last else ""
        chosen = [p for name, p in twin.module.named_parameters() if name.startswith(layer)]
        if steps >= LEAST_STEPS and twin.forward(one).requires_grad:  # programs may be exported without gradients
            set_mode(twin.module, training=not last)
            generator = torch.Generator().manual_seed(seed)
            with one_thread() if steps == wanted else nullcontext():  # large modules make use of all threads
                fit(
                    twin.forward, chosen, take, y,
                    steps=steps, rate=RATE, generator=generator, adaptive=True, after=after,
                )  # fmt: skip
            set_mode(twin.module, training=False)
        return twin

    made = []
    with seeded(seed):
        if steps >= LEAST_STEPS:
            made += [
                ("last layer fine-tuned", tuned(first, last=True)),
                ("fine-tuned", tuned(twin_of(client))),
            ]
        for share in SHARES:
            twin = twin_of(client)
            keep = _prune(twin.module, share)
            made.append((f"{share:.0%} pruned", tuned(twin, after=keep)))
        made.append(("rounded to 8 bits", _rounded(twin_of(client))))

    return made


def gentle_copies(client: Any, train: Pool, seed: int) -> list[tuple[str, Any]]:
    """Copies of a client's module as it is tuned slowly, at a fifth, half and the end; empty as for `copies`."""
    if (twin := twin_of(client)) is None or (rows := _rows(client, twin, train)) is None:
        return []
    x, y = rows
    steps = min(len(x) // BATCH, affordable_steps(twin.forward, x[:1], FLOPS / 3))
    if steps < LEAST_STEPS or not twin.forward(x[:1]).requires_grad:
        return []
    made: list[tuple[str, Any]] = []
    taken = 0

    def keep() -> None:
        nonlocal taken
        taken += 1
        if taken in (steps // 5, steps // 2, steps):
            now = twin_of(twin)
            set_mode(now.module, training=False)
            made.append((f"fine-tuned slowly, {taken} steps", now))

    set_mode(twin.module, training=True)
    with seeded(seed):
        fit(
            twin.forward, list(twin.module.parameters()), batches(x, train.spec), y, steps=steps, rate=RATE / 3,
            generator=torch.Generator().manual_seed(seed), adaptive=True, after=keep,
        )  # fmt: skip

    return made


def _rows(client: Any, twin: Any, train: Pool) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Inputs and targets to tune on; None where the module's outputs are not the pool's."""
    assert isinstance(train.x, np.ndarray)
    assert train.y is not None
    x = torch.from_numpy(np.ascontiguousarray(train.x, np.float32)).to(client.device)
    with torch.no_grad():
        width = twin.forward(x[:1]).shape[1]
    if train.spec.output == "number":
        if width != 1:
            return None  # several outputs are no regressor of this pool, which is said when it is asked
        return x, torch.from_numpy(train.y.astype(np.float32))[:, None].to(client.device)
    known = np.flatnonzero(train.y < width)

    return x[known], torch.from_numpy(train.y[known]).to(client.device)


def _prune(module: nn.Module, share: float) -> Callable[[], None]:
    """Set the given share of all weights, the smallest by magnitude, to zero; what is returned does it again."""
    weights = [p for p in module.parameters() if p.ndim > 1]
    size = torch.cat([p.detach().abs().flatten() for p in weights])
    kept = torch.ones_like(size)
    kept[size.argsort()[: round(share * len(size))]] = 0  # by rank, as many weights may be of one size
    parts = torch.split(kept, [p.numel() for p in weights])
    masks = [part.reshape(p.shape) for part, p in zip(parts, weights, strict=True)]

    def keep() -> None:
        with torch.no_grad():
            for weight, mask in zip(weights, masks, strict=True):
                weight.mul_(mask)

    keep()
    return keep


def cheap_copies(client: Any) -> list[tuple[str, Any]]:
    """Changed copies that nothing is trained for; empty as for `copies`."""
    if twin_of(client) is None:
        return []
    made = [(f"rounded to {bits} bits", _rounded(twin_of(client), 2 ** (bits - 1) - 1)) for bits in BITS]
    for share in SHARES:
        twin = twin_of(client)
        _prune(twin.module, share / 2)
        made.append((f"{share / 2:.0%} pruned, not tuned", twin))

    return made


def _rounded(twin: Any, steps: int = 127) -> Any:
    """Weights in so many even steps either side of 0, per tensor."""
    with torch.no_grad():
        for weight in twin.module.parameters():
            if weight.ndim > 1:
                step = (weight.abs().max() / steps).clamp_min(1e-12)
                weight.copy_((weight / step).round() * step)
    return twin
