"""`probe-match bench` on a small zoo of real models: what it reports, what it keeps, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import skops.io
from click.testing import CliRunner, Result
from probe_match.fingerprinting.cli import cli
from sklearn.base import ClassifierMixin
from sklearn.datasets import make_classification, make_friedman1
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression

SMALL = ["--peers", "12", "--shadows", "4", "--jobs", "1"]


class Ran(NamedTuple):
    """One run: the zoo's folder, the JSON, the Markdown, the names of the plots."""

    zoo: Path
    data: dict[str, Any]
    tables: str
    plots: list[str]


def make_zoo(folder: Path) -> Path:
    """Three forests; of each a copy and two extractions; eight honest models."""
    x, y = make_classification(1500, 8, n_informative=6, n_classes=4, flip_y=0.1, random_state=0)
    x = x.astype(np.float32)
    owner, thief, other = (slice(0, 500), slice(500, 1000), slice(1000, 1500))
    models: list[dict[str, str]] = []

    def add(name: str, model: ClassifierMixin, **about: str) -> None:
        skops.io.dump(model, folder / f"{name}.skops")
        models.append({"name": name, "target": f"sklearn:{name}.skops", **about})

    for i in range(3):
        source = RandomForestClassifier(12, random_state=i).fit(x[owner], y[owner])
        add(f"s{i}", source, role="source", learner="forest")
        add(f"s{i}-copy", source, role="derived", parent=f"s{i}", attack="copy")
        for j, model in enumerate((ExtraTreesClassifier(20, random_state=i), LogisticRegression())):
            stolen = model.fit(x[thief], source.predict(x[thief]))
            add(f"s{i}-x{j}", stolen, role="derived", parent=f"s{i}", attack="extract-label")
    for i in range(8):
        data, rows = (("same", owner), ("other", other))[i % 2]
        honest = RandomForestClassifier(12, random_state=10 + i) if i < 4 else ExtraTreesClassifier(12, random_state=i)
        add(
            f"n{i}", honest.fit(x[rows], y[rows]), role="independent", data=data, learner="forest" if i < 4 else "trees"
        )
    np.savez(folder / "pool.npz", x=x[owner], y=y[owner], trained=np.ones(500, bool))
    described = {"input": {"kind": "tabular", "shape": [8]}, "classes": 4, "pool": "pool.npz", "models": models}
    (folder / "zoo.json").write_text(json.dumps(described))

    return folder


def bench(*words: object) -> Result:
    """The command, in this process."""
    return CliRunner().invoke(cli, ["bench", *map(str, words)])


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """All methods, both kinds of access, two budgets."""
    zoo = make_zoo(tmp_path_factory.mktemp("zoo"))
    out = tmp_path_factory.mktemp("out")
    asked = ["--methods", "all", "--budgets", "10,20", *SMALL, "-q"]
    result = bench(zoo, *asked, "--json", out / "b.json", "--markdown", out / "b.md", "--plots", out / "plots")
    assert result.exit_code == 0, result.output

    return Ran(
        zoo,
        json.loads((out / "b.json").read_text()),
        (out / "b.md").read_text(),
        sorted(file.name for file in (out / "plots").iterdir()),
    )


def test_every_pair_has_a_score(ran: Ran) -> None:
    """Each suspect against each source but itself, by our method at every budget and access, with a p-value."""
    assert (ran.data["schema"], ran.data["default_method"]) == ("probe-match/bench/1", "relative")
    rows = [row for row in ran.data["scores"] if row["method"] == "relative"]
    assert {(row["access"], row["budget"]) for row in rows} == {(a, b) for a in ("label", "scores") for b in (10, 20)}
    one = [row for row in rows if (row["access"], row["budget"], row["source"]) == ("label", 20, "s0")]

    assert len(one) == 3 + 9 + 8 - 1
    assert {row["suspect"] for row in one if row["related"]} == {"s0-copy", "s0-x0", "s0-x1"}
    assert {row["attack"] for row in one if row["related"]} == {"copy", "extract-label"}
    assert all(0 < row["p_value"] <= 1 for row in one)
    assert set(one[0]) == {
        "source", "suspect", "attack", "related", "method", "access", "budget", "seed", "score", "p_value",
    }  # fmt: skip


def test_published_schemes_run_beside_ours(ran: Ran) -> None:
    """All nine, by labels where they go by labels; they state no p-value."""
    from probe_match.fingerprinting.schemes import SCHEMES

    rows = [row for row in ran.data["scores"] if row["method"] != "relative"]

    assert {row["method"] for row in rows} == set(SCHEMES)
    assert {row["p_value"] for row in rows} == {None}
    assert not {row["method"] for row in rows if row["access"] == "label"} & {"akh-scores", "zest"}


def test_figures_follow_from_the_scores(ran: Ran) -> None:
    """The rates of the summary can be computed again from the scores."""
    from probe_match.fingerprinting.bench.measures import tpr_at

    for row in ran.data["summary"]["detection"]:
        if row["attack"].endswith(" attacks") or row["budget"] != 20:
            continue
        scores = [s for s in ran.data["scores"] if all(s[key] == row[key] for key in ("method", "access", "budget"))]
        rates = []
        for source in ("s0", "s1", "s2"):
            own = [s for s in scores if s["source"] == source]
            related = np.array([s["score"] for s in own if s["attack"] == row["attack"] and s["related"]])
            honest = np.array([s["score"] for s in own if s["suspect"].startswith("n")])
            rates.append(tpr_at(related, honest, 0.05))
        assert row["tpr_5"] == pytest.approx(np.mean(rates), abs=1e-6), row


def test_a_copy_is_found(ran: Ran) -> None:
    """By ours, at either access: an exact copy scores above every honest model."""
    rows = [row for row in ran.data["summary"]["detection"] if (row["method"], row["attack"]) == ("relative", "copy")]

    assert len(rows) == 4
    assert {row["auc"] for row in rows} == {1.0}


def test_the_report_shows_every_part(ran: Ran) -> None:
    """Tables for people, plots, and the parts of the summary that machines read."""
    for heading in ("labels only", "probabilities given", "Honest models accused", "until the answer is clear"):
        assert heading in ran.tables
    assert "| **relative** |" in ran.tables
    assert ran.plots == ["calibration.svg", "queries.svg", "roc.svg"]
    summary = ran.data["summary"]
    assert {row["group"] for row in summary["calibration"]} >= {"all independent", "same data", "same model class"}
    assert all(8 <= row["queries_derived"] <= 20 for row in summary["sequential"])
    found = [row for row in summary["identification"] if row["attacks"] == "all attacks"]
    assert [(row["budget"], row["suspects"]) for row in found] == [(10, 9), (20, 9)]
    assert all(0 <= row["first"] <= 1 for row in found)
    assert summary["cost"]["enrol_seconds"] > 0


def test_budgets_that_spare_some_for_screens_are_measured(ran: Ran) -> None:
    """From 40 questions on `match` puts some probes again, slightly changed, which no recorded answers hold."""
    result = bench(ran.zoo, "--budgets", "40", "--access", "label", *SMALL, "-q", "--json")

    assert result.exit_code == 0, result.output
    found = json.loads(result.output)["summary"]["identification"]
    assert {(row["budget"], row["suspects"]) for row in found if row["attacks"] == "all attacks"} == {(40, 9)}


def test_a_second_run_trains_nothing(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """References and answers are kept beside the zoo; --fresh forgets them."""
    trained: list[int] = []
    monkeypatch.setattr("probe_match.fingerprinting.bench.subjects.enroll", lambda *_, **__: trained.append(1) or 1 / 0)
    asked = [ran.zoo, "--methods", "akh", "--budgets", "10,20", *SMALL]
    again = bench(*asked, "--json")

    assert again.exit_code == 0, again.output
    assert trained == []
    ours = [row for row in json.loads(again.stdout)["scores"] if row["method"] == "relative"]
    assert ours == [row for row in ran.data["scores"] if row["method"] == "relative"]
    assert isinstance(bench(*asked, "--cache", ran.zoo / "elsewhere").exception, ZeroDivisionError)


def test_one_source_alone(ran: Ran) -> None:
    """--source leaves the others, and their copies, out."""
    result = bench(ran.zoo, "--source", "s1", "--access", "label", "--budgets", "10", *SMALL, "--json")

    assert result.exit_code == 0, result.output
    assert {row["source"] for row in json.loads(result.stdout)["scores"]} == {"s1"}


def test_a_model_that_fails_is_reported(ran: Ran, tmp_path: Path) -> None:
    """A broken file stands in the table of failures, and the rest is measured."""
    for file in ran.zoo.glob("*.[jns]*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "n3.skops").write_bytes(b"nonsense")
    result = bench(tmp_path, "--source", "s0", "--access", "label", "--budgets", "10", *SMALL, "--json")

    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert set(data["summary"]["failures"]) == {"n3"}
    assert "n4" in {row["suspect"] for row in data["scores"]}


def edited(zoo: Path, folder: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """A zoo.json of its own, with a change, beside the pool."""
    described = json.loads((zoo / "zoo.json").read_text())
    edit(described)
    (folder / "zoo.json").write_text(json.dumps(described))
    (folder / "pool.npz").write_bytes((zoo / "pool.npz").read_bytes())

    return folder


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda z: z.pop("models"), "'input', 'pool' and 'models'"),
        (lambda z: z["models"][0].update(role="victim"), "role source, derived or independent"),
        (lambda z: z["models"][1].update(parent="nobody"), "which is no source of this zoo"),
        (lambda z: z["models"][1].pop("parent"), "names no parent"),
        (lambda z: z["models"][1].update(name="s0"), "two models"),
        (lambda z: z["models"][1].update(name=7), "quote numbers"),
        (lambda z: z.update(models=[m for m in z["models"] if m["role"] == "independent"]), "at least one source"),
        (lambda z: z.update(pool="none.npz"), "cannot read pool"),
        (lambda z: z["input"].update(shape=[9]), "a pool of shape (9,)"),
        (lambda z: z["input"].update(bounds=[0]), "bounds as lowest and highest"),
        (lambda z: z["input"].update(kind="text"), "a pool of text inputs"),
    ],
)
def test_a_zoo_that_is_none(ran: Ran, tmp_path: Path, edit: Callable[[dict[str, Any]], object], expected: str) -> None:
    """One line that names the entry, and nothing is trained."""
    result = bench(edited(ran.zoo, tmp_path, edit), *SMALL)

    assert result.exit_code != 0
    assert expected in str(result.exception)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--methods", "akh,magic"], "'magic'"),
        (["--without", "labels"], "'labels'"),
        (["--source", "n0"], "a source of the zoo"),
        (["--budgets", "ten"], "whole numbers"),
        (["--budgets", "0"], "from 2 to 4096"),
        (["--json", "/nowhere/b.json"], "cannot write"),
    ],
)
def test_wrong_options(ran: Ran, words: list[str], expected: str) -> None:
    """One line, before anything is done."""
    result = bench(ran.zoo, *SMALL, *words)

    assert result.exit_code != 0
    assert expected in f"{result.output} {result.exception}"


def test_no_zoo_at_all(tmp_path: Path) -> None:
    """A folder without zoo.json, and one with something else under that name."""
    assert "cannot read zoo" in str(bench(tmp_path).exception)
    (tmp_path / "zoo.json").write_text("[")
    assert "expected JSON" in str(bench(tmp_path).exception)


def test_regressors_of_whole_measurements_are_benchmarked(tmp_path: Path) -> None:
    """The zoo says that its output is a number; plain comparisons of numbers stand beside ours, with published none."""
    x, y = make_friedman1(260, 6, noise=1.0, random_state=0)
    x, y = x.astype(np.float32), np.round(y)
    rows = [slice(0, 90), slice(90, 170), slice(170, 260)]
    fitted = [RandomForestRegressor(8, random_state=i).fit(x[rows[i // 2]], y[rows[i // 2]]) for i in range(6)]
    skops.io.dump(fitted[0], tmp_path / "s.skops")
    models = [
        {"name": "s", "target": "sklearn:s.skops", "role": "source"},
        {"name": "s-copy", "target": "sklearn:s.skops", "role": "derived", "parent": "s", "attack": "copy"},
    ]
    for i in range(1, 6):
        skops.io.dump(fitted[i], tmp_path / f"n{i}.skops")
        models.append({"name": f"n{i}", "target": f"sklearn:n{i}.skops", "role": "independent"})
    np.savez(tmp_path / "pool.npz", x=x[:170], y=y[:170], trained=np.arange(170) < 90)
    described = {"input": {"kind": "tabular", "output": "number"}, "pool": "pool.npz", "models": models}
    (tmp_path / "zoo.json").write_text(json.dumps(described))
    few = ["--peers", "20", "--shadows", "4", "--jobs", "1", "--budgets", "10", "-q"]
    result = bench(tmp_path, "--methods", "akh,random", *few, "--json", tmp_path / "b.json")
    assert result.exit_code == 0, result.output
    data = json.loads((tmp_path / "b.json").read_text())
    found = {row["method"]: row["auc"] for row in data["summary"]["detection"] if row["attack"] == "copy"}

    assert set(found) == {"relative", "correlation", "error", "residuals"}
    assert set(found.values()) == {1.0}
    assert all("is for regressors" in why for why in data["summary"]["refused"].values())
