"""The command line as a user meets it: exit codes, one line for what can be mended, and nothing half written."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import skops.io
from probe_match.fingerprinting import oip_server, storage
from probe_match.fingerprinting.cli import main
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.records import ProbeSuite
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sqlalchemy import create_engine, text

PROGRAM = [sys.executable, "-c", "from probe_match.fingerprinting.cli import main; main()"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pool, a model of ours, a copy of it, an honest model, and a database that knows ours."""
    folder = tmp_path_factory.mktemp("world")
    x, y = make_classification(1500, 12, n_informative=8, n_classes=4, flip_y=0.05, random_state=0)
    x = x.astype(np.float32)
    ours = RandomForestClassifier(20, random_state=0).fit(x[:500], y[:500])
    honest = RandomForestClassifier(20, random_state=1).fit(x[1000:], y[1000:])
    narrow = RandomForestClassifier(5, random_state=0).fit(x[:500, :5], y[:500])
    for name, model in {"ours": ours, "honest": honest, "narrow": narrow}.items():
        skops.io.dump(model, folder / f"{name}.skops")
    np.savez(folder / "pool.npz", x=x[500:1000], y=y[500:1000])
    code = run(folder, "enroll", "ours.skops", "--name", "ours", "--pool", "pool.npz", "--db", "known.db", *FEW)[0]
    assert code == 0
    return folder


FEW = ("--peers", "24", "--shadows", "6", "--jobs", "1")


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the program in a folder, in this process."""
    import contextlib
    import io
    import os

    out, err, here, argv = io.StringIO(), io.StringIO(), Path.cwd(), sys.argv
    os.chdir(folder)
    sys.argv = ["probe-match", *arguments]
    code: object = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code
    finally:
        os.chdir(here)
        sys.argv = argv
    assert code is None or isinstance(code, int)
    return code or 0, out.getvalue(), err.getvalue()


def refused(folder: Path, *arguments: str) -> str:
    """The one line with which the program refuses; nothing is printed, stored or written besides."""
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.suffix != ".db-wal"}
    code, out, err = run(folder, *arguments)

    assert (code, out) == (2, ""), (code, out, err)
    assert err.startswith("probe-match: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    after = {p: p.read_bytes() for p in folder.iterdir() if p.is_file() and not p.name.endswith(("-wal", "-shm"))}
    assert after.keys() - before.keys() == set()
    assert all(after.get(path) == data for path, data in before.items() if not path.name.endswith(("-wal", "-shm")))
    return err


def test_exit_codes_tell_match_and_no_match(world: Path) -> None:
    """0 for the model itself, 1 for an honest one; `match` may be left out; quiet is quiet."""
    assert run(world, "ours.skops", "--db", "known.db")[0] == 0
    assert run(world, "match", "ours.skops", "--db", "known.db", "-q") == (0, "", "")
    assert run(world, "honest.skops", "--db", "known.db")[0] == 1


def test_json_on_standard_output_is_only_json(world: Path) -> None:
    """The verdict has the promised keys, and files get the same."""
    keys = {"schema", "target", "decision", "reference", "relation", "alpha", "method", "suite", "access", "matches",
            "queries", "coverage", "cohort", "nearest_peer", "why"}  # fmt: skip
    code, out, _ = run(world, "ours.skops", "--db", "known.db", "--json")
    verdict = json.loads(out)

    assert code == 0
    assert verdict.keys() == keys
    assert verdict["schema"] == "probe-match/verdict/1"
    assert verdict["matches"][0].keys() == {"reference", "score", "llr", "p_value", "p_conformal"}
    assert verdict["queries"]["sent"] <= 50


POOLS = {
    "nan": ({"x": np.full((30, 12), np.nan, np.float32), "y": np.arange(30) % 2}, "finite"),
    "one class": ({"x": np.random.default_rng(0).random((30, 12)), "y": np.zeros(30, int)}, "class"),
    "duplicates": ({"x": np.ones((30, 12)), "y": np.arange(30) % 2}, "--drop-duplicates"),
    "no labels": ({"x": np.random.default_rng(0).random((60, 12))}, "--no-train"),
    "another shape": ({"x": np.random.default_rng(0).random((60, 7)), "y": np.arange(60) % 2}, "shape"),
    "objects": ({"x": np.array([["a"] * 12] * 30, object), "y": np.arange(30) % 2}, "pickle"),
    "no x": ({"z": np.ones(3)}, "x"),
}


@pytest.mark.parametrize("name", POOLS)
def test_an_unusable_pool_is_refused(world: Path, tmp_path: Path, name: str) -> None:
    """Each flaw of a pool is one line that names it, and no reference is added."""
    arrays, word = POOLS[name]
    np.savez(tmp_path / "bad.npz", allow_pickle=True, **arrays)

    line = refused(
        world, "enroll", "ours.skops", "--name", "new", "--pool", str(tmp_path / "bad.npz"), "--db", "known.db", *FEW
    )
    assert word in line
    with open_db(world / "known.db") as db:
        assert db.names() == ["ours"]


def test_missing_broken_and_pickled_files_are_refused(world: Path, tmp_path: Path) -> None:
    """Files that are not there, not what they say, or could run code."""
    (tmp_path / "broken.skops").write_bytes(b"PK\x03\x04 not a model")
    (tmp_path / "model.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    (tmp_path / "broken.npz").write_bytes(b"hello")
    enroll = ("enroll", "ours.skops", "--name", "new", "--db", "known.db", *FEW, "--pool")

    assert "nosuch.onnx" in refused(world, "nosuch.onnx", "--db", "known.db")
    assert "broken.skops" in refused(world, str(tmp_path / "broken.skops"), "--db", "known.db")
    assert "--allow-pickle" in refused(world, str(tmp_path / "model.pkl"), "--db", "known.db")
    assert "broken.npz" in refused(world, *enroll, str(tmp_path / "broken.npz"))
    assert "nosuch.npz" in refused(world, *enroll, "nosuch.npz")


def test_databases_that_cannot_be_used_are_refused(world: Path, tmp_path: Path) -> None:
    """Missing, truncated, of a newer schema; and a name that is taken."""
    whole = (world / "known.db").read_bytes()
    (tmp_path / "short.db").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "newer.db").write_bytes(whole)
    engine = create_engine(f"sqlite:///{tmp_path / 'newer.db'}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE meta SET value = '99' WHERE key = 'schema'"))
    engine.dispose()

    assert "none.db" in refused(world, "ours.skops", "--db", "none.db")
    assert "short.db" in refused(world, "ours.skops", "--db", str(tmp_path / "short.db"))
    assert "upgrade" in refused(world, "ours.skops", "--db", str(tmp_path / "newer.db"))
    taken = ("enroll", "ours.skops", "--name", "ours", "--pool", "pool.npz", "--db", "known.db", *FEW)
    assert "--replace" in refused(world, *taken)


def test_wrong_arguments_are_refused(world: Path) -> None:
    """Budgets, alphas, names and options that make no sense."""
    ours = ("ours.skops", "--db", "known.db")

    assert "at least 1" in refused(world, *ours, "--budget", "0")
    assert "at most" in refused(world, *ours, "--budget", "65")
    assert "alpha" in refused(world, *ours, "--alpha", "2")
    assert "'nobody'" in refused(world, *ours, "--reference", "nobody")
    assert "--nope" in refused(world, *ours, "--nope")
    assert "client" in refused(world, "nonsense", "--db", "known.db")
    assert "midpoints" in refused(
        world, "suite", "build", "nope", "--source", "ours.skops", "--pool", "pool.npz", "-o", "x"
    )
    assert "cannot write" in refused(world, *ours, "--html", "no/such/folder.html")


def test_inputs_and_suites_of_another_shape_are_refused(world: Path, tmp_path: Path) -> None:
    """A model of five features, and a suite built for it, do not fit references and pools of twelve."""
    x = np.random.default_rng(0).random((60, 5))
    np.savez(tmp_path / "narrow.npz", x=x, y=np.arange(60) % 4)
    suite = tmp_path / "suite.npz"
    built = ("suite", "build", "uniform", "--source", "narrow.skops", "--pool", str(tmp_path / "narrow.npz"))
    assert run(world, *built, "-o", str(suite))[0] == 0
    assert storage.from_bytes(ProbeSuite, suite.read_bytes()).spec.shape == (5,)

    assert "(5,)" in refused(world, "narrow.skops", "--db", "known.db")
    enroll = ("enroll", "ours.skops", "--name", "new", "--pool", "pool.npz", "--db", "known.db", *FEW)
    assert "(5,)" in refused(world, *enroll, "--suite", str(suite))


ANSWERS = {
    "another number of rows": (lambda x: np.zeros(len(x) + 1, int), ""),
    "nan": (lambda x: np.full((len(x), 4), np.nan), ""),
    "no probabilities": (lambda x: np.full((len(x), 4), 0.9), "sum to 1"),
    "text": (lambda x: np.array(["cat"] * len(x)), "cat"),
    "an exception": (lambda x: np.zeros(len(x), int) if not x.any() else 1 / 0, "500"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_server_that_answers_nonsense_is_an_error(world: Path, name: str) -> None:
    """What does not fit the question is refused in one line, never judged."""
    answer, word = ANSWERS[name]
    try:
        with oip_server.serve({"odd": answer}, (12,)) as url:
            line = refused(world, f"oip:{url}/v2/models/odd", "--db", "known.db")
    except (ValueError, TypeError) as error:  # our own server may refuse to serve what no server should
        pytest.skip(f"the test server does not serve this: {error}")

    assert word in line


def test_a_server_that_is_down_or_lacks_the_model_is_an_error(world: Path) -> None:
    """Connection refused and 404."""
    with oip_server.serve({"there": lambda x: np.zeros(len(x), int)}, (12,)) as url:
        assert "no model at" in refused(world, f"oip:{url}/v2/models/elsewhere", "--db", "known.db")
    assert "is the server running?" in refused(world, f"oip:{url}/v2/models/there", "--db", "known.db")


def test_an_interrupt_ends_with_130_and_stores_nothing(world: Path, tmp_path: Path) -> None:
    """Ctrl-C in the middle of training."""
    command = ["enroll", str(world / "ours.skops"), "--name", "late", "--pool", str(world / "pool.npz"), "--jobs", "1"]
    process = subprocess.Popen(
        [*PROGRAM, *command, "--peers", "2000", "--db", str(tmp_path / "new.db")],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "new.db").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("probe-match: interrupted")
    with open_db(tmp_path / "new.db") as db:
        assert db.names() == []
