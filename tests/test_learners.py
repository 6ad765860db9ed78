"""Cheap model classes for peers and shadows: each learns, each knows all classes, and a seed makes one."""

import numpy as np
import pytest
from probe_match.fingerprinting import learners
from probe_match.fingerprinting.records import InputSpec
from scipy.special import softmax
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

K = 4
FLAT = InputSpec("tabular", (3,), (-9.0,), (9.0,))
MIXED = InputSpec("tabular", (3,), (0.0,), (9.0,), categories=((), (), ("red", "green", "blue")))
TEXT = InputSpec("text")
Task = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def task() -> Task:
    """Three clouds of points with the labels 0, 1 and 3; nobody has seen class 2."""
    rng = np.random.default_rng(0)
    labels = np.array([0, 1, 3])[rng.integers(0, 3, 150)]
    return (rng.normal(0, 0.4, (150, 3)) + labels[:, None]).astype(np.float32), labels


def test_slow_learners_are_left_out() -> None:
    """Boosting is dropped for many classes, kernels for many rows; texts have learners of their own."""
    assert learners.names(FLAT, 3, 500) == tuple(learners.CLASSIFIERS)
    assert "boosting" not in learners.names(FLAT, 30, 500)
    assert "kernel" not in learners.names(FLAT, 3, 5000)
    assert set(learners.names(TEXT, 2, 100)) == set(learners.TEXT)
    assert len(learners.names(FLAT, 1000, 100_000)) >= 3


@pytest.mark.parametrize("learner", learners.CLASSIFIERS)
def test_every_learner_learns_labels(learner: str, task: Task) -> None:
    """Labels are those of the scores, most are right, and a class never seen has score 0 in its own column."""
    x, y = task
    labels, scores = learners.train(learner, FLAT, x, y, K, seed=1)(x)

    assert (labels.dtype, labels.shape) == (np.int16, (150,))
    assert (scores.dtype, scores.shape) == (np.float16, (150, K))
    assert np.mean(labels == y) > 0.85
    assert (scores[:, 2] == 0).all()
    np.testing.assert_allclose(scores.astype(float).sum(1), 1, atol=0.01)


@pytest.mark.parametrize("learner", learners.CLASSIFIERS)
def test_every_learner_learns_scores(learner: str, task: Task) -> None:
    """Probability extraction: trained on soft scores, what comes back resembles them; no learner refuses."""
    x, y = task
    soft = 0.7 * np.eye(K)[y] + 0.3 / K
    labels, scores = learners.train(learner, FLAT, x, soft, K, seed=1)(x)

    assert np.mean(labels == y) > 0.75
    assert np.abs(scores.astype(float) - soft).mean() < 0.18  # always guessing the mean is 0.23 off
    assert (scores >= 0).all()


def test_a_kernel_machine_shows_its_decision_values(task: Task) -> None:
    """As probabilities in the columns of its classes, as whoever serves one does; its label is the one it votes for."""
    x, y = task
    known = SVC(C=2.0).fit(x, y)
    labels, scores = learners.train(learners.OWN, FLAT, x, y, K, seed=1, own=SVC(C=2.0))(x)

    np.testing.assert_allclose(scores[:, [0, 1, 3]], softmax(known.decision_function(x), axis=1), atol=2e-3)
    assert (scores[:, 2] == 0).all()
    assert (labels == known.predict(x)).all()
    pairs = SVC(decision_function_shape="ovo")  # shows one value for each pair of classes
    assert set(np.unique(learners.train(learners.OWN, FLAT, x, y, K, 1, pairs)(x)[1])) == {0, 1}
    two, of_two = learners.train("kernel", FLAT, x[y != 3], y[y != 3], 2, seed=1)(x)
    assert ((of_two[:, 1] > 0.5) == (two == 1)).all()
    assert len(np.unique(of_two[:, 1])) > 50


@pytest.mark.parametrize("learner", ["forest", "network", "trees"])
def test_a_seed_makes_one_model(learner: str, task: Task) -> None:
    """The same seed answers the same, another seed does not."""
    x, y = task
    first, again, other = (learners.train(learner, FLAT, x, y, K, seed)(x + 0.5)[1] for seed in (4, 4, 10))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_sources_own_class_is_fitted_anew(task: Task) -> None:
    """A clone under another seed is fitted, the estimator at hand is left as it was; one without a seed will do."""
    x, y = task
    own = RandomForestClassifier(5, random_state=0)
    first, other = (learners.train(learners.OWN, FLAT, x, y, K, seed, own)(x)[1] for seed in (1, 2))

    assert not np.array_equal(first, other)
    assert not hasattr(own, "estimators_")
    assert own.random_state == 0
    assert learners.train(learners.OWN, FLAT, x, y, K, 1, GaussianNB())(x)[0].shape == (150,)  # has no seed at all


def test_own_learns_scores_as_well(task: Task) -> None:
    """A classifier cannot be fitted to score rows, so another class stands in."""
    x, y = task
    labels, _ = learners.train(learners.OWN, FLAT, x, np.eye(K)[y], K, 1, RandomForestClassifier(5))(x)

    assert np.mean(labels == y) > 0.85


@pytest.mark.parametrize("learner", ["forest", "linear", "network"])
def test_categories_are_no_numbers(learner: str) -> None:
    """A label that only the middle one of three categories has is learnt, by linear models, too."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.random((200, 2)), rng.integers(0, 3, 200)]).astype(np.float32)
    y = (x[:, 2] == 1).astype(int)
    labels, _ = learners.train(learner, MIXED, x, y, 2, seed=2)(x)

    assert np.mean(labels == y) > 0.98


def test_texts_are_learnt_by_their_words() -> None:
    """Every text learner tells two vocabularies apart."""
    texts = tuple(f"{'good fine' if i % 2 else 'bad awful'} word{i % 7}" for i in range(60))
    truth = np.arange(60) % 2
    for learner in learners.TEXT:
        labels, _ = learners.train(learner, TEXT, texts, truth, 2, seed=1)(texts)

        assert (labels == truth).all()


def test_images_are_flattened(task: Task) -> None:
    """A learner takes inputs of any shape."""
    x, y = task
    spec = InputSpec("image", (1, 3), (-9.0,), (9.0,))
    labels, _ = learners.train("forest", spec, x.reshape(-1, 1, 3), y, K, seed=1)(x.reshape(-1, 1, 3))

    assert np.mean(labels == y) > 0.9


def test_many_rows_are_thinned(monkeypatch: pytest.MonkeyPatch, task: Task) -> None:
    """Beyond MAX_ROWS a learner sees a sample, drawn by its seed."""
    x, y = task
    monkeypatch.setattr(learners, "MAX_ROWS", 60)
    labels, _ = learners.train("trees", FLAT, x, y, K, seed=1)(x)
    whole = learners.train("trees", FLAT, x[:60], y[:60], K, seed=1)(x)[0]

    assert np.mean(labels == y) > 0.8
    assert not np.array_equal(labels, whole)


def test_an_estimator_is_told_by_its_family() -> None:
    """Alone, at the end of a pipeline or behind a scaled target; classifiers and regressors alike."""
    scaled = TransformedTargetRegressor(make_pipeline(StandardScaler(), MLPRegressor()), transformer=StandardScaler())

    assert learners.family(RandomForestClassifier()) == learners.family(RandomForestRegressor()) == "forest"
    assert learners.family(make_pipeline(StandardScaler(), SVR())) == "kernel"
    assert learners.family(scaled) == "network"
    assert learners.family(MultinomialNB()) == "bayes"
    assert learners.family(GaussianNB()) is None
