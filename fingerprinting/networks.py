"""
Small convolutional networks for images: peers and shadows where flat pixels teach too little.

Four shapes are trained for a few epochs on labels, or on score rows (probability extraction); a torch source adds its
own shape, started afresh. Needs torch, so `learners` imports it only where torch is there and the images are large
enough.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from . import programs
from .fitting import BATCH, affordable_steps, as_logits, batches, fit, image_size, one_thread, seeded, shifted, twin_of
from .learners import image_networks
from .programs import set_mode
from .records import InputSpec

Answer = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
SIDE: Final = 32  # pixels; larger images are averaged down, as dozens of networks must be cheap
EPOCHS: Final = 12
STEPS: Final = (200, 800)  # fewest for small pools, most for large ones
OWN_FLOPS: Final = 1.5e12  # most that a peer of the source's own shape may cost: some 20 s on two cores
OWN_BATCH: Final = 64  # for shapes whose makers trained them with care; so many images a step are learnt faster
OWN_RATE: Final = 4e-3
OWN_DECAY: Final = 0.05
OWN_MORE: Final = 1.25  # times as many images as the small shapes see, else honest strangers would be better trained
RESTART: Final = 2_718_281  # a seed that no one starts a model with: all weights must come out different
FLAT_SHARE: Final = 0.1  # of that, for inputs of which peers are many


def train(
    learner: str, spec: InputSpec, x: np.ndarray, target: np.ndarray, k: int, seed: int, own: Any = None
) -> Answer:
    """
    Fit a network to labels (int (m,)) or score rows (float (m, k)).

    learner: a name in SHAPES, or any other for `own`, a client as `fresh` makes it. x: float32 (m, *spec.shape).
    Returns a function from inputs to labels int16 (n,) and scores float16 (n, k). On CPU, one seed gives one network.
    """
    goal = torch.from_numpy(target.astype(np.float32 if target.ndim == 2 else np.int64))
    steps = int(np.clip(EPOCHS * len(x) // BATCH, *STEPS))
    with one_thread():
        if learner in SHAPES:
            forward = _small(learner, spec, x, goal, k, steps, seed)
        else:
            forward = _own(own, spec, x, goal, steps, seed)

    def answer(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad(), one_thread():
            parts = [forward(inputs[i : i + 256]) for i in range(0, len(inputs), 256)]
            scores = functional.softmax(torch.cat(parts), 1).cpu().numpy()
        return scores.argmax(1).astype(np.int16), scores.astype(np.float16)

    return answer


def fresh(client: Any, spec: InputSpec, k: int) -> Any:
    """
    The client of a torch module with a copy of the module that owes nothing to its weights, or None.

    None where the module has weights of its own making, which nothing re-initialises, where it has not k classes, and
    where training it would take too long. client: anything with `.module` and `.forward`.
    """
    twin = twin_of(client)
    if twin is None:
        return None
    with seeded(RESTART):
        if not _restart(twin.module):
            return None
        one = torch.zeros(1, *spec.shape, device=client.device)
        with torch.no_grad():
            width = twin.forward(one).shape[1]
        changed = all(
            not torch.equal(new, old)
            for new, old in zip(twin.module.parameters(), client.module.parameters(), strict=True)
            if new.ndim > 1
        )
    flops = OWN_FLOPS * (1.0 if image_networks(spec) else FLAT_SHARE)
    enough = affordable_steps(twin.forward, one, flops) >= STEPS[1]

    return twin if changed and enough and width == k else None


def _small(
    learner: str, spec: InputSpec, x: np.ndarray, goal: torch.Tensor, k: int, steps: int, seed: int
) -> Callable[[np.ndarray], torch.Tensor]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = _channels_first(x, spec)
    mean, spread = images.mean((0, 2, 3), keepdim=True), images.std((0, 2, 3), keepdim=True).clamp_min(1e-6)
    with seeded(seed):
        net = SHAPES[learner](images.shape[1], k).to(device)
    take = shifted(((images - mean) / spread).to(device), 0)
    generator = torch.Generator().manual_seed(seed)
    fit(net, list(net.parameters()), take, goal.to(device), steps=steps, rate=0.03, generator=generator)
    net.eval()

    def forward(inputs: np.ndarray) -> torch.Tensor:
        standard = (_channels_first(inputs, spec) - mean) / spread
        return net(standard.to(device, memory_format=torch.channels_last))

    return forward


def _own(
    own: Any, spec: InputSpec, x: np.ndarray, goal: torch.Tensor, steps: int, seed: int
) -> Callable[[np.ndarray], torch.Tensor]:
    twin = twin_of(own)
    take, goal = batches(torch.from_numpy(x).to(own.device), spec), goal.to(own.device)
    parameters, generator = list(twin.module.parameters()), torch.Generator().manual_seed(seed)
    with seeded(seed):  # to the end, as its dropout reads the global generator
        _restart(twin.module)
        set_mode(twin.module, training=True)
        fit(
            twin.forward, parameters, take, goal,
            steps=round(OWN_MORE * steps * BATCH / OWN_BATCH), rate=OWN_RATE, generator=generator,
            adaptive=True, decay=OWN_DECAY, rows_a_step=OWN_BATCH,
        )  # fmt: skip
    set_mode(twin.module, training=False)

    return lambda inputs: as_logits(twin.forward(torch.from_numpy(np.ascontiguousarray(inputs)).to(own.device)))


def _channels_first(x: np.ndarray, spec: InputSpec) -> torch.Tensor:
    """float32 (m, channels, height, width), at most SIDE pixels a side."""
    images = torch.from_numpy(np.ascontiguousarray(x, np.float32))
    if spec.channel_axis is None:
        images = images[:, None]
    elif spec.channel_axis == 2:
        images = images.permute(0, 3, 1, 2)
    height, width = (min(size, SIDE) for size in image_size(spec))

    return images if images.shape[2:] == (height, width) else functional.adaptive_avg_pool2d(images, (height, width))


def _resets(part: nn.Module) -> bool:
    return hasattr(part, "reset_parameters") or hasattr(part, "_reset_parameters")


def _restart(module: nn.Module) -> bool:
    """Draw all weights afresh; False where some have no known way to start."""
    if not all(_resets(part) for part in module.modules() if list(part.parameters(recurse=False))):
        return programs.restart(module)
    for part in module.modules():
        if _resets(part):
            (part.reset_parameters if hasattr(part, "reset_parameters") else part._reset_parameters)()  # type: ignore[operator]

    return True


def _convolution(before: int, after: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    weights = nn.Conv2d(before, after, size, stride, size // 2, bias=False)
    return nn.Sequential(weights, nn.BatchNorm2d(after), nn.ReLU())


class _Residual(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(before, after, 3, stride)
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after))
        self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.second(self.first(x)) + self.shortcut(x))


def _head(channels: int, side: int, k: int) -> tuple[nn.Module, ...]:
    return nn.AdaptiveMaxPool2d(side), nn.Flatten(), nn.Linear(channels * side * side, k)


# Networks by name, from channels and classes.
SHAPES: Final[dict[str, Callable[[int, int], nn.Module]]] = {
    "plain": lambda c, k: nn.Sequential(
        _convolution(c, 16), nn.MaxPool2d(2),
        _convolution(16, 48), nn.MaxPool2d(2),
        _convolution(48, 96), *_head(96, 1, k),
    ),
    "residual": lambda c, k: nn.Sequential(
        _convolution(c, 16), nn.MaxPool2d(2),
        _Residual(16, 32, 2), _Residual(32, 64, 1), *_head(64, 4, k),
    ),
    "wide": lambda c, k: nn.Sequential(
        _convolution(c, 16, 5), nn.MaxPool2d(2),
        _convolution(16, 96), *_head(96, 4, k),
    ),
    "deep": lambda c, k: nn.Sequential(
        _convolution(c, 16), nn.MaxPool2d(2),
        _convolution(16, 32), _convolution(32, 32), nn.MaxPool2d(2),
        _convolution(32, 64), _convolution(64, 64), *_head(64, 4, k),
    ),
}  # fmt: skip
