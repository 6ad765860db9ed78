"""
Pool rows made worse: noise, blur, low contrast or coarse blocks for images; noise and swapped categories for
tables.

Models that agree on clean inputs fail in different ways on spoilt ones (SAC-JC, Guan et al., IJCV 2025, uses
compressed images), and every input still looks like one a camera or a form could have sent.
"""

import numpy as np
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.errors import UsageError
from probe_match.fingerprinting.probing import distinct, numbers_of, suite_of
from probe_match.fingerprinting.records import InputSpec, Pool, ProbeSuite
from scipy.fft import dctn, idctn
from scipy.ndimage import gaussian_filter

from ._image import from_planes, to_planes

KINDS = ("tabular", "image")
NEEDS = "pool"
CORRUPTIONS = ("noise", "blur", "contrast", "blocks")
BLOCK = 8  # pixels, as in JPEG


def generate(source: Client, pool: Pool, *, n: int, seed: int, strength: float = 0.5) -> ProbeSuite:
    """
    At most n distinct corrupted pool rows; each image gets one of CORRUPTIONS, each at most once.

    strength: 0 to 1. For tables, noise in standard deviations of the column and the chance that a category is
    replaced by that of another row. Asks n questions.
    """
    if not 0 < strength <= 1:
        raise UsageError(f"corrupted takes a strength above 0 and at most 1, got {strength}")
    x = numbers_of("corrupted", pool, KINDS)
    rng = np.random.default_rng(seed)
    if pool.spec.kind == "image":
        chosen = rng.permutation(len(x) * len(CORRUPTIONS))[:n]
        inputs = _spoil(pool.spec, x[chosen // len(CORRUPTIONS)], chosen % len(CORRUPTIONS), strength, rng)
    else:
        inputs = _jitter(pool.spec, x, np.resize(rng.permutation(len(x)), n), strength, rng)

    return suite_of("corrupted", source, pool, distinct(inputs), seed=seed, strength=strength)


def _spoil(
    spec: InputSpec, images: np.ndarray, which: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    planes = to_planes(spec, images).copy()
    extent = max(spec.high) - min(spec.low)
    by = [which == i for i in range(len(CORRUPTIONS))]
    noise, blur, contrast, blocks = (planes[mask] for mask in by)
    planes[by[0]] = noise + rng.normal(0, 0.3 * strength * extent, noise.shape)
    planes[by[1]] = gaussian_filter(blur, (0, 0, 2 * strength, 2 * strength)) if len(blur) else blur
    mean = contrast.mean((1, 2, 3), keepdims=True) if len(contrast) else 0
    planes[by[2]] = mean + (1 - 0.8 * strength) * (contrast - mean)
    planes[by[3]] = _quantise(blocks, 0.12 * strength * extent)

    return spec.clip(from_planes(spec, planes))


def _quantise(planes: np.ndarray, step: float) -> np.ndarray:
    """
    Cosine coefficients of 8 x 8 blocks rounded to multiples of `step`, more coarsely the higher the
    frequency.
    """
    n, channels, height, width = planes.shape
    padding = ((0, 0), (0, 0), (0, -height % BLOCK), (0, -width % BLOCK))
    padded = np.pad(planes, padding, mode="edge")
    tiles = padded.reshape(n, channels, padded.shape[2] // BLOCK, BLOCK, padded.shape[3] // BLOCK, BLOCK)
    frequency = np.arange(BLOCK)
    steps = step * (1 + (frequency[:, None, None] + frequency) / 2)
    rough = np.round(dctn(tiles, axes=(3, 5), norm="ortho") / steps) * steps
    spoilt = idctn(rough, axes=(3, 5), norm="ortho").reshape(padded.shape)

    return np.asarray(spoilt[:, :, :height, :width])


def _jitter(spec: InputSpec, x: np.ndarray, rows: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    picked = x[rows]
    noisy = picked + rng.normal(0, 1, picked.shape) * strength * x.std(0)
    others = x[rng.integers(0, len(x), picked.shape), np.arange(picked.shape[1])]
    swapped = np.where(rng.random(picked.shape) < strength, others, picked)

    return spec.clip(np.where(spec.numeric, noisy, swapped))
