"""Labels drawn anew are as often wrong as the pool's, and wrong elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from probe_match.clients import sklearn
from probe_match.fingerprinting import exploring, panels, plans, relabelling
from probe_match.fingerprinting.records import InputSpec, Pool
from sklearn.linear_model import LogisticRegression

WRONG = 0.2  # of the labels


@pytest.fixture(scope="module")
def noisy() -> Pool:
    """Two classes parted by a plane, a fifth of the labels turned round."""
    rng = np.random.default_rng(0)
    x = rng.random((300, 4), dtype=np.float32)
    y = (x @ [1, 1, -1, -1] > 0).astype(np.int64)
    y ^= rng.random(300) < WRONG
    return Pool(InputSpec("tabular", (4,), (0.0,), (1.0,)), x, y)


@pytest.fixture(scope="module")
def odds(noisy: Pool) -> np.ndarray:
    found = relabelling.chances(noisy.take(np.arange(200)), noisy.take(np.arange(200, 300)), 2, 0)
    assert found is not None
    return found


def test_chances_know_how_often_labels_are_wrong(noisy: Pool, odds: np.ndarray) -> None:
    """Rows of probabilities, in the order of the pools, that expect as many wrong labels as there are."""
    assert noisy.y is not None
    right = odds[np.arange(300), (noisy.x @ [1, 1, -1, -1] > 0).astype(int)]

    assert odds.shape == (300, 2)
    assert np.allclose(odds.sum(1), 1)
    assert WRONG - 0.05 < (1 - odds.max(1)).mean() < WRONG + 0.15  # what is not known of the plane is doubt as well
    assert right.mean() > 0.65


def test_a_row_does_not_vouch_for_its_own_label(noisy: Pool, odds: np.ndarray) -> None:
    """Where a label is wrong, the chances say so, which models that were shown the row would not."""
    assert noisy.y is not None
    wrong = noisy.y != (noisy.x @ [1, 1, -1, -1] > 0)

    assert odds[np.flatnonzero(wrong), noisy.y[wrong]].mean() < 0.4


def test_texts_have_chances_of_models_that_were_not_shown_them() -> None:
    """Rows of probabilities that know most writers; texts under a wrong name do not vouch for it."""
    words = ("apple", "stone", "river")
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    texts = tuple(" ".join(rng.choice((*words, words[i], words[i]), 8)) + f" {n}" for n, i in enumerate(y))
    told = np.where(np.arange(90) % 10 == 0, (y + 1) % 3, y)
    pool = Pool(InputSpec("text"), texts, told)
    found = relabelling.chances(pool.take(np.arange(60)), pool.take(np.arange(60, 90)), 3, 0)

    assert found is not None
    assert found.shape == (90, 3)
    assert np.allclose(found.sum(1), 1)
    assert (found.argmax(1) == y).mean() > 0.6
    wrong = np.flatnonzero(told != y)
    assert found[wrong, told[wrong]].mean() < found[wrong, y[wrong]].mean()


def test_labels_are_drawn_by_their_chances(odds: np.ndarray) -> None:
    """As often as they are likely, one a row, the same by the same seed."""
    rng = np.random.default_rng(1)
    often = np.mean([relabelling.drawn(odds, rng) for _ in range(400)], 0)

    assert np.abs(often - odds[:, 1]).max() < 0.12
    assert np.array_equal(*(relabelling.drawn(odds, np.random.default_rng(5)) for _ in range(2)))
    assert relabelling.drawn(odds[:0], rng).shape == (0,)


def test_what_cannot_be_halved_is_left_as_it_is(noisy: Pool) -> None:
    """One class, or one that was seen once, teaches nobody to doubt it; images for networks cost too much."""
    assert noisy.y is not None
    once = replace(noisy, y=(np.arange(300) == 7).astype(np.int64))

    assert relabelling.chances(once.take(np.arange(200)), once.take(np.arange(200, 300)), 2, 0) is None
    pictures = Pool(InputSpec("image", (16, 16), (0.0,), (1.0,)), np.zeros((8, 16, 16), np.float32), np.arange(8) % 2)
    assert relabelling.chances(pictures, pictures, 2, 0) is None


def test_strangers_that_calibrate_learn_drawn_labels(noisy: Pool, odds: np.ndarray) -> None:
    """And they alone: those that choose probes, know the source's data or are its kin learn the labels as they are."""
    assert noisy.y is not None
    source = sklearn.wrap(LogisticRegression().fit(noisy.x, noisy.y))
    train, held = noisy.take(np.arange(200)), noisy.take(np.arange(200, 300))
    material = exploring.material_for(source, train, held, None, 0)
    first, rest = plans.plan_peers(replace(material, chances=odds), 100, 0)
    every = first + rest(plans.Kin(("linear",), None))

    assert {(p.role, p.use) == ("peer", "calibrate") for p in every if p.target == "drawn"} == {True}
    assert {p.target for p in every if (p.role, p.use) == ("peer", "calibrate")} == {"drawn"}
    assert {p.target for p in plans.plan_peers(material, 100, 0)[0]} == {"truth"}

    one = next(p for p in every if p.target == "drawn" and p.learner == "linear")
    kept = replace(material, chances=odds)
    labels = panels.train_panel(kept, [one, replace(one, seed=one.seed + 1)], noisy.x).labels
    assert (labels[0] != labels[1]).any()
