"""
The command line as a user meets it: exit codes, JSON, and one clear line for every bad input.

Most commands run within this process, through the same `main` as the installed one; some run as real processes.
"""

import json
import os
import pickle
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from probe_match.fingerprinting import cli, storage
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.oip_server import serve
from probe_match.fingerprinting.records import InputSpec
from samples import make_suite

MODELS = '''
"""Models that the tests open as function:cli_models:name."""
import numpy as np

W = np.random.default_rng(5).normal(size=(5, 4)).astype(np.float32)
V = np.random.default_rng(6).normal(size=(5, 4)).astype(np.float32)
NAMES = np.array(["ant", "bee", "cat", "dog"])

def mine(x): return (np.tanh(2 * x) @ W).argmax(1)
def stranger(x): return (np.tanh(2 * x) @ V).argmax(1)
def dull(x): return np.zeros(len(x), int)
def fewer(x): return mine(x)[:-1]
def nan(x): return np.full((len(x), 4), np.nan)
def sums(x): return np.full((len(x), 4), 0.4)
def names(x): return NAMES[mine(x)]
def broken(x): raise RuntimeError("out of memory")
def slow(x):
    import time; time.sleep(0.01 * len(x)); return mine(x)
'''
SMALL = ("--peers", "8", "--shadows", "2", "--jobs", "1")
ENOUGH = ("--peers", "48", "--shadows", "4", "--jobs", "1")  # to tell a copy from a stranger
MAIN = "from probe_match.fingerprinting.cli import main; main()"


class Result(NamedTuple):
    """What a command left: its exit code and both streams."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


def labelled(n: int = 120, features: int = 5) -> dict[str, np.ndarray]:
    """A pool's arrays; labels are a noisy version of what `mine` says."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, features)).astype(np.float32)
    weights = np.random.default_rng(5).normal(size=(5, 4))[:features]
    return {"x": x, "y": (np.tanh(2 * x) @ weights + rng.normal(0, 0.6, (n, 4))).argmax(1)}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models, a pool and a database of one reference, `mine`, enrolled by the command itself."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "cli_models.py").write_text(MODELS)
    np.savez(folder / "pool.npz", **labelled())
    words = ["enroll", "function:cli_models:mine", "--name", "mine", "--pool", "pool.npz", "--db", "refs.db", *ENOUGH]
    done = process(folder, *words)
    assert done.code == 0, done.err
    assert done.out.startswith("enrolled 'mine' in ")
    assert done.err == ""
    return folder


@pytest.fixture
def here(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, to work in and to break."""
    for file in home.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("cli_models", None)
    return tmp_path


@pytest.fixture
def run(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`probe-match` with these words, in that folder and in this process."""

    def call(*words: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["probe-match", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        return Result(int(stopped.value.code or 0), said.out, said.err)

    return call


@pytest.fixture
def refused(run: Run, here: Path) -> Callable[..., str]:
    """The one line with which a command is refused, once it is sure that nothing was changed or left behind."""

    def call(*words: str | Path) -> str:
        before = contents(here)
        result = run(*words)

        assert result.code == 2, result
        assert result.out == ""
        assert result.err.startswith("probe-match: ")
        assert result.err.endswith("\n")
        assert len(result.err.splitlines()) == 1
        assert len(result.err) > len("probe-match: ") + 20
        assert contents(here) == before
        return result.err

    return call


def contents(folder: Path) -> dict[str, Any]:
    """Every file's bytes; of a database, its references; an empty database is nothing."""
    found: dict[str, Any] = {}
    for file in folder.rglob("*"):
        if not file.is_file() or file.suffix in (".pyc", ".db-wal", ".db-shm"):
            continue
        if file.read_bytes()[:15] == b"SQLite format 3":
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
                try:
                    rows = db.execute("select name, sha256 from bodies").fetchall()
                except sqlite3.Error:
                    rows = [("unreadable", file.read_bytes())]
            if rows:
                found[str(file)] = rows
        else:
            found[str(file)] = file.read_bytes()
    return found


def process(folder: Path, *words: str | Path, **more: Any) -> Result:
    """The command as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=120, **more
    )
    return Result(done.returncode, done.stdout, done.stderr)


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_exit_codes_of_match(run: Run) -> None:
    """0 match, 1 no match, 3 where a person must look; the first line says which."""
    found = run("match", "function:cli_models:mine", "--db", "refs.db")
    clear = run("match", "function:cli_models:stranger", "--db", "refs.db")
    dodge = run("match", "function:cli_models:dull", "--db", "refs.db")
    short = run("match", "function:cli_models:mine", "--db", "refs.db", "--budget", "5")

    assert (found.code, clear.code, dodge.code, short.code) == (0, 1, 3, 3)
    assert found.out.startswith("MATCH  mine")
    assert clear.out.startswith("NO MATCH")
    assert dodge.out.startswith("EVASION SUSPECTED")
    assert short.out.startswith("INCONCLUSIVE")
    assert {r.err for r in (found, clear, dodge, short)} == {""}


def test_match_is_the_default_command(run: Run) -> None:
    """`probe-match TARGET` is `probe-match match TARGET`, options before or after."""
    words = ("function:cli_models:mine", "--db", "refs.db")

    assert run(*words) == run("match", *words)
    assert run("--db", "refs.db", words[0]) == run("match", *words)
    assert run(*words).code == 0


def test_json_alone_on_standard_output(run: Run) -> None:
    """`--json` prints the verdict and nothing else; with a file, the text stays and the file has the same."""
    alone = run("match", "function:cli_models:mine", "--db", "refs.db", "--json")
    verdict = json.loads(alone.out)
    both = run("match", "function:cli_models:mine", "--db", "refs.db", "--json", "verdict.json")

    assert (alone.code, alone.err) == (0, "")
    assert verdict["schema"] == "probe-match/verdict/1"
    assert (verdict["decision"], verdict["reference"]) == ("match", "mine")
    assert json.loads(Path("verdict.json").read_text()) == verdict
    assert both.out.startswith("MATCH")


def test_quiet_says_nothing(run: Run) -> None:
    """With -q the exit code tells, and files are written all the same."""
    result = run(
        "match", "function:cli_models:mine", "--db", "refs.db", "-q", "--html", "page.html", "--json", "v.json"
    )

    assert result == (0, "", "")
    assert Path("page.html").read_text().startswith("<!doctype html>")
    assert json.loads(Path("v.json").read_text())["decision"] == "match"


def test_compare_needs_no_database(run: Run) -> None:
    """Two targets and a pool: a model derives from itself, a stranger does not, and nothing is stored."""
    words = ("--pool", "pool.npz", *ENOUGH, "--json")
    same = run("compare", "function:cli_models:mine", "function:cli_models:mine", *words)
    other = run("compare", "function:cli_models:mine", "function:cli_models:stranger", *words)

    assert json.loads(same.out)["decision"] == "match"
    assert same.code == 0
    assert json.loads(other.out)["decision"] in ("no match", "inconclusive")  # it answers unlike any model of the pool
    assert other.code in (1, 3)


def test_an_endpoint_is_asked_by_its_url(run: Run, here: Path) -> None:
    """A bare URL is asked what it speaks; the verdict counts what the server counted."""
    module = __import__("cli_models")
    with serve({"a": module.mine}, (5,)) as url:
        result = run(f"{url}/v2/models/a", "--db", "refs.db", "--json")
        verdict = json.loads(result.out)

        assert result.code == 0
        assert verdict["queries"]["sent"] == url.rows["a"]
        assert verdict["target"].endswith("/v2/models/a")


def test_enrolling_again_needs_replace(run: Run, refused: Callable[..., str]) -> None:
    """Two references cannot have one name; --replace forgets the first."""
    words = (
        "enroll",
        "function:cli_models:stranger",
        "--name",
        "mine",
        "--pool",
        "pool.npz",
        "--db",
        "refs.db",
        *SMALL,
    )

    assert "'mine'" in refused(*words)
    assert "--replace" in refused(*words, "--no-train")
    assert run(*words, "--replace").code == 0
    with open_db("refs.db") as db:
        assert db.names() == ["mine"]
        assert db.get("mine").answers.target == "function:cli_models:stranger"


def test_suites_are_built_shown_and_enrolled_from(run: Run) -> None:
    """What `suite build` writes, `suite show` reads and `enroll --suite` chooses from."""
    built = run("suite", "build", "midpoints", "--source", "function:cli_models:mine", "--pool", "pool.npz",
                "-n", "40", "-o", "mid.npz")  # fmt: skip
    shown = json.loads(run("suite", "show", "mid.npz", "--json").out)
    enrolled = run("enroll", "function:cli_models:mine", "--name", "other", "--pool", "pool.npz", "--db", "refs.db",
                   "--suite", "mid.npz", "--probes", "12", *SMALL, "-q")  # fmt: skip
    with open_db("refs.db") as db:
        suite = db.get("other").suite

    assert built.code == enrolled.code == 0
    assert shown["digest"] in built.out
    assert (shown["generator"], shown["probes"], shown["input"]["shape"]) == ("midpoints", 40, [5])
    assert set(suite.kinds) == {"midpoints"}
    assert len(suite) == 12


def test_help_is_for_every_command(run: Run) -> None:
    """Every command and subcommand explains itself, with an example, under both names of the option."""
    commands = [[], *[[name] for name in cli.COMMANDS]]
    commands += [["db", name] for name in ("list", "show", "remove", "verify")]
    commands += [["suite", name] for name in ("build", "list", "show")]
    for words in commands:
        result = run(*words, "--help")

        assert (result.code, result.err) == (0, "")
        assert "probe-match" in result.out.partition("Example")[2]
        assert run(*words, "-h") == result


# --- bad files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["missing.onnx", "missing.skops", "missing.pkl", "missing.npz", "missing", "a/b/c.onnx"]
)
def test_missing_models(name: str, refused: Callable[..., str]) -> None:
    """A file that is not there is named."""
    assert name in refused("match", name, "--db", "refs.db")


@pytest.mark.parametrize("suffix", ["onnx", "skops", "jsonl", "npz"])
@pytest.mark.parametrize("data", [b"", b"not a model at all", b"PK\x03\x04" + bytes(200), os.urandom(500)])
def test_corrupt_models(suffix: str, data: bytes, refused: Callable[..., str]) -> None:
    """Whatever stands in a model's file, it is one line."""
    Path(f"bad.{suffix}").write_bytes(data)

    assert f"bad.{suffix}" in refused("match", f"bad.{suffix}", "--db", "refs.db")


@pytest.mark.parametrize("suffix", ["pkl", "pickle", "joblib", "pt"])
def test_pickles_are_never_opened_unasked(suffix: str, refused: Callable[..., str]) -> None:
    """A pickle that would write a file when loaded does not get to, and the message says how to allow it."""
    if suffix == "pt":
        pytest.importorskip("torch")

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.write_text, (Path("trapped"), "it ran"))

    Path(f"model.{suffix}").write_bytes(pickle.dumps(Trap()))

    assert "--allow-pickle" in refused("match", f"model.{suffix}", "--db", "refs.db")
    assert not Path("trapped").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": np.full((120, 5), np.nan)}, "NaN"),
        ({"x": np.full((120, 5), 1e39)}, "infinite"),
        ({"x": np.zeros((120, 5, 1, 1, 1))}, "reshape"),
        ({"x": np.array(["a"] * 120)}, "duplicates"),
        ({"x": np.ones((120, 5))}, "duplicates"),
        ({"y": np.zeros(120, int)}, "two classes"),
        ({"y": np.zeros(119, int)}, "one label per row"),
        ({"y": None}, "--no-train"),
        ({"x": None}, "'x'"),
        ({"x": np.array([object()] * 120)}, "pickle"),
        ({"x": labelled(7)["x"], "y": labelled(7)["y"]}, "at least 20"),
    ],
)
def test_bad_pools(change: dict[str, Any], said: str, refused: Callable[..., str]) -> None:
    """NaN, wrong shape or type, one class, duplicates, no labels, too few rows: one line that says which."""
    np.savez("bad.npz", **{key: value for key, value in (labelled() | change).items() if value is not None})

    assert said in refused("enroll", "function:cli_models:mine", "--name", "new", "--pool", "bad.npz", "--db", "new.db")
    if change.get("y", 0) is not None:  # without labels two models cannot be compared either
        words = ("function:cli_models:mine", "function:cli_models:mine", "--pool", "bad.npz", "--html", "out.html")
        assert said in refused("compare", *words)


@pytest.mark.parametrize("option", ["--pool", "--log", "--suite"])
@pytest.mark.parametrize("data", [None, b"", b"no archive", pickle.dumps({"x": 1})])
def test_missing_and_corrupt_archives(option: str, data: bytes | None, refused: Callable[..., str]) -> None:
    """Every file that enroll reads is named when it cannot be read."""
    if data is not None:
        Path("bad.npz").write_bytes(data)
    pool = () if option == "--pool" else ("--pool", "pool.npz")

    assert "bad.npz" in refused(
        "enroll", "function:cli_models:mine", "--name", "new", "--db", "new.db", *pool, option, "bad.npz", *SMALL
    )


def test_archives_of_another_kind(refused: Callable[..., str]) -> None:
    """A pool is no suite, and a suite is no pool."""
    Path("suite.npz").write_bytes(storage.to_bytes(make_suite(spec=InputSpec("tabular", (5,)))))
    words = ("enroll", "function:cli_models:mine", "--name", "new", "--db", "new.db")

    refused(*words, "--pool", "suite.npz")
    refused(*words, "--pool", "pool.npz", "--suite", "pool.npz", *SMALL)
    refused("suite", "show", "pool.npz")


def test_a_suite_for_another_input(refused: Callable[..., str]) -> None:
    """Probes of three features cannot be put to a model of five, and both shapes are said."""
    Path("other.npz").write_bytes(storage.to_bytes(make_suite(spec=InputSpec("tabular", (3,)))))
    said = refused("enroll", "function:cli_models:mine", "--name", "new", "--pool", "pool.npz", "--db", "refs.db",
                   "--suite", "other.npz", *SMALL)  # fmt: skip

    assert "(3,)" in said
    assert "(5,)" in said


def test_a_log_of_another_input(refused: Callable[..., str]) -> None:
    """So it is with a log."""
    np.savez("log.npz", x=labelled(60, 3)["x"])

    assert "(3,)" in refused("enroll", "function:cli_models:mine", "--name", "new", "--pool", "pool.npz",
                             "--db", "refs.db", "--log", "log.npz", *SMALL)  # fmt: skip


# --- bad targets ------------------------------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """An endpoint of the Open Inference Protocol that takes five features and answers as it is told."""

    daemon_threads = True
    status = 200
    outputs: Callable[[int], Any]
    asked = 0

    @property
    def url(self) -> str:
        """Of its only model."""
        return f"oip:http://127.0.0.1:{self.server_address[1]}/v2/models/m"


class Handler(BaseHTTPRequestHandler):
    """Metadata as promised, then whatever the server is told."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """What the model takes."""
        inputs = [{"name": "x", "datatype": "FP32", "shape": [-1, 5]}]
        outputs = [{"name": "y", "datatype": "INT64", "shape": [-1, 1]}]
        self._send(200, {"name": "m", "inputs": inputs, "outputs": outputs} if "models" in self.path else {})

    def do_POST(self) -> None:
        """What it answers."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rows = body["inputs"][0]["shape"][0]
        self.server.asked += rows
        if self.server.status != 200:
            return self._send(self.server.status, {"error": "no"})
        return self._send(200, {"model_name": "m", "outputs": [self.server.outputs(rows)]})

    def _send(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on loopback that answers label 0 until it is told otherwise."""
    made = Server(("127.0.0.1", 0), Handler)
    made.outputs = lambda n: {"name": "y", "datatype": "INT64", "shape": [n], "data": [0] * n}
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def scores(row: list[float]) -> Callable[[int], Any]:
    """The same four scores for every row asked."""
    return lambda n: {"name": "p", "datatype": "FP32", "shape": [n, 4], "data": row * n}


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (lambda n: {"name": "y", "datatype": "INT64", "shape": [n - 1], "data": [0] * (n - 1)}, "9"),
        (lambda n: {"name": "y", "datatype": "INT64", "shape": [n + 1], "data": [0] * (n + 1)}, "11"),
        (scores([float("nan"), 0.2, 0.3, 0.5]), "NaN"),
        (scores([float("inf"), 0.2, 0.3, 0.5]), "infinity"),
        (scores([0.9, 0.9, 0.1, 0.1]), "sum to"),
        (lambda n: {"name": "y", "datatype": "BYTES", "shape": [n], "data": ["tabby\x1b[2J\ncat"] * n}, "tabby"),
        (lambda n: {"name": "y", "datatype": "INT64", "shape": [n], "data": [-3] * n}, "-3"),
        (lambda n: {"name": "y"}, "y"),
    ],
)  # fmt: skip
def test_bad_answers(outputs: Callable[[int], Any], said: str, server: Server, refused: Callable[..., str]) -> None:
    """Another number of rows, NaN, no probabilities, names nobody knows: one line that names the target."""
    server.outputs = outputs
    line = refused("match", server.url, "--db", "refs.db", "--json", "out.json", "--html", "out.html")

    assert said in line
    assert "127.0.0.1" in line
    assert server.asked > 0
    refused("enroll", server.url, "--name", "new", "--pool", "pool.npz", "--db", "refs.db", *SMALL)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_refusals(status: int, server: Server, refused: Callable[..., str]) -> None:
    """A server that says no is quoted with its status."""
    server.status = status
    line = refused("match", server.url, "--db", "refs.db", "--timeout", "2", "--json", "out.json")

    assert str(status) in line
    refused("enroll", server.url, "--name", "new", "--pool", "pool.npz", "--db", "refs.db", "--timeout", "2", *SMALL)


def test_a_model_that_is_not_served(refused: Callable[..., str]) -> None:
    """The message lists the models that are."""
    with serve({"digits": lambda x: np.zeros(len(x), int)}, (5,)) as url:
        assert "digits" in refused("match", f"{url}/v2/models/letters", "--db", "refs.db")


def test_a_target_that_is_down(refused: Callable[..., str]) -> None:
    """A port where nothing listens, under a known protocol and by a bare URL."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for target in (f"oip:http://127.0.0.1:{port}/v2/models/m", f"http://127.0.0.1:{port}/v2/models/m"):
        assert "127.0.0.1" in refused("match", target, "--db", "refs.db", "--timeout", "0.5")


@pytest.mark.parametrize(
    ("name", "said"),
    [("fewer", "expected 10"), ("nan", "NaN"), ("sums", "sum to 1"), ("names", "text"), ("broken", "out of memory")],
)
def test_bad_functions(name: str, said: str, refused: Callable[..., str]) -> None:
    """A model in Python that breaks its promise is refused as an endpoint is."""
    assert said in refused("match", f"function:cli_models:{name}", "--db", "refs.db")
    refused("enroll", f"function:cli_models:{name}", "--name", "new", "--pool", "pool.npz", "--db", "refs.db", *SMALL)


def test_classes_that_do_not_fit(server: Server, refused: Callable[..., str]) -> None:
    """A pool that names three classes, a model that scores four."""
    named = labelled()
    named["y"] = np.array(["ant", "bee", "cat", "ant"])[named["y"]]
    np.savez("named.npz", **named)
    server.outputs = scores([0.4, 0.3, 0.2, 0.1])
    line = refused("enroll", server.url, "--name", "new", "--pool", "named.npz", "--db", "refs.db", *SMALL)

    assert "3 classes" in line
    assert "got 4" in line


def test_inputs_that_do_not_fit(server: Server, refused: Callable[..., str]) -> None:
    """A pool of three features for a model of five costs no question, and neither does a database without its input."""
    np.savez("narrow.npz", **labelled(60, 3))
    line = refused("enroll", server.url, "--name", "new", "--pool", "narrow.npz", "--db", "refs.db", *SMALL)

    assert "(5,)" in line
    assert "(3,)" in line
    assert server.asked == 0
    open_db("empty.db", create=True).close()
    assert "enroll" in refused("match", server.url, "--db", "empty.db")


def test_one_answer_is_no_classifier(refused: Callable[..., str]) -> None:
    """An endpoint that says one thing to everything cannot be enrolled."""
    assert "one and the same label" in refused(
        "enroll", "function:cli_models:dull", "--name", "new", "--pool", "pool.npz", "--db", "refs.db", *SMALL
    )


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("", "nothing"),
        ("onnx:", "after it"),
        ("nosuchclient:x", "nosuchclient"),
        ("function:cli_models", "package.module:name"),
        ("function:cli_models:nobody", "nobody"),
        ("function:no_such_module:f", "no_such_module"),
        ("ftp://host/model", "ftp"),
    ],
)
def test_impossible_targets(target: str, said: str, refused: Callable[..., str]) -> None:
    """A target that means nothing says what was expected."""
    assert said in refused("match", target, "--db", "refs.db")


# --- bad databases ----------------------------------------------------------------------------------------------------

COMMANDS = {
    "match": ("match", "function:cli_models:mine"),
    "enroll": ("enroll", "function:cli_models:mine", "--name", "new", "--pool", "pool.npz", *SMALL),
    "list": ("db", "list"),
    "remove": ("db", "remove", "mine"),
}
every_command = pytest.mark.parametrize("command", COMMANDS)


@every_command
def test_a_database_of_a_newer_schema(command: str, refused: Callable[..., str]) -> None:
    """Asks for an upgrade, and is not touched."""
    with closing(sqlite3.connect("refs.db")) as db:
        db.execute("update meta set value = '999' where key = 'schema'")
        db.commit()

    assert "upgrade" in refused(*COMMANDS[command], "--db", "refs.db")


@every_command
@pytest.mark.parametrize("data", [b"hello, I am a diary\n" * 99, None])
def test_a_database_that_is_none(command: str, data: bytes | None, refused: Callable[..., str]) -> None:
    """Another file and a truncated one."""
    whole = Path("refs.db").read_bytes()
    Path("refs.db").write_bytes(whole[: len(whole) // 3] if data is None else data)

    assert "refs.db" in refused(*COMMANDS[command], "--db", "refs.db")


@pytest.mark.parametrize("command", ["match", "list", "remove"])
def test_a_missing_database(command: str, refused: Callable[..., str]) -> None:
    """Is not made by asking it."""
    assert "enroll" in refused(*COMMANDS[command], "--db", "missing.db")
    assert not Path("missing.db").exists()


@pytest.mark.parametrize("command", ["enroll", "remove"])
def test_a_read_only_database(command: str, refused: Callable[..., str], unprivileged: Path, here: Path) -> None:
    """What may not be written is not, and says so."""
    locked = unprivileged / "refs.db"
    os.seteuid(0) if os.getuid() == 0 else None
    shutil.copy(here / "refs.db", locked)
    locked.chmod(0o444)
    unprivileged.chmod(0o555)
    if os.getuid() == 0:
        here.chmod(0o777)
        for folder in here.parents:
            if folder.stat().st_mode & 0o005 != 0o005 and str(folder).startswith("/tmp/"):
                folder.chmod(folder.stat().st_mode | 0o055)
        os.seteuid(65534)

    assert "read-only" in refused(*COMMANDS[command], "--db", locked)


def test_an_unknown_reference(refused: Callable[..., str]) -> None:
    """A name with a slip gets a suggestion."""
    assert "did you mean mine" in refused("match", "function:cli_models:mine", "--db", "refs.db", "--reference", "mime")


# --- bad options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--budget", "0"), "at least 1"),
        (("--budget", "-3"), "at least 1"),
        (("--budget", "65"), "at most the suite's"),
        (("--budget", "many"), "many"),
        (("--alpha", "0"), "alpha"),
        (("--alpha", "0.7"), "alpha"),
        (("--alpha", "nan"), "alpha"),
        (("--access", "everything"), "access"),
        (("--timeout", "0"), "timeout"),
        (("--nonsense",), "--nonsense"),
        (("--html", "no/such/folder/page.html"), "page.html"),
        (("--html", "."), "cannot write ."),
        (("--json", "no/such/folder/v.json"), "v.json"),
        (("--json", "v.json", "--html", "no/such/folder/page.html"), "page.html"),
    ],
)
def test_bad_options(words: tuple[str, ...], said: str, refused: Callable[..., str]) -> None:
    """Out of range, unknown, or a place that cannot be written: before a question is asked."""
    assert said in refused("match", "function:cli_models:mine", "--db", "refs.db", *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--peers", "3"), "8 peers"),
        (("--shadows", "0"), "2 shadows"),
        (("--probes", "2"), "probes"),
        (("--seed", "-1"), "seed"),
        (("--name", ""), "name"),
        (("--name", "two\nlines"), "name"),
        (("--name", "x" * 300), "name"),
    ],
)
def test_bad_enrolments(words: tuple[str, ...], said: str, refused: Callable[..., str]) -> None:
    """Nothing is stored under an impossible name, nor with too few models."""
    base = ("enroll", "function:cli_models:mine", "--name", "new", "--pool", "pool.npz", "--db", "refs.db", *SMALL)

    assert said in refused(*base, *words)


@pytest.mark.parametrize(
    "words",
    [
        ("enroll",),
        ("match",),
        ("compare", "a"),
        ("db", "show"),
        ("db", "nonsense"),
        ("suite", "build", "midpoints"),
        ("enroll", "function:cli_models:mine", "--name", "new"),
    ],
)
def test_missing_words(words: tuple[str, ...], refused: Callable[..., str]) -> None:
    """What is missing is said, and where the help is."""
    assert "--help" in refused(*words)


# --- as processes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("missing.onnx", "--db", "refs.db"), "missing.onnx"),
        (("function:cli_models:mine", "--db", "refs.db", "--budget", "0"), "at least 1"),
        (("function:cli_models:nan", "--db", "refs.db"), "NaN"),
    ],
)
def test_a_real_process_is_refused_in_one_line(words: tuple[str, ...], said: str, here: Path) -> None:
    """Without a traceback, a warning or a word on standard output."""
    before = contents(here)
    result = process(here, *words)

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("probe-match: ")
    assert said in result.err
    assert len(result.err.splitlines()) == 1
    assert contents(here) == before


def test_a_bug_keeps_its_traceback(here: Path) -> None:
    """What no user can mend is not dressed up as one line."""
    worse = "class Odd(BaseException): pass\ndef worse(x): raise Odd"
    (here / "cli_models.py").write_text(worse)
    result = process(here, "match", "function:cli_models:worse", "--db", "refs.db")

    assert result.code not in (0, 2)
    assert "Traceback" in result.err


def interrupted(folder: Path, words: tuple[str, ...], ready: Callable[[], bool]) -> Result:
    """The command, stopped by Ctrl-C as a terminal sends it, to all its processes, once it is ready."""
    running = subprocess.Popen(
        [sys.executable, "-c", MAIN, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not ready() and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=30)
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()
    return Result(running.returncode, out, err)


def test_ctrl_c_stops_an_enrolment_and_stores_nothing(here: Path) -> None:
    """While networks train, which would rather go on: exit 130, one line, and the database as before."""
    before = contents(here)
    (here / "cli_models.py").write_text(MODELS + "\ndef watched(x):\n    open('asked', 'a').close(); return mine(x)\n")
    words = ("enroll", "function:cli_models:watched", "--name", "new", "--pool", "pool.npz", "--db", "refs.db",
             "--peers", "400", "--jobs", "2")  # fmt: skip
    result = interrupted(here, words, (here / "asked").exists)
    (here / "asked").unlink()
    (here / "cli_models.py").write_text(MODELS)

    assert (result.code, result.out) == (130, "")
    assert result.err == "probe-match: interrupted; nothing half done was kept\n"
    assert contents(here) == before


def test_ctrl_c_stops_the_demo(tmp_path: Path) -> None:
    """In the midst of its training, in which scikit-learn takes Ctrl-C for itself."""
    started = time.monotonic()
    words = ("demo", "--json", "out.json", "--html", "out.html", "--jobs", "1")
    result = interrupted(tmp_path, words, lambda: time.monotonic() > started + 3.5)

    assert (result.code, result.out) == (130, "")
    assert result.err == "probe-match: interrupted; nothing half done was kept\n"
    assert list(tmp_path.iterdir()) == []
