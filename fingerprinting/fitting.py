"""
Training a torch module for a short while: one loop for peers, shadows and fine-tuned copies.

Needs torch. Nothing outside the module is touched: torch's global generators are put back as they were. Several
networks may be trained at once, each in a Python thread with one thread of torch: batches this small lose more to
waiting for each other's threads than they gain, and one thread computes the same on any machine of a kind.
"""

import copy
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from threadpoolctl import threadpool_limits
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from .records import InputSpec

Forward = Callable[[torch.Tensor], torch.Tensor]
Take = Callable[[torch.Tensor, torch.Generator], torch.Tensor]  # row numbers to a batch of inputs
BATCH: Final = 32
TRAINING_PASSES: Final = 3  # one forward and about two backward
_global_generators = threading.Lock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's generators start from a seed inside, and are as before outside; one thread at a time."""
    with _global_generators, torch.random.fork_rng(list(range(torch.cuda.device_count()))):
        torch.manual_seed(seed)
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes in the calling thread alone; other threads are not affected."""
    torch.get_num_threads()  # a new thread takes torch's setting when first used, which must not undo the limit
    with threadpool_limits(1):
        yield


def fit(
    forward: Forward,
    parameters: list[nn.Parameter],
    take: Take,
    target: torch.Tensor,
    *,
    steps: int,
    rate: float,
    generator: torch.Generator,
    adaptive: bool = False,
    decay: float = 0.0,
    rows_a_step: int = BATCH,
    after: Callable[[], None] | None = None,
) -> None:
    """
    Cross-entropy against labels (int64 (m,)) or score rows (float32 (m, k)), one batch a step; against single
    numbers (float32 (m, 1)) the squared error, in units of their variance.

    forward: inputs to logits or probabilities. rate: the highest of the one-cycle schedule (Smith and Topin 2019).
    generator: orders and moves the inputs. adaptive: Adam with decoupled weight decay, for
    modules of unknown make; else SGD with momentum.
    after: called after each step.
    """
    kind = torch.optim.AdamW if adaptive else torch.optim.SGD
    options = {"weight_decay": decay} if adaptive else {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
    optimiser = kind(parameters, rate, **options)  # type: ignore[arg-type]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.25)
    batch = min(rows_a_step, len(target))
    numbers = target.ndim == 2 and target.shape[1] == 1
    unit = target.var().clamp_min(1e-12) if numbers else None
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(order) < batch:
            order = torch.randperm(len(target), generator=generator)
        rows, order = order[:batch], order[batch:]
        optimiser.zero_grad()
        answer, wanted = forward(take(rows, generator)), target[rows.to(target.device)]
        if unit is None:
            loss = functional.cross_entropy(as_logits(answer), wanted)
        else:
            loss = functional.mse_loss(answer, wanted) / unit
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        schedule.step()
        if after is not None:
            after()


def as_logits(answer: torch.Tensor) -> torch.Tensor:
    """Logits as they are; probabilities, which modules that end in a softmax give, as their logarithms; (m, k)."""
    given = answer.detach()
    probable = bool((given >= 0).all()) and bool(((given.sum(1) - 1).abs() < 1e-3).all())
    return answer.clamp_min(1e-8).log() if probable else answer


def shifted(images: torch.Tensor, channel_axis: int | None) -> Take:
    """
    Batches of images, each moved by up to an eighth of its height, and mirrored at random where it has colours.

    images: float32 (m, *shape), layout as in InputSpec.channel_axis. Grey images may be writing, which has no mirror
    image.
    """
    moved = {0: (0, 1, 2, 3), 2: (0, 3, 1, 2)}
    planes = images[:, None] if channel_axis is None else images.permute(moved[channel_axis])
    height, width = planes.shape[2:]
    margin = min(height, width) // 8
    # Channels last, so that one look-up by (image, row, column) cuts every image at its own place.
    wide = functional.pad(planes, (margin,) * 4, mode="reflect").permute(0, 2, 3, 1).contiguous()
    rows, columns = torch.arange(height), torch.arange(width)

    def take(which: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        m = len(which)
        down, right = torch.randint(0, 2 * margin + 1, (2, m, 1), generator=generator)
        mirrored = (torch.rand(m, 1, generator=generator) < 0.5) & (planes.shape[1] >= 3)
        across = torch.where(mirrored, width - 1 - columns, columns) + right
        at = (which[:, None, None], (rows + down)[:, :, None], across[:, None, :])
        cut = wide[tuple(index.to(wide.device) for index in at)]
        if channel_axis is None:
            return cut[..., 0]
        return cut.permute(0, 3, 1, 2) if channel_axis == 0 else cut

    return take


def batches(inputs: torch.Tensor, spec: InputSpec) -> Take:
    """Batches of inputs float32 (m, *spec.shape): images moved at random, anything else as it is."""
    if spec.kind == "image" and min(image_size(spec)) >= 8:
        return shifted(inputs, spec.channel_axis)
    return lambda rows, generator: inputs[rows.to(inputs.device)]


def image_size(spec: InputSpec) -> tuple[int, int]:
    """Height and width of an image."""
    sides = [size for axis, size in enumerate(spec.shape) if axis != spec.channel_axis]
    return sides[0], sides[1]


def twin_of(client: Any) -> Any:
    """
    The client of a torch module around a copy of the module, all weights of which may change.

    None where there is no module, it cannot be copied, or its weights are no float32 numbers. client: anything with
    `.module`, its `.device`, and a differentiable `.forward`.
    """
    if not isinstance(getattr(client, "module", None), nn.Module):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's own, on copying exported programs
            module = copy.deepcopy(client.module)
    except (RuntimeError, TypeError):  # tensors computed from others, locks and handles cannot be copied
        return None
    parameters = list(module.parameters())
    if not any(p.ndim > 1 for p in parameters) or any(p.dtype != torch.float32 for p in parameters):
        return None
    for parameter in parameters:
        parameter.requires_grad_(True)
    twin = copy.copy(client)
    twin.module = module

    return twin


def affordable_steps(forward: Forward, one: torch.Tensor, flops: float) -> int:
    """
    Training steps that cost no more than so many floating-point operations, counted and not timed: the same everywhere.

    one: a single input (1, *shape). A GPU is given a hundred times as many.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        forward(one)
    allowed = flops * (100 if one.is_cuda else 1)
    return int(allowed / max(counter.get_total_flops() * TRAINING_PASSES * BATCH, 1))
