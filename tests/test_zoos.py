"""The zoos that the benchmark is measured on: built, resumed, and what their models answer."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from probe_match.clients import onnx, sklearn

ZOOS = Path(__file__).parents[1] / "benchmarks" / "zoos"


sys.path.insert(0, str(ZOOS))  # as for a script that lies there
import onnx_graphs as graphs  # noqa: E402
import tabular  # noqa: E402
import tabular_attacks as attacks  # noqa: E402
from tabular_figures import ask  # noqa: E402
from tabular_tasks import fit, load  # noqa: E402

LEARNERS = ("linear", "forest", "trees", "boosting", "kernel", "network")


@pytest.fixture(scope="module")
def small_zoo(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    tabular.main(["--small", "--output", str(folder), "--jobs", "1"])
    return folder / "digits"


def models(zoo: Path) -> list[dict[str, Any]]:
    return json.loads((zoo / "zoo.json").read_text())["models"]


def source_of(zoo: Path, name: str) -> Any:
    path = zoo / f"{name}.skops"
    return skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))


def test_zoo_names_its_input_pool_and_models(small_zoo):
    """zoo.json says what a benchmark must know, and every file that it names is there."""
    zoo = json.loads((small_zoo / "zoo.json").read_text())
    pool = np.load(small_zoo / zoo["pool"])
    names = [model["name"] for model in zoo["models"]]
    roles = {role: [m for m in zoo["models"] if m["role"] == role] for role in ("source", "derived", "independent")}

    assert zoo["classes"] == 10
    assert (zoo["input"]["kind"], zoo["input"]["shape"]) == ("tabular", [64])
    assert (pool["x"].min(0) >= zoo["input"]["bounds"][0]).all()
    assert (pool["x"].max(0) <= zoo["input"]["bounds"][1]).all()
    assert (pool["x"].dtype, pool["y"].dtype, pool["x"].shape) == (np.float32, np.int64, (400, 64))
    assert len(set(names)) == len(names) == sum(len(group) for group in roles.values())
    assert len(roles["source"]) == 2
    assert {m["parent"] for m in roles["derived"]} == {m["name"] for m in roles["source"]}
    assert {(m["data"], m["use"]) for m in roles["independent"]} == {("same", "test"), ("other", "test")}
    assert {m["learner"] for m in roles["independent"]} == {
        "linear",
        "forest",
        "trees",
        "boosting",
        "kernel",
        "network",
    }
    assert all((small_zoo / m["target"].partition(":")[2]).exists() for m in zoo["models"])


def test_clients_read_labels_and_probabilities_of_every_model(small_zoo):
    """Batches of any size; labels are the likeliest classes."""
    x = np.load(small_zoo / "pool.npz")["x"]
    for model in models(small_zoo):
        client, _, file = model["target"].partition(":")
        suspect = {"onnx": onnx, "sklearn": sklearn}[client].connect(str(small_zoo / file))
        for rows in (1, 7):
            answers = suspect.ask(x[:rows])

            assert answers.scores.shape == (rows, 10)
            np.testing.assert_allclose(answers.scores.sum(1), 1, atol=0.3 if "round" in model["name"] else 1e-5)
            np.testing.assert_array_equal(answers.labels, answers.scores.argmax(1))


def test_an_interrupted_build_goes_on_where_it_stopped(small_zoo):
    """What is there is not trained again; what is missing comes out as it was, byte for byte."""
    lost = small_zoo / "forest-0-extract-label-network.onnx"
    before, listed = lost.read_bytes(), (small_zoo / "zoo.json").read_bytes()
    written = {file: file.stat().st_mtime_ns for file in small_zoo.glob("*.onnx") if file != lost}
    lost.unlink()
    (small_zoo / "zoo.json").unlink()
    tabular.main(["--small", "--output", str(small_zoo.parent), "--jobs", "1"])

    assert lost.read_bytes() == before
    assert (small_zoo / "zoo.json").read_bytes() == listed
    assert {file: file.stat().st_mtime_ns for file in written} == written


def test_another_seed_wants_another_folder(small_zoo):
    """Models of two splits in one folder would have seen each other's test rows."""
    with pytest.raises(SystemExit, match="name another --output"):
        tabular.main(["--small", "--output", str(small_zoo.parent), "--seed", "1"])


@pytest.mark.parametrize("name", ["forest-0", "network-0"])
def test_endpoints_change_answers_as_they_say(small_zoo, name):
    """Rounding, temperature and input noise, against the same done by hand to the source's probabilities."""
    x = np.load(small_zoo / "pool.npz")["x"]
    mine = source_of(small_zoo, name).predict_proba(x)
    copy, rounded, tempered, noisy = (
        onnx.connect(str(small_zoo / f"{name}-{attack}.onnx")).ask(x)
        for attack in ("copy", "round-1", "temperature", "input-noise")
    )
    powers = mine ** (1 / 3)

    np.testing.assert_allclose(copy.scores, mine, atol=1e-5)
    assert (np.abs(rounded.scores - mine.round(1)) < 1e-6).mean() > 0.99  # float32 may fall on the other side of .05
    np.testing.assert_array_equal(rounded.labels, rounded.scores.argmax(1))
    np.testing.assert_allclose(tempered.scores, powers / powers.sum(1, keepdims=True), atol=5e-3)
    np.testing.assert_array_equal(tempered.labels, copy.labels)
    assert (noisy.labels == copy.labels).mean() > 0.9
    assert 0 < np.abs(noisy.scores - copy.scores).mean() < 0.05


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("task", ["breast-cancer", "wine", "diabetes"])
def test_graphs_answer_as_the_models_they_are_written_from(tmp_path, learner, task):
    """Two classes, three and none; the sources' hyper-parameters and others."""
    rows = load(task, 0, 120)
    for seed, vary in ((1, False), (2, True)):
        model = fit(learner, *rows.owner, seed, vary=vary)
        graph = graphs.Graph(len(rows.low))
        graph.save(tmp_path / "m.onnx", graphs.answer(graph, model, rows.classes), rows.classes)
        given, wanted = ask(tmp_path / "m.onnx", rows.strangers[0]), model.predict(rows.strangers[0])
        if rows.classes:
            assert (given == wanted).mean() >= 0.99
        else:
            np.testing.assert_allclose(given, wanted, atol=1e-3 * wanted.std())


def test_a_class_the_thief_never_saw_has_probability_zero(tmp_path):
    """A graph has a column for each class of the task, whatever its model was taught."""
    x, y = load("wine", 0).owner
    model = fit("forest", x[y != 1], y[y != 1], 0)
    graph = graphs.Graph(x.shape[1])
    graph.save(tmp_path / "m.onnx", graphs.answer(graph, model, 3), 3)
    answers = onnx.connect(str(tmp_path / "m.onnx")).ask(x)

    assert (answers.scores[:, 1] == 0).all()
    np.testing.assert_array_equal(answers.labels, model.predict(x))


def test_the_parts_of_a_task_are_disjoint_and_their_classes_in_proportion():
    """Owner, thief and strangers share no row; another seed deals the rows anew."""
    task, other = load("digits", 0), load("digits", 1)
    parts = [task.owner, task.thief, task.strangers, task.spare]
    rows = [row.tobytes() for x, _ in parts for row in x]

    assert len(set(rows)) == len(rows) == 1797
    for _, y in parts:
        assert np.ptp(np.bincount(y, minlength=10) / len(y)) < 0.02
    assert not np.array_equal(task.owner[0], other.owner[0])


def test_what_a_thief_does_to_a_file_changes_it_that_much():
    """Shares of weights, trees and splits are gone, levels are few, and the source itself stays as it was."""
    x, y = load("wine", 0).owner
    network = fit("network", x, y, 0)
    forest = fit("forest", x, y, 0)
    boosting = fit("boosting", x, y, 0)
    weights = [w.copy() for w in network[-1].coefs_]
    pruned = attacks.pruned(network, 0.6)[-1].coefs_
    few = attacks.quantised(network, 4)[-1].coefs_
    many = attacks.quantised(forest, 256)
    cut = attacks.collapsed(forest, 1.0)
    longer = attacks.continued(boosting, x, y, 0)

    for now, before in zip(pruned, weights, strict=True):
        assert (now == 0).mean() == pytest.approx(0.6, abs=0.01)
        assert np.abs(before[now == 0]).max() <= np.abs(now[now != 0]).min()
    assert max(len(np.unique(w)) for w in few) <= 4
    assert len(attacks.pruned(forest, 0.3).estimators_) == 35
    assert len(np.unique(np.concatenate([t.tree_.value.ravel() for t in many.estimators_]))) <= 128
    assert len(np.unique(cut.predict(x), axis=0)) <= len(np.unique(y))
    assert all((tree.tree_.children_left == -1).all() for tree in cut.estimators_)
    assert longer.n_iter_ == 56
    assert boosting.n_iter_ == 40
    assert all(np.array_equal(a, b) for a, b in zip(network[-1].coefs_, weights, strict=True))


def test_unknown_tasks_are_refused(capsys):
    """One line that names the tasks there are."""
    with pytest.raises(SystemExit):
        tabular.main(["--tasks", "iris"])

    assert "got 'iris'" in capsys.readouterr().err
