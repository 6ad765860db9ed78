"""Plain comparisons of numbers, which stand beside the default method in benchmarks of regressors."""

import numpy as np
from probe_match.fingerprinting.bench import plain
from scipy.stats import pearsonr


def test_a_copy_scores_one_and_pearson_agrees() -> None:
    """By every comparison; a stranger scores as scipy says."""
    rng = np.random.default_rng(0)
    source, stranger = rng.normal(0, 3, (2, 40)) + np.linspace(0, 9, 40)
    honest = np.linspace(0, 9, 40) + rng.normal(0, 1, (12, 40))
    alike = plain.compare(np.stack([source, stranger]), source, honest)

    np.testing.assert_allclose([value[0] for value in alike.values()], 1.0)
    np.testing.assert_allclose(alike["correlation"][1], pearsonr(stranger, source).statistic)
    np.testing.assert_allclose(
        alike["residuals"][1], pearsonr(stranger - honest.mean(0), source - honest.mean(0)).statistic
    )
    assert alike["error"][1] < 0.5


def test_another_unit_hides_a_copy_from_the_error_alone() -> None:
    """Correlation does not see it, the root mean square sees nothing else."""
    source = np.random.default_rng(1).normal(size=30)
    alike = plain.compare(2 * source[None] + 5, source, np.zeros((3, 30)))

    np.testing.assert_allclose([alike["correlation"][0], alike["residuals"][0]], 1.0)
    assert alike["error"][0] < -1
