"""Deviations of regressors from honest models."""

import numpy as np
import pytest
from probe_match.fingerprinting import residuals
from probe_match.fingerprinting.records import Panel
from scipy.stats import t as student

PROBES = 40


@pytest.fixture
def honest() -> np.ndarray:
    """Thirty models about one truth."""
    rng = np.random.default_rng(0)
    return np.linspace(-3, 9, PROBES) + rng.normal(0, 0.5, (30, PROBES))


def space_of(honest: np.ndarray, source: np.ndarray) -> residuals.Space:
    """Without twins and shadows."""
    return residuals.fit_space(honest, honest[:0], honest[:0], source)


def test_an_affine_map_changes_nothing(honest: np.ndarray) -> None:
    """Another unit, another zero, and even the sign."""
    source, suspect = np.random.default_rng(1).normal(0, 0.5, (2, PROBES)) + honest.mean(0)
    space = space_of(honest, source)
    plain = residuals.likeness(suspect[None], source, space)
    mapped = residuals.likeness(np.stack([1.8 * suspect + 32, -suspect, 1e6 * suspect]), source, space)

    np.testing.assert_allclose(mapped, np.repeat(plain, 3), atol=1e-9)


def test_a_copy_is_like_its_source_and_a_stranger_is_not(honest: np.ndarray) -> None:
    """A blend of both lies between."""
    rng = np.random.default_rng(2)
    source, stranger = rng.normal(0, 1, (2, PROBES))
    truth = honest.mean(0)
    given = truth + np.stack([source, 0.7 * source + 0.7 * stranger, stranger])
    copy, blend, other = residuals.likeness(given, truth + source, space_of(honest, truth + source))

    assert copy == pytest.approx(residuals.MOST)
    assert 0.4 < blend < 0.9
    assert abs(other) < 0.35


def test_what_all_models_of_a_class_share_counts_for_little() -> None:
    """Honest twins deviate as the source does, but not in what is its own."""
    rng = np.random.default_rng(3)
    shared, own = 3 * rng.normal(0, 1, PROBES), rng.normal(0, 1, PROBES)
    truth = np.linspace(0, 5, PROBES)
    strangers = truth + rng.normal(0, 0.5, (30, PROBES))
    twins = truth + shared + rng.normal(0, 0.7, (9, PROBES))
    source = truth + shared + own
    blind = residuals.fit_space(strangers, strangers[:0], strangers[:0], source)
    seeing = residuals.fit_space(strangers, twins[:8], strangers[:0], source)

    assert residuals.likeness(twins[8:], source, blind)[0] > 0.8
    assert residuals.likeness(twins[8:], source, seeing)[0] < 0.6


def test_probes_are_those_on_which_the_source_stands_alone(honest: np.ndarray) -> None:
    """And on which copies stay with it."""
    source = honest.mean(0).copy()
    source[[5, 17, 30]] += 4
    shadows = np.tile(source, (4, 1))
    shadows[:, 30] -= 4
    picked = residuals.choose(source, honest, honest[:0], shadows, 2)

    assert sorted(picked.tolist()) == [5, 17]


def test_probes_tell_different_things(honest: np.ndarray) -> None:
    """Where the same honest models err together, one probe tells all; a weaker one elsewhere comes next."""
    honest = honest.copy()
    honest[:, 9] = honest[:, 8] - honest[:, 8].mean() + honest[:, 9].mean()
    source = honest.mean(0).copy()
    source[[8, 9, 25]] += 4.0, 4.0, 3.5
    picked = residuals.choose(source, honest, honest[:0], honest[:0], 3).tolist()

    assert picked[0] in (8, 9)
    assert picked[1] == 25


def test_a_copy_keeps_all_and_a_stranger_nothing(honest: np.ndarray) -> None:
    """What a distilled copy errs besides, in ways of its own, does not count against it, and wildness does."""
    rng = np.random.default_rng(5)
    truth = honest.mean(0)
    source, own, stranger = rng.normal(0, 1, (3, PROBES))
    space = space_of(honest, truth + source)
    given = truth + np.stack([source, 0.6 * source + 0.6 * own, stranger, 40 * stranger])
    copy, distilled, other, wild = residuals.kept(given, truth + source, space)

    assert copy == pytest.approx(1.0)
    assert 0.2 < distilled < 0.9
    assert abs(other) < 0.2
    assert abs(wild) < 0.2


def test_refits_teach_that_a_class_wanders() -> None:
    """A direction in which shadows scatter about the source is noise, and less is kept for standing there."""
    rng = np.random.default_rng(6)
    honest = rng.normal(0, 1, (40, PROBES))
    source = rng.normal(0, 2, PROBES)
    direction = np.zeros(PROBES)
    direction[:5] = 10.0
    shadows = source + rng.normal(0, 1, (12, 1)) * direction
    suspect = (source + direction)[None]
    blind = residuals.fit_space(honest, honest[:0], honest[:0], source)
    seeing = residuals.fit_space(honest, honest[:0], shadows, source)
    kept = [residuals.kept(suspect, source, space)[0] for space in (blind, seeing)]

    assert kept[1] > kept[0] + 0.1


def test_overshooting_is_not_more_than_copying(honest: np.ndarray) -> None:
    """Nothing counts for more than a copy, and a model that deviates threefold in its way for no less."""
    rng = np.random.default_rng(7)
    truth = honest.mean(0)
    source = rng.normal(0, 0.3, PROBES)
    models = truth + np.concatenate([3 * source[None], rng.normal(0, 5, (400, PROBES))])
    kept = residuals.kept(models, truth + source, space_of(honest, truth + source))

    assert kept.max() <= 1 + 1e-9
    assert kept[0] > kept[1:].max()


def test_a_peer_that_is_the_source_is_dropped() -> None:
    """A shadow that is stays."""
    source = np.arange(5.0)
    scores = np.stack([source, source + 1, source])[:, :, None].astype(np.float32)
    uses = ("calibrate", "calibrate", "select")
    panel = Panel(("a", "b", "c"), ("peer", "peer", "shadow"), uses, np.zeros((3, 5), np.int16), scores)

    assert residuals.without_doubles(panel, source).names == ("b", "c")


def test_the_student_density_is_scipys() -> None:
    """An independent oracle."""
    x = np.linspace(-9, 9, 50)

    np.testing.assert_allclose(residuals.log_student(x, 4, 1.5, 0.3), student.logpdf(x, 4, 1.5, 0.3))
