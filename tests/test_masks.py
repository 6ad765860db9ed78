"""What `masks` hides, and the weights that `lime` reads off the answers."""

import numpy as np
import pytest
from probe_match.clients import function
from probe_match.fingerprinting.collect import collect
from probe_match.fingerprinting.errors import UsageError
from probe_match.fingerprinting.methods import lime
from probe_match.fingerprinting.probing import notes_of
from probe_match.fingerprinting.records import UNANSWERED, InputSpec, Pool, ProbeSuite, Responses, Signature
from probe_match.probes import masks
from scipy.spatial.distance import cosine
from sklearn.linear_model import LinearRegression

SPEC = InputSpec("tabular", (2,))
STEADY = function.wrap(lambda rows: np.zeros(len(rows), int))


def versions(*kinds: str, spec: InputSpec = SPEC) -> ProbeSuite:
    inputs = np.random.default_rng(0).random((len(kinds), *spec.shape)).astype(np.float32)
    return ProbeSuite("test", "masks", 0, spec, inputs, kinds, np.ones(len(kinds)))


def answered(suite: ProbeSuite, rows: object) -> Responses:
    """Responses with the given probabilities (n, k); a row of NaN is no answer."""
    p = np.asarray(rows, np.float32)
    labels = np.where(np.isnan(p).any(1), UNANSWERED, np.nan_to_num(p).argmax(1))
    return Responses(
        suite.digest, "test", "scores", labels[:, None].astype(np.int64), p[:, None], np.zeros(len(p)), len(p)
    )


def test_cells_of_an_image_are_hidden_whole() -> None:
    """A probe is its row where a part is shown and 0 where it is not, in every channel; the row itself comes first."""
    x = np.random.default_rng(0).uniform(0.1, 1, (20, 3, 8, 8)).astype(np.float32)
    suite = masks.generate(STEADY, Pool(InputSpec("image", (3, 8, 8)), x), n=25, seed=1)
    notes = [tuple(map(int, note.split("/"))) for note in notes_of(suite, "masks")]
    originals = {row: suite.inputs[i] for i, (row, shown) in enumerate(notes) if shown == 2**16 - 1}

    assert [row for row, _ in notes] == [0] * 10 + [1] * 10 + [2] * 5
    assert [notes[i][1] for i in (0, 10, 20)] == [2**16 - 1] * 3
    assert {row.tobytes() for row in originals.values()} <= {row.tobytes() for row in x}
    for probe, (row, shown) in zip(suite.inputs, notes, strict=True):
        cells = np.array([shown >> j & 1 for j in range(16)]).reshape(4, 4)
        assert np.array_equal(probe, originals[row] * cells.repeat(2, 0).repeat(2, 1))


def test_columns_are_hidden_by_what_is_usual() -> None:
    """A hidden number is the pool's mean, a hidden category its most frequent one."""
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(size=60), rng.choice(3, 60, p=[0.2, 0.2, 0.6]), rng.normal(size=60)], 1).astype(np.float32)
    spec = InputSpec("tabular", (3,), (-4.0, 0.0, -4.0), (4.0, 2.0, 4.0), (), ((), ("a", "b", "c"), ()))
    suite = masks.generate(STEADY, Pool(spec, x), n=40, seed=0)
    usual = np.array([x[:, 0].mean(), 2, x[:, 2].mean()], np.float32)
    rows: dict[str, np.ndarray] = {}

    assert len(suite) == 40
    for probe, note in zip(suite.inputs, notes_of(suite, "masks"), strict=True):
        row, shown = note.split("/")
        original = rows.setdefault(row, probe)
        kept = np.array([int(shown) >> j & 1 for j in range(3)], bool)
        np.testing.assert_allclose(probe, np.where(kept, original, usual), atol=1e-6)


def test_many_columns_share_parts() -> None:
    """A hundred columns are sixteen parts, so that ten versions say something of each."""
    x = np.random.default_rng(0).normal(size=(30, 100)).astype(np.float32)
    pool = Pool(InputSpec("tabular", (100,), (-9.0,), (9.0,)), x)
    suite = masks.generate(STEADY, pool, n=10, seed=0)

    assert suite.params["parts"] == 16
    assert max(int(note.split("/")[1]) for note in notes_of(suite, "masks")) == 2**16 - 1


@pytest.mark.parametrize("wrong", [{"per_row": 1}, {"parts": 1}, {"parts": 64}, {"share": 1.0}])
def test_masks_says_what_it_takes(wrong: dict[str, float]) -> None:
    """Settings that would hide nothing, or more than a number can tell, are refused."""
    pool = Pool(SPEC, np.random.default_rng(0).random((30, 2)).astype(np.float32))

    with pytest.raises(UsageError, match="masks takes at least 2 versions"):
        masks.generate(STEADY, pool, n=4, seed=0, **wrong)


def test_weights_by_hand() -> None:
    """
    Shown both, the first or the second part, a row gets 1.0, 0.7 and 0.3 for class 0: its weights are 0.7 and 0.3, and
    for class 1 (0, 0.3, 0.7), w = (M'M)^-1 M'y = 1/3 [[2, -1], [-1, 2]] (0.3, 0.7) = (-1/30, 11/30).
    """
    suite = versions("masks/0/3", "masks/0/1", "masks/0/2")
    signature = lime.represent(answered(suite, [[1.0, 0.0], [0.7, 0.3], [0.3, 0.7]]), suite)
    w, again = lime.weights(signature, signature)

    np.testing.assert_allclose(w[0], [[0.7, -1 / 30], [0.3, 11 / 30]], atol=1e-6)
    assert np.array_equal(w, again)


@pytest.fixture
def two_rows() -> tuple[ProbeSuite, np.ndarray, np.ndarray]:
    """Twelve versions of each of two rows of four parts, and what two models answer to them over three classes."""
    rng = np.random.default_rng(3)
    shown = np.concatenate([[15], rng.permutation(15)[:11], [15], rng.permutation(15)[:11]])
    suite = versions(*(f"masks/{i // 12}/{s}" for i, s in enumerate(shown)))
    a, b = rng.dirichlet(np.ones(3), (2, 24))
    return suite, a, b


def fitted(suite: ProbeSuite, p: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """scikit-learn's weights of all rows and classes, one vector."""
    notes = np.array([note.split("/") for note in notes_of(suite, "masks")], int)
    bits = notes[:, 1:] >> np.arange(4) & 1
    models = []
    for row in (0, 1):
        mine = kept & (notes[:, 0] == row)
        models.append(LinearRegression(fit_intercept=False).fit(bits[mine], p[mine]).coef_.T)
    return np.ravel(models)


def test_distances_agree_with_linear_regression(two_rows: tuple[ProbeSuite, np.ndarray, np.ndarray]) -> None:
    """The weights are those of least squares, the distances their cosine, halved, and Euclidean distance."""
    suite, a, b = two_rows
    first, second = (lime.represent(answered(suite, p), suite) for p in (a, b))
    u, v = (fitted(suite, p, np.ones(24, bool)) for p in (a, b))

    assert lime.distance(first, second) == pytest.approx(cosine(u, v) / 2, abs=1e-6)
    assert lime.euclidean_distance(first, second) == pytest.approx(np.linalg.norm(u - v), rel=1e-5)
    assert lime.distance(first, first) == lime.euclidean_distance(first, first) == 0


def test_weights_are_of_what_both_answered(two_rows: tuple[ProbeSuite, np.ndarray, np.ndarray]) -> None:
    """A refused version is left out of both models' regressions, wherever it stands."""
    suite, a, b = two_rows
    silent = b.copy()
    silent[[0, 5, 13, 14]] = np.nan
    kept = ~np.isnan(silent).any(1)
    first, second = (lime.represent(answered(suite, p), suite) for p in (a, silent))

    assert lime.distance(first, second) == pytest.approx(
        cosine(fitted(suite, a, kept), fitted(suite, b, kept)) / 2, abs=1e-6
    )


def test_weights_do_not_depend_on_the_order_of_probes(two_rows: tuple[ProbeSuite, np.ndarray, np.ndarray]) -> None:
    """The notes travel with the probes, so that a shuffled suite gives the same distance."""
    suite, a, b = two_rows
    order = np.random.default_rng(0).permutation(24)
    shuffled = suite.take(order)

    def apart(s: ProbeSuite, p: np.ndarray, q: np.ndarray) -> float:
        signatures: list[Signature] = [lime.represent(answered(s, rows), s) for rows in (p, q)]
        return lime.distance(*signatures)

    assert apart(shuffled, a[order], b[order]) == pytest.approx(apart(suite, a, b), abs=1e-9)


def test_lime_needs_masks_and_the_same_classes() -> None:
    """Answers to other suites, and probabilities over other classes, have no weights to compare."""
    plain, masked = versions("uniform", "uniform"), versions("masks/0/3", "masks/0/1")
    two = lime.represent(answered(masked, [[0.5, 0.5], [1, 0]]), masked)
    three = lime.represent(answered(masked, [[0.5, 0.5, 0], [1, 0, 0]]), masked)

    with pytest.raises(UsageError, match="lime reads suites of the generator masks"):
        lime.represent(answered(plain, [[0.5, 0.5], [1, 0]]), plain)
    with pytest.raises(UsageError, match="got 2 and 3; compare by correlation"):
        lime.distance(two, three)


def test_a_model_that_looks_elsewhere_is_farther_than_a_copy() -> None:
    """Of two models of four columns, the one that uses the source's columns, if less surely, is the nearer."""
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    pool = Pool(InputSpec("tabular", (4,), (-5.0,), (5.0,)), x)

    def model(*slopes: float) -> function.FunctionClient:
        return function.wrap(lambda rows: np.stack([rows @ np.array(slopes), np.zeros(len(rows))], 1))

    source = model(2, -1, 0, 0)
    suite = masks.generate(source, pool, n=50, seed=0)
    own, near, far = (
        lime.represent(collect(m, suite), suite) for m in (source, model(1.5, -0.8, 0, 0), model(0, 0, 2, -1))
    )

    assert 0 < lime.distance(own, near) < lime.distance(own, far) / 3
