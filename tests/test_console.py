"""The console as programs meet it: the same verdicts as the command line, gates, jobs, answers, and its API."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import consoles
import numpy as np
import pytest
import requests
from chat_models import Habits
from chat_server import scripted
from consoles import FEATURES, TOKEN, console, model
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from probe_match.fingerprinting import cli, quarantine
from probe_match.fingerprinting.chat import shelf
from probe_match.fingerprinting.chat.changing import RoundP
from probe_match.fingerprinting.chat.history import History
from probe_match.fingerprinting.chat.records import Bank, ChatReference, Question
from probe_match.fingerprinting.chat.sentinels import Plan
from probe_match.fingerprinting.compliance import forgetting, told
from probe_match.fingerprinting.console.catalogue import Catalogue
from probe_match.fingerprinting.console.config import Config
from probe_match.fingerprinting.console.openapi import description
from probe_match.fingerprinting.console.tasks import NotAllowed
from probe_match.fingerprinting.console.working import Workshop
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.oip_server import Address, serve
from probe_match.fingerprinting.records import About
from probe_match.probes import chat_words

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Slow:
    """A model that takes a while for each row, and notes what it was asked."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.asked = seconds, []
        self.model = model(77, near=2)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The answers."""
        self.asked += [row.tobytes() for row in x if row.any()]  # zeros are the server's own
        time.sleep(self.seconds)
        return self.model(x)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Known models."""
    made = tmp_path_factory.mktemp("console")
    consoles.known(made)
    return made


@pytest.fixture(scope="module")
def slow() -> Slow:
    return Slow(0.02)


@pytest.fixture(scope="module")
def models(slow: Slow) -> Iterator[Address]:
    """Servers of a copy of `closed`, of `open`, and of a model of nobody's; and one that takes its time, row by row."""
    made = {"copy": model(77, near=2), "open": model(1), "strange": model(78)}
    with serve(made, (FEATURES,)) as url, serve({"slow": slow}, (FEATURES,), max_rows=1) as slowly:
        url.rows["slow"] = slowly  # type: ignore[assignment]
        yield url


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[tuple[str, Workshop]]:
    with console(folder) as made:
        yield made


@pytest.fixture(scope="module")
def url(running: tuple[str, Workshop]) -> str:
    return running[0]


def start(url: str, **told: Any) -> str:
    """A new job's id."""
    answer = requests.post(f"{url}/api/v1/jobs", json=told, timeout=10)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """What a condition gives once it gives something."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "this takes too long"
        time.sleep(0.01)
    return found


def done(url: str, job: str) -> dict[str, Any]:
    """A job, when it is over."""

    def over() -> Any:
        found = requests.get(f"{url}/api/v1/jobs/{job}", timeout=10).json()
        return found if found["state"] not in ("waiting", "running", "stopping") else None

    return dict(until(over))


def get(url: str, path: str) -> Any:
    return requests.get(f"{url}/api/v1{path}", timeout=10).json()


def command(*words: object, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["probe-match", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


# --- the same as the command line ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["copy", "strange"])
def test_a_match_is_the_command_lines_match(
    name: str, url: str, models: Address, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the same endpoint and database both give one verdict, to the last digit of its JSON."""
    target = f"oip:{models}/v2/models/{name}"
    command("match", target, "--db", folder / "known.db", "--json", tmp_path / "v.json", "-q", monkeypatch=monkeypatch)
    job = start(url, match={"target": target})

    assert done(url, job)["state"] == "done"
    assert get(url, f"/jobs/{job}/result") == json.loads((tmp_path / "v.json").read_text())
    assert get(url, f"/jobs/{job}/result")["decision"] == {"copy": "match", "strange": "no match"}[name]


def test_a_match_of_a_language_model_is_the_command_lines_match(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same questions, the same stop, the same verdict; progress counts to what may be asked, not to 50."""
    with open_db(tmp_path / "known.db", create=True) as db:
        bank = chat_words.generate(n=12, seed=0, languages=("en",))
        shelf.add(db, [Habits().reference(f"known-{i}", bank, 20) for i in range(12)])
    with scripted(Habits()) as first:
        words = ("match", f"openai:{first.url}/v1#known-3", "--db", tmp_path / "known.db", "-q")
        command(*words, "--json", tmp_path / "v.json", monkeypatch=monkeypatch)
    with scripted(Habits()) as second, console(tmp_path) as (url, workshop):
        told = {"target": f"openai:{second.url}/v1#known-3"}
        most = workshop.cost(workshop.task("match", told))[-1][1]
        job = start(url, match=told)
        done(url, job)
        ours = get(url, f"/jobs/{job}/result")
        answers = get(url, f"/jobs/{job}/answers")
    theirs = json.loads((tmp_path / "v.json").read_text())

    assert ours == theirs | {"target": ours["target"]}
    assert ours["decision"] == "match"
    planned = len(first.bodies()) + ours["queries"]["saved_by_stopping"]
    assert most == f"at most {planned} questions, against 12 known models"
    assert sorted(map(str, second.bodies())) == sorted(map(str, first.bodies()))  # four at a time, in any order
    assert len(answers["answers"]) == ours["queries"]["sent"]
    assert answers["answers"][0]["probe"].startswith("one-word: ")


def test_an_audit_is_the_command_lines_audit(
    url: str, models: Address, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same policy on the same endpoints has the same outcome and the same findings."""
    endpoints = [
        {"name": name, "target": f"oip:{models}/v2/models/{name}", "declared": "MIT"} for name in ("copy", "open")
    ]
    policy = {"allow": ["Apache-2.0", "MIT"], "deny": ["category:non-commercial"]}
    lines = ["[policy]", *(f"{key} = {json.dumps(value)}" for key, value in policy.items())]
    for endpoint in endpoints:
        lines += ["[[endpoint]]", *(f"{key} = {json.dumps(value)}" for key, value in endpoint.items())]
    (tmp_path / "audit.toml").write_text("\n".join(lines))
    words = ("audit", tmp_path / "audit.toml", "--db", folder / "known.db", "--json", tmp_path / "a.json", "-q")
    code = command(*words, monkeypatch=monkeypatch)
    job = start(url, audit={"policy": policy, "endpoint": endpoints})

    assert done(url, job)["outcome"] == "violation"
    ours, theirs = get(url, f"/jobs/{job}/result"), json.loads((tmp_path / "a.json").read_text())
    for one in (ours, theirs):
        for key in ("started", "ended"):
            del one[key]
        for endpoint in one["endpoints"]:
            del endpoint["seconds"]
    assert ours == theirs
    assert code == ours["exit"] == 1


def test_exports_are_the_command_lines_files(url: str, models: Address) -> None:
    """JSON, CSV, the report page and SARIF come as files that no browser shows as a page of the console."""
    endpoint = {"name": "e", "target": f"oip:{models}/v2/models/copy"}
    job = start(url, audit={"policy": {}, "endpoint": [endpoint]})
    done(url, job)
    found = {
        form: requests.get(f"{url}/api/v1/jobs/{job}/export/{form}", timeout=10)
        for form in ("json", "csv", "html", "sarif", "exe")
    }

    assert [answer.status_code for answer in found.values()] == [200, 200, 200, 200, 404]
    assert found["json"].json()["schema"] == told.SCHEMA
    assert found["sarif"].json()["version"] == "2.1.0"
    assert found["csv"].text.splitlines()[0].startswith('"endpoint"')
    assert found["html"].text.startswith("<!doctype html>")
    for form in ("json", "csv", "html", "sarif"):
        assert found[form].headers["Content-Disposition"].startswith("attachment; ")
        assert found[form].headers["Content-Security-Policy"].startswith("sandbox;")


def test_answers_are_told_probe_by_probe(url: str, models: Address) -> None:
    """Every question that was sent stands there with the answer, the reference's own, and whether they are one."""
    job = start(url, match={"target": f"oip:{models}/v2/models/open"})
    done(url, job)
    rows = get(url, f"/jobs/{job}/answers")
    verdict = get(url, f"/jobs/{job}/result")

    assert rows["reference"] == "open"
    assert len(rows["answers"]) == verdict["queries"]["sent"]
    assert {(row["alike"], row["said"] == row["known"]) for row in rows["answers"]} == {(True, True)}
    assert {row["probe"].split(" ")[0] for row in rows["answers"]} == {"shared", "probe"}


# --- jobs ------------------------------------------------------------------------------------------------------------


def test_a_cancelled_job_asks_nothing_more_and_goes_on_without_repeating(url: str, models: Address, slow: Slow) -> None:
    """After the word to stop at most what is under way arrives; going on asks the rest, and nothing twice."""
    slow.asked.clear()
    job = start(url, match={"target": f"oip:{models.rows['slow']}/v2/models/slow", "budget": 40})
    until(lambda: len(slow.asked) >= 5)
    requests.post(f"{url}/api/v1/jobs/{job}/cancel", json={}, timeout=10)
    at_stop = len(slow.asked)
    first = done(url, job)
    after = len(slow.asked)
    time.sleep(0.15)

    assert first["state"] == "cancelled"
    assert after - at_stop <= 2
    assert len(slow.asked) == after < 40
    assert requests.post(f"{url}/api/v1/jobs/{job}/resume", json={}, timeout=10).status_code == 200
    assert done(url, job)["outcome"] == "match"
    assert len(slow.asked) > after
    assert len(set(slow.asked)) == len(slow.asked)


def test_a_console_that_ends_leaves_jobs_to_go_on_with(models: Address, slow: Slow, tmp_path: Path) -> None:
    """What was running is `interrupted` when it starts again; going on asks nothing twice."""
    consoles.known(tmp_path)
    slow.asked.clear()
    with console(tmp_path) as (url, _):
        job = start(url, match={"target": f"oip:{models.rows['slow']}/v2/models/slow"})
        until(lambda: len(slow.asked) >= 3)
    asked = len(slow.asked)
    with console(tmp_path) as (url, _):
        assert get(url, f"/jobs/{job}")["state"] == "interrupted"
        requests.post(f"{url}/api/v1/jobs/{job}/resume", json={}, timeout=10)
        assert done(url, job)["outcome"] == "match"

    assert 3 <= asked < len(slow.asked) == len(set(slow.asked))


def test_two_consoles_do_not_share_a_folder(
    running: tuple[str, Workshop], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is told so, before it listens, and lets go of the file."""
    from probe_match.fingerprinting.errors import DatabaseError

    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def noted(*where: Any, **how: Any) -> sqlite3.Connection:
        opened.append(connect(*where, **how))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", noted)
    with pytest.raises(DatabaseError, match="another console"), console(folder):
        pass

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[-1].execute("SELECT 1")


def test_answers_are_forgotten_after_their_time(
    models: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the days of retention raw answers are erased by themselves, but for those on hold; the verdict stays."""
    consoles.known(tmp_path)
    with console(tmp_path) as (url, workshop):
        job = start(url, match={"target": f"oip:{models}/v2/models/open"})
        endpoint = {"name": "e", "target": f"oip:{models}/v2/models/open"}
        held = start(url, audit={"endpoint": [endpoint], "retention": {"hold": "a case is open"}})
        done(url, job)
        done(url, held)
        now = time.time()
        monkeypatch.setattr(forgetting.time, "time", lambda: now + 89 * 86_400)
        young = workshop.sweep()
        monkeypatch.setattr(forgetting.time, "time", lambda: now + 91 * 86_400)
        old, again = workshop.sweep(), workshop.sweep()
        rows = get(url, f"/jobs/{job}/answers")
        verdict = get(url, f"/jobs/{job}/result")
        kept = get(url, f"/jobs/{held}/answers")["answers"]

    assert kept != []
    assert (young, old, again) == (0, 1, 0)
    assert rows["answers"] == []
    assert rows["erased"] == "kept for 90 days"
    assert verdict["decision"] == "match"


def test_a_dead_endpoint_is_a_job_that_failed_and_says_why(url: str) -> None:
    """No verdict is made up, and the answer names what was wrong."""
    job = start(url, match={"target": "oip:http://127.0.0.1:9/v2/models/m"})
    found = done(url, job)

    assert (found["state"], found["outcome"]) == ("failed", None)
    assert "cannot reach http://127.0.0.1:9/" in found["why"]
    assert requests.get(f"{url}/api/v1/jobs/{job}/result", timeout=10).status_code == 404


def test_a_change_of_the_database_is_listed_at_once(tmp_path: Path) -> None:
    """Listings are kept in memory; what the database's own log names is read again, and comes to the same."""
    consoles.known(tmp_path)
    bank = Bank("b", (Question("c", "w", "A word.", "word"),))
    with console(tmp_path) as (url, workshop):
        before = get(url, "/references?search=cc-by")["total"]
        with open_db(tmp_path / "known.db") as db:
            db.add(consoles.reference("newer", 4, license="CC-BY-4.0", parent="open"))
            shelf.add(db, [ChatReference("talker", About(license="CC-BY-4.0"), bank, {"c": {"a": 1}}, {"c": 1})])
            quarantine.set_apart(db, "closed", "a hub")
            db.remove("tuned")
        found = get(url, "/references?search=cc-by&per_page=2&page=2")
        child = get(url, "/reference?name=open")["children"]
        apart = get(url, "/reference?name=closed")
        gone = requests.get(f"{url}/api/v1/reference?name=tuned", timeout=10).status_code
        listed = get(url, "/references")
        anew = Catalogue(workshop.references).listing()

    assert before == 1
    assert (found["total"], found["pages"], found["references"][0]["name"]) == (3, 2, "talker")
    assert (child, gone) == (["newer"], 404)
    assert (apart["quarantined"], apart["children"]) == ("a hub", [])
    assert listed["references"] == anew.rows


def test_a_new_round_of_a_watch_is_shown_at_once(url: str, folder: Path) -> None:
    """A history is kept in memory, and read again when somebody wrote to it."""
    history = History(folder / "watch.db")
    bank = Bank("b", (Question("c", "w", "A word.", "word"),))
    watch = history.begin("openai:http://127.0.0.1:9/v1#m", bank, Plan(), 5, 0)
    seen = []
    for p in (0.5, 1e-9, 1e-9, 1e-9, 1e-9, 1e-9, 1e-9):
        history.end(history.open_round(watch, "round"), RoundP(p))
        seen.append(get(url, "/watches")["watches"][0])
    history.close()

    assert [len(one["rounds"]) for one in seen] == [1, 2, 3, 4, 5, 6, 7]
    assert (seen[0]["state"], seen[0]["alarm"]) == ("unchanged", None)
    assert (seen[-1]["state"], seen[-1]["alarm"] is None) == ("alarm", False)
    assert seen[-1]["rounds"][seen[-1]["alarm"] - 1]["evidence"] >= seen[-1]["needed"]


# --- who may ask what ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "function:os:system", "os.path:http://127.0.0.1/", "onnx:/etc/passwd", "replay:answers.jsonl", "/etc/passwd",
        "rest:/etc/passwd@http://127.0.0.1:9/", "rest:template.json", "C:x.onnx", "sklearn:http://127.0.0.1/m.skops",
    ],
)  # fmt: skip
def test_files_and_modules_of_this_machine_are_no_endpoints(target: str, url: str) -> None:
    """Whoever may use the console may not read or run what lies beside it."""
    answer = requests.post(f"{url}/api/v1/jobs", json={"match": {"target": target}}, timeout=10)

    assert answer.status_code == 400
    assert "expected the address of a server" in answer.json()["error"]


def test_no_foreign_host_is_asked_without_leave(url: str, folder: Path) -> None:
    """Without an authorization nothing begins; with one its questions count over all jobs under it."""
    hosts = {
        "openai:https://api.example.org/v1#m": "api.example.org", "anthropic:m http://127.0.0.1/": "api.anthropic.com",
        "rest:litserve@https://api.example.org/@http://127.0.0.1/": "api.example.org",
    }  # fmt: skip
    count = get(url, "/jobs")["total"]
    for target, host in hosts.items():
        told = {"target": target, "budget": 30}
        refused = requests.post(f"{url}/api/v1/jobs", json={"match": told}, timeout=10)

        assert refused.status_code == 403
        assert f"{host} is not this machine" in refused.json()["error"]
    assert get(url, "/jobs")["total"] == count


def test_an_authorizations_budget_counts_over_all_jobs(tmp_path: Path) -> None:
    """Many small jobs may not ask more than one large one might."""
    consoles.known(tmp_path)
    (tmp_path / "authorization.toml").write_text(
        'who = "us"\nbasis = "contract"\nhosts = ["api.example.org"]\nbudget = 100\nexpires = 2999-01-01\n'
    )
    config = Config(str(tmp_path / "known.db"), tmp_path / "c", tmp_path / "w.db", tmp_path / "authorization.toml")
    with open_db(tmp_path / "known.db", read_only=True) as references, Workshop(config, references) as workshop:
        task = workshop.task("match", {"target": "openai:https://api.example.org/v1#m", "budget": 30})
        assert task.authority is not None
        workshop.jobs.add("match", "earlier", {}, leave=task.authority.digest, granted=80)

        with pytest.raises(NotAllowed, match="of which 80 were granted to earlier jobs; this one may ask 30"):
            workshop.start(task)
        with pytest.raises(NotAllowed, match=r"does not name other\.example\.org"):
            workshop.task("match", {"target": "openai:https://other.example.org/v1#m", "budget": 1})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421), ({"Host": ""}, 421), ({"Host": "127.0.0.1.evil.example:80"}, 421),
        ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403), ({"Content-Type": "text/plain"}, 415), ({}, 400),
    ],
)  # fmt: skip
def test_requests_of_other_sites_are_not_heard(headers: dict[str, str], status: int, url: str) -> None:
    """A foreign name, a foreign page, and what a foreign form could send are turned away before they are read."""
    kind = {"Content-Type": "application/json"}
    answer = requests.post(f"{url}/api/v1/jobs", data=b"{}", headers=kind | headers, timeout=10)

    assert answer.status_code == status


def test_a_form_needs_the_word_of_its_session(url: str) -> None:
    """The cookie alone, or another browser's word, starts nothing."""
    mine, other = requests.Session(), requests.Session()
    word = consoles.word(mine.get(f"{url}/start", timeout=10).text)
    foreign = consoles.word(other.get(f"{url}/start", timeout=10).text)
    told = {"form": "match", "do": "cost", "target": "http://127.0.0.1:9/v2/models/m"}
    codes = [
        mine.post(f"{url}/start", told | extra, timeout=10).status_code
        for extra in ({}, {"form_word": foreign}, {"form_word": "é"}, {"form_word": word})
    ]

    assert codes == [403, 403, 403, 200]


def test_large_and_broken_bodies_are_refused(url: str) -> None:
    """Neither fills the memory nor ends in a traceback."""
    kind = {"Content-Type": "application/json"}
    broken = [
        b"{", b"[]", b"[" * 100_000, b'{"match": 3}', b'{"match": {"target": 3}}', b'{"match": {"target": "http://[::1"}}',
        b'{"match": {"target": "http://127.0.0.1/", "alpha": NaN}}', b'{"match": {"target": "http://127.0.0.1/\\ud800"}}',
        b'{"audit": {"endpoint": [{"name": "e", "target": "http://127.0.0.1/", "model": "\\ud800"}]}}', b"\xff",
    ]  # fmt: skip
    codes = [
        requests.post(f"{url}/api/v1/jobs", data=body, headers=kind, timeout=10).status_code
        for body in (b"x" * (3 << 20), *broken)
    ]

    assert codes == [413, 400, 400, 400, 400, 400, 403, 400, 400, 400, 400]


def test_with_a_token_nothing_is_shown_without_it(tmp_path: Path) -> None:
    """Pages lead to the sign-in, the API is closed, and the token is in no page, cookie or header."""
    consoles.known(tmp_path)
    with console(tmp_path, token=TOKEN) as (url, _):
        browser = requests.Session()
        paths = ("/references", "/jobs", "/start", "/watches", "/jobs/x/progress")
        led = {browser.get(url + path, timeout=10).url for path in paths}
        closed = [
            requests.get(f"{url}/api/v1/references", headers={"Authorization": given}, timeout=10).status_code
            for given in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN}")
        ]
        page = browser.get(f"{url}/login", timeout=10)
        before = dict(browser.cookies)
        wrong = browser.post(f"{url}/login", {"form_word": consoles.word(page.text), "token": "wrong"}, timeout=10)
        told = {"form_word": consoles.word(page.text), "token": TOKEN}
        right = browser.post(f"{url}/login", told, timeout=10, allow_redirects=False)
        inside = browser.get(f"{url}/references", timeout=10)
        old = requests.get(f"{url}/references", cookies=before, timeout=10).url
        api_by_cookie = browser.get(f"{url}/api/v1/references", timeout=10).status_code
        browser.post(f"{url}/logout", {"form_word": consoles.word(inside.text)}, timeout=10)
        outside = browser.get(f"{url}/references", timeout=10).url

    assert led == {f"{url}/login"}
    assert closed == [401, 401, 401, 401, 401, 200]
    assert wrong.status_code == 401
    assert right.headers["Set-Cookie"].endswith("; Path=/; HttpOnly; SameSite=Strict")
    assert "<h1>References</h1>" in inside.text
    assert old == f"{url}/login"  # a number from before signing in opens nothing after it
    assert api_by_cookie == 401
    assert outside == f"{url}/login"
    for answer in (page, wrong, right, inside):
        assert TOKEN not in answer.text + str(answer.headers)


def test_other_addresses_need_a_token(monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: Any) -> None:
    """The command refuses in one line to listen to others without a long one."""
    monkeypatch.delenv("PROBE_MATCH_CONSOLE_TOKEN", raising=False)
    words = ("serve", "--host", "0.0.0.0", "--db", folder / "known.db")
    codes = [command(*words, monkeypatch=monkeypatch)]
    monkeypatch.setenv("PROBE_MATCH_CONSOLE_TOKEN", "short")
    codes.append(command(*words, monkeypatch=monkeypatch))
    lines = capsys.readouterr().err.splitlines()
    listens = Config("x", folder, folder, host="0.0.0.0", token=TOKEN, names=("Audits.example",))

    assert codes == [2, 2]
    assert ["PROBE_MATCH_CONSOLE_TOKEN" in line for line in lines] == [True, True]
    assert listens.called == {"127.0.0.1", "localhost", "::1", "0.0.0.0", "audits.example"}
    assert TOKEN not in repr(listens)


def test_the_command_serves_by_https_until_it_is_interrupted(folder: Path, tmp_path: Path) -> None:
    """It says where it listens, its cookie goes over HTTPS alone, and Ctrl-C is no error."""
    certificate, key = consoles.certificate(tmp_path)
    words = ["serve", "--db", folder / "known.db", "--folder", tmp_path / "c", "--history", tmp_path / "w.db",
             "--port", "0", "--certificate", certificate, "--key", key]  # fmt: skip
    program = [sys.executable, "-c", "from probe_match.fingerprinting.cli import main; main()", *map(str, words)]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as running:
        assert running.stderr is not None
        line = running.stderr.readline()
        url = line.split(" at ")[1].split(",")[0]
        answer = requests.get(f"{url}/references", verify=str(certificate), headers={"Connection": "close"}, timeout=10)
        running.send_signal(signal.SIGINT)
        rest = running.stderr.read()
        code = running.wait(timeout=20)

    assert url.startswith("https://127.0.0.1:")
    assert answer.headers["Set-Cookie"].endswith("; HttpOnly; SameSite=Strict; Secure")
    assert (code, rest) == (0, "")


def test_a_port_that_is_taken_is_said_in_a_line(
    url: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and what to do."""
    words = ("serve", "--db", folder / "known.db", "--folder", tmp_path / "c", "--port", url.rpartition(":")[2])
    code = command(*words, monkeypatch=monkeypatch)

    assert code == 2
    assert "cannot listen on 127.0.0.1:" in capfd.readouterr().err.splitlines()[-1]


def test_every_answer_forbids_what_pages_do_not_need(url: str) -> None:
    """No inline script or style, no frame, no foreign file, nothing guessed and nothing stored."""
    for path in ("/references", "/static/console.css", "/nothing", "/api/v1/jobs"):
        headers = requests.get(url + path, timeout=10).headers
        policy = headers["Content-Security-Policy"]

        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] in ("no-store", "no-cache")
        assert "server" not in headers


# --- the API ---------------------------------------------------------------------------------------------------------


def test_the_api_is_as_it_is_described(running: tuple[str, Workshop], models: Address) -> None:
    """The OpenAPI document is valid, and real answers to all of its operations have the shapes it says."""
    url, _ = running
    document = get(url, "/openapi.json")
    validate(document)
    job = start(url, match={"target": f"oip:{models}/v2/models/open"})
    done(url, job)
    told = {"name": "tuned", "id": job, "form": "json"}
    checked = set()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            query = "&".join(f"{p['name']}={told[p['name']]}" for p in operation["parameters"]
                             if p["in"] == "query" and p.get("required"))  # fmt: skip
            address = f"{url}/api/v1{path.format(**told)}?{query}"
            body = {"match": {"target": "http://127.0.0.1:9/v2/models/m"}, "dry_run": True}
            answer = requests.request(method, address, json=body if method == "post" else None, timeout=10)
            status = str(answer.status_code)
            if operation["operationId"] == "resume":  # of a job that is done
                assert status == "400"
                status = "default"
            response = operation["responses"][status]
            response = document["components"]["responses"]["Error"] if "$ref" in response else response
            schema = response["content"]["application/json"]["schema"]
            Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json())
            checked.add(operation["operationId"])

    assert document == json.loads(json.dumps(description()))
    assert len(checked) == sum(len(item) for item in document["paths"].values()) == 12


def test_a_dry_run_says_the_cost_and_starts_nothing(url: str) -> None:
    """As `audit --dry-run` does."""
    count = get(url, "/jobs")["total"]
    asked = {"match": {"target": "http://127.0.0.1:9/v2/models/m", "budget": 7}, "dry_run": True}
    answer = requests.post(f"{url}/api/v1/jobs", json=asked, timeout=10)

    assert answer.json()["cost"][0] == {"endpoint": "target", "says": "at most 7 questions to this machine"}
    assert get(url, "/jobs")["total"] == count


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "expected {"), ({"match": {}}, "to have a target"), ({"match": {"target": "http://h/", "x": 1}}, "has no"),
        ({"match": {"target": "http://127.0.0.1/", "budget": 0}}, "budget"), ({"audit": {"endpoint": []}}, "got none"),
        ({"match": {"target": "http://127.0.0.1/", "alpha": 2}}, "alpha"),
        ({"audit": {"endpoint": [{"name": "e", "target": "http://127.0.0.1/"}], "policy": {"deny": 3}}}, "deny"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_said_in_a_line(told: dict[str, Any], said: str, url: str) -> None:
    """With the words of the command line's own errors."""
    answer = requests.post(f"{url}/api/v1/jobs", json=told, timeout=10)

    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
