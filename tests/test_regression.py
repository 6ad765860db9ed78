"""A regressor is enrolled, and what was copied from it is found: the main job for answers that are numbers."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from click.testing import CliRunner
from probe_match.clients import function, oip, replay, sklearn
from probe_match.fingerprinting import oip_server, registry, storage
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.collect import ask, collect
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.enrolment import Enrolled, enroll, enroll_answers
from probe_match.fingerprinting.errors import TargetError, UsageError
from probe_match.fingerprinting.kin import find_kin
from probe_match.fingerprinting.matching import match, match_one
from probe_match.fingerprinting.methods.relative import DeviationScale
from probe_match.fingerprinting.plans import Material, plan_peers, plan_shadows
from probe_match.fingerprinting.pools import load_pool, make_pool
from probe_match.fingerprinting.records import About, InputSpec, Pool, ProbeSuite
from sklearn.datasets import make_friedman1
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import Ridge

FEATURES = 8
OWNED, ASKED, FRESH = slice(0, 200), slice(200, 400), slice(400, 600)


@cache
def data() -> tuple[np.ndarray, np.ndarray]:
    """float32 (600, features) and measurements with much noise."""
    x, y = make_friedman1(600, FEATURES, noise=2.0, random_state=0)
    return x.astype(np.float32), y


def forest(seed: int, rows: slice = OWNED) -> Any:
    """A fitted forest, on true measurements."""
    x, y = data()
    return RandomForestRegressor(25, random_state=seed).fit(x[rows], y[rows])


@cache
def source() -> Any:
    """The model that is owned."""
    return forest(1)


@cache
def stolen() -> Any:
    """A model of another class, fitted to what the source answered to a thief."""
    x = data()[0][ASKED]
    return ExtraTreesRegressor(25, random_state=3).fit(x, source().predict(x))


@cache
def pool() -> Pool:
    """The owner's rows with their measurements."""
    return make_pool(data()[0][OWNED], data()[1][OWNED])


@cache
def enrolled() -> Enrolled:
    """The source with a small panel, and the log in which the thief's questions are."""
    generators = {name: registry.load("probes", name).generate for name in ("midpoints", "mixed")}
    return enroll(
        sklearn.wrap(source()),
        pool(),
        name="owned",
        about=About(),
        generators=generators,
        log=data()[0][ASKED],
        peers=48,
        shadows=8,
    )


def client(answer: Callable[[np.ndarray], Any]) -> function.FunctionClient:
    """A callable as a target."""
    return function.wrap(answer, name="suspect", shape=(FEATURES,))


def test_a_pool_of_measurements_is_for_regressors(tmp_path: Path) -> None:
    """Numbers that are not all whole make one, in arrays, .npz and .csv; whole ones on request."""
    x, y = data()
    np.savez(tmp_path / "pool.npz", x=x, y=y)
    np.savez(tmp_path / "whole.npz", x=x, y=np.round(y))
    lines = [f"{row[0]},{row[1]},{value}" for row, value in zip(x[:40].tolist(), y[:40], strict=True)]
    (tmp_path / "pool.csv").write_text("\n".join(["a,b,y", *lines]))

    assert make_pool(x, y).spec.output == "number"
    np.testing.assert_array_equal(load_pool(tmp_path / "pool.npz").y, y)
    assert load_pool(tmp_path / "pool.csv").spec.output == "number"
    assert load_pool(tmp_path / "whole.npz").spec.output == "classes"
    assert load_pool(tmp_path / "whole.npz", regression=True).spec.output == "number"


def test_what_was_stored_for_classifiers_keeps_its_digest() -> None:
    """The output is left out of the bytes where it is classes, and read from older files as such."""
    spec = InputSpec("tabular", (2,))
    suite = ProbeSuite("s", "uniform", 0, spec, np.zeros((1, 2), np.float32), ("uniform",), np.ones(1))
    again = storage.from_bytes(ProbeSuite, storage.to_bytes(enrolled().reference.suite))

    assert b'"output"' not in storage.canonical_json(storage._take_apart(suite)[0])
    assert storage.from_bytes(ProbeSuite, storage.to_bytes(suite)).spec.output == "classes"
    assert again.spec.output == "number"
    assert again.digest == enrolled().reference.suite.digest


def test_who_trained_on_what_is_known_of_regressors_too(tmp_path: Path) -> None:
    """The pool's mask survives, kin learn the source's rows alone, and refits most of them with others."""
    x, y = data()
    mine = np.arange(200) < 120
    np.savez(tmp_path / "pool.npz", x=x[OWNED], y=y[OWNED], trained=mine)
    pool_ = load_pool(tmp_path / "pool.npz")
    material = Material(
        pool_.take(np.arange(140)), pool_.take(np.arange(140, 200)), ask(sklearn.wrap(source()), x[:140], pool_.spec),
        None, None, None, 1, RandomForestRegressor(), mine,
    )  # fmt: skip
    first, rest = plan_peers(material, 100, 0)
    answers = np.stack([source().predict(x[140:200]) for _ in first])
    kin = [plan for plan in rest(find_kin(material, first, answers, answers[0])) if plan.role == "kin peer"]
    refits = [plan for plan in plan_shadows(material, 20, 0) if plan.target == "refit"]

    np.testing.assert_array_equal(pool_.trained, mine)
    assert {plan.learner for plan in kin} == {"own", "forest"}
    assert all(plan.train.max() < 120 and len(plan.held) == 0 for plan in kin)
    assert {plan.use for plan in kin} == {"select", "estimate", "calibrate"}
    assert refits
    assert all((plan.train < 120).sum() == 102 and len(plan.held) for plan in refits)


def test_the_nearest_class_stands_in_for_an_unknown_one() -> None:
    """Behind an endpoint, the class of the first peers whose numbers are nearest to the source's."""
    x, y = data()
    whole = make_pool(x[OWNED], y[OWNED])
    answers = ask(sklearn.wrap(source()), x[:140], whole.spec)
    material = Material(whole.take(np.arange(140)), whole.take(np.arange(140, 200)), answers, None, None, None, 1)
    first, _ = plan_peers(material, 100, 0)
    own = source().predict(x[140:200])
    near = np.stack([own + (0.1 if plan.learner == "trees" else 5.0) for plan in first])

    assert find_kin(material, first, near, own).learners == ("trees",)


@pytest.mark.parametrize("disguise", [lambda v: v, lambda v: 1.8 * v + 32, lambda v: np.round(v, 1)])
def test_copies_are_found_in_any_unit(disguise: Callable[[np.ndarray], np.ndarray]) -> None:
    """The values as they are, in another unit, or rounded."""
    verdict = match_one(client(lambda rows: disguise(source().predict(rows))), enrolled().reference)

    assert verdict.decision == "match"
    assert "follow its deviations" in verdict.why
    assert "agree" not in verdict.why


def test_a_copy_is_identical_and_its_conversion_modified() -> None:
    """The relation goes by the numbers."""
    copied = match_one(sklearn.wrap(source()), enrolled().reference)
    converted = match_one(client(lambda rows: 2 * source().predict(rows)), enrolled().reference)

    assert (copied.relation, converted.relation) == ("identical", "modified")


def test_a_model_distilled_from_the_source_is_found() -> None:
    """Another class, fitted to the source's values on rows of a thief's own."""
    verdict = match_one(client(stolen().predict), enrolled().reference, alpha=0.05)

    assert verdict.decision == "match"
    assert verdict.relation == "derived"


@pytest.mark.parametrize("rows", [OWNED, FRESH])
def test_honest_models_are_not_accused(rows: slice) -> None:
    """Other classes of the owner's data, and the owner's class on other data."""
    x, y = data()
    honest = [
        Ridge().fit(x[rows], y[rows]),
        forest(9, FRESH),
        ExtraTreesRegressor(25, random_state=4).fit(x[rows], y[rows]),
    ]
    verdicts = [match_one(client(model.predict), enrolled().reference) for model in honest]

    assert [verdict.decision for verdict in verdicts].count("match") == 0
    assert verdicts[1].decision == "no match"


def test_only_what_looks_like_kin_is_ranked_among_kin() -> None:
    """Forests on the owner's rows may be kin; a line is none, and neither is what knows nothing."""
    x, y = data()
    reference = enrolled().reference
    asked = reference.suite.inputs
    kin = [forest(seed).predict(asked) for seed in range(20, 26)]
    others = [Ridge().fit(x[FRESH], y[FRESH]).predict(asked), Ridge(1e6).fit(x[FRESH], y[FRESH]).predict(asked)]
    scale = DeviationScale(reference, np.arange(len(reference.suite)))
    seen = scale.weigh(np.zeros((8, len(asked)), int), np.stack([*kin, *others])[:, :, None])

    assert seen.kin[:6].mean() > 0.5
    assert not seen.kin[6:].any()


def test_one_and_the_same_number_is_evasion() -> None:
    """No known regressor answers it."""
    verdict = match_one(client(lambda rows: np.full(len(rows), 1.5)), enrolled().reference)

    assert verdict.decision == "evasion suspected"


def test_a_regressor_behind_a_server_is_found() -> None:
    """Numbers travel over the Open Inference Protocol, whole ones among them, and are the same."""
    whole_first = lambda rows: np.where(np.arange(len(rows)) == 0, 3.0, source().predict(rows))  # noqa: E731
    with oip_server.serve({"priced": source().predict, "odd": whole_first}, (FEATURES,), max_rows=16) as url:
        asked = ask(oip.connect(f"{url}/v2/models/odd"), data()[0][:40], pool().spec)
        verdict = match_one(oip.connect(f"{url}/v2/models/priced"), enrolled().reference)

    assert asked.scores is not None
    assert asked.scores.shape == (40, 1)
    np.testing.assert_allclose(asked.scores[1:16, 0], source().predict(data()[0][:40])[1:16], rtol=1e-6)
    assert verdict.decision == "match"


def test_recorded_numbers_are_matched(tmp_path: Path) -> None:
    """A recording answers as the regressor did."""
    reference = enrolled().reference
    given = collect(client(source().predict), reference.suite, access="label")
    replay.record(tmp_path / "answers.jsonl", reference.suite, given)
    verdict = match_one(replay.connect(str(tmp_path / "answers.jsonl")), reference)

    assert (verdict.decision, verdict.relation) == ("match", "identical")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda rows: np.full(len(rows), np.nan), "nothing usable: NaN, infinity or null"),
        (lambda rows: np.full(len(rows), 1e300), "NaN or infinity"),
        (lambda rows: np.array(["high"] * len(rows)), "got the text 'high'"),
        (lambda rows: np.zeros(3), "expected 10 numbers"),
        (lambda rows: np.zeros((len(rows), 2)), "got 2: scores of a classifier or several outputs"),
    ],
)
def test_what_is_no_number_is_refused_in_one_line(answer: Callable[[np.ndarray], Any], told: str) -> None:
    """A target that does not answer one finite number per input."""
    with pytest.raises(TargetError, match=told) as caught:
        match_one(client(answer), enrolled().reference)

    assert "\n" not in str(caught.value)


def test_classifiers_and_regressors_are_not_compared() -> None:
    """Neither a classifier with a regressor's reference, nor a regressor with a question for classes."""
    x, y = data()
    classifier = RandomForestClassifier(5, random_state=0).fit(x[:100], (y[:100] > y.mean()).astype(int))
    classes = make_pool(x, (y > y.mean()).astype(int))

    with pytest.raises(TargetError, match="is a classifier and cannot be compared with a regressor"):
        match_one(sklearn.wrap(classifier), enrolled().reference)
    with pytest.raises(TargetError, match="one number per input, such as"):
        ask(client(source().predict), x[:20], classes.spec)


@pytest.mark.parametrize("name", ["misclassified", "rare", "decision", "uncertain"])
def test_generators_that_need_classes_say_so(name: str) -> None:
    """One line, with the generators that do work."""
    generator = registry.load("probes", name)
    more = {"peers": [sklearn.wrap(source())]} if name == "rare" else {}
    with pytest.raises(UsageError, match="compares labels"):
        generator.generate(sklearn.wrap(source()), pool(), n=5, seed=0, **more)


@pytest.mark.parametrize("name", ["uniform", "mixed", "corrupted", "midpoints", "straddle"])
def test_generators_without_labels_make_probes(name: str) -> None:
    """In the bounds, each with the number the source gives."""
    suite = registry.load("probes", name).generate(sklearn.wrap(source()), pool(), n=20, seed=0)

    assert isinstance(suite.inputs, np.ndarray)
    np.testing.assert_allclose(suite.expected, source().predict(suite.inputs), rtol=1e-6)
    if name == "straddle":
        steps = np.abs(np.diff(suite.expected.reshape(-1, 2), axis=1))
        assert (np.abs(np.diff(suite.inputs.reshape(-1, 2, FEATURES), axis=1)).max(2) < 1e-3).all()
        assert (steps > 0).all()


def test_many_regressors_are_told_apart_by_their_public_answers(tmp_path: Path) -> None:
    """Without peers of its own, a copy stands out among the other references; their numbers are kept in full."""
    x, y = data()
    fresh = make_pool(x[FRESH], y[FRESH] * 1e6)
    public = None
    with open_db(tmp_path / "known.db", create=True) as references:
        for i in range(12):
            rows = np.random.default_rng(i).permutation(200)[:120]
            model = ExtraTreesRegressor(5, random_state=i).fit(x[rows], 1e6 * y[rows])
            made = enroll_answers(sklearn.wrap(model), fresh, name=f"m{i}", about=About(), public=public)
            if public is None:
                public = made.public
                references.set_public_suite(public)
            references.add(made.reference)
            if i == 4:
                copied = model
        found = match(client(copied.predict), references)
        other = match(client(lambda rows: 1e6 * source().predict(rows)), references)
        kept = references.public_scores(fresh.spec)["m4"]

    assert (found.decision, found.reference) == ("match", "m4")
    assert other.decision != "match"
    np.testing.assert_allclose(kept[:, 0], copied.predict(public.inputs), rtol=1e-6)


def test_the_command_line_enrols_matches_and_compares_regressors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A .skops regressor of whole measurements; a classifier is refused with exit code 2 and one line."""
    monkeypatch.chdir(tmp_path)
    x, y = data()
    whole = RandomForestRegressor(10, random_state=0).fit(x[OWNED], np.round(y[OWNED]))
    skops.io.dump(whole, "mine.skops")
    skops.io.dump(RandomForestClassifier(5, random_state=0).fit(x[OWNED], (y[OWNED] > 14).astype(int)), "other.skops")
    np.savez("pool.npz", x=x[OWNED], y=np.round(y[OWNED]))
    few = ["--pool", "pool.npz", "--regression", "--peers", "16", "--shadows", "2", "--jobs", "1"]
    here = CliRunner()
    added = here.invoke(cli, ["enroll", "mine.skops", "--name", "mine", "--db", "known.db", *few])
    found = here.invoke(cli, ["match", "mine.skops", "--db", "known.db", "--json", "-q"])
    compared = here.invoke(cli, ["compare", "mine.skops", "mine.skops", *few])
    refused = run("match", "other.skops", "--db", "known.db")

    assert added.exit_code == 0, added.output
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["decision"] == "match"
    assert "follow its deviations from honest models" in compared.stdout
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "is a classifier" in refused.stderr


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The program itself, as a process."""
    return subprocess.run(
        [sys.executable, "-c", "from probe_match.fingerprinting.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
