"""Generators that follow the gradient of a torch source."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from probe_match.clients import function
from probe_match.clients.torch import TorchClient, wrap
from probe_match.fingerprinting.errors import BadData, TargetError, UsageError
from probe_match.fingerprinting.records import InputSpec, Pool
from probe_match.probes import _gradient, adversarial, boundary
from torch import nn

GENERATORS = [boundary.generate, adversarial.generate]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Torch on one core, so that processor time is work, not waiting: such small batches gain nothing from two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained() -> tuple[TorchClient, Pool]:
    """A small network that tells four noisy patterns of 1 x 6 x 6 apart, and its images."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    patterns = rng.uniform(0.2, 0.8, (4, 1, 6, 6))
    y = rng.integers(0, 4, 400)
    x = np.clip(patterns[y] + rng.normal(0, 0.15, (400, 1, 6, 6)), 0, 1).astype(np.float32)
    module = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 4))
    optimiser = torch.optim.Adam(module.parameters(), 0.01)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        optimiser.step()
    network = wrap(module)
    assert (network.ask(x).scores.argmax(1) == y).mean() > 0.9
    return network, Pool(InputSpec("image", (1, 6, 6)), x, y)


def gap(scores: np.ndarray) -> np.ndarray:
    """Difference of the two largest logits."""
    ordered = np.sort(scores, 1)
    return ordered[:, -1] - ordered[:, -2]


def test_boundary_probes_have_two_classes_almost_even(trained: tuple[TorchClient, Pool]) -> None:
    """Most probes arrive, and the gap of their two largest logits is a fraction of a natural image's."""
    source, pool = trained
    suite = boundary.generate(source, pool, n=100, seed=0)
    natural = gap(source.ask(pool.x).scores)
    gaps = gap(source.ask(suite.inputs).scores)

    assert len(suite) > 90
    assert gaps.max() < 0.5 * np.median(natural)
    assert np.median(gaps) < 0.2 * np.median(natural)
    assert (gaps > 0.99 * suite.params["k"]).mean() > 0.9


def test_a_larger_k_goes_deeper_into_the_other_class(trained: tuple[TorchClient, Pool]) -> None:
    """The margin asked for is the margin reached."""
    source, pool = trained
    suite = boundary.generate(source, pool, n=50, seed=0, k=3.0)

    assert len(suite) > 25
    assert (source.ask(suite.inputs).scores.max(1) - np.sort(source.ask(suite.inputs).scores)[:, -2]).min() < 3.5
    assert np.median(gap(source.ask(suite.inputs).scores)) == pytest.approx(3.0, abs=0.5)


def test_the_objective_is_the_papers() -> None:
    """Eq. 5, by hand for three classes, and without its second term for two."""
    logits = torch.tensor([[3.0, 1.0, 0.0], [1.0, 2.0, 4.0], [1.0, 1.5, 0.0]])
    i, j = torch.tensor([0, 0, 0]), torch.tensor([1, 1, 1])

    assert boundary.objective(logits, i, j, 0.5).tolist() == [2.5, 3.0, 0.0]
    assert boundary.objective(logits[:, :2], i, j, 0.5).tolist() == [2.5, 0.0, 0.0]


def test_probes_do_not_influence_each_other(trained: tuple[TorchClient, Pool]) -> None:
    """One batch gives what an optimisation of each probe with torch's own Adam gives."""
    source, pool = trained
    start = torch.from_numpy(pool.x[:8])
    i = source.forward(start).argmax(1)
    j = (i + 1) % 4
    low, high = torch.zeros(1, 6, 6), torch.ones(1, 6, 6)
    together = boundary._optimise(source, start, i, j, low, high, torch.full_like(low, 0.01), 0.2, 300)
    alone = [one_by_one(source, start[p : p + 1], i[p : p + 1], j[p : p + 1], 0.2, 300) for p in range(8)]

    assert len(together) == 8
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)


def one_by_one(
    source: TorchClient, start: torch.Tensor, i: torch.Tensor, j: torch.Tensor, k: float, iterations: int
) -> torch.Tensor:
    """The plain loop over one probe, as published implementations have it."""
    x = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([x], 0.01)
    for _ in range(iterations):
        loss = boundary.objective(source.forward(x), i, j, k).sum()
        if loss <= 0:
            break
        x.grad = torch.autograd.grad(loss, x)[0]
        optimiser.step()
        with torch.no_grad():
            x.clamp_(0, 1)
    return x.detach()


def test_unreachable_boundaries_are_an_error_with_advice(trained: tuple[TorchClient, Pool]) -> None:
    """A margin no input can have leaves no probe, and the message says what to change."""
    source, pool = trained

    with pytest.raises(BadData, match="smaller k"):
        boundary.generate(source, pool, n=5, seed=0, k=1e6, iterations=3)


@pytest.mark.parametrize("steps", [1, 10])
def test_adversarial_probes_stay_near_and_fool_the_source(trained: tuple[TorchClient, Pool], steps: int) -> None:
    """Each is within eps of a pool row, most have another label than that row, and those come first."""
    source, pool = trained
    suite = adversarial.generate(source, pool, n=100, seed=0, eps=0.3, steps=steps)
    apart = np.abs(suite.inputs[:, None] - pool.x[None]).max((2, 3, 4))
    changed = suite.expected != source.ask(pool.x).scores.argmax(1)[apart.argmin(1)]

    assert apart.min(1).max() <= 0.3 + 1e-6
    assert changed.mean() > 0.5
    assert (np.diff(changed.astype(int)) <= 0).all()


def test_eps_is_in_widths_of_the_bounds() -> None:
    """A feature with bounds ten times as wide may move ten times as far, and FGSM moves all of it."""
    module = nn.Linear(2, 2, bias=False)
    module.weight.data = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    pool = Pool(InputSpec("tabular", (2,), (-1.0, -10.0), (1.0, 10.0)), np.array([[0.5, 0.5]], np.float32))
    suite = adversarial.generate(wrap(module), pool, n=1, seed=0, eps=0.1, steps=1)

    assert suite.inputs[0] == pytest.approx([0.3, -1.5])


@pytest.mark.parametrize("generate", GENERATORS)
def test_categories_stay_as_they_are(generate: Callable[..., object]) -> None:
    """Codes of categories have no direction, so the gradient does not move them."""
    torch.manual_seed(0)
    spec = InputSpec("tabular", (3,), (-2.0, 0, -2), (2.0, 1, 2), (), ((), ("0", "1"), ()))
    x = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    x[:, 1] = x[:, 1] > 0
    source = wrap(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3)))
    numbers_of_texts = source.ask
    source.ask = lambda rows: numbers_of_texts(rows.astype(np.float32))
    suite = generate(source, Pool(spec, x), n=30, seed=0)

    assert set(suite.inputs[:, 1]) == {0.0, 1.0}


@pytest.mark.parametrize("generate", GENERATORS)
def test_a_source_without_gradient_is_told_what_works(
    generate: Callable[..., object], trained: tuple[TorchClient, Pool]
) -> None:
    """The error is one line and names the generators that need labels only."""
    source = function.wrap(trained[0].ask)

    with pytest.raises(UsageError, match="decision, masks, midpoints, misclassified") as error:
        generate(source, trained[1], n=5, seed=0)
    assert "\n" not in str(error.value)
    assert "boundary," not in str(error.value)


@pytest.mark.parametrize("generate", GENERATORS)
def test_outputs_cut_off_from_the_gradient_are_an_error(
    generate: Callable[..., object], trained: tuple[TorchClient, Pool]
) -> None:
    """A network that hides its gradient, or gives one number per input, is named as the cause."""
    source, pool = trained
    hidden, single = wrap(nn.Identity()), wrap(nn.Sequential(nn.Flatten(), nn.Linear(36, 1)))
    hidden.forward = lambda x: source.forward(x).detach()

    with pytest.raises(TargetError, match="without a gradient"):
        generate(hidden, pool, n=5, seed=0)
    with pytest.raises(TargetError, match=r"logits \(m, k\)"):
        generate(single, pool, n=5, seed=0)


@pytest.mark.parametrize("generate", GENERATORS)
def test_a_pool_larger_than_one_batch_changes_nothing(
    generate: Callable[..., object], trained: tuple[TorchClient, Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Splitting for memory gives the same probes, but for rounding."""
    source, pool = trained
    same_k = {"k": 0.2} if generate is boundary.generate else {}
    whole = generate(source, pool, n=20, seed=0, **same_k)
    monkeypatch.setattr(_gradient, "MOST", 36 * 7)
    split = generate(source, pool, n=20, seed=0, **same_k)

    assert len(split) == len(whole)
    assert np.allclose(np.sort(whole.inputs, 0), np.sort(split.inputs, 0), atol=1e-3)


@pytest.fixture(scope="module")
def small_cnn() -> tuple[TorchClient, torch.Tensor]:
    """Two strided convolutions, untrained, and 1,000 random images of 3 x 8 x 8."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(16, 10),
    )  # fmt: skip
    return wrap(module), torch.rand(1000, 3, 8, 8)


def boundary_search(source: TorchClient, x: torch.Tensor) -> None:
    """20 iterations that no probe leaves early."""
    zero, one = torch.tensor(0.0), torch.tensor(1.0)
    i = torch.zeros(len(x), dtype=torch.long)
    boundary._optimise(source, x, i, i + 1, zero, one, torch.tensor(0.01), 1e6, 20)


def adversarial_search(source: TorchClient, x: torch.Tensor) -> None:
    """20 steps of PGD."""
    eps = torch.tensor(0.03)
    adversarial._ascend(source, x, x, x - eps, x + eps, eps, 20)


@pytest.mark.parametrize("search", [boundary_search, adversarial_search])
def test_a_thousand_probes_take_a_twentieth_of_the_time_of_one_by_one(
    search: Callable[..., None], small_cnn: tuple[TorchClient, torch.Tensor]
) -> None:
    """
    1,000 probes in one batch, against the same iterations of the same code on single probes, in processor time.

    The gain is all overhead saved: it shrinks as one probe alone comes to fill a core (larger images or networks).
    """
    source, x = small_cnn
    search(source, x[:8])  # the first calls compile kernels
    together = min(seconds(lambda: search(source, x)) for _ in range(3))
    alone = min(seconds(lambda: [search(source, x[p : p + 1]) for p in range(5)]) for _ in range(3)) / 5

    assert alone * 1000 / together >= 20


def seconds(work: Callable[[], object]) -> float:
    """Processor time, so that other programs on the machine do not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def test_adversarial_points_can_stand_beside_their_rows(trained: tuple[TorchClient, Pool]) -> None:
    """Every second probe is a pool row, the one after it within eps of it, fooled pairs first."""
    source, pool = trained
    suite = adversarial.generate(source, pool, n=41, seed=0, eps=0.1, paired=True)
    rows, points = suite.inputs[::2], suite.inputs[1::2]
    fooled = suite.expected[::2] != suite.expected[1::2]

    assert len(suite) == 40
    assert len({row.tobytes() for row in rows} & {row.tobytes() for row in pool.x}) == 20
    assert 0.01 < np.abs(rows - points).max() <= 0.1 + 1e-6
    assert fooled.any()
    assert (np.diff(fooled.astype(int)) <= 0).all()
