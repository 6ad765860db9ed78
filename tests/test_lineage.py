"""Family trees: kin are linked, strangers are not, and a parent is told from its child where anything says so."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.lineage import drawing, gathering, growing, history, report, rooting, trees
from probe_match.fingerprinting.lineage.members import Family, Models
from probe_match.fingerprinting.lineage.mixing import tail
from probe_match.fingerprinting.records import UNANSWERED, About, Panel, Reference, Responses
from samples import make_suite
from scipy.stats import binom

N, K = 50, 5


def honest(rng: np.random.Generator, m: int) -> np.ndarray:
    """Labels of models trained on their own: right about half of the time, each wrong in its own way."""
    truth = np.random.default_rng(1).integers(0, K, N)
    return np.where(rng.random((m, N)) < 0.5, truth, rng.integers(0, K, (m, N)))


def child(rng: np.random.Generator, parent: np.ndarray, moved: float) -> np.ndarray:
    return np.where(rng.random(N) < moved, rng.integers(0, K, N), parent)


def family(seed: int = 1, known: tuple[str, ...] = ("a", "b"), **abouts: About) -> Family:
    """Source a with a copy, a fine-tune and its pruned copy; b with a fine-tune; a merge of both; two strangers."""
    rng = np.random.default_rng(seed)
    a, b, one, two = honest(rng, 4)
    tuned = child(rng, a, 0.15)
    rows = {
        "a": a, "b": b, "a-copy": a, "a-tuned": tuned, "a-tuned-pruned": child(rng, tuned, 0.1),
        "b-tuned": child(rng, b, 0.15), "merge": np.where(rng.random(N) < 0.5, a, b), "one": one, "two": two,
    }  # fmt: skip
    models = Models(tuple(rows), np.stack(list(rows.values())))
    told = tuple(abouts.get(n.replace("-", "_"), About(role="source" if n in known else "derived")) for n in rows)
    peers = honest(np.random.default_rng(99), 120)
    return Family(models, told, np.array([n in known for n in rows]), Models(tuple(map(str, range(120))), peers))


def parents(tree: growing.Lineage) -> dict[str, str]:
    return {link.child: link.parent for link in tree.links}


def test_kin_hang_on_their_parents_and_strangers_on_nobody() -> None:
    """Copies and fine-tunes hang on their sources, a grandchild in the right tree; strangers stand alone."""
    tree = growing.grow(family(1))

    found = parents(tree)
    assert {n: found[n] for n in ("a-copy", "a-tuned", "b-tuned")} == {"a-copy": "a", "a-tuned": "a", "b-tuned": "b"}
    assert found["a-tuned-pruned"] in ("a", "a-tuned")
    assert set(report.alone(tree)) == {"one", "two"}
    assert all(link.directed and link.support > 0.5 for link in tree.links if link.child in ("a-copy", "a-tuned"))


def test_a_merge_has_a_second_parent() -> None:
    """A model that answers half as one source and half as another descends from both; no other model does."""
    tree = growing.grow(family(1))

    assert [(mix.child, {mix.parent, parents(tree)["merge"]}) for mix in tree.mixes] == [("merge", {"a", "b"})]


def test_unrelated_models_are_rarely_hung_into_a_tree() -> None:
    """Of honest models drawn as suspects, about as many as alpha says are linked to a reference."""
    linked = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = honest(rng, 12)
        models = Models(tuple(f"m{i}" for i in range(12)), rows)
        some = Family(models, (About(),) * 12, np.arange(12) < 4, family().honest)
        linked.append(len(growing.grow(some, resamples=0).links))

    assert sum(linked) <= binom.ppf(0.999, 160, trees.ALPHA)  # of 160 suspects


@pytest.mark.parametrize("references", [1, 2])
def test_of_many_strangers_fewer_are_forgiven(references: int) -> None:
    """One suspect needs alpha, as before; among 95 strangers only what Benjamini and Hochberg let through is linked."""
    chance = np.concatenate([np.full(5, 0.001), np.random.default_rng(5).uniform(size=95)])
    passed = np.sort(chance) <= 0.05 * np.arange(1, 101) / 100

    def linked(chances: np.ndarray) -> np.ndarray:
        """Which suspects hang on the first reference, by their chances of it."""
        m = references + len(chances)
        p = np.ones((m, m))
        p[0, references:] = p[references:, 0] = chances
        return (p <= trees._thresholds(p, np.arange(m) < references, 0.05))[0, references:]

    assert linked(chance)[:5].all()
    assert linked(chance).sum() == np.flatnonzero(passed)[-1] + 1 < (chance <= 0.05).sum()
    assert linked(np.array([0.04])).all()
    assert not linked(np.array([0.06])).any()


def test_a_twin_of_the_reference_does_not_hide_its_copies() -> None:
    """A suspect is related where an honest model comes near to the reference, not where one comes nearer to it."""
    z = np.array([[-np.inf, 8.0], [8.0, -np.inf]])
    strangers = np.random.default_rng(0).normal(size=(300, 2))
    strangers[7, 0] = 8.5
    known = np.array([True, False])

    assert trees.unrelated(z, strangers, known)[0, 1] < 1e-6
    assert trees.unrelated(z, strangers[:, ::-1], known)[0, 1] == pytest.approx(1)
    assert trees.unrelated(z, strangers[:60], known)[0, 1] == pytest.approx(1)


def test_without_any_word_on_it_a_pair_is_undirected() -> None:
    """Two copies of which nothing is known: linked, and either may be the parent."""
    some = family(known=())
    pair = replace(some, models=some.models.of([0, 2]), abouts=(About(), About()), known=np.zeros(2, bool))
    tree = growing.grow(pair)

    assert len(tree.links) == 1
    assert not tree.links[0].directed
    assert "─?" in report.to_text(tree)


@pytest.mark.parametrize(
    ("abouts", "first"),
    [
        ((About(parent="y"), About()), "y"),
        ((About(role="derived"), About(role="source")), "y"),
        ((About(), About(role="derived")), "x"),
    ],
)
def test_what_the_database_says_gives_direction(abouts: tuple[About, About], first: str) -> None:
    """A stated parent, or a source beside a derived reference, decides."""
    same = np.zeros((2, N), int)
    some = Family(Models(("x", "y"), same), abouts, np.ones(2, bool), family().honest)
    edges = np.array([[0, 1]])
    parent, sure = rooting.parents(2, edges, rooting.odds(some, edges))

    assert [("x", "y")[i] for i in range(2) if parent[i] < 0] == [first]
    assert sure.min() > 0.9


def test_rounded_scores_and_lone_errors_are_the_childs() -> None:
    """Nobody puts back decimals that were lost, and who departs from what honest models say departs from the parent."""
    crowd = np.zeros((40, N), int)
    fine = np.random.default_rng(0).dirichlet(np.ones(3), N)
    rounded = Models(("r", "f"), np.zeros((2, N), int), np.stack([fine.round(1), fine]))
    edges = np.array([[0, 1]])
    stranger = Models(tuple(map(str, range(40))), crowd)
    by_scores = rooting.odds(Family(rounded, (About(), About()), np.zeros(2, bool), stranger), edges)
    wrong = np.zeros((2, N), int)
    wrong[0, :6] = 1
    by_errors = rooting.odds(Family(Models(("w", "p"), wrong), (About(), About()), np.zeros(2, bool), stranger), edges)

    assert by_scores[0] < -2
    assert by_errors[0] < -2


def test_a_root_turns_every_edge_away_from_it() -> None:
    """Of a chain whose one edge is directed, sure odds at one end direct only what follows from them."""
    edges = np.array([[0, 1], [1, 2], [2, 3]])
    parent, sure = rooting.parents(4, edges, np.array([20.0, 0.0, 0.0]))

    assert parent.tolist() == [-1, 0, 1, 2]
    assert np.allclose(sure, 1)
    parent, sure = rooting.parents(4, edges, np.array([0.0, 0.0, 20.0]))
    assert sorted(sure.tolist())[0] == pytest.approx(1 / 3, abs=0.4)


def test_second_parents_are_tested_exactly() -> None:
    """With equal chances the tail is the binomial's."""
    assert tail(np.full(20, 0.3), 9) == pytest.approx(binom.sf(8, 20, 0.3))


def test_spanning_takes_the_nearest_allowed_pairs() -> None:
    """The forest has the greatest total over the allowed pairs, and joins originals by nothing but themselves."""
    weight = np.array([[0, 5, 4, 9], [5, 0, 3, 1], [4, 3, 0, 1], [9, 1, 1, 0]], float)
    allowed = weight < 9

    assert trees.spanning(weight, allowed & (weight > 2)).tolist() == [[0, 1], [0, 2]]
    assert trees.spanning(weight, weight > 2, np.array([False, True, True, False])).tolist() == [[0, 1], [0, 3], [1, 2]]
    assert trees.spanning(weight, weight > 3, np.array([False, True, True, False])).tolist() == [[0, 1], [0, 3]]


def test_unanswered_probes_say_nothing() -> None:
    """A suspect that was asked half of the probes is compared on those, and hangs where it did."""
    some = family()
    labels = some.models.labels.copy()
    labels[2:, 40:] = UNANSWERED
    tree = growing.grow(replace(some, models=Models(some.models.names, labels)).asked())

    assert tree.probes == 40
    assert parents(tree)["a-copy"] == "a"


def test_too_few_honest_models_are_refused() -> None:
    """Nothing is drawn where nothing says how alike strangers are."""
    with pytest.raises(BadData, match="at least 8 honest models"):
        growing.grow(replace(family(), honest=family().honest.of(range(5))))


def test_regressors_hang_by_their_deviations() -> None:
    """Numbers that follow a source's own deviations, scaled or noisy, hang on it."""
    rng = np.random.default_rng(3)
    truth = rng.normal(size=N)
    peers, own = (truth + 0.3 * rng.normal(size=(m, N)) for m in (60, 2))
    noisy = own[0] + 0.05 * rng.normal(size=N)
    rows = np.stack([own[0], own[1], noisy])[:, :, None]
    some = Family(
        Models(("a", "b", "a-noisy"), np.zeros((3, N), int), rows),
        (About(), About(), About(role="derived")),
        np.array([True, True, False]),
        Models(tuple(map(str, range(60))), np.zeros((60, N), int), peers[:, :, None]),
        True,
    )

    assert parents(growing.grow(some)) == {"a-noisy": "a"}


def test_two_hundred_models_are_drawn_in_seconds() -> None:
    """A hundred resamples of two hundred models and their pairs take far less than a minute."""
    import time

    rng = np.random.default_rng(5)
    rows = honest(rng, 20)
    labels = np.concatenate([rows, *[[child(rng, row, 0.1) for _ in range(9)] for row in rows]])
    models = Models(tuple(f"m{i}" for i in range(200)), labels)
    started = time.process_time()
    tree = growing.grow(Family(models, (About(),) * 200, np.arange(200) < 20, family().honest), resamples=30)

    assert time.process_time() - started < 20
    assert len(tree.links) >= 170


def test_formats_hold_the_same_tree(tmp_path: Path) -> None:
    """JSON, Newick, GraphML, page and plot name every model and link, whatever characters are in the names."""
    some = family()
    names = ("a<b>'&", *some.models.names[1:])
    tree = growing.grow(replace(some, models=replace(some.models, names=names)))
    data = json.loads(json.dumps(report.to_json(tree)))
    graph = ET.fromstring(report.to_graphml(tree))
    space = {"g": "http://graphml.graphdrawing.org/xmlns"}
    newick, page = report.to_newick(tree), report.to_html(tree)
    drawing.plot(tree, tmp_path / "t.svg")

    assert data["schema"] == "probe-match/lineage/1"
    assert len(graph.findall(".//g:node", space)) == len(names) == len(data["models"])
    assert len(graph.findall(".//g:edge", space)) == len(data["links"]) + len(data["second_parents"])
    assert newick.count("(") == newick.count(")")
    assert newick.count(";") == len(tree.roots)
    assert all(name.replace("'", "''") in newick for name in names)
    assert "a<b>" not in page
    assert "a&lt;b&gt;" in page
    assert "<svg" in (tmp_path / "t.svg").read_text()


def test_contributions_stand_beside_a_link_and_decide_none() -> None:
    """A copy decides by the same features, a fine-tune nearly; the tree is what it is without them."""
    suite = make_suite(1, N, expected=None)
    plain = growing.grow(family())
    tree = growing.grow(replace(family(), described=gathering.described(suite)))
    alike = {link.child: link.contributions for link in tree.links}

    assert alike["a-copy"] == pytest.approx(1)
    assert 0.5 < alike["a-tuned"] < 1
    assert [link._replace(contributions=0) for link in tree.links] == [
        link._replace(contributions=0) for link in plain.links
    ]
    assert report.to_json(plain)["links"][0]["contributions"] is None
    assert "–</td>" in report.to_html(plain)
    assert f"{alike['a-tuned']:.2f}</td>" in report.to_html(tree)


def responses(suite: Any, labels: np.ndarray) -> Responses:
    n = len(suite)
    return Responses(suite.digest, "test", "label", labels[:, None].astype(np.int64), None, np.zeros(n, np.float32), n)


@pytest.fixture
def stocked(tmp_path: Path) -> Path:
    """A database of sources a and b, both with peers, and of a's versions, the second fine-tuned, the third another."""
    rng = np.random.default_rng(2)
    public, own = make_suite(1, N, expected=None), make_suite(2, 8)
    rows = dict(zip("ab", honest(rng, 2), strict=True))
    rows |= {"a-v2": child(rng, rows["a"], 0.1), "a-v3": honest(rng, 1)[0]}
    peers = honest(np.random.default_rng(99), 40).astype(np.int16)
    names = tuple(f"peer {i}" for i in range(40))
    panel = Panel(names, ("peer",) * 40, ("calibrate",) * 40, peers[:, :8])
    shared = Panel(names, ("peer",) * 40, ("calibrate",) * 40, peers)
    path = tmp_path / "r.db"
    with open_db(path, create=True) as db:
        db.set_public_suite(public)
        for i, (name, labels) in enumerate(rows.items()):
            about = About(parent={"a-v2": "a", "a-v3": "a-v2"}.get(name), date=f"2026-0{i + 1}-01")
            db.add(Reference(name, about, own, responses(own, labels[:8]), panel, responses(public, labels), shared))
    return path


def test_the_command_draws_a_database(stocked: Path, tmp_path: Path) -> None:
    """References need no target, and what goes to files is what is printed."""
    page, told = tmp_path / "t.html", tmp_path / "t.json"
    result = CliRunner().invoke(cli, ["lineage", "--db", str(stocked), "--html", str(page), "--json", str(told)])
    data = json.loads(told.read_text())

    assert result.exit_code == 0, result.output
    assert [(link["parent"], link["child"], link["directed"]) for link in data["links"]] == [
        ("a", "a-v2", True), ("a-v2", "a-v3", True)
    ]  # fmt: skip
    assert [link["p_value"] < 0.01 for link in data["links"]] == [True, False]
    tuned, another = (link["contributions"] for link in data["links"])
    assert 0 < another < tuned < 1
    assert data["unrelated"] == ["b"]
    assert result.stdout.count("stated") == 2
    assert "└─ a-v2" in result.stdout
    assert "Family tree" in page.read_text()


def test_a_history_tells_a_fine_tune_from_another_model(stocked: Path, tmp_path: Path) -> None:
    """Versions come oldest first with their ids; the tuned one is modified, the one trained anew is not."""
    page = tmp_path / "h.html"
    result = CliRunner().invoke(cli, ["db", "history", "a", "--db", str(stocked), "--html", str(page)])
    with open_db(stocked, read_only=True) as db:
        found = history.read(db, "a-v3")

    assert result.exit_code == 0, result.output
    assert [version.name for version in found.versions] == ["a", "a-v2", "a-v3"]
    steps = [version.step for version in found.versions[1:]]
    assert [step.kind for step in steps if step] == ["modified", "not to be told from a model trained anew"]
    assert len({version.fingerprint for version in found.versions}) == 3
    assert result.stdout.count("pm1:") == 3
    assert "History of a" in page.read_text()


@pytest.mark.parametrize(
    ("name", "left"),
    [("churn-v2", "churn"), ("churn@2026-03-01", "churn"), ("resnet_1.3", "resnet"), ("7", "7"), ("churn", "churn")],
)
def test_a_stem_is_a_name_without_its_version(name: str, left: str) -> None:
    """Numbers, dates and v2 at the end are versions; a name of a number alone stays."""
    assert history.stem(name) == left


def test_kin_must_beat_every_honest_model() -> None:
    """A pair that stands out by eight deviations is related, but not where an honest model stands out by nine."""
    z = np.array([[-np.inf, 8.0], [8.0, -np.inf]])
    strangers = np.random.default_rng(0).normal(size=(100, 2))
    known = np.array([True, False])
    without = trees.unrelated(z, strangers, known)[0, 1]
    strangers[7, 1] = 9

    assert without < 1e-6
    assert trees.unrelated(z, strangers, known)[0, 1] == pytest.approx(1)


def test_few_quick_honest_models_do_not_make_kin_of_better_ones() -> None:
    """Strangers who were trained longer agree more with a reference than 24 quick honest models; copies far more."""
    rng = np.random.default_rng(3)
    truth = np.random.default_rng(1).integers(0, K, N)

    def right(m: int, share: float) -> np.ndarray:
        return np.where(rng.random((m, N)) < share, truth, rng.integers(0, K, (m, N)))

    (a,), strangers = right(1, 0.6), right(12, 0.6)
    names = ("a", "a-copy", *map(str, range(12)))
    models = Models(names, np.stack([a, child(rng, a, 0.1), *strangers]))
    quick = Models(tuple(f"h{i}" for i in range(24)), right(24, 0.3))
    tree = growing.grow(Family(models, (About(),) * 14, np.arange(14) < 1, quick))

    assert parents(tree) == {"a-copy": "a"}


@pytest.mark.parametrize("budget", [50, 400])
def test_a_suspect_is_asked_its_budget_and_found_on_its_references_probes(budget: int, tmp_path: Path) -> None:
    """The owner's forest behind another name hangs on its reference; an honest model does not; the budget holds."""
    import worlds

    enrolled = worlds.enrolled()
    theft = worlds.Counting(worlds.source().predict)
    stranger = worlds.Counting(worlds.honest()["other data, network 10"].predict)
    with open_db(tmp_path / "r.db", create=True) as db:
        db.set_public_suite(worlds.public())
        db.add(enrolled.reference)
        known = gathering.stored(db, (worlds.FEATURES,))
        assert known.honest is not None
        clients = [worlds.client(theft, "theft"), worlds.client(stranger, "stranger")]
        family = gathering.asked(db, known, known.honest, clients, budget=budget, alpha=0.01, access=None, seed=0)
    tree = growing.grow(family, resamples=10)

    assert [(link.parent, link.child) for link in tree.links] == [("s1", clients[0].target)]
    assert max(theft.rows, stranger.rows) <= budget
