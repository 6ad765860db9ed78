"""`explain`: the parts of known functions, the oracle's curves, budgets, every kind of input, and what is shown."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from probe_match.clients import function
from probe_match.fingerprinting.audits import Audit
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.errors import InputRefused, SuiteMismatch, TargetError, UsageError
from probe_match.fingerprinting.explain import comparing, curves, parts, report
from probe_match.fingerprinting.explain.explaining import Explanation, explain
from probe_match.fingerprinting.explain.features import features_of
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.recordings import guard
from probe_match.fingerprinting.records import InputSpec, Pool
from scipy.stats import spearmanr
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.inspection import partial_dependence
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Function = Callable[[np.ndarray], np.ndarray]
# Exact parts on features uniform in [-1, 1]: linear and nonlinear of each that has any, and pairs. The line nearest to
# the step has a slope of 3/2.
KNOWN: dict[str, tuple[Function, dict[int, tuple[float, float]], dict[tuple[int, int], float]]] = {
    "sum": (lambda x: 2 * x[:, 0] - x[:, 1], {0: (1.0, 0.0), 1: (0.5, 0.0)}, {}),
    "square": (lambda x: 3 * x[:, 2] ** 2, {2: (0.0, 3 * 4 / (9 * np.sqrt(3)))}, {}),
    "product": (lambda x: 4 * x[:, 0] * x[:, 3], {}, {(0, 3): 1.0}),
    "xor": (lambda x: np.sign(x[:, 0]) * np.sign(x[:, 1]), {}, {(0, 1): 1.0}),
    "step": (lambda x: 2.0 * (x[:, 4] > 0), {4: (3 / 4, 5 / 12)}, {}),
}


@pytest.fixture(scope="module")
def uniform() -> np.ndarray:
    """Rows of five features, evenly spread in [-1, 1] each, so that the pool adds no noise; float32 (1000, 5)."""
    rng = np.random.default_rng(0)
    even = (np.arange(1000) + 0.5) / 500 - 1
    return np.stack([rng.permutation(even) for _ in range(5)], axis=1).astype(np.float32)


def explained(f: Function, x: np.ndarray, **options: Any) -> Explanation:
    return explain(function.wrap(lambda rows: f(rows).astype(float)), make_pool(x, f(x), regression=True), **options)


@pytest.mark.parametrize("name", KNOWN)
def test_known_functions_are_taken_apart(name: str, uniform: np.ndarray) -> None:
    """With at most 1,000 predictions every part is within 5 % of its exact value, in units of the largest part."""
    f, alone, together = KNOWN[name]
    found = explained(f, uniform, budget=1000)
    largest = max([*together.values(), *(max(both) for both in alone.values())])

    assert found.queries <= 1000
    for i, feature in enumerate(found.features):
        linear, nonlinear = alone.get(i, (0.0, 0.0))
        assert feature.linear.mean[0] == pytest.approx(linear, abs=0.05 * largest)
        assert feature.nonlinear.mean[0] == pytest.approx(nonlinear, abs=0.05 * largest)
    pairs = {tuple(sorted((p.a, p.b))): p.interaction.mean[0] for p in found.pairs}
    for i, j in zip(*np.triu_indices(5, 1), strict=True):
        exact = together.get((i, j), 0.0)
        assert pairs.get((f"x{i}", f"x{j}"), 0.0) == pytest.approx(exact, abs=0.05 * largest)


def test_curves_are_those_of_the_oracle() -> None:
    """With a budget that asks nearly everything, curves are scikit-learn's partial dependence."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(120, 3)).astype(np.float32)
    model = RandomForestRegressor(20, random_state=0).fit(x, x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]))
    found = explained(model.predict, x, budget=60_000)
    for i, feature in enumerate(found.features):
        oracle = partial_dependence(
            model, x, [i], kind="average", method="brute", custom_values={i: feature.grid.astype(np.float32)}
        )["average"][0]
        assert np.abs(feature.curve[:, 0] - (oracle - oracle.mean())).max() < 0.1 * np.ptp(oracle)
        linear, nonlinear = parts.single(feature.grid, np.full(50, 1 / 50), True, oracle)
        assert feature.linear.mean[0] == pytest.approx(float(linear), abs=0.05 * (linear + nonlinear))
        assert feature.nonlinear.mean[0] == pytest.approx(float(nonlinear), abs=0.05 * (linear + nonlinear))


def test_contributions_rank_as_on_the_papers_grid_at_a_fiftieth_of_its_cost() -> None:
    """On thirty features, ranks correlate at .95 with those from 50 values of each for every one of 569 rows."""
    x, y = load_breast_cancer(return_X_y=True)
    x = x.astype(np.float32)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(x, y)
    exact = []
    for i in range(30):
        grid = np.quantile(x[:, i], np.linspace(0, 1, 50))
        asked = np.repeat(x[None], 50, axis=0)
        asked[:, :, i] = grid[:, None]
        mean = model.predict_proba(asked.reshape(-1, 30))[:, 1].reshape(50, -1).mean(1)
        exact.append(np.sum(parts.single(grid, np.full(50, 1 / 50), True, mean)))
    found = explain(function.wrap(model.predict_proba), make_pool(x, y), budget=30 * 50 * len(x) // 50)

    assert found.queries <= 30 * len(x)
    assert spearmanr([f.total for f in found.features], exact)[0] >= 0.95
    assert found.features[0].curve.shape == (50, 2)


def test_the_budget_is_never_exceeded_and_too_small_ones_are_refused(uniform: np.ndarray) -> None:
    """Every question is counted, whatever the model's shape; a budget below two rows at two values has no answer."""
    asked = 0

    def f(x: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += len(x)
        return np.sin(3 * x[:, 0]) * x[:, 1] * x[:, 2] + x[:, 3]

    pool = make_pool(uniform, np.zeros(1000) + uniform[:, 0], regression=True)
    for budget in (70, 333, 1000, 4000):
        asked = 0
        found = explain(function.wrap(f), pool, budget=budget)
        assert found.queries == asked <= budget
    with pytest.raises(UsageError, match=r"at least \d+ questions for 5 features, got \d+; raise --budget"):
        explain(function.wrap(f), pool, budget=20)


def test_intervals_hold_what_the_whole_pool_gives() -> None:
    """Of a function whose curves depend on the rows, the parts over all rows lie within nearly all intervals."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(400, 4)).astype(np.float32)

    def f(rows: np.ndarray) -> np.ndarray:
        return np.tanh(rows[:, 0] * rows[:, 1]) + np.tanh(rows[:, 2] + rows[:, 3])

    held = []
    for seed in range(8):
        found = explained(f, x, budget=400, seed=seed)
        for i, feature in enumerate(found.features):
            asked = np.repeat(x[None], 50, axis=0)
            asked[:, :, i] = feature.grid[:, None]
            exact = parts.single(
                feature.grid, np.full(50, 1 / 50), True, f(asked.reshape(-1, 4)).reshape(50, -1).mean(1)
            )
            held += [
                p.low[0] <= e <= p.high[0] for p, e in zip((feature.linear, feature.nonlinear), exact, strict=True)
            ]

    assert np.mean(held) > 0.7


def test_categories_have_no_line_and_count_as_often_as_they_occur() -> None:
    """A category's effect is nonlinear, weighted by frequency."""
    code = np.repeat([0.0, 1.0], [180, 20])
    x = np.stack([code, np.linspace(0, 1, 200)], 1).astype(np.float32)
    spec = InputSpec(
        "tabular", (2,), (0.0, 0.0), (1.0, 1.0), ("colour", "size"), (("blue", "red"), ()), output="number"
    )
    red = function.wrap(lambda rows: np.array([5.0 * (row[0] == "red") for row in rows]))
    found = explain(red, Pool(spec, x, np.arange(200) / 7), budget=400)
    colour = found.features[0]

    assert colour.linear.mean[0] == 0
    assert colour.nonlinear.mean[0] == pytest.approx(5 * 2 * 0.9 * 0.1)
    assert found.features[1].total == pytest.approx(0, abs=1e-9)


def test_many_rows_at_few_values_do_not_flatten_a_curve(uniform: np.ndarray) -> None:
    """Beside features that act together, which many rows are asked for, a wave keeps its parts."""
    found = explained(lambda x: np.sin(8 * x[:, 0]) + 2 * x[:, 1] * x[:, 2], uniform, budget=1500)
    grid = found.features[0].grid
    linear, nonlinear = parts.single(grid, np.full(50, 1 / 50), True, np.sin(8 * grid))

    assert found.rows > 8
    assert found.features[0].linear.mean[0] == pytest.approx(float(linear), abs=0.03)
    assert found.features[0].nonlinear.mean[0] == pytest.approx(float(nonlinear), rel=0.05)


@pytest.mark.parametrize(("budget", "near"), [(150, 0.5), (600, 0.15)])
def test_every_category_is_asked_and_none_lies_between_two_others(budget: int, near: float) -> None:
    """Of twelve values only the seventh counts: found exactly, at any budget, alone and with a number beside."""
    rng = np.random.default_rng(7)
    kinds = tuple("abcdefghijkl")
    x = np.stack([np.repeat(np.arange(12.0), 20), rng.uniform(-1, 1, 240)], 1).astype(np.float32)
    spec = InputSpec("tabular", (2,), (0.0, -1.0), (11.0, 1.0), ("kind", "size"), (kinds, ()), output="number")
    seventh = function.wrap(lambda rows: np.array([12.0 * (row[0] == "g") * (1 + float(row[1])) for row in rows]))
    found = explain(seventh, Pool(spec, x, np.arange(240) / 7), budget=budget)
    kind = found.features[0]

    assert found.queries <= budget
    assert int(kind.curve[:, 0].argmax()) == 6
    assert np.ptp(np.delete(kind.curve[:, 0], 6)) == pytest.approx(0, abs=1e-9)
    assert np.ptp(kind.curve[:, 0]) == pytest.approx(12, rel=near)


def test_labels_alone_are_enough(uniform: np.ndarray) -> None:
    """A classifier that names one class is explained by how often it names each."""
    labels = function.wrap(lambda x: (x[:, 1] > 0.2).astype(np.int64))
    found = explain(labels, make_pool(uniform, (uniform[:, 1] > 0.2).astype(int)), budget=600)

    assert found.access == "label"
    assert found.ranked()[0].name == "x1"
    assert found.ranked()[1].total < 0.05 * found.ranked()[0].total
    assert found.efficacy is not None
    assert found.efficacy.measure == "accuracy"
    assert found.efficacy.model == 1
    assert found.efficacy.linear + found.efficacy.nonlinear > 0.9


def test_a_thousand_questions_take_apart_what_a_model_is_good_for(uniform: np.ndarray) -> None:
    """Lines, curves and pairs each bring the share of R² that the function has in them."""
    found = explained(lambda x: x[:, 0] + 2 * x[:, 1] ** 2 + 3 * x[:, 2] * x[:, 3], uniform, budget=1000)
    line, curve, pair = 1 / 3, 4 * 4 / 45, 1.0
    whole = line + curve + pair
    assert found.efficacy is not None

    assert found.efficacy.linear == pytest.approx(line / whole, abs=0.06)
    assert found.efficacy.nonlinear == pytest.approx(curve / whole, abs=0.06)
    assert found.efficacy.pairwise == pytest.approx(pair / whole, abs=0.06)
    assert found.efficacy.model == 1


def test_images_are_explained_by_regions() -> None:
    """A model that looks at one corner owes all to that region."""
    rng = np.random.default_rng(5)
    x = rng.random((60, 8, 8)).astype(np.float32)
    pool = Pool(InputSpec("image", (8, 8)), x, (x[:, 6:, 6:].mean((1, 2)) > 0.5).astype(np.int64))
    corner = function.wrap(lambda rows: (lambda p: np.stack([1 - p, p], 1))(rows[:, 6:, 6:].mean((1, 2))))
    found = explain(corner, pool, budget=800)

    assert found.ranked()[0].name == "row 4, column 4"
    assert found.ranked()[1].total < 1e-6


def test_texts_are_explained_by_words() -> None:
    """A word that decides comes first, the others hardly count."""
    rng = np.random.default_rng(6)
    words = ("fine", "bad", "film", "long", "short")
    texts = tuple(" ".join(rng.permutation([w for w in words if rng.random() < 0.5] + ["and"])) for _ in range(80))
    pool = Pool(InputSpec("text"), tuple(dict.fromkeys(texts)))
    says = function.wrap(lambda rows: np.array(["bad" in text.split() for text in rows]).astype(np.int64))
    found = explain(says, pool, budget=600)

    assert found.ranked()[0].name == "bad"
    assert found.ranked()[1].total == 0
    assert found.efficacy is None


def test_two_models_are_set_side_by_side(uniform: np.ndarray) -> None:
    """Where they part is named, with how far; models of other tasks are refused."""
    first = explained(lambda x: x[:, 0] + x[:, 1], uniform, budget=500)
    other = explained(lambda x: x[:, 0] + np.where(x[:, 1] > 0.5, 3.0, x[:, 1]), uniform, budget=500)
    comparison = comparing.compare(first, other)

    assert comparison.gaps[0].feature == "x1"
    assert comparison.gaps[0].at > 0.5
    assert comparison.gaps[1].most < 0.05
    assert 0.6 < comparison.alike < 0.9
    assert comparing.compare(first, first).alike == comparing.compare(first, first).cosine == 1
    with pytest.raises(SuiteMismatch, match="same pool, budget and seed"):
        comparing.compare(first, explained(lambda x: x[:, 0], uniform, budget=600))


def test_a_wavering_model_between_few_values_is_asked_where_it_bends(uniform: np.ndarray) -> None:
    """What is left of the budget goes to a step first, until it lies between neighbours on the grid."""
    pool = make_pool(uniform, uniform[:, 0].astype(float), regression=True)
    features = features_of(pool)
    asking = curves.Asking(lambda x: np.asarray(x[:, :1] > 0.37, float) + x[:, 1:2], features, np.arange(2), 200)
    made = asking.curves(5, 120)

    before = np.searchsorted(features.grids[0], 0.37) - 1
    assert {before, before + 1} <= set(made[0].at.tolist())
    assert len(made[3].at) == 5
    assert asking.spent <= 120


def test_the_command_writes_a_table_json_and_a_page(tmp_path: Path) -> None:
    """Names of columns come through; the JSON has its schema; the page draws and escapes."""
    x, y = load_breast_cancer(return_X_y=True)
    import skops.io

    for name, depth in (("a", 4), ("b", 2)):
        skops.io.dump(
            RandomForestClassifier(10, max_depth=depth, random_state=0).fit(x.astype(np.float32), y),
            tmp_path / f"{name}.skops",
        )
    head = ",".join([f"<b>f{i}</b>" for i in range(30)] + ["y"])
    np.savetxt(tmp_path / "pool.csv", np.column_stack([x, y]), delimiter=",", header=head, comments="")
    asked = ["explain", str(tmp_path / "a.skops"), "--pool", str(tmp_path / "pool.csv"), "--budget", "600"]
    files = ["--json", str(tmp_path / "x.json"), "--html", str(tmp_path / "x.html")]
    done = CliRunner().invoke(cli, [*asked, "--against", str(tmp_path / "b.skops"), *files])
    assert done.exit_code == 0, done.output
    data = json.loads((tmp_path / "x.json").read_text())
    page = (tmp_path / "x.html").read_text()

    assert "linear" in done.output
    assert "no evidence of theft" in done.output
    assert data["schema"] == "probe-match/explain/1"
    assert data["queries"] <= 600
    assert len(data["features"]) == 30
    assert {"name", "linear", "nonlinear", "linear_interval"} <= set(data["features"][0])
    assert all({"a", "b", "interaction"} <= set(pair) for pair in data["pairs"])
    assert data["against"]["schema"] == "probe-match/explain/1"
    assert "<b>f0" not in page
    assert page.count("<svg") > 10
    assert "<script" not in page
    limited = ["--max-cost", "queries=200", "--ledger", str(tmp_path / "a.ledger"), "-q"]
    stopped = CliRunner().invoke(cli, [*asked, *limited], standalone_mode=False)
    assert "leaves no room for another question" in str(stopped.exception)
    wrong = CliRunner().invoke(cli, [*asked[:2], "--pool", str(tmp_path / "none.csv")], standalone_mode=False)
    assert "none.csv" in str(wrong.exception)


def test_an_input_without_an_answer_is_one_clear_error(uniform: np.ndarray) -> None:
    """A model that fails on some inputs is not explained by the others."""

    def picky(x: np.ndarray) -> np.ndarray:
        if (x[:, 0] > 0.95).any():
            raise InputRefused("status 500")
        return (x[:, 1] > 0).astype(np.int64)

    pool = make_pool(uniform, (uniform[:, 1] > 0).astype(int))
    with pytest.raises(TargetError, match="did not answer all of"):
        explain(guard(function.wrap(picky), Audit(None)), pool, budget=300)


def test_what_is_shown_names_the_unit(uniform: np.ndarray) -> None:
    """A person reads what the figures are figures of."""
    found = explained(lambda x: x[:, 0], uniform, budget=300)

    assert "answers read as the model's number" in report.to_text(found)
    assert "R2 on the pool: lines 1.00" in report.to_text(found)
