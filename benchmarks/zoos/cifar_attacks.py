"""
What thieves make of a source network: the attacks of SACBench (Godinot et al., AAAI 2025), on images of their own.

Each function takes the source, the thief's images x float32 (m, 3, 32, 32) in [0, 1] with true labels y int64 (m,),
and `epochs`, those of a training from scratch. Torch's global generator must be seeded before.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import cifar_networks as networks
import torch
from torch import nn
from torch.nn import functional

TUNING: Final = 0.4  # of the epochs of a training from scratch
TUNING_RATE: Final = 1e-3
REACH: Final = 8 / 255  # how far a pixel is moved, as is usual for these images
STEPS: Final = 4  # of projected gradient descent
Run = Callable[[nn.Module, torch.Tensor, torch.Tensor, float], nn.Module]


class Attack(NamedTuple):
    """attack: its name in zoo.json. run: makes the copy. learner: shape of the copy, None for the source's own."""

    attack: str
    run: Run
    learner: str | None = None


def finetune(source: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: float, *, last: bool) -> nn.Module:
    """Trained on with true labels: all layers, or the last alone."""
    layer = [part for part in source.modules() if isinstance(part, nn.Linear)][-1]
    chosen = list(layer.parameters()) if last else None

    return networks.fit(
        source, x, y, epochs=TUNING * epochs, rate=TUNING_RATE, parameters=chosen, frozen=last
    )  # fmt: skip


def prune(source: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: float, *, share: float) -> nn.Module:
    """The smallest weights of all layers set to zero, the rest fine-tuned."""
    weights = [p for p in source.parameters() if p.ndim > 1]
    size = torch.cat([p.detach().abs().flatten() for p in weights])
    bound = size.sort().values[round(share * len(size))]
    masks = [p.detach().abs() >= bound for p in weights]

    @torch.no_grad()
    def keep() -> None:
        for weight, mask in zip(weights, masks, strict=True):
            weight.mul_(mask)

    keep()
    return networks.fit(source, x, y, epochs=TUNING * epochs, rate=TUNING_RATE, after=keep)


@torch.no_grad()
def quantise(source: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: float, *, bits: int) -> nn.Module:
    """Weights rounded to so many bits per output channel."""
    for weight in source.parameters():
        if weight.ndim > 1:
            largest = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True)
            step = (largest / (2 ** (bits - 1) - 1)).clamp_min(1e-12)
            weight.copy_((weight / step).round() * step)

    return source.eval()


def adversarially_train(source: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: float) -> nn.Module:
    """Fine-tuned with half of each batch moved against the network itself (Wong et al., ICLR 2020)."""

    def disturb(net: nn.Module, batch: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        half = len(batch) // 2
        net.eval()
        moved = adversarial(net, batch[:half], target[:half], steps=1)
        net.train()
        return torch.cat([moved, batch[half:]])

    return networks.fit(source, x, y, epochs=TUNING * epochs, rate=TUNING_RATE, disturb=disturb)


def extract(
    source: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: float, *, shape: str, scores: bool, moved: bool = False
) -> nn.Module:
    """
    A network of another shape that learns the source's answers, to each image once.

    scores: its probabilities, else its labels. moved: to adversarial images as well, by the source's own gradient.
    """
    m = len(x)
    if moved:
        told = networks.logits(source, x).argmax(1)
        parts = [slice(i, i + 250) for i in range(0, m, 250)]
        x = torch.cat([x, *(adversarial(source, x[part], told[part], steps=STEPS) for part in parts)])
    answers = functional.softmax(networks.logits(source, x), 1)
    net = networks.fresh(shape, x)

    # As many steps as without: twice the images, half the epochs.
    return networks.fit(net, x, answers if scores else answers.argmax(1), epochs=epochs * m / len(x))


def adversarial(net: nn.Module, x: torch.Tensor, target: torch.Tensor, *, steps: int) -> torch.Tensor:
    """Images within REACH of x, from a random start, that the network takes for another class (Madry et al. 2018)."""
    moved = (x + torch.empty_like(x).uniform_(-REACH, REACH)).clamp(0, 1)
    for _ in range(steps):
        moved.requires_grad_()
        (slope,) = torch.autograd.grad(functional.cross_entropy(net(moved), target), moved)
        step = moved.detach() + 1.25 * REACH / steps**0.5 * slope.sign()
        moved = torch.minimum(torch.maximum(step, x - REACH), x + REACH).clamp(0, 1)

    return moved.detach()


def attacks(own: str) -> dict[str, Attack]:
    """What is done to a source of shape `own`, by the ending of the copy's name, in the order of making."""
    others = [shape for shape in networks.SHAPES if shape != own]

    def extraction(attack: str, which: int, *, scores: bool = False, moved: bool = False) -> Attack:
        shape = others[which]
        return Attack(attack, partial(extract, shape=shape, scores=scores, moved=moved), shape)

    return {
        "ftl": Attack("finetune-last", partial(finetune, last=True)),
        "fta": Attack("finetune-all", partial(finetune, last=False)),
        "q8": Attack("quantise-8", partial(quantise, bits=8)),
        "mel1": extraction("extract-label", 0),
        "p60": Attack("prune-60", partial(prune, share=0.6)),
        "mep1": extraction("extract-prob", 1, scores=True),
        "q4": Attack("quantise-4", partial(quantise, bits=4)),
        "mea1": extraction("extract-adv-label", 2, moved=True),
        "adv": Attack("adv-train", adversarially_train),
        "mel2": extraction("extract-label", 3),
        "p80": Attack("prune-80", partial(prune, share=0.8)),
        "mep2": extraction("extract-prob", 4, scores=True),
        "p30": Attack("prune-30", partial(prune, share=0.3)),
        "mea2": extraction("extract-adv-label", 0, moved=True),
        "mel3": extraction("extract-label", 2),
    }
