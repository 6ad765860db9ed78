"""Verification of classifiers and regressors: unchanged, modified or another model, from few fragile probes."""

import copy
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import worlds
from click.testing import CliRunner
from probe_match.clients import function, sklearn
from probe_match.fingerprinting import (
    change_kinds,
    changed_copies,
    fragile,
    recordings,
    registry,
    rescaled,
    storage,
    verifying,
    weight_changes,
)
from probe_match.fingerprinting.audits import Audit
from probe_match.fingerprinting.budget import read_limits
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.enrolment import enroll
from probe_match.fingerprinting.errors import DatabaseError, UsageError
from probe_match.fingerprinting.fragile import LIGHT
from probe_match.fingerprinting.oip_server import serve
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.records import About, Change, Panel, Pool, Reference, Responses
from sklearn.base import clone
from sklearn.datasets import make_regression
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SENSITIVE: Any = registry.load("probes", "sensitive").generate


@cache
def model() -> Any:
    """A scaled linear classifier of the owner's half."""
    x, y = worlds.data()
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(x[worlds.OWNED], y[worlds.OWNED])


def enrolled(estimator: Any, pool: Pool) -> Reference:
    return enroll(
        sklearn.wrap(estimator), pool, name="mine", about=About(), generators={}, peers=10, shadows=4,
        sensitive=SENSITIVE,
    ).reference  # fmt: skip


@cache
def mine() -> Reference:
    """The classifier, enrolled with a few peers and shadows."""
    return enrolled(model(), worlds.pool())


@cache
def forest() -> Reference:
    """A forest, enrolled likewise."""
    return enrolled(worlds.source(), worlds.pool())


@cache
def measured() -> tuple[Any, Pool, Reference]:
    """A regressor, its pool and its reference."""
    x, y = make_regression(300, 8, noise=5, random_state=0)
    pool = make_pool(x.astype(np.float32), y, regression=True)
    fitted = RandomForestRegressor(20, random_state=0).fit(x[:200].astype(np.float32), y[:200])
    return fitted, pool, enrolled(fitted, pool)


def answering(change: Any, of: Any = None) -> Any:
    """A client that answers what `change` makes of the model's probabilities."""
    estimator = model() if of is None else of
    return function.wrap(lambda x: change(estimator.predict_proba(x)), shape=(worlds.FEATURES,))


def asked(client: Any, reference: Reference, **options: Any) -> Any:
    assert reference.fragile is not None
    return verifying.verify(client, reference.fragile, "mine", **options)


def altered(weight: float) -> Any:
    """The classifier with one of its weights changed by a share."""
    twin = copy.deepcopy(model())
    twin[-1].coef_ = twin[-1].coef_.copy()
    twin[-1].coef_[0, 0] *= 1 + weight
    return twin


@pytest.mark.parametrize("access", ["label", None])
def test_the_same_model_in_single_precision_is_unchanged(access: Any) -> None:
    """A model whose arithmetic is float32 answers all fragile probes as the enrolled one did in float64."""
    scale, linear = model()

    def single(x: np.ndarray) -> np.ndarray:
        z = (x - scale.mean_.astype(np.float32)) / scale.scale_.astype(np.float32)
        logits = z @ linear.coef_.T.astype(np.float32) + linear.intercept_.astype(np.float32)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True))

    verdict = asked(function.wrap(single, shape=(worlds.FEATURES,)), mine(), access=access)

    assert (verdict.decision, verdict.relation, verdict.sent, verdict.change) == ("match", "identical", 10, None)


@pytest.mark.parametrize("kind", ["fine-tuned", "pruned", "quantised"])
def test_every_copy_that_was_changed_is_found_by_labels_alone(kind: str) -> None:
    """Ten labels find each copy that is fine-tuned, pruned or rounded, down to 8 bits."""
    for reference, estimator in ((mine(), model()), (forest(), worlds.source())):
        made = [made for made in changed_copies._copies(sklearn.wrap(estimator), worlds.pool(), 7) if made[0] == kind]
        verdicts = [asked(client, reference, access="label", budget=13) for _, _, client in made]

        assert len(made) >= 3
        assert {verdict.decision for verdict in verdicts} == {"no match"}
        assert max(verdict.p_value for verdict in (v.matches[0] for v in verdicts)) <= 0.01


def test_a_change_of_one_weight_is_seen() -> None:
    """One weight of ninety-six, changed by a twentieth, moves an answer."""
    assert asked(sklearn.wrap(altered(0.05)), mine(), access="label", budget=13).decision == "no match"


def test_the_kind_of_change_comes_with_odds_that_sum_to_one() -> None:
    """A heavily pruned copy is called modified, and the probabilities of all kinds are given."""
    twin = copy.deepcopy(model())
    weight_changes.prune(weight_changes.parts_of(twin), 0.5, np.random.default_rng(0))
    verdict = asked(sklearn.wrap(twin), mine())

    assert (verdict.relation, verdict.change.kind) == ("modified", "pruned")
    assert sum(verdict.change.odds.values()) == pytest.approx(1)
    assert verdict.sent <= verifying.BUDGET


def test_a_stranger_is_not_called_unchanged() -> None:
    """A model of another class on the same data is no match, and no modified copy either."""
    verdict = asked(sklearn.wrap(worlds.source()), mine(), access="label")

    assert (verdict.decision, verdict.relation) == ("no match", None)
    assert "another model" in verdict.why


def test_hidden_scores_are_no_change() -> None:
    """An endpoint that rounds its scores, or shows labels alone, is unchanged, and the report says what is hidden."""
    rounded = asked(answering(lambda p: np.round(p, 2)), mine())
    labels = asked(answering(lambda p: p.argmax(1)), mine())

    assert (rounded.decision, rounded.information) == ("match", "rounded to 0.01")
    assert (labels.decision, labels.information) == ("match", "labels only")


def test_a_temperature_is_told_as_a_wrapper() -> None:
    """Log-odds that are all the expected ones times a number are a temperature."""

    def flat(p: np.ndarray) -> np.ndarray:
        powers = p ** (1 / 3)
        return np.asarray(powers / powers.sum(1, keepdims=True))

    verdict = asked(answering(flat), mine())

    assert (verdict.decision, verdict.change.kind) == ("no match", "wrapped (temperature)")


def test_a_temperature_shows_beside_classes_that_are_ruled_out() -> None:
    """Probabilities of 0, as forests give, hide no temperature among the other classes."""

    def tempered(p: np.ndarray) -> np.ndarray:
        return np.asarray(p**0.5 / (p**0.5).sum(1, keepdims=True))

    verdict = asked(answering(tempered, worlds.source()), forest())

    assert (verdict.decision, verdict.change.kind) == ("no match", "wrapped (temperature)")


def test_rounding_before_the_decision_is_told_by_labels_alone() -> None:
    """Labels that are the likeliest of rounded scores, the first where they tie, are a wrapper's."""
    verdict = asked(answering(lambda p: np.round(p, 1).argmax(1)), mine(), access="label")

    assert (verdict.decision, verdict.change.kind) == ("no match", "wrapped (rounded)")


def test_kinds_add_up_to_groups() -> None:
    """A change that may be pruning or quantising is surely one of the weights, and the verdict says so."""
    odds = {"pruned": 0.45, "quantised": 0.4, "retrained": 0.1, "wrapped (noise)": 0.05}
    change = Change("pruned", 0.45, odds)

    assert list(change_kinds.groups(change).values()) == pytest.approx([0.85, 0.1, 0.05])
    assert "pruned or quantised) with probability 0.85 (likeliest kind: pruned, 0.45)" in verifying._kind(change)


@pytest.mark.parametrize("how", list(weight_changes.LEVELS))
def test_weights_in_few_bits_have_few_values(how: str) -> None:
    """Two bits leave at most four values of a weight, of a leaf and of none of the model's that was copied."""
    before = model()[-1].coef_.copy()
    twin = copy.deepcopy(model())

    assert weight_changes.quantise(weight_changes.parts_of(twin), 2, how)
    assert len(np.unique(twin[-1].coef_)) <= 4
    assert (model()[-1].coef_ == before).all()


def test_a_forest_cut_back_has_fewer_leaves() -> None:
    """Splits of few rows become leaves that answer what their rows said, so that scores still sum to 1."""
    twin = copy.deepcopy(worlds.source())
    x, _ = worlds.data()

    assert weight_changes.cut_back(weight_changes.parts_of(twin), 0.6)
    assert len(np.unique(twin.apply(x))) < len(np.unique(worlds.source().apply(x)))
    assert twin.predict_proba(x).sum(1) == pytest.approx(1)


def test_answers_that_waver_are_told_as_noise() -> None:
    """An endpoint with noise on its inputs answers a repeated probe otherwise, which no unchanged model does."""
    rng = np.random.default_rng(0)
    noisy = function.wrap(lambda x: model().predict_proba(x + rng.normal(0, 0.3, x.shape)), shape=(worlds.FEATURES,))
    verdict = asked(noisy, mine())

    assert (verdict.decision, verdict.change.kind) == ("no match", "wrapped (noise)")


def test_one_glitch_is_no_accusation() -> None:
    """A single answer that was another, and is as expected when asked again, needs a person where checks are few."""
    own = forest().fragile
    assert own is not None
    few = storage.from_bytes(type(own), storage.to_bytes(own), "fragile probes")
    params = {**few.suite.params, "checks": 50}
    object.__setattr__(few.suite, "params", params)
    glitches = iter([True])

    def once(p: np.ndarray) -> np.ndarray:
        labels = p.argmax(1)
        if next(glitches, False):
            labels[0] = (labels[0] + 1) % worlds.CLASSES
        return np.asarray(labels)

    verdict = verifying.verify(answering(once, worlds.source()), few, "mine")

    assert verdict.decision == "inconclusive"


def test_silence_is_inconclusive() -> None:
    """Where a limit leaves room for half of the fragile probes, nothing is called unchanged or changed."""
    with_limit = recordings.guard(sklearn.wrap(model()), Audit(None, limits=read_limits(("queries=5",), None)))
    verdict = asked(with_limit, mine())

    assert (verdict.decision, verdict.sent, verdict.change) == ("inconclusive", 5, None)


def test_a_budget_that_cannot_decide_is_refused() -> None:
    """Fewer questions than there are edges say nothing, and the message says how many are needed."""
    with pytest.raises(UsageError, match="at least 10"):
        asked(sklearn.wrap(model()), mine(), budget=5)


def test_a_regressor_is_verified_by_its_numbers() -> None:
    """The same forest is unchanged, one without a tree is not, and one that rounds shows less."""
    fitted, _, reference = measured()
    without = copy.deepcopy(fitted)
    without.estimators_ = without.estimators_[:-1]
    rounding = function.wrap(lambda x: np.round(fitted.predict(x), 0), shape=(8,))

    assert asked(sklearn.wrap(fitted), reference).decision == "match"
    assert asked(sklearn.wrap(without), reference).decision == "no match"
    assert asked(rounding, reference).information == "rounded to 1"


def test_a_rescaled_regressor_is_told_as_a_wrapper() -> None:
    """Numbers that are a line through the expected ones are the model behind a calculation."""
    fitted, _, reference = measured()
    scaled = function.wrap(lambda x: 0.9 * fitted.predict(x) + 3, shape=(8,))

    assert asked(scaled, reference).change.kind == "wrapped (rescaled)"


def test_fragile_probes_are_none_of_the_others() -> None:
    """What is asked for tampering is disjoint from the probes for ownership and from the public suite."""
    reference = mine()
    assert reference.fragile is not None
    known = {probe.tobytes() for probe in reference.suite.inputs}

    assert not known & {probe.tobytes() for probe in reference.fragile.suite.inputs}
    assert "sensitive" not in reference.suite.kinds


def test_rounding_must_explain_every_answer() -> None:
    """Numbers on a grid that are not the expected ones are no rounding of them."""
    own = np.linspace(0, 1, 20)[:, None] + 0.013

    assert rescaled.grid(np.round(own, 1), own, 1e-6) == pytest.approx(0.1)
    assert rescaled.grid(np.round(own, 1) + 0.2, own, 1e-6) == 0


def test_rounding_by_labels_must_explain_what_changed() -> None:
    """Labels that hardly differ are not called rounded because rounding differs hardly, too; nor shown scores."""
    own = mine().fragile
    assert own is not None
    assert own.answers.score is not None
    flipped = own.answers.label.copy()
    flipped[0] = (flipped[0] + 1) % own.answers.score.shape[1]
    coarse = np.round(own.answers.score.astype(float), 1).argmax(1)

    def given(labels: np.ndarray, scores: np.ndarray | None = None) -> Responses:
        return replace(
            own.answers, access="label" if scores is None else "scores", labels=labels[:, None],
            scores=None if scores is None else scores[:, None], latency=np.zeros(len(labels), np.float32),
        )  # fmt: skip

    assert (coarse != own.answers.label).sum() >= 4
    assert rescaled.rounded_labels(own, given(coarse)) is not None
    assert rescaled.rounded_labels(own, given(flipped)) is None
    assert rescaled.rounded_labels(own, given(coarse, own.answers.score)) is None


def test_without_weights_at_hand_the_kind_is_not_told() -> None:
    """A reference that was enrolled by its answers alone tells a changed copy from a new model, and says so."""
    own = mine().fragile
    assert own is not None
    assert own.panel is not None
    panel = own.panel
    kept = np.array([i for i, kind in enumerate(panel.families) if kind not in LIGHT])
    few = replace(own, panel=Panel(
        tuple(panel.names[i] for i in kept), tuple(panel.roles[i] for i in kept), tuple(panel.uses[i] for i in kept),
        panel.labels[kept], None if panel.scores is None else panel.scores[kept],
        tuple(panel.families[i] for i in kept),
    ))  # fmt: skip
    verdict = verifying.verify(sklearn.wrap(altered(0.2)), few, "mine")

    assert verdict.change is not None
    assert verdict.change.kind == change_kinds.STILL
    assert verdict.relation == "modified"
    assert "its weights were not at hand" in verdict.why


def test_texts_have_fragile_probes() -> None:
    """Pairs of texts a word apart: all alike for the model itself, not for one that was fitted to fewer."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(40)]
    y = rng.integers(0, 3, 90)
    texts = [" ".join(rng.choice(words, 12, p=np.roll(np.r_[np.full(20, 0.04), np.full(20, 0.01)], 9 * k))) for k in y]
    made = make_pipeline(TfidfVectorizer(), LogisticRegression())
    own, other = clone(made).fit(texts, y), clone(made).fit(texts[30:], y[30:])
    suite = SENSITIVE(sklearn.wrap(own), make_pool(texts, y), n=10, seed=0)
    known = fragile.of_suite(suite, "own")
    labels = np.asarray(suite.expected)

    assert suite.params["checks"] >= 1000
    assert (labels[::2] != labels[1::2]).all()
    assert verifying.verify(sklearn.wrap(own), known, "own").decision == "match"
    assert verifying.verify(sklearn.wrap(other), known, "own").decision == "no match"


def test_one_score_that_jumps_is_no_accusation() -> None:
    """Where every label and all other scores are as expected, a single score convicts nobody."""
    own = mine().fragile
    assert own is not None
    probe = own.suite.inputs[2]

    def jumping(x: np.ndarray) -> np.ndarray:
        scores = model().predict_proba(x)
        least = scores.argmin(1)
        at = np.flatnonzero((x == probe).all(1))
        scores[at, least[at]] += 0.01
        return np.asarray(scores / scores.sum(1, keepdims=True))

    assert asked(function.wrap(jumping, shape=(worlds.FEATURES,)), mine()).decision == "match"


def test_a_reference_keeps_its_fragile_probes(tmp_path: Path) -> None:
    """What was stored is what is asked later, and a reference without any still has its old digest."""
    with open_db(tmp_path / "r.db", create=True) as db:
        db.add(mine())
        kept = db.get("mine")

        assert kept.fragile is not None
        assert mine().fragile is not None
        assert kept.fragile.suite.digest == mine().fragile.suite.digest
        assert db.verify() == []


def test_the_command_verifies_a_model_behind_a_server(tmp_path: Path) -> None:
    """Through HTTP, the model itself exits 0 and a changed one 1, with a JSON verdict and a page."""
    with open_db(tmp_path / "r.db", create=True) as db:
        db.add(mine())
    codes = []
    for estimator in (model(), altered(0.2)):
        with serve({"m": estimator.predict_proba}, (worlds.FEATURES,)) as url:
            given = ["verify", f"{url}/v2/models/m", "--claim", "mine", "--db", f"{tmp_path / 'r.db'}", "--json",
                     f"{tmp_path / 'v.json'}", "--html", f"{tmp_path / 'v.html'}"]  # fmt: skip
            codes.append(CliRunner().invoke(cli, given).exit_code)
    verdict = json.loads((tmp_path / "v.json").read_text())
    page = (tmp_path / "v.html").read_text()

    assert codes == [0, 1]
    assert (verdict["schema"], verdict["decision"]) == ("probe-match/verdict/1", "no match")
    assert set(verdict["change"]) == {"kind", "confidence", "odds"}
    assert "MODIFIED" in page
    assert "kind of change" in page


def test_the_command_takes_a_suite_that_was_built(tmp_path: Path) -> None:
    """Without a database, a suite file verifies; without fragile probes, one line says what to do."""
    suite = SENSITIVE(sklearn.wrap(model()), worlds.pool(), n=10, seed=0)
    storage.write_file(tmp_path / "f.npz", storage.to_bytes(suite))
    with open_db(tmp_path / "r.db", create=True) as db:
        db.add(replace(mine(), name="old", fragile=None))
    with serve({"m": model().predict_proba}, (worlds.FEATURES,)) as url:
        good = CliRunner().invoke(
            cli, ["verify", f"{url}/v2/models/m", "--claim", "mine", "--suite", f"{tmp_path / 'f.npz'}"]
        )
        bad = CliRunner().invoke(
            cli, ["verify", f"{url}/v2/models/m", "--claim", "old", "--db", f"{tmp_path / 'r.db'}"]
        )

    assert (good.exit_code, "UNCHANGED" in good.output) == (0, True)
    assert isinstance(bad.exception, DatabaseError)
    assert "suite build sensitive" in str(bad.exception)
