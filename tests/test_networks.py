"""Small networks for images: what they learn, from which targets and layouts, and the source's own shape afresh."""

from typing import Any

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from probe_match.clients.torch import TorchClient, wrap
from probe_match.fingerprinting import fitting, learners, networks, programs
from probe_match.fingerprinting.records import InputSpec
from torch import nn

SPEC = InputSpec("image", (3, 16, 16))
K = 4


def images(seed: int, n: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """Four noisy patterns of 3 x 16 x 16, not centred, and which one each image shows."""
    patterns = np.random.default_rng(9).uniform(0.2, 0.8, (K, 3, 4, 4)).repeat(4, 2).repeat(4, 3)
    rng = np.random.default_rng(seed)
    y = rng.integers(0, K, n)
    x = np.clip(patterns[y] + rng.normal(0, 0.15, (n, 3, 16, 16)), 0, 1)
    return x.astype(np.float32), y


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty steps teach these patterns."""
    monkeypatch.setattr(networks, "STEPS", (60, 60))


def small_module() -> nn.Sequential:
    """A convolution with batch normalisation and a linear layer, seeded."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(392, K)
    )


@pytest.mark.parametrize("shape", networks.SHAPES)
def test_every_shape_learns_labels(shape: str) -> None:
    """Fresh images are recognised; answers are labels int16 and probabilities float16."""
    x, y = images(0)
    fresh, truth = images(1)
    labels, scores = learners.train(shape, SPEC, x, y, K, seed=0)(fresh)

    assert (labels == truth).mean() > 0.9
    assert (labels.dtype, scores.dtype, scores.shape) == (np.int16, np.float16, (240, K))
    assert np.allclose(scores.astype(float).sum(1), 1, atol=2e-3)
    assert np.array_equal(scores.argmax(1), labels)


def test_names_are_those_of_the_shapes() -> None:
    """What learners offer without importing torch is what networks hold."""
    assert tuple(networks.SHAPES) == learners.NETWORKS


def test_score_rows_are_learnt_as_they_are() -> None:
    """Where the teacher is unsure, so is the student: 60 to 40, not all or nothing."""
    x, y = images(0)
    rows = np.zeros((len(y), K), np.float32)
    rows[np.arange(len(y)), y] = 0.6
    rows[np.arange(len(y)), (y + 1) % K] = 0.4
    fresh, truth = images(1)
    labels, scores = learners.train("plain", SPEC, x, rows, K, seed=0)(fresh)
    given = scores[np.arange(len(truth)), truth].astype(float)

    assert (labels == truth).mean() > 0.8
    assert abs(np.median(given) - 0.6) < 0.08


def test_score_rows_of_fewer_classes_leave_the_rest_at_nothing() -> None:
    """The source may know fewer classes than the pool."""
    x, y = images(0)
    _, scores = learners.train("wide", SPEC, x, np.eye(K, dtype=np.float32)[y], K + 2, seed=0)(x)

    assert scores.shape[1] == K + 2
    assert scores[:, K:].max() < 0.1


def test_a_seed_makes_one_network_and_leaves_torch_alone() -> None:
    """The same seed gives the same scores, another seed others; the global generator does not move."""
    x, y = images(0)
    before = torch.get_rng_state()
    first, second, other = (networks.train("residual", SPEC, x, y, K, seed)(x)[1] for seed in (1, 1, 2))

    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_networks_trained_side_by_side_are_those_trained_alone() -> None:
    """Threads share nothing: dropout and first weights, which read torch's own generator, wait for each other."""
    x, y = images(0)
    own = networks.fresh(wrap(small_module()), SPEC, K)

    def scores(learner: str) -> np.ndarray:
        return learners.train(learner, SPEC, x, y, K, seed=5, own=own)(x)[1]

    shapes = (*networks.SHAPES, learners.OWN)
    together = Parallel(3, backend="threading")(delayed(scores)(shape) for shape in shapes)

    assert all(np.array_equal(there, scores(shape)) for there, shape in zip(together, shapes, strict=True))


def test_channels_may_come_first_or_last() -> None:
    """The same images in the other layout give the same answers."""
    x, y = images(0)
    last = np.moveaxis(x, 1, 3)
    _, one = networks.train("plain", SPEC, x, y, K, 0)(x)
    _, two = networks.train("plain", InputSpec("image", (16, 16, 3)), last, y, K, 0)(last)

    assert np.allclose(one, two, atol=0.01)


def test_grey_images_are_not_mirrored() -> None:
    """Left from right is learnt, which a network trained on mirror images cannot tell."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    x = rng.normal(0.5, 0.1, (200, 20, 20)).astype(np.float32)
    x[y == 0, :, :10] += 0.3
    x[y == 1, :, 10:] += 0.3
    labels, _ = networks.train("wide", InputSpec("image", (20, 20)), x, y, 2, 0)(x)

    assert (labels == y).mean() > 0.95


def test_large_images_are_averaged_down() -> None:
    """Images of 3 x 96 x 64 that repeat each pixel of smaller ones are learnt as those are."""
    x, y = images(0)
    large = x.repeat(6, 2).repeat(4, 3)
    spec = InputSpec("image", (3, 96, 64))
    labels, _ = networks.train("plain", spec, large, y, K, 0)(large)

    assert (labels == y).mean() > 0.9


@pytest.mark.parametrize(("shape", "axis"), [((3, 8, 12), 0), ((8, 12, 3), 2), ((8, 12), None)])
def test_moved_images_are_cuts_of_the_padded_one(shape: tuple[int, ...], axis: int | None) -> None:
    """Every image of a batch is its original, moved by at most a pixel, mirrored or not: all nine places by hand."""
    x = torch.from_numpy(np.random.default_rng(0).random((4, *shape)).astype(np.float32))
    rows = torch.arange(4).repeat(50)
    got = fitting.shifted(x, axis)(rows, torch.Generator().manual_seed(0))
    planes = x[:, None] if axis is None else x.movedim(axis + 1, 1)
    wide = np.pad(planes.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    cuts = [wide[:, :, i : i + 8, j : j + 12] for i in range(3) for j in range(3)]
    mirrored = [] if axis is None else [cut[..., ::-1] for cut in cuts]
    seen = set()
    for image, row in zip(got[:, None] if axis is None else got.movedim(axis + 1, 1), rows, strict=True):
        equal = [i for i, cut in enumerate(cuts + mirrored) if np.array_equal(cut[row], image.numpy())]
        assert len(equal) == 1
        seen.update(equal)

    assert got.shape == (200, *shape)
    assert seen == set(range(len(cuts + mirrored)))


def test_probabilities_are_taken_for_what_they_are() -> None:
    """The softmax of what is read from a softmax is that softmax; logits stay as they are."""
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    given = logits.softmax(1)

    assert torch.allclose(fitting.as_logits(given).softmax(1), given, atol=1e-6)
    assert fitting.as_logits(logits) is logits


def test_small_images_and_other_inputs_are_not_for_networks() -> None:
    """Under 16 pixels a side, and for tables and texts, the flat learners stay."""
    flat = learners.names(InputSpec("image", (3, 12, 16)), K, 100)

    assert "forest" in flat
    assert not set(flat) & set(learners.NETWORKS)
    assert learners.names(SPEC, K, 100) == learners.NETWORKS
    assert not learners.image_networks(InputSpec("tabular", (20,)))


def test_without_torch_images_are_learnt_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch is optional."""
    monkeypatch.setattr(learners, "find_spec", lambda name: None)

    assert "forest" in learners.names(SPEC, K, 100)


def test_the_sources_own_shape_starts_afresh() -> None:
    """It learns as any network does, owes the source nothing, and leaves the source's weights and mode as they were."""
    x, y = images(0)
    client = wrap(small_module())
    before = {name: value.clone() for name, value in client.module.state_dict().items()}
    own = networks.fresh(client, SPEC, K)
    fresh_x, truth = images(1)
    labels, _ = learners.train(learners.OWN, SPEC, x, y, K, seed=3, own=own)(fresh_x)
    again, _ = learners.train(learners.OWN, SPEC, x, y, K, seed=3, own=own)(fresh_x)
    # Weights of one seed must not be a copy of another's, let alone of the source's.
    _, one = learners.train(learners.OWN, SPEC, x, np.eye(K, dtype=np.float32)[y], K, seed=4, own=own)(fresh_x)
    after = client.module.state_dict()

    assert (labels == truth).mean() > 0.9
    assert np.array_equal(labels, again)
    assert (one.argmax(1) == truth).mean() > 0.9
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not client.module.training
    assert not torch.equal(own.module[0].weight, client.module[0].weight)


def test_tables_have_their_own_shape_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch module for rows of numbers is trained afresh without being taken for images."""
    monkeypatch.setattr(networks, "STEPS", (300, 300))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0).astype(int)
    spec = InputSpec("tabular", (6,), (-5.0,), (5.0,))
    own = networks.fresh(wrap(nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))), spec, 2)
    labels, _ = learners.train(learners.OWN, spec, x, y, 2, seed=0, own=own)(x)

    assert (labels == y).mean() > 0.85


class Tokens(nn.Module):
    """A module with a weight of its own making, which nothing re-initialises."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 3 * 256))
        self.last = nn.Linear(3 * 256, K)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Every pixel weighted."""
        return self.last(x.flatten(1) * self.token)


def exported(module: nn.Module) -> nn.Module:
    """A module as a program."""
    sizes = ({0: torch.export.Dim("rows", min=2, max=64)},)
    return torch.export.export(module.eval(), (torch.rand(4, 3, 16, 16),), dynamic_shapes=sizes).module()


def as_client(module: nn.Module) -> TorchClient:
    return TorchClient(module, "torch:m", SPEC.shape, torch.device("cpu"), least=2, most=64)


UNFIT: dict[str, Any] = {
    "weights of its own": lambda: as_client(Tokens().eval()),
    "a program with such weights": lambda: as_client(exported(Tokens())),
    "other classes": lambda: wrap(nn.Sequential(nn.Flatten(), nn.Linear(768, K + 1))),
    "other numbers": lambda: wrap(nn.Sequential(nn.Flatten(), nn.Linear(768, K)).double()),
    "too expensive": lambda: wrap(nn.Sequential(*(nn.Conv2d(3, 3, 15, padding=7) for _ in range(400)), nn.Flatten())),
}


def test_a_program_starts_afresh_too() -> None:
    """
    The weights and statistics of an exported program owe the source nothing afterwards, and it learns what the module
    it was made from would.
    """
    x, y = images(0)
    fresh_x, truth = images(1)
    client = as_client(exported(small_module()))
    before = {name: value.clone() for name, value in client.module.state_dict().items()}
    own = networks.fresh(client, SPEC, K)
    labels, _ = learners.train(learners.OWN, SPEC, x, y, K, seed=3, own=own)(fresh_x)
    again, _ = learners.train(learners.OWN, SPEC, x, y, K, seed=3, own=own)(fresh_x)
    after = client.module.state_dict()
    restarted = own.module.state_dict()

    assert (labels == truth).mean() > 0.9
    assert np.array_equal(labels, again)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not torch.equal(restarted["0.weight"], before["0.weight"])
    assert torch.equal(restarted["1.running_mean"], torch.zeros(8))


def test_a_program_is_trained_in_the_mode_for_it() -> None:
    """Batch normalisation follows the batch and dropout drops in training, and neither does so afterwards."""
    program = exported(small_module())
    x = torch.rand(8, 3, 16, 16)
    with torch.no_grad():
        first = program(x)
        programs.set_mode(program, training=True)
        in_training = [program(x) for _ in range(2)]
        programs.set_mode(program, training=False)
        moved = program.get_buffer("1.running_mean").abs().max()

    assert not torch.equal(in_training[0], in_training[1])
    assert moved > 0
    assert torch.equal(program(x), program(x))
    assert first.shape == in_training[0].shape


@pytest.mark.parametrize("make", UNFIT.values(), ids=list(UNFIT))
def test_a_module_that_cannot_start_afresh_has_no_own_learner(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that kept one weight of the source would be no peer."""
    monkeypatch.setattr(networks, "STEPS", (200, 800))

    client = make()

    assert networks.fresh(client, SPEC, 768 if len(list(client.module.modules())) > 300 else K) is None
