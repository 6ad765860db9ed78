"""What every probe generator keeps, and what each of those that need labels only does."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from probe_match.clients import function
from probe_match.fingerprinting import registry
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.errors import BadData, UsageError
from probe_match.fingerprinting.probing import notes_of
from probe_match.fingerprinting.records import InputSpec, Pool, ProbeSuite
from probe_match.probes import (
    _search,
    corrupted,
    decision,
    midpoints,
    misclassified,
    mixed,
    rare,
    straddle,
    uncertain,
    uniform,
)
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.tree import DecisionTreeClassifier

SPECS = {
    "numbers": InputSpec("tabular", (5,), (-2.0,), (3.0,)),
    "categories": InputSpec(
        "tabular", (4,), (-2.0, 0, -1, 0), (2.0, 2, 1, 3), (), ((), ("a", "b", "c"), (), ("p", "q", "r", "s"))
    ),
    "images": InputSpec("image", (3, 8, 8)),
}


class Linear:
    """A linear model of codes or numbers with its gradient, that counts how it is asked."""

    access = "scores"
    classes: tuple[str, ...] = ()
    shape = None
    batch = 10_000
    device = "cpu"
    target = "function:linear"

    def __init__(self, spec: InputSpec, seed: int) -> None:
        rng = np.random.default_rng(seed)
        width = int(np.prod(spec.shape))
        self.weights = rng.normal(size=(width, 3)).astype(np.float32)
        # Zero in the middle of the bounds, so that no class takes all.
        centre = np.broadcast_to((np.array(spec.low) + np.array(spec.high)) / 2, width)
        self.offset = (-centre @ self.weights).astype(np.float32)
        self.codes = [{value: float(i) for i, value in enumerate(values)} for values in spec.categories]
        self.calls = self.questions = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, with a gradient."""
        return x.flatten(1) @ torch.from_numpy(self.weights) + torch.from_numpy(self.offset)

    def ask(self, inputs: np.ndarray) -> Answers:
        """Logits, of codes where rows hold categories."""
        self.calls, self.questions = self.calls + 1, self.questions + len(inputs)
        if inputs.dtype == object:
            inputs = np.array(
                [[code.get(v, v) for code, v in zip(self.codes, row, strict=True)] for row in inputs],
                np.float32,
            )
        return Answers(None, self.forward(torch.from_numpy(inputs)).numpy())

    def close(self) -> None:
        """Nothing is held open."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Torch on one core: threads that wait for each other cost more than such small batches."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass
class World:
    """A pool, a model that is wrong on some of its rows, and its honest peers."""

    pool: Pool
    source: Linear
    peers: list[Linear]

    def generate(self, name: str, *, n: int = 40, seed: int = 1) -> ProbeSuite:
        """A suite of the named generator, with peers where it compares with them."""
        more = {"peers": self.peers} if name == "rare" else {}
        return registry.load("probes", name).generate(self.source, self.pool, n=n, seed=seed, **more)


def world(name: str, m: int = 200) -> World:
    spec, rng = SPECS[name], np.random.default_rng(0)
    low, high = np.array(spec.low), np.array(spec.high)
    x = rng.uniform(low[0], high[0], (m, *spec.shape)).astype(np.float32)
    for column, values in enumerate(spec.categories):
        if values:
            x[:, column] = rng.integers(0, len(values), m)
    source = Linear(spec, 1)
    y = source.forward(torch.from_numpy(spec.clip(x))).argmax(1).numpy()
    y[rng.random(m) < 0.3] = 0
    return World(Pool(spec, x, y), source, [Linear(spec, seed) for seed in (2, 3, 4)])


CASES = [
    (name, kind)
    for name in registry.available("probes")
    for kind, spec in SPECS.items()
    if spec.kind in registry.load("probes", name).KINDS
]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_probes_are_inputs_the_source_could_get_with_its_own_answers(name: str, kind: str) -> None:
    """At most n float32 inputs within the bounds, categories only observed ones, and the source's labels."""
    here = world(kind)
    suite = here.generate(name)
    spec = here.pool.spec

    assert 0 < len(suite) <= 40
    assert suite.inputs.dtype == np.float32
    assert suite.inputs.shape[1:] == spec.shape
    assert np.array_equal(suite.inputs, spec.clip(suite.inputs))
    for column in np.flatnonzero(~spec.numeric):
        assert set(suite.inputs[:, column]) <= set(here.pool.x[:, column])
    answers = here.source.ask(spec.decode(suite.inputs)).scores
    assert np.array_equal(suite.expected, answers.argmax(1))
    assert suite.generator == name
    assert len(np.unique(suite.inputs.reshape(len(suite), -1), axis=0)) == len(suite)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_seed_decides_the_digest(name: str, kind: str) -> None:
    """One seed, one suite; another seed, other probes."""
    again = [world(kind).generate(name, n=10, seed=seed) for seed in (1, 1, 2)]

    assert again[0].digest == again[1].digest
    assert not np.array_equal(again[0].inputs, again[2].inputs)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_source_is_asked_in_batches_and_not_too_much(name: str, kind: str) -> None:
    """About fifty questions per probe and a fixed number of checks, in calls that do not grow with the probes."""
    few, many = world(kind), world(kind)
    few.generate(name, n=10)
    many.generate(name, n=40)

    assert many.source.calls <= few.source.calls + 4  # distances that are tried only where some pair needs them
    assert many.source.questions <= 53 * 40 + 200 + getattr(registry.load("probes", name), "CHECKS", 0)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_small_pool_gives_fewer_probes_not_an_error(name: str, kind: str) -> None:
    """Fifty rows serve a request for three hundred probes as far as they go."""
    suite = world(kind, m=50).generate(name, n=300)

    assert 1 <= len(suite) <= 300


@pytest.mark.parametrize("name", ["midpoints", "decision", "masks", "corrupted", "straddle"])
def test_text_is_refused_by_generators_that_compute_with_inputs(name: str) -> None:
    """The error names the generators that do work on text."""
    pool = Pool(InputSpec("text"), ("good", "bad"))

    with pytest.raises(UsageError, match="uniform, misclassified or rare"):
        registry.load("probes", name).generate(function.wrap(len), pool, n=2, seed=0)


def shout(texts: list[str]) -> np.ndarray:
    """Label 1 for texts that shout."""
    return np.array([int(t.endswith("!")) for t in texts])


def test_text_pools_give_text_probes() -> None:
    """The three generators that only choose rows work on texts."""
    pool = Pool(InputSpec("text"), ("yes!", "no", "maybe", "now!"), np.array([1, 1, 0, 0]))
    source, peer = function.wrap(shout), function.wrap(lambda texts: np.zeros(len(texts), int))

    assert set(uniform.generate(source, pool, n=9, seed=0).inputs) == set(pool.x)
    assert set(misclassified.generate(source, pool, n=9, seed=0).inputs) == {"no", "now!"}
    assert set(rare.generate(source, pool, n=2, seed=0, peers=[peer]).inputs) == {"yes!", "now!"}


def test_text_pools_tell_their_truth_to_uncertain() -> None:
    """A model that gives labels only seems sure of everything: any row will do, with its true label."""
    pool = Pool(InputSpec("text"), ("yes!", "no", "maybe", "now!"), np.array([1, 1, 0, 0]))
    suite = uncertain.generate(function.wrap(shout), pool, n=9, seed=0)

    assert dict(zip(suite.inputs, notes_of(suite, "uncertain"), strict=True)) == {
        "yes!": "1", "no": "1", "maybe": "0", "now!": "0",
    }  # fmt: skip
    assert suite.params["scored"] is False


def test_uncertain_rows_are_the_fifth_of_largest_entropy() -> None:
    """Asked for all of them, the generator gives scipy's 40 most entropic of 200 rows; asked for more, the next."""
    here = world("numbers")
    logits = here.source.ask(here.pool.x).scores
    order = np.argsort(-entropy(softmax(logits, 1), axis=1))
    suite = uncertain.generate(here.source, here.pool, n=40, seed=0)
    more = uncertain.generate(here.source, here.pool, n=70, seed=0)

    for made, m in ((suite, 40), (more, 70)):
        assert {row.tobytes() for row in made.inputs} == {row.tobytes() for row in here.pool.x[order[:m]]}
    truth = {row.tobytes(): str(y) for row, y in zip(here.pool.x, here.pool.y, strict=True)}
    assert [truth[row.tobytes()] for row in suite.inputs] == list(notes_of(suite, "uncertain"))


def test_decision_points_can_stand_beside_their_rows() -> None:
    """Every second probe is a pool row, the one after it nearer to it than to most rows, and labelled otherwise."""
    here = world("numbers")
    suite = decision.generate(here.source, here.pool, n=21, seed=0, paired=True)
    rows, points = suite.inputs[::2], suite.inputs[1::2]
    far = np.linalg.norm(rows[:, None] - here.pool.x, axis=2)

    assert len(suite) == 20
    assert {row.tobytes() for row in rows} <= {row.tobytes() for row in here.pool.x}
    assert (suite.expected[::2] != suite.expected[1::2]).all()
    assert (np.linalg.norm(rows - points, axis=1) < np.median(far, axis=1)).mean() > 0.9
    with pytest.raises(UsageError, match="costs two questions, got 1"):
        decision.generate(here.source, here.pool, n=1, seed=0, paired=True)


def test_misclassified_rows_are_all_wrong() -> None:
    """Every probe is a pool row whose true label the source misses, and none is left out."""
    here = world("numbers")
    suite = here.generate("misclassified", n=1000)
    own = here.source.ask(here.pool.x).scores.argmax(1)
    wrong = here.pool.x[own != here.pool.y]

    assert len(suite) == len(wrong) > 10
    assert {row.tobytes() for row in suite.inputs} == {row.tobytes() for row in wrong}


def test_misclassified_says_what_to_do_without_labels_or_mistakes() -> None:
    """No labels and no mistakes are the pool's fault, and the message says what to try."""
    here = world("numbers")
    right = here.source.ask(here.pool.x).scores.argmax(1)

    with pytest.raises(BadData, match="add an array y"):
        misclassified.generate(here.source, replace(here.pool, y=None), n=5, seed=0)
    with pytest.raises(BadData, match="rare or midpoints"):
        misclassified.generate(here.source, replace(here.pool, y=right), n=5, seed=0)


def test_rare_rows_come_in_the_order_of_agreement() -> None:
    """The first probes are those on which the fewest peers say what the source says, by a count of our own."""
    here = world("numbers")
    suite = here.generate("rare", n=200)
    agreeing = [
        sum(int(p.ask(row[None]).scores.argmax()) == label for p in here.peers)
        for row, label in zip(suite.inputs, suite.expected, strict=True)
    ]

    assert agreeing == sorted(agreeing)
    assert agreeing[0] < agreeing[-1]


def test_rare_without_peers_says_what_to_pass() -> None:
    """Rareness is relative, so no peers is a usage error."""
    here = world("numbers")

    with pytest.raises(UsageError, match=r"peers=\[\.\.\.\]"):
        rare.generate(here.source, here.pool, n=5, seed=0)


def black_and_white(shape: tuple[int, ...]) -> Pool:
    return Pool(InputSpec("image", shape), np.stack([np.zeros(shape), np.ones(shape)]).astype(np.float32))


def brightness(x: np.ndarray) -> np.ndarray:
    """Label 1 for bright inputs."""
    return (x.reshape(len(x), -1).mean(1) > 0.5).astype(int)


@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8), (8, 8, 3)])
def test_a_centre_box_holds_the_other_image(shape: tuple[int, ...]) -> None:
    """With a quarter of the area, the middle half of rows and columns is the other image's, in any layout."""
    pool = black_and_white(shape)
    suite = mixed.generate(function.wrap(brightness), pool, n=2, seed=0, share=0.25, box="centre")
    grey = suite.inputs.mean({(8, 8): (), (3, 8, 8): 1, (8, 8, 3): 3}[shape]) if len(shape) == 3 else suite.inputs
    expected = np.zeros((8, 8))
    expected[2:6, 2:6] = 1

    assert len(suite) == 2
    for image in grey:
        assert np.array_equal(image, expected) or np.array_equal(image, 1 - expected)


def test_a_random_box_has_the_share_asked_for() -> None:
    """Boxes move about, but always cover a quarter of the area."""
    suite = mixed.generate(function.wrap(brightness), black_and_white((8, 8)), n=200, seed=0, share=0.25)
    covered = suite.inputs.mean((1, 2))

    assert set(covered.tolist()) == {0.25, 0.75}
    assert len(suite) > 20


def test_mixed_rows_take_a_share_of_another_rows_columns() -> None:
    """Of ten columns, three come from the other row, and which ones varies."""
    pool = Pool(InputSpec("tabular", (10,)), np.repeat([[0.0], [1.0]], 10, axis=1).astype(np.float32))
    suite = mixed.generate(function.wrap(brightness), pool, n=50, seed=0, share=0.3)

    assert set(suite.inputs.sum(1).tolist()) == {3.0, 7.0}
    assert len(suite) > 10


@pytest.mark.parametrize("shape", [(12, 10), (12, 10, 3)])
def test_each_corruption_is_what_it_says(shape: tuple[int, ...]) -> None:
    """One image gives its blurred, flattened and coarsely quantised versions, by formulas of scipy, and a noisy one."""
    x = np.random.default_rng(0).uniform(0.3, 0.7, (1, *shape)).astype(np.float32)
    suite = corrupted.generate(function.wrap(brightness), Pool(InputSpec("image", shape), x), n=9, seed=0)
    blurred = gaussian_filter(x[0], (1, 1, 0)[: len(shape)])
    flat = x.mean() + 0.6 * (x[0] - x.mean())
    grid = 0.06 * (1 + np.add.outer(np.arange(8), np.arange(8)) / 2)
    corner = suite.inputs.reshape(len(suite), *shape[:2], -1)[:, :8, :8, 0]
    off_grid = np.abs(dctn(corner, axes=(1, 2), norm="ortho") / grid % 1 - 0.5)

    assert len(suite) == 4
    assert sum(np.allclose(image, blurred, atol=1e-6) for image in suite.inputs) == 1
    assert sum(np.allclose(image, flat, atol=1e-6) for image in suite.inputs) == 1
    assert sum((off_grid > 0.499).all((1, 2))) == 1
    assert sum(np.abs(suite.inputs - x).reshape(4, -1).std(1) > 0.06) >= 1


def test_noise_on_a_table_has_the_scale_of_each_column() -> None:
    """Half a standard deviation by default; a constant column stays constant."""
    x = np.random.default_rng(0).normal(0, [1, 100, 0], (2000, 3)).astype(np.float32)
    pool = Pool(InputSpec("tabular", (3,), (-1000.0,), (1000.0,)), x)
    suite = corrupted.generate(function.wrap(brightness), pool, n=2000, seed=0)
    order = np.random.default_rng(0).permutation(2000)
    noise = (suite.inputs - x[order]).std(0)

    assert noise == pytest.approx([0.5, 50, 0], rel=0.06)


def rule(x: np.ndarray) -> np.ndarray:
    """Label 1 above the plane x0 + 2 x1 - x2 = 0.5."""
    return (x @ [1, 2, -1] > 0.5).astype(int)


def cube(m: int = 300) -> Pool:
    x = np.random.default_rng(0).uniform(-1, 1, (m, 3)).astype(np.float32)
    return Pool(InputSpec("tabular", (3,), (-1.0,), (1.0,)), x)


def test_midpoints_lie_on_the_boundary() -> None:
    """Every probe is within 2^-20 of the way of a known plane, half of them on either side of it."""
    suite = midpoints.generate(function.wrap(rule), cube(), n=100, seed=0)
    margin = suite.inputs @ [1, 2, -1] - 0.5

    assert len(suite) == 100
    assert np.abs(margin).max() < 8 * 2**-20 + 1e-6
    assert 30 < suite.expected.sum() < 70


def test_one_label_has_no_boundary() -> None:
    """A source that always says the same gives advice, not an endless search."""
    with pytest.raises(BadData, match="more classes"):
        midpoints.generate(function.wrap(lambda x: np.zeros(len(x), int)), cube(), n=5, seed=0)


def test_bisection_finds_the_category_that_changes_the_label() -> None:
    """Where only a category matters, the two sides differ in that one, and numbers go on being between the rows."""
    spec = SPECS["categories"]
    source = function.wrap(lambda rows: np.array([int(row[3] == "s") for row in rows]))
    a, b = np.zeros((1, 4), np.float32), np.array([[2, 2, 1, 3]], np.float32)
    below, above = _search.bisect(source, Pool(spec, a), a, b, np.array([0]), 20)

    assert (below[0, 1], above[0, 1]) == (2, 2)
    assert (below[0, 3], above[0, 3]) == (0, 3)
    assert above[0, [0, 2]] == pytest.approx([1, 0.5], abs=1e-5)


def test_interpolation_is_exact_at_its_ends() -> None:
    """Fraction 0 is the first row and 1 the second, bit by bit, categories included."""
    x = world("categories").pool.x
    a, b = x[:50], x[50:100]

    assert np.array_equal(_search.interpolate(SPECS["categories"], a, b, np.zeros(50)), a)
    assert np.array_equal(_search.interpolate(SPECS["categories"], a, b, np.ones(50)), b)


def test_partners_are_uniform_over_rows_of_other_labels() -> None:
    """No row is paired with one of its own label, and all others come equally often."""
    labels = np.array([0, 1, 0, 2, 1, 2])
    rows = np.repeat(np.arange(6), 4000)
    chosen = _search.partners(labels, rows, np.random.default_rng(0))
    counts = np.zeros((6, 6))
    np.add.at(counts, (rows, chosen), 1)

    assert (counts[labels[:, None] == labels] == 0).all()
    assert counts[labels[:, None] != labels] == pytest.approx(1000, rel=0.15)


@pytest.fixture
def tree() -> tuple[DecisionTreeClassifier, Pool]:
    """A decision tree on two of six features, and the rows it was trained on."""
    x = np.random.default_rng(0).uniform(-3, 3, (400, 6)).astype(np.float32)
    y = (x[:, 1] > 0.7).astype(int) + (x[:, 4] > x[:, 1])
    return DecisionTreeClassifier(max_depth=4, random_state=0).fit(x, y), Pool(
        InputSpec("tabular", (6,), (-3.0,), (3.0,)), x
    )


def test_straddling_pairs_enclose_a_threshold_of_the_tree(tree: tuple[Any, Pool]) -> None:
    """Each pair differs in one feature, has a split of the tree between, and two labels."""
    model, pool = tree
    suite = straddle.generate(function.wrap(model.predict), pool, n=60, seed=0)
    below, above = suite.inputs[::2], suite.inputs[1::2]
    nodes = model.tree_

    assert len(suite) >= 40
    assert (suite.expected[::2] != suite.expected[1::2]).all()
    assert ((below != above).sum(1) == 1).all()
    assert (above - below).max() < 1e-3 * 6
    for low, high in zip(below, above, strict=True):
        feature = int(np.flatnonzero(low != high)[0])
        splits = nodes.threshold[nodes.feature == feature]
        assert ((low[feature] <= splits) & (splits <= high[feature])).any()


def test_straddle_takes_every_feature_that_matters(tree: tuple[Any, Pool]) -> None:
    """A few probes already cover both features the tree asks about, and no other."""
    model, pool = tree
    suite = straddle.generate(function.wrap(model.predict), pool, n=12, seed=0)
    swept = {int(np.flatnonzero(a != b)[0]) for a, b in suite.inputs.reshape(-1, 2, 6)}

    assert swept == {1, 4}


def test_straddle_says_so_where_there_is_no_step() -> None:
    """A constant source and a table of categories alone have no thresholds."""
    constant = function.wrap(lambda x: np.zeros(len(x), int))
    spec = InputSpec("tabular", (1,), (0.0,), (1.0,), (), (("a", "b"),))

    with pytest.raises(BadData, match="no single feature"):
        straddle.generate(constant, cube(), n=10, seed=0)
    with pytest.raises(BadData, match="numeric features"):
        straddle.generate(constant, Pool(spec, np.zeros((4, 1), np.float32)), n=10, seed=0)


def inside_a_ball(x: np.ndarray) -> np.ndarray:
    """Label 1 within 0.6 of the origin."""
    return (np.linalg.norm(x, axis=1) < 0.6).astype(int)


@pytest.mark.parametrize("boundary", [rule, inside_a_ball])
def test_decision_moves_points_towards_where_they_came_from(boundary: Callable[..., Any]) -> None:
    """No boundary point gets farther, most get nearer, and all keep another label than their origin's."""
    pool, source = cube(400), function.wrap(boundary)
    labels = boundary(pool.x)
    other = _search.partners(labels, np.arange(400), np.random.default_rng(0))
    _, start = _search.bisect(source, pool, pool.x, pool.x[other], labels, 10)
    scale = decision.scale_of(pool, pool.x)
    end = decision.approach(
        source, pool, pool.x, labels, start, scale, samples=10, shrink=1, rng=np.random.default_rng(1)
    )
    before, after = (decision.distance(pool.x, points, scale) for points in (start, end))

    assert (after <= before).all()
    assert (after < before).mean() > 0.7
    assert after.mean() < 0.92 * before.mean()
    assert (boundary(end) != labels).all()


def test_decision_comes_near_the_shortest_way() -> None:
    """With more iterations the distance to a plane comes close to the shortest there is."""
    pool, source = cube(100), function.wrap(rule)
    labels = rule(pool.x)
    other = _search.partners(labels, np.arange(100), np.random.default_rng(0))
    _, points = _search.bisect(source, pool, pool.x, pool.x[other], labels, 10)
    scale, rng = np.ones(3, np.float32), np.random.default_rng(1)
    for t in range(15):
        points = decision.approach(
            source, pool, pool.x, labels, points, scale, samples=30, shrink=(t + 1) ** -0.5, rng=rng
        )
    shortest = np.abs(pool.x @ [1, 2, -1] - 0.5) / 6**0.5

    assert np.median(np.linalg.norm(points - pool.x, axis=1) / shortest) < 1.1


def test_decision_never_invents_a_category() -> None:
    """Categories do not move, so their unit of length is 0 and each that differs counts as one."""
    here = world("categories")
    scale = decision.scale_of(here.pool, here.pool.x)
    a = here.pool.x[:1]
    b = a.copy()
    b[0, [1, 3]] += 1
    b[0, 0] += scale[0]

    assert scale[[1, 3]].tolist() == [0, 0]
    assert decision.distance(a, b, scale) == pytest.approx(3**0.5)
