"""
How random a model's random sequences are not: frequencies, runs, short patterns, autocorrelation and spectrum.

The statistics of the NIST tests (SP 800-22) as numbers and not as verdicts, as FLIPS (2606.03330) uses them to tell
instances apart. Models are compared by the mean of their sequences, in standard deviations within models.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.stats import entropy

LAGS: Final = 8
PATTERNS: Final = 3  # longest pattern counted
BANDS: Final = 8  # of the spectrum
FEATURES: Final = sum(2**k for k in range(1, PATTERNS + 1)) + LAGS + BANDS + 6
LONGEST: Final = 20_000


def statistics(sequence: str) -> np.ndarray:
    """
    float64 (FEATURES,) of a sequence of 0 and 1, as the readers give it; a sequence of digits is read by their parity.
    """
    bits = np.frombuffer(sequence[:LONGEST].encode("ascii"), np.uint8) % 2
    n = len(bits)
    if n < PATTERNS + 1:
        return np.zeros(FEATURES)
    patterns = [_patterns(bits, k) for k in range(1, PATTERNS + 1)]
    centred = bits - bits.mean()
    power = float((centred**2).sum()) or 1.0
    lagged = [float((centred[lag:] * centred[:-lag]).sum()) / power if lag < n else 0.0 for lag in range(1, LAGS + 1)]
    spectrum = np.abs(np.fft.rfft(centred, 1 << max(5, (n - 1).bit_length())))[1:] ** 2
    bands = np.array([band.mean() for band in np.array_split(spectrum, BANDS)])
    runs = np.diff(np.r_[0, np.flatnonzero(np.diff(bits)) + 1, n])
    walk = np.cumsum(2.0 * bits - 1)
    others = [
        float(entropy(patterns[-1] + 1e-12)), len(runs) / n, runs.max() / np.log2(n), float((runs == 1).mean()),
        float(np.abs(walk).max()) / np.sqrt(n), np.log1p(n),
    ]  # fmt: skip

    return np.concatenate([*patterns, lagged, np.log1p(bands / power * n), others])


def distances(suspect: Sequence[str], known: Sequence[Sequence[str]]) -> np.ndarray:
    """
    Mean squared difference from each known model, in the variance of single sequences within models over the number of
    sequences; float64 (m,), about 1 for the same model.
    """
    rows = [np.array([statistics(one) for one in model]) for model in known]
    within = np.mean([row.var(0) for row in rows], axis=0) + 1e-4
    mine = np.array([statistics(one) for one in suspect])

    return np.array(
        [((mine.mean(0) - row.mean(0)) ** 2 / (within * (1 / len(mine) + 1 / len(row)))).mean() for row in rows]
    )


def _patterns(bits: np.ndarray, k: int) -> np.ndarray:
    codes = np.zeros(len(bits) - k + 1, np.int64)
    for j in range(k):
        codes = 2 * codes + bits[j : len(bits) - k + 1 + j]
    return np.asarray(np.bincount(codes, minlength=2**k) / len(codes))
