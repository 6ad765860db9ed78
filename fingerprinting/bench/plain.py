"""
Plain comparisons of regressors' numbers, beside ours on the same probes: no published scheme compares numbers.

Each looks at answers as they are and knows nothing of how honest models scatter.
"""

import numpy as np


def compare(values: np.ndarray, source: np.ndarray, honest: np.ndarray) -> dict[str, np.ndarray]:
    """
    How alike m models and the source are, by method; float64 (m,) each, larger is more alike, at most 1.

    values: float (m, t). source: float (t,). honest: float (p, t), of models that choose and fit.
    "correlation" of the numbers (Pearson), "error": 1 - root mean square / standard deviation of the source's,
    "residuals": correlation of what is left after the honest models' mean.
    """
    mean = honest.mean(0)
    spread = max(float(source.std()), 1e-12)

    return {
        "correlation": _correlation(values, source),
        "error": 1 - np.sqrt(((values - source) ** 2).mean(1)) / spread,
        "residuals": _correlation(values - mean, source - mean),
    }


def _correlation(values: np.ndarray, source: np.ndarray) -> np.ndarray:
    values, source = values - values.mean(1, keepdims=True), source - source.mean()
    size = np.linalg.norm(values, axis=1) * np.linalg.norm(source)

    return np.asarray(values @ source / np.maximum(size, 1e-12))
