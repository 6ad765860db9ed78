"""Shadows made from a model at hand: changed a little, and only as copies."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from probe_match.clients import function, sklearn
from probe_match.clients.torch import TorchClient, wrap
from probe_match.fingerprinting import learners, networks, tampering
from probe_match.fingerprinting.derivatives import derive
from probe_match.fingerprinting.enrolment import enroll
from probe_match.fingerprinting.fitting import fit, one_thread, seeded
from probe_match.fingerprinting.matching import match_one
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.records import About, InputSpec, Pool
from probe_match.probes import adversarial, boundary
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

SPEC = InputSpec("image", (3, 16, 16))
K = 4


def images(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Four patterns of 3 x 16 x 16 under noise that makes them hard to tell apart, one label in ten wrong."""
    patterns = np.random.default_rng(9).uniform(0.42, 0.58, (K, 3, 4, 4)).repeat(4, 2).repeat(4, 3)
    rng = np.random.default_rng(seed)
    y = rng.integers(0, K, n)
    x = np.clip(patterns[y] + rng.normal(0, 0.3, (n, 3, 16, 16)), 0, 1).astype(np.float32)
    return x, np.where(rng.random(n) < 0.1, rng.integers(0, K, n), y)


def trained(seed: int) -> nn.Module:
    """A small network trained for a while on images that no pool here holds; the data are one, the seeds several."""
    x, y = images(100, 250)
    with seeded(seed):
        module = nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3), nn.ReLU(),
            nn.Flatten(), nn.Dropout(0.1), nn.Linear(400, K),
        )  # fmt: skip
        inputs, target = torch.from_numpy(x), torch.from_numpy(y)
        generator = torch.Generator().manual_seed(seed)
        with one_thread():
            fit(
                module, list(module.parameters()), lambda rows, _: inputs[rows], target,
                steps=200, rate=3e-3, generator=generator, adaptive=True,
            )  # fmt: skip
    return module


@cache
def source() -> TorchClient:
    """The model to be protected."""
    return wrap(trained(0))


@cache
def pool() -> Pool:
    """400 labelled images."""
    return Pool(SPEC, *images(1, 400))


def rows(seed: int = 0, n: int = 400) -> Pool:
    """Labelled rows of ten numbers, five classes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 10)).astype(np.float32)
    y = (x @ np.random.default_rng(1).normal(size=(10, 5)) + rng.normal(0, 1, (n, 5))).argmax(1)
    return make_pool(x, y)


def test_copies_of_a_network_change_some_answers_but_not_most() -> None:
    """Fine-tuned, pruned and rounded copies still answer as the source does, with few exceptions."""
    x, _ = images(2, 600)
    own = source().ask(x).scores
    panel = derive(source(), pool(), x, seed=0)
    assert panel is not None
    agree = (panel.labels == own.argmax(1)).mean(1)

    assert panel.names == tuple(
        f"shadow ({name})"
        for name in (
            "last layer fine-tuned", "fine-tuned", "30% pruned", "60% pruned", "80% pruned", "rounded to 8 bits",
        )
    )  # fmt: skip
    assert set(panel.roles) == {"shadow"}
    assert panel.uses == ("select", "estimate") * 3
    assert panel.scores is not None
    assert panel.scores.shape == (6, 600, K)
    assert (agree[[0, 1, 2, 3, 5]] > 0.6).all()
    assert (agree[:5] < 1).all()
    assert agree[5] > 0.97


def test_the_network_itself_is_left_as_it_was() -> None:
    """Weights, mode, gradients and torch's generator."""
    module = source().module
    module[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    generator = torch.get_rng_state()
    derive(source(), pool(), pool().x, seed=0)
    module_after = module.state_dict()

    assert all(torch.equal(module_after[name], value) for name, value in before.items())
    assert not module.training
    assert not module[0].weight.requires_grad
    assert torch.equal(torch.get_rng_state(), generator)
    module[0].weight.requires_grad_(True)


def test_a_seed_makes_the_same_copies() -> None:
    """Fine-tuning is random, and seeded."""
    first, second, other = (derive(source(), pool(), pool().x, seed=seed) for seed in (0, 0, 1))
    assert first is not None
    assert second is not None
    assert other is not None

    assert np.array_equal(first.scores, second.scores)
    assert not np.array_equal(first.scores, other.scores)


def test_pruned_weights_stay_pruned_while_the_rest_is_tuned() -> None:
    """The named share of the weights is zero in the end, and what is not has moved."""
    copies = dict(tampering.copies(source(), pool(), 0))
    for name, share in (("30% pruned", 0.3), ("60% pruned", 0.6)):
        weights = torch.cat([p.detach().flatten() for p in copies[name].module.parameters() if p.ndim > 1])
        own = torch.cat([p.detach().flatten() for p in source().module.parameters() if p.ndim > 1])

        assert abs(float((weights == 0).float().mean()) - share) < 0.01
        assert not torch.equal(weights[weights != 0], own[weights != 0])


def test_rounded_weights_take_255_values() -> None:
    """Per tensor, and none is further from its original than half a step."""
    copy = dict(tampering.copies(source(), pool(), 0))["rounded to 8 bits"]
    for new, old in zip(copy.module.parameters(), source().module.parameters(), strict=True):
        if new.ndim > 1:
            step = float(old.detach().abs().max()) / 127

            assert len(new.unique()) <= 255
            assert float((new - old).detach().abs().max()) <= step / 2 + 1e-6


def test_only_the_last_layer_moves_where_it_is_told_to() -> None:
    """The other weights and the running statistics are the source's."""
    copy = dict(tampering.copies(source(), pool(), 0))["last layer fine-tuned"]
    own = source().module.state_dict()
    changed = {name for name, value in copy.module.state_dict().items() if not torch.equal(value, own[name])}

    assert changed == {"8.weight", "8.bias"}


def test_slow_tuning_is_seen_on_its_way() -> None:
    """Three copies, each further from the source than the one before, and the source is where it was."""
    own = torch.nn.utils.parameters_to_vector(source().module.parameters()).detach().clone()
    copies = tampering.gentle_copies(source(), pool(), 0)
    moved = [
        float((torch.nn.utils.parameters_to_vector(twin.module.parameters()).detach() - own).norm())
        for _, twin in copies
    ]

    assert len(copies) == 3
    assert 0 < moved[0] < moved[1] < moved[2]
    assert not any(twin.module.training for _, twin in copies)
    assert torch.equal(torch.nn.utils.parameters_to_vector(source().module.parameters()).detach(), own)


def test_an_exported_program_is_changed_too() -> None:
    """It has no layers to name and but one mode, yet weights it has."""
    sizes = ({0: torch.export.Dim("rows", min=2, max=64)},)
    program = torch.export.export(source().module, (torch.rand(4, *SPEC.shape),), dynamic_shapes=sizes).module()
    client = TorchClient(program, "torch:m.pt2", SPEC.shape, torch.device("cpu"), least=2, most=64)
    x, _ = images(2, 300)
    panel = derive(client, pool(), x, seed=0)
    assert panel is not None
    agree = (panel.labels == client.ask(x).scores.argmax(1)).mean(1)

    assert len(panel.names) == 6
    assert (agree[[0, 1, 2, 3, 5]] > 0.6).all()
    assert agree.min() < 1


def test_modules_whose_weights_cannot_be_changed_give_none() -> None:
    """No weights, or numbers of another precision."""
    weightless = wrap(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    double = wrap(trained(0).double())

    assert derive(weightless, pool(), pool().x, 0) is None
    assert derive(double, pool(), pool().x, 0) is None


FOUR = ("30% pruned", "60% pruned", "rounded to 1 decimals", "rounded to 2 decimals")
HALVES = ("half of its trees, 1", "half of its trees, 2")
ESTIMATORS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "linear": (LogisticRegression(), FOUR),
    "margin": (LinearSVC(), FOUR),
    "perceptron": (make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=100, tol=0.01, random_state=0)), FOUR),
    "forest": (RandomForestClassifier(21, random_state=0), HALVES),
    "trees": (make_pipeline(StandardScaler(), ExtraTreesClassifier(20, random_state=0)), HALVES),
    "search": (GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2), FOUR),
}


@pytest.mark.parametrize(("estimator", "names"), ESTIMATORS.values(), ids=list(ESTIMATORS))
def test_copies_of_an_estimator_change_some_answers_but_not_most(estimator: Any, names: tuple[str, ...]) -> None:
    """Weights pruned and rounded, trees left out; the estimator itself answers as before."""
    owned, fresh = rows(), rows(2, 1000).x
    client = sklearn.wrap(estimator.fit(owned.x, owned.y))
    before = client.ask(fresh)
    panel = derive(client, owned, fresh, seed=0)
    assert panel is not None
    agree = (panel.labels == before.labels).mean(1)
    after = client.ask(fresh)

    assert panel.names == tuple(f"shadow ({name})" for name in names)
    assert (agree > 0.5).all()
    assert agree.min() < 0.995
    assert np.array_equal(before.labels, after.labels)
    assert np.array_equal(before.scores, after.scores)


def test_half_of_the_trees_is_a_forest_of_these_trees() -> None:
    """Its probabilities are the mean over ten of the twenty trees, whichever were kept."""
    owned = rows()
    forest = RandomForestClassifier(20, random_state=0).fit(owned.x, owned.y)
    panel = derive(sklearn.wrap(forest), owned, owned.x, seed=0)
    assert panel is not None
    assert panel.scores is not None
    both = panel.scores.astype(float)

    assert np.allclose(both.sum(2), 1, atol=5e-3)
    assert not np.array_equal(both[0], both[1])
    assert len(forest.estimators_) == 20


def test_texts_are_asked_of_pruned_pipelines() -> None:
    """A pipeline that begins with words ends in weights as any other."""
    words = ("one two three", "two three four", "nine ten eight", "ten nine seven") * 10
    y = np.array([0, 0, 1, 1] * 10)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(words, y)
    panel = derive(sklearn.wrap(model), Pool(InputSpec("text"), words, y), words, seed=0)
    assert panel is not None

    assert panel.names == tuple(f"shadow ({name})" for name in FOUR)


OTHERS: dict[str, Any] = {
    "neighbours": lambda x, y: sklearn.wrap(KNeighborsClassifier().fit(x, y)),
    "boosting": lambda x, y: sklearn.wrap(HistGradientBoostingClassifier(max_iter=5).fit(x, y)),
    "callable": lambda x, y: function.wrap(lambda z: z[:, 0].astype(int), name="f", shape=(10,)),
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=list(OTHERS))
def test_models_without_weights_to_change_give_none(make: Any) -> None:
    """Nothing is known of what their changed copies would be."""
    owned = rows()

    assert derive(make(owned.x, owned.y), owned, owned.x, 0) is None


def test_a_copy_that_broke_is_no_shadow() -> None:
    """One label for everything says nothing of the source: here, all but the largest weight is rounded away."""
    owned = rows()
    model = LogisticRegression().fit(owned.x, owned.y)
    model.coef_ = np.zeros_like(model.coef_)
    model.coef_[0, 0] = 1e-9

    assert derive(sklearn.wrap(model), owned, owned.x, 0) is None


def test_a_pruned_network_is_nearer_than_an_honest_one_of_the_same_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enrolled on images with peers of its own shape: the copy stands above a model of its very data, other seed."""
    monkeypatch.setattr(networks, "STEPS", (60, 60))
    enrolled = enroll(
        source(), pool(), name="s0", about=About(), probes=40, peers=15, shadows=5,
        generators={"boundary": boundary.generate, "adversarial": adversarial.generate},
    )  # fmt: skip
    panel = enrolled.reference.panel
    assert panel is not None
    copy = trained(0)
    keep = tampering._prune(copy, 0.3)
    keep()
    stolen, honest = (
        match_one(wrap(module.eval()), enrolled.reference, stop_early=False) for module in (copy, trained(1))
    )

    classes = {name.split("(")[1].split(",")[0] for name in panel.names if name.startswith("peer")}
    assert "own" in classes
    assert len(classes & set(learners.NETWORKS)) >= 2
    assert "shadow (60% pruned)" in panel.names
    assert stolen.matches[0].score > honest.matches[0].score
    assert stolen.matches[0].llr > honest.matches[0].llr + 2
