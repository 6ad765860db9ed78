"""
The networks of the image zoo: six shapes for 3 x 32 x 32, the loop that trains them, and their files.

Each halves the image at once and has some 50,000 weights: dozens must be trained on two cores. None has the shape of a
peer that enrolment trains (`fingerprinting/networks.py`), else the zoo would be easier than the world.
"""

import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from probe_match.fingerprinting import storage
from torch import nn
from torch.nn import functional

CLASSES: Final = 10
BATCH: Final = 64
RATE: Final = 4e-3
DECAY: Final = 0.05
SHIFT: Final = 4  # pixels, as is usual for these images
Step = Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]


class Standardise(nn.Module):
    """Images in [0, 1] to mean 0 and spread 1 per colour, those of the training images."""

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, x: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", x.mean((0, 2, 3), keepdim=True))
        self.register_buffer("spread", x.std((0, 2, 3), keepdim=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images or channels (m, c, h, w) to such."""
        return (x - self.mean) / self.spread


class Residual(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            _convolution(before, after, stride=stride),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images or channels (m, c, h, w) to such."""
        return functional.relu(self.inner(x) + self.shortcut(x))


class Mixer(nn.Module):
    """A depthwise convolution with a shortcut, then one that mixes channels (ConvMixer; Trockman and Kolter 2022)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.across = nn.Sequential(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels), nn.GELU(), nn.BatchNorm2d(channels)
        )
        self.mix = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.GELU(), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images or channels (m, c, h, w) to such."""
        return self.mix(x + self.across(x))


class Branches(nn.Module):
    """Convolutions of several sizes side by side (Szegedy et al. 2015). sizes: {side: channels}."""

    def __init__(self, before: int, sizes: dict[int, int]) -> None:
        super().__init__()
        self.sides = nn.ModuleList(_convolution(before, after, side) for side, after in sizes.items())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images or channels (m, c, h, w) to such."""
        return torch.cat([side(x) for side in self.sides], 1)


def _convolution(
    before: int, after: int, side: int = 3, *, stride: int = 1, groups: int = 1, act: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    weights = nn.Conv2d(before, after, side, stride, side // 2, groups=groups, bias=False)
    return nn.Sequential(weights, nn.BatchNorm2d(after), act())


def _separable(before: int, after: int, stride: int) -> nn.Sequential:
    """A depthwise and a pointwise convolution (Howard et al. 2017)."""
    return nn.Sequential(
        _convolution(before, before, stride=stride, groups=before, act=nn.Hardswish),
        _convolution(before, after, 1, act=nn.Hardswish),
    )


# Networks by name. The first three are the sources'; thieves and strangers use all.
SHAPES: Final[dict[str, Callable[[], nn.Module]]] = {
    "vgg": lambda: nn.Sequential(
        _convolution(3, 24, stride=2), _convolution(24, 32), nn.MaxPool2d(2),
        _convolution(32, 64), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1024, 64), nn.ReLU(), nn.Linear(64, CLASSES),
    ),
    "resnet": lambda: nn.Sequential(
        _convolution(3, 24, 5, stride=2), nn.MaxPool2d(2), Residual(24, 48, 1), Residual(48, 64, 2),
        nn.Flatten(), nn.Linear(64 * 16, CLASSES),
    ),
    "mobile": lambda: nn.Sequential(
        _convolution(3, 32, 5, stride=2, act=nn.Hardswish), _separable(32, 64, 2), _separable(64, 96, 1),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(96 * 16, CLASSES),
    ),
    "mixer": lambda: nn.Sequential(
        nn.Conv2d(3, 64, 4, 4), nn.GELU(), nn.BatchNorm2d(64), Mixer(64), Mixer(64),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(64 * 16, CLASSES),
    ),
    "branches": lambda: nn.Sequential(
        _convolution(3, 16, stride=2), nn.MaxPool2d(2), Branches(16, {1: 24, 3: 32, 5: 16}), nn.MaxPool2d(2),
        _convolution(72, 64), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(64 * 4, CLASSES),
    ),
    "shallow": lambda: nn.Sequential(
        nn.Conv2d(3, 48, 5, 2, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), _convolution(48, 80), nn.AvgPool2d(2),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(80 * 16, CLASSES),
    ),
}  # fmt: skip


def fresh(shape: str, x: torch.Tensor) -> nn.Module:
    """An untrained network for images like x, float32 (m, 3, 32, 32) in [0, 1]."""
    net = nn.Sequential(Standardise(x), SHAPES[shape]())
    return net.to(memory_format=torch.channels_last)


def fit(
    net: nn.Module,
    x: torch.Tensor,
    target: torch.Tensor,
    *,
    epochs: float,
    rate: float = RATE,
    parameters: list[nn.Parameter] | None = None,
    frozen: bool = False,
    disturb: Step | None = None,
    after: Callable[[], None] | None = None,
) -> nn.Module:
    """
    Train on images, each moved and mirrored at random, by the one-cycle schedule; the net comes back in eval mode.

    x: float32 (m, 3, 32, 32). target: int64 (m,) or probabilities float32 (m, 10). parameters: those to train, default
    all. frozen: batch normalisation keeps its statistics. disturb: changes each batch. after: called after each step.
    """
    chosen = list(net.parameters()) if parameters is None else parameters
    steps = max(10, round(epochs * len(x) / BATCH))
    optimiser = torch.optim.AdamW(chosen, rate, weight_decay=DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.25)
    # Channels last, so that one look-up by (image, row, column) cuts every image at its own place.
    wide = functional.pad(x, (SHIFT,) * 4, mode="reflect").permute(0, 2, 3, 1).contiguous()
    side = torch.arange(x.shape[-1])
    net.train(not frozen)
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(order) < BATCH:
            order = torch.cat([order, torch.randperm(len(x))])
        rows, order = order[:BATCH], order[BATCH:]
        down, right = torch.randint(0, 2 * SHIFT + 1, (2, len(rows), 1))
        across = torch.where(torch.rand(len(rows), 1) < 0.5, len(side) - 1 - side, side) + right
        batch = wide[rows[:, None, None], (down + side)[:, :, None], across[:, None, :]].permute(0, 3, 1, 2)
        if disturb is not None:
            batch = disturb(net, batch, target[rows])
        optimiser.zero_grad()
        functional.cross_entropy(net(batch), target[rows]).backward()
        optimiser.step()
        schedule.step()
        if after is not None:
            after()

    return net.eval()


@torch.no_grad()
def logits(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """float32 (m, 10) of images (m, 3, 32, 32)."""
    return torch.cat([net(part) for part in torch.split(x, 250)])


def write(net: nn.Module, path: Path) -> None:
    """Save the network as a program that takes any number of images and can be differentiated."""
    logging.getLogger("torch.export").setLevel(logging.ERROR)
    example = torch.zeros(2, 3, 32, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own deprecations
        program = torch.export.export(net.eval(), (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
        data = io.BytesIO()
        torch.export.save(program, data)
    storage.write_file(path, data.getvalue())


def read(shape: str, path: Path) -> nn.Module:
    """The network in a file of ours, ready to be trained on."""
    state: dict[str, Any] = torch.export.load(path).state_dict
    net = fresh(shape, torch.zeros(2, 3, 32, 32))
    net.load_state_dict(state)

    return net.eval()


def as_images(x: np.ndarray) -> torch.Tensor:
    """uint8 (m, 3, 32, 32) to float32 in [0, 1]."""
    return torch.from_numpy(x).float() / 255
