"""`record`, `match --from`, `--ledger` and the limits on the command line: ask once, decide as often as you like."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_models import Habits
from chat_server import Asked, Said, Scripted, scripted
from click.testing import CliRunner, Result
from probe_match.fingerprinting import evasion
from probe_match.fingerprinting.chat import shelf
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.errors import ProbeMatchError
from probe_match.fingerprinting.ledger import read_ledger
from probe_match.fingerprinting.ledger_states import remember
from probe_match.fingerprinting.oip_server import serve

RNG = np.random.default_rng(0)
W = RNG.normal(0, 1, (5, 4))
Run = Callable[..., Result]


def scores(x: np.ndarray) -> np.ndarray:
    """The owner's model: probabilities of four classes."""
    raised = np.exp(3 * np.tanh(2 * x) @ W)
    return np.asarray(raised / raised.sum(1, keepdims=True))


def said(result: Result) -> dict[str, Any]:
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database of one reference and the same model to ask."""
    folder = tmp_path_factory.mktemp("home")
    x = RNG.uniform(-1, 1, (200, 5)).astype(np.float32)
    np.savez(folder / "pool.npz", x=x, y=scores(x).argmax(1))
    (folder / "zoo.py").write_text(
        "import time\nfrom test_record_command import scores\ndef mine(x): return scores(x)\n"
        "def other(x): return scores(-x)\n"
        "def slow(x):\n    with open('asked', 'ab') as f: f.write(b''.join(r.tobytes() for r in x))\n"
        "    time.sleep(.1)\n    return scores(x)\n"
    )
    return folder


@pytest.fixture
def run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(str(home))

    def call(*words: str, db: Path = home / "r.db") -> Result:
        return CliRunner().invoke(cli, [*words, "--db", str(db)])

    if not (home / "r.db").exists():
        done = call(
            "enroll", "function:zoo:mine", "--name", "mine", "--pool", "pool.npz", "--peers", "30", "--jobs", "1"
        )
        assert done.exit_code == 0, done.output
    return call


def test_what_was_recorded_is_decided_as_if_it_were_asked_now(run: Run, tmp_path: Path) -> None:
    """The verdict on a record is that of the same questions put live, with nothing left to ask."""
    file = str(tmp_path / "m.ledger")
    recorded = run("record", "function:zoo:mine", "-o", file)
    live = said(run("match", "function:zoo:mine", "--no-early-stop", "--json", "-q"))
    later = said(run("match", "--from", file, "--json", "-q"))

    assert recorded.exit_code == 0, recorded.output
    assert later["target"] == f"replay:{file}"
    assert later["queries"] == {"sent": 50, "answered": 50, "saved_by_stopping": 0}
    assert {**live, "target": ""} == {**later, "target": ""}
    assert [file.name for file in tmp_path.iterdir()] == ["m.ledger"]


def test_a_record_is_judged_again_when_the_database_has_grown(run: Run, home: Path, tmp_path: Path) -> None:
    """Later references are compared by what was asked; what was not is no refusal."""
    file, grown = str(tmp_path / "m.ledger"), tmp_path / "grown.db"
    run("record", "function:zoo:mine", "-o", file)
    grown.write_bytes((home / "r.db").read_bytes())
    run(
        "enroll",
        "function:zoo:other",
        "--name",
        "other",
        "--pool",
        "pool.npz",
        "--peers",
        "60",
        "--jobs",
        "1",
        db=grown,
    )
    verdict = said(run("match", "--from", file, "--json", "-q", db=grown))

    assert {match["reference"] for match in verdict["matches"]} == {"mine", "other"}
    assert verdict["matches"][0]["reference"] == "mine"
    assert verdict["queries"]["sent"] == verdict["queries"]["answered"] > 0
    assert verdict["decision"] != "evasion suspected"


def test_a_killed_run_is_finished_by_the_next(run: Run, home: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle: the next run asks only what is left, and says what is in doubt."""
    ledger, asked = tmp_path / "a.ledger", home / "asked"
    with serve({"m": slow_scores(asked)}, (5,)) as url:
        words = ["match", f"oip:{url}/v2/models/m", "--db", str(home / "r.db"), "--ledger", str(ledger)]
        words += ["--no-early-stop"]
        program = str(Path(sys.executable).with_name("probe-match"))
        process = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while not asked.exists() and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = asked.read_bytes()
        result = run(*words[:2], "--ledger", str(ledger), "--no-early-stop", "--json", "-q")
    rows = np.frombuffer(asked.read_bytes(), np.float32).reshape(-1, 5)

    assert len(before)
    assert len(rows) - len(np.unique(rows, axis=0)) <= evasion.REPEATED + evasion.NUDGED  # none twice, but on purpose
    with read_ledger(ledger) as book:
        memory = remember(book)
    verdict = said(result)
    assert memory.count("answered") + memory.count("doubt") == verdict["queries"]["sent"] == 50
    assert verdict["queries"]["answered"] == memory.count("answered")


def slow_scores(asked: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A model that notes what it is asked, and takes its time."""

    def model(x: np.ndarray) -> np.ndarray:
        with asked.open("ab") as file:
            file.write(np.asarray(x, np.float32).tobytes())
        time.sleep(0.2)
        return scores(x)

    return model


@pytest.mark.parametrize("limit", [1, 7, 10, 23, 49])
def test_queries_are_never_passed(run: Run, limit: int) -> None:
    """With less than the budget left, exactly that is sent, and a verdict comes all the same."""
    result = run("match", "function:zoo:mine", "--max-cost", f"queries={limit}", "--no-early-stop", "--json", "-q")
    verdict = said(result)

    assert verdict["queries"]["sent"] == limit
    assert limit >= 10 or (verdict["decision"], result.exit_code) == ("inconclusive", 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("match", "function:zoo:mine", "--max-cost", "euros=3"), "expected --max-cost queries=N"),
        (("match", "function:zoo:mine", "--max-cost", "dollars=3"), "needs a language model, and its --price"),
        (("match", "function:zoo:mine", "--rate", "fast"), "expected a --rate such as 5/s"),
        (("match", "--from", "none.ledger"), "cannot read recording none.ledger"),
        (("match", "--from", "a", "--ledger", "b"), "nothing is asked with --from"),
        (("match", "function:zoo:mine", "--ledger", "pool.npz"), "cannot open ledger pool.npz"),
        (("record", "function:zoo:mine", "-o", "pool.npz"), "pool.npz is there already"),
        (("record", "function:zoo:mine", "-o", "a", "--ledger", "b"), "the ledger of record is its --output"),
    ],
)
def test_mistakes_are_one_line(run: Run, words: tuple[str, ...], message: str) -> None:
    """What cannot be is said before anything is asked."""
    result = run(*words)
    told = str(result.exception) if isinstance(result.exception, ProbeMatchError) else result.output

    assert result.exit_code != 0
    assert message in told


# --- language models --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    with scripted(Habits()) as running:
        yield running


@pytest.fixture(scope="module")
def chat(server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a command on a database of forty language models."""
    db = tmp_path_factory.mktemp("chat") / "r.db"

    def call(*words: str) -> Result:
        args = [f"openai:{server.url}/v1#{word[6:]}" if word.startswith("MODEL:") else word for word in words]
        return CliRunner().invoke(cli, [*args, "--db", str(db)])

    call("enroll", "MODEL:known-0", "--name", "known-0", "-q", "--language", "en", "--cells", "10")
    with open_db(db) as references:
        bank = shelf.get(references, "known-0").bank
        shelf.add(references, [Habits().reference(f"known-{i}", bank, 20) for i in range(1, 40)])
    return call


def test_a_language_model_is_recorded_and_decided_later(chat: Run, server: Scripted, tmp_path: Path) -> None:
    """Answers come from the ledger alone, and the verdict is the same each time."""
    file = str(tmp_path / "m.ledger")
    done = chat("record", "MODEL:known-3", "-o", file, "-q")
    asked = len(server.asked)
    verdicts = [said(chat("match", "--from", file, "--json", "-q")) for _ in range(2)]

    assert done.exit_code == 0, done.output
    assert len(server.asked) == asked
    assert verdicts[0] == verdicts[1]
    assert (verdicts[0]["decision"], verdicts[0]["reference"]) == ("match", "known-3")


def test_a_second_run_of_a_language_model_asks_nothing(chat: Run, server: Scripted, tmp_path: Path) -> None:
    """What the ledger holds is not asked again, and counts as sent."""
    words = ("match", "MODEL:known-5", "--ledger", str(tmp_path / "a"), "--json", "-q")
    first, asked = said(chat(*words)), len(server.asked)
    second = said(chat(*words))

    assert len(server.asked) == asked
    assert first == second


@pytest.mark.parametrize("cost", ["queries=9", "tokens=900", "dollars=0.0004"])
def test_a_language_model_stops_at_its_limit(chat: Run, server: Scripted, tmp_path: Path, cost: str) -> None:
    """No request is sent that could pass the limit, whatever the prices; the run ends with what it has."""
    before, file = len(server.asked), tmp_path / "a"
    price = ("--price", "1/2") if cost.startswith("dollars") else ()
    result = chat("match", "MODEL:known-7", "--ledger", str(file), "--max-cost", cost, *price, "--json", "-q")
    with read_ledger(file) as book:
        spent = remember(book).spent
    kind, _, limit = cost.partition("=")

    assert 0 < getattr(spent, kind) <= float(limit)
    assert said(result)["queries"]["sent"] == len(server.asked) - before == spent.queries


@pytest.mark.parametrize(("status", "again"), [(500, False), (429, True)])
def test_a_failure_that_may_be_paid_is_not_asked_again(
    chat: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, again: bool
) -> None:
    """An error that may cost is a failed question, for the next run too; being turned away unread costs nothing."""
    monkeypatch.setattr("probe_match.clients.openai.PATIENCE", 0.0)
    habits, posts = Habits(), []

    def failing(asked: Asked) -> Said:
        posts.append(asked)
        return Said({"error": "no"}, status) if 5 < len(posts) < 9 else habits(asked)

    with scripted(failing) as other:
        words = ("match", f"openai:{other.url}/v1#known-2", "--ledger", str(tmp_path / "a"), "--json", "-q")
        words += ("--concurrency", "1")
        first, asked = said(chat(*words)), len(posts)
        second = said(chat(*words))

    assert first["queries"]["answered"] == first["queries"]["sent"] - 3
    assert len(posts) - asked == (3 if again else 0)
    assert second["queries"]["answered"] == first["queries"]["answered"] + (3 if again else 0)
