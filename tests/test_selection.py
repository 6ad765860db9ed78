"""Which probes are kept: those that tell copies from honest models, and not the same thing twice."""

import numpy as np
import pytest
from probe_match.fingerprinting.selection import choose, spread, worth
from scipy.stats import entropy

K = 4
Models = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def models() -> Models:
    """A source of zeros, 20 peers and 10 shadows on 30 probes; all agree by chance, except as a test changes it."""
    rng = np.random.default_rng(0)
    return np.zeros(30, int), rng.integers(0, K, (20, 30)), rng.integers(0, K, (10, 30))


def test_a_probe_only_copies_repeat_comes_first(models: Models) -> None:
    """All shadows repeat the source's label and no peer gives it: nothing tells more."""
    source, peers, shadows = models
    peers[:, 17], shadows[:, 17] = 1, 0

    assert choose(source, peers, shadows, K, 5)[0] == 17
    assert worth(source, peers, shadows, K).argmax() == 17


def test_a_probe_everyone_answers_alike_is_worth_least(models: Models) -> None:
    """Where all peers give the source's label too, a copy cannot be told."""
    source, peers, shadows = models
    peers[:, 3] = shadows[:, 3] = shadows[:, 4] = 0
    value = worth(source, peers, shadows, K)

    assert value[3] < 0.1 * value[4]
    assert (value >= 0).all()


def test_repeated_probes_are_discounted(models: Models) -> None:
    """Of twelve probes of one worth, eleven have the same outcomes: the one that says something new comes second."""
    source, peers, shadows = models
    for i in range(11):
        peers[:, i], shadows[:, i] = 1, 0
        peers[:2, i] = 0
    peers[:, 20], shadows[:, 20] = 1, 0
    peers[5:7, 20] = 0
    value = worth(source, peers, shadows, K)

    np.testing.assert_allclose(value[:11], value[20])
    assert choose(source, peers, shadows, K, 3).tolist() == [0, 20, 1]


@pytest.mark.parametrize("n", [1, 7, 30, 100])
def test_never_more_than_asked_and_never_twice(n: int, models: Models) -> None:
    """At most n different candidates, all of them where n is larger."""
    for chosen in (choose(*models, K, n), spread(models[1], n)):
        assert len(chosen) == min(n, 30)
        assert len(set(chosen.tolist())) == len(chosen)
        assert 0 <= chosen.min() <= chosen.max() < 30


def test_a_shared_suite_starts_where_models_differ_most() -> None:
    """The first probe is one of highest entropy over the models' labels, by scipy."""
    panel = np.random.default_rng(3).integers(0, K, (15, 40))
    disorder = [entropy(np.bincount(labels, minlength=K)) for labels in panel.T]

    assert disorder[spread(panel, 5)[0]] == pytest.approx(max(disorder))


def test_a_shared_suite_asks_no_probe_twice_over() -> None:
    """Of two probes on which all models answer alike, the second gives way to a new division of the models."""
    panel = np.zeros((8, 12), int)
    panel[:4, :11] = 1  # eleven times the same even division
    panel[:3, 11] = 1  # a less even one, of other models
    panel[7, 11] = 1
    panel[2, 11] = 0

    assert set(spread(panel, 2).tolist()) == {0, 11}
