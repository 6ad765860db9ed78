"""In how far a target decides as a reference: said beside a verdict, and never part of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import worlds
from probe_match.clients import function
from probe_match.fingerprinting import cli
from probe_match.fingerprinting.collect import collect
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.enrolment import enroll_answers
from probe_match.fingerprinting.errors import NoAnswers, UsageError
from probe_match.fingerprinting.explain import likeness_report
from probe_match.fingerprinting.explain.likeness import Likeness, between, likeness
from probe_match.fingerprinting.explain.likeness_report import Unexplained
from probe_match.fingerprinting.explain.signature import contributions, describe, pairs_of
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.records import About, InputSpec, Reference
from test_report import NASTY, Page
from worlds import Counting, client, public, source

MODULE = """
import numpy as np, worlds
def same(x): return worlds.source(1).predict(x)
def stranger(x): return worlds.honest()["other data, network 10"].predict(x)
for f in (same, stranger): f.shape = (worlds.FEATURES,)
"""


@pytest.fixture(scope="module")
def reference() -> Reference:
    """One owner's model, with peers."""
    return worlds.enrolled().reference


def linear(weights: list[float]) -> tuple[Reference, Any]:
    """A regressor that adds its inputs, known by its answers to 100 plain rows, and that suite."""
    x = np.random.default_rng(0).random((100, len(weights)), np.float32)
    model = function.wrap(lambda rows: rows @ np.array(weights), name="sum", shape=(len(weights),))
    rows = make_pool(x, (x @ np.array(weights)).astype(np.float64))
    made = enroll_answers(model, rows, name="sum", about=About(), public=None, probes=100)
    return made.reference, made.public


def test_a_model_decides_as_itself(reference: Reference) -> None:
    """All answers alike, all parts alike, no feature apart; honest models come less near."""
    found = likeness(client(source(1).predict), reference, public(), budget=64)

    assert (found.alike, found.cosine, found.parts) == (1.0, pytest.approx(1.0), pytest.approx((1.0, 1.0, 1.0)))
    assert not any(f.apart for f in found.features)
    assert len(found.honest) > 30
    assert max(found.honest) < 1 - 1e-6


def test_how_much_is_decided_alike_is_counted(reference: Reference) -> None:
    """A target that follows the reference on all but some probes is alike on just the others."""
    suite = public()
    flipped = np.arange(len(suite)) % 4 == 0
    given = collect(client(source(1).predict), suite)
    labels = np.where(flipped[:, None], (given.labels + 1) % 2, given.labels)

    assert between(reference, suite, replace(given, labels=labels)).alike == pytest.approx(1 - flipped.mean())


def test_the_feature_on_which_a_target_parts_is_named() -> None:
    """A sum in which one weight differs parts there and nowhere else, by that much of the feature's mean deviation."""
    known, suite = linear([1.0, 1.0, 0.5, 0.2])
    other = function.wrap(lambda rows: rows @ np.array([1.0, 0.1, 0.5, 0.2]), name="other", shape=(4,))

    found = likeness(other, known, suite, budget=100)

    apart = {f.name: f for f in found.features if f.apart}
    one = next(iter(apart.values()))
    column = suite.inputs[:, 1]
    assert list(apart) == ["x1"]
    assert one.low < one.high < 0
    assert one.reference.linear - one.target.linear == pytest.approx(
        0.9 * np.abs(column - column.mean()).mean(), rel=0.15
    )
    assert found.features[0].name in ("x0", "x1")
    assert found.features[-1].name == "x3"


def test_the_budget_is_its_own_and_never_exceeded(reference: Reference) -> None:
    """So many questions and no more; too few for a regression are refused before any is put."""
    asked = Counting(source(1).predict)
    found = likeness(client(asked), reference, public(), budget=30)

    assert (found.queries, found.probes, asked.rows) == (30, 30, 30)
    with pytest.raises(UsageError, match="at least 20"):
        likeness(client(asked), reference, public(), budget=19)
    assert asked.rows == 30


def test_too_few_answers_say_nothing(reference: Reference) -> None:
    """Who answered ten probes is not taken apart."""
    given = collect(client(source(1).predict), public(), rows=np.arange(10))

    with pytest.raises(NoAnswers, match="both models answered, got 10"):
        between(reference, public(), given)


def test_a_reference_that_never_answered_the_suite_is_refused(reference: Reference) -> None:
    """There is nothing to set beside the target's answers."""
    with pytest.raises(UsageError, match="never answered the public suite"):
        likeness(client(source(1).predict), replace(reference, public=None, public_panel=None), public(), budget=64)


def test_values_of_a_category_are_one_feature_without_a_line() -> None:
    """What a category decides is nonlinear, all of it, and belongs to its one column."""
    rng = np.random.default_rng(3)
    inputs = np.stack([rng.integers(0, 3, 200), rng.random(200)], 1).astype(np.float32)
    spec = InputSpec("tabular", (2,), (0.0,), (2.0,), ("colour", "size"), (("blue", "green", "red"), ()))
    answers = (inputs[:, :1] == 1) + 0.5 * inputs[:, 1:]

    of = describe(spec, inputs)
    parts = contributions(of, answers, pairs_of(of, answers))

    assert of.names == ("colour", "size")
    assert parts.linear[0] == 0
    assert parts.nonlinear[0] > 0.3
    assert parts.linear[1] == pytest.approx(0.5 / 4, rel=0.2)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of the command in this process."""
    monkeypatch.setattr("sys.argv", ["probe-match", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: Reference) -> Path:
    """A folder with a database of one reference, its model and a stranger's."""
    (tmp_path / "explained_models.py").write_text(MODULE)
    with open_db(tmp_path / "refs.db", create=True) as db:
        db.set_public_suite(public())
        db.add(reference)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("name", "code"), [("same", 0), ("stranger", 1)])
def test_explaining_changes_no_verdict(name: str, code: int, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON and exit code are what they are without, but for the object `explanation`; who is not named is not asked."""
    target = f"function:explained_models:{name}"
    plain = run(monkeypatch, "match", target, "--db", "refs.db", "-q", "--json", "plain.json")
    with_it = run(monkeypatch, "match", target, "--db", "refs.db", "-q", "--explain", "40", "--json", "more.json",
                  "--html", "page.html")  # fmt: skip

    verdict, more = (json.loads((here / f"{file}.json").read_text()) for file in ("plain", "more"))
    explanation = more.pop("explanation")
    assert plain == with_it == code
    assert more == verdict
    assert Page((here / "page.html").read_text()).open == []
    if code == 0:
        assert (explanation["queries"], explanation["alike"]) == (40, 1.0)
        assert explanation["contributions"]["cosine"] == 1.0
        assert len(explanation["features"]) == worlds.FEATURES
    else:
        assert explanation == {"missing": "the verdict names no reference, so nothing more was asked."}


def test_what_cannot_be_explained_is_still_judged(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit that leaves no room for it costs the explanation, not the verdict."""
    code = run(monkeypatch, "match", "function:explained_models:same", "--db", "refs.db", "--explain", "64",
               "--max-cost", "queries=20")  # fmt: skip

    said = capsys.readouterr().out
    assert code == 0
    assert said.startswith("MATCH  s1")
    assert "explained not: expected 20 probes" in said


def test_comparing_two_explains_whatever_the_verdict(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who names both models is told in how far they decide alike, in text, too."""
    x, y = worlds.data()
    np.savez(here / "pool.npz", x=x[:300], y=y[:300])
    code = run(monkeypatch, "compare", "function:explained_models:same", "function:explained_models:stranger", "--pool",
               "pool.npz", "--peers", "20", "--shadows", "4", "--jobs", "1", "--explain", "64")  # fmt: skip

    said = capsys.readouterr().out
    assert code == 1
    assert "64 more questions: decides as" in said
    assert likeness_report.CAUTION in said


def test_strangers_names_are_harmless(reference: Reference) -> None:
    """A feature or reference named to do harm is shown on one line, and is no markup."""
    found = likeness(client(source(1).predict), reference, public(), budget=64)
    hostile = replace(
        found, reference=NASTY, features=tuple(f._replace(name=NASTY, low=0.1, high=0.2) for f in found.features)
    )
    for told in (hostile, Unexplained(NASTY)):
        page, text = likeness_report.to_html(told), likeness_report.to_text(told)
        assert Page(page).open == []
        assert "<script" not in page
        assert not any(c in text for c in "\x1b\r\x00\u202e")
        assert len(text.splitlines()) == (4 if isinstance(told, Likeness) else 1)
