"""
The contributions of Li, Turkington and Yazdani (Beyond the Black Box, Journal of Financial Data Science 2020).

f_k is the mean prediction where feature k has a given value, read at N values x_k1 … x_kN, and l_k the straight line
nearest to it by least squares:

    linear_k    = mean_j |l_k(x_kj) - mean_j f_k(x_kj)|
    nonlinear_k = mean_j |f_k(x_kj) - l_k(x_kj)|
    pair_kl     = mean_ij |(f_kl(x_ki, x_lj) - mean f_kl) - (f_k(x_ki) - mean f_k) - (f_l(x_lj) - mean f_l)|

in units of the prediction. Values of a category have no order: all that they contribute is nonlinear, and each counts
as often as it occurs.
"""

import numpy as np


def line(grid: np.ndarray, weights: np.ndarray, f: np.ndarray) -> np.ndarray:
    """The least-squares line through f (…, g) over grid (g,), at the grid; float64 (…, g)."""
    x = grid - weights @ grid
    spread = float(weights @ x**2)
    mean = f @ weights
    slope = (f @ (weights * x)) / spread if spread > 0 else np.zeros(f.shape[:-1])

    return np.asarray(mean[..., None] + slope[..., None] * x)


def single(grid: np.ndarray, weights: np.ndarray, ordered: bool, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The linear and the nonlinear part of f (…, g); float64 (…,) each."""
    mean = (f @ weights)[..., None]
    straight = line(grid, weights, f) if ordered else np.broadcast_to(mean, f.shape)

    return np.abs(straight - mean) @ weights, np.abs(f - straight) @ weights


def together(
    weights_a: np.ndarray, weights_b: np.ndarray, both: np.ndarray, f_a: np.ndarray, f_b: np.ndarray
) -> np.ndarray:
    """The interaction of two features; both (…, g, h), f_a (…, g), f_b (…, h); float64 (…,)."""
    rest = (
        both - (f_a - (f_a @ weights_a)[..., None])[..., :, None] - (f_b - (f_b @ weights_b)[..., None])[..., None, :]
    )
    rest = rest - np.einsum("...gh,g,h->...", rest, weights_a, weights_b)[..., None, None]

    return np.asarray(np.einsum("...gh,g,h->...", np.abs(rest), weights_a, weights_b))
