"""
Small convolutional networks for images: peers and shadows where flat pixels teach too little.

Four shapes (plain, residual, wide, deep), trained for a few epochs on labels, or on score rows (probability extraction).
Images are brought to channels first, at most 32 pixels a side, and standardised per channel. This file needs torch; only
`learners` imports it, and only for images large enough.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .records import InputSpec

Forward = Callable[[torch.Tensor], torch.Tensor]
SIDE: Final = 32  # larger images are averaged down to this many pixels a side
BATCH: Final = 64
EPOCHS: Final = 12
LEAST_STEPS: Final = 120  # small pools get more epochs
RATE: Final = 0.1


def train(
    learner: str, spec: InputSpec, x: np.ndarray, target: np.ndarray, k: int, seed: int
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """
    Fit the network named `learner` to labels (int (m,)) or score rows (float (m, k)).

    x: float32 (m, *spec.shape). Returns a function from inputs to (labels int16 (n,), scores float16 (n, k)). One seed
    gives one network on one processor with one number of threads; torch's global generator is left as it was.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = _channels_first(x, spec)
    mean, spread = images.mean((0, 2, 3), keepdim=True), images.std((0, 2, 3), keepdim=True).clamp_min(1e-6)

    def prepared(inputs: np.ndarray) -> torch.Tensor:
        standard = (_channels_first(inputs, spec) - mean) / spread
        return standard.to(device, memory_format=torch.channels_last)

    with seeded(seed):
        net = build(learner, images.shape[1], k, 1 + seed % 2).to(device, memory_format=torch.channels_last)
        fit(net, prepared(x), torch.from_numpy(np.asarray(target)).to(device))
    net.eval()

    def answer(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = [inputs[i : i + 512] for i in range(0, len(inputs), 512)]
        with torch.no_grad():
            scores = torch.cat([functional.softmax(net(prepared(part)), 1) for part in parts]).cpu().numpy()
        return scores.argmax(1).astype(np.int16), scores.astype(np.float16)

    return answer
