"""Which probes are kept: those that tell copies from honest models, and not the same thing twice."""

import numpy as np
import pytest
from probe_match.fingerprinting.records import Panel
from probe_match.fingerprinting.selection import choose, divergences, spread, worth
from scipy.stats import entropy

K = 4
Models = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def models() -> Models:
    """A source of zeros, 20 peers and 10 shadows on 30 probes; all agree by chance, except as a test changes it."""
    rng = np.random.default_rng(0)
    return np.zeros(30, int), rng.integers(0, K, (20, 30)), rng.integers(0, K, (10, 30))


def panel_of(peers: np.ndarray, shadows: np.ndarray, families: tuple[str, ...] = ()) -> Panel:
    """Peers that choose probes, and shadows."""
    p, s = len(peers), len(shadows)
    return Panel(
        tuple(f"m{i}" for i in range(p + s)), ("peer",) * p + ("shadow",) * s, ("select", "estimate") * ((p + s) // 2),
        np.concatenate([peers, shadows]).astype(np.int16), families=families,
    )  # fmt: skip


def test_a_probe_only_copies_repeat_comes_first(models: Models) -> None:
    """All shadows repeat the source's label and no peer gives it: nothing tells more."""
    source, peers, shadows = models
    peers[:, 17], shadows[:, 17] = 1, 0

    assert choose(source, panel_of(peers, shadows), K, 5)[0] == 17
    assert worth(source, panel_of(peers, shadows), K).argmax() == 17


def test_a_probe_everyone_answers_alike_is_worth_least(models: Models) -> None:
    """Where all peers give the source's label too, a copy cannot be told."""
    source, peers, shadows = models
    peers[:, 3] = shadows[:, 3] = shadows[:, 4] = 0
    value = worth(source, panel_of(peers, shadows), K)

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
    value = worth(source, panel_of(peers, shadows), K)

    np.testing.assert_allclose(value[:11], value[20])
    assert choose(source, panel_of(peers, shadows), K, 3)[:2].tolist() == [0, 20]


@pytest.mark.parametrize("n", [1, 7, 30, 100])
def test_never_more_than_asked_and_never_twice(n: int, models: Models) -> None:
    """At most n different candidates, all of them where n is larger."""
    source, peers, shadows = models
    for chosen in (choose(source, panel_of(peers, shadows), K, n), spread(peers, n)):
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


def test_a_probe_that_one_class_of_honest_models_answers_alike_is_worth_less(models: Models) -> None:
    """Of two probes with as many agreeing peers, the one where those are all of one model class tells less."""
    source, peers, shadows = models
    peers[:, 5:7], shadows[:, 5:7] = 1, 0
    peers[:4, 5] = 0  # all of class a
    peers[::5, 6] = 0  # one of each class
    families = tuple("abcde"[i // 4] for i in range(20)) + ("a",) * 10
    value = worth(source, panel_of(peers, shadows, families), K)

    assert value[5] < 0.8 * value[6]


def test_copies_of_the_weights_do_not_speak_for_extracted_ones(models: Models) -> None:
    """A probe that changed copies repeat and extracted ones do not is worth less than the other way round."""
    source, peers, shadows = models
    peers[:, 8:10] = 1
    shadows[:, 8:10] = 1
    shadows[:5, 8] = 0  # the changed copies
    shadows[5:, 9] = 0  # the extracted ones
    value = worth(source, panel_of(peers, shadows, ("a",) * 20 + ("",) * 5 + ("a",) * 5), K)

    assert value[8] < 0.1 * value[9]


def test_the_first_probes_cover_every_kind_of_theft(models: Models) -> None:
    """Copies of weights keep ten probes well and extracted models ten others a little less: one of each comes first."""
    source, peers, shadows = models
    peers[:, :20] = 1
    shadows[:5, :10], shadows[5:, :10] = 0, 1
    shadows[:5, 10:20], shadows[5:, 10:20] = 1, 0
    shadows[5, 10:20] = 1
    families = ("",) * len(peers) + ("",) * 5 + ("linear",) * 5
    first = choose(source, panel_of(peers, shadows, families), K, 2)

    assert sorted(first // 10) == [0, 1]


def test_points_everybody_answers_alike_by_habit_need_more_peers_to_stand_out(models: Models) -> None:
    """
    No peer agrees on one row of the pool, of which most are agreed on, nor on a point of the source's boundary, as on
    all of those: the latter is the better probe.
    """
    source, peers, shadows = models
    peers[:, :10], shadows[:, :] = 0, 0
    peers[:, [9, 20]] = 1
    peers[:, 21:] = 1
    origins = np.where(np.arange(30) < 20, "uniform", "boundary")
    panel = panel_of(peers, shadows)
    blind, told = (divergences(source, panel, K, given)[0] for given in (None, origins))

    assert blind[9] == pytest.approx(blind[20])
    assert told[20] > told[9]
