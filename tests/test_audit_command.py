"""A small fleet audited by the command: outcomes, exit codes, reports that validate, and going on after a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import Draft7Validator
from probe_match.fingerprinting import cli

from benchmarks import audit_fleet
from benchmarks.audit_fleet import Fleet

KINDS = ("honest", "copied", "fine-tuned", "unknown", "dead", "lying")
OUTCOMES = {
    "honest": {"compliant"}, "copied": {"violation", "review"}, "fine-tuned": {"violation", "review"},
    "unknown": {"review"}, "dead": {"review"}, "lying": {"violation", "review"},
}  # fmt: skip
# What of SARIF 2.1.0 we use, with the standard's rules for it; test_audit_hostile holds it against the whole schema.
TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
RESULT = {
    "type": "object",
    "required": ["ruleId", "ruleIndex", "kind", "level", "message", "locations", "partialFingerprints"],
    "properties": {
        "kind": {"enum": ["notApplicable", "pass", "fail", "review", "open", "informational"]},
        "level": {"enum": ["none", "note", "warning", "error"]},
        "message": TEXT,
        "baselineState": {"enum": ["new", "unchanged", "updated", "absent"]},
        "suppressions": {"items": {"properties": {"kind": {"enum": ["inSource", "external"]}}, "required": ["kind"]}},
        "locations": {"type": "array", "minItems": 1},
    },
    "if": {"properties": {"kind": {"not": {"const": "fail"}}}},
    "then": {"properties": {"level": {"const": "none"}}},
}  # fmt: skip
SARIF = {
    "type": "object", "required": ["$schema", "version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "items": {
            "required": ["tool", "results"],
            "properties": {
                "results": {"type": "array", "items": RESULT},
                "tool": {"required": ["driver"], "properties": {"driver": {
                    "required": ["name", "rules"],
                    "properties": {"rules": {"items": {"required": ["id"], "properties": {"shortDescription": TEXT}}}},
                }}},
                "invocations": {"items": {"required": ["executionSuccessful"]}},
            },
        }},
    },
}  # fmt: skip
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database of two owned models: `open` (Apache-2.0) and `research` (CC-BY-NC-4.0)."""
    folder = tmp_path_factory.mktemp("fleet")
    models = audit_fleet.known_models(0, ("open", "research"))
    audit_fleet.enrol(folder / "known.db", models, 0, peers=40, shadows=6)
    return folder


@pytest.fixture
def fleet(home: Path, tmp_path: Path) -> Iterator[Fleet]:
    """Six endpoints, served."""
    shutil.copy(home / "known.db", tmp_path)
    with audit_fleet.fleet(tmp_path, KINDS, 0, names=("open", "research")) as made:
        yield made


@pytest.fixture
def run(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`probe-match audit` of the fleet with these options, in this process."""

    def call(*words: str | Path) -> tuple[int, str, str]:
        told = ["probe-match", "audit", str(fleet.settings), "--db", str(fleet.db), *map(str, words)]
        monkeypatch.setattr(sys, "argv", told)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out, said.err

    return call


def test_each_endpoint_is_found_for_what_it_is_and_every_report_validates(
    fleet: Fleet, run: Run, tmp_path: Path
) -> None:
    """Copies and lies are found or left to a person, the honest are compliant, and eight reports say the same."""
    names = {kind: tmp_path / f"a.{kind}" for kind in ("json", "html", "sarif", "cyclonedx", "csv", "junit")}
    words = [word for kind, file in names.items() for word in (f"--{kind}", file)]
    code, out, _ = run(*words)
    report = json.loads(names["json"].read_text())
    outcomes = {one["name"]: one["outcome"] for one in report["endpoints"]}
    log = json.loads(names["sarif"].read_text())
    junit = ET.fromstring(names["junit"].read_text())

    assert code == 1
    assert report["schema"] == "probe-match/audit/1"
    assert {name: outcomes[name] in OUTCOMES[kind] for name, kind in fleet.kinds.items()} == dict.fromkeys(
        outcomes, True
    )
    assert "violation" in outcomes.values()
    assert out.splitlines()[-2].startswith("VIOLATION: 6 endpoints")
    Draft7Validator(SARIF).validate(log)
    lines = fleet.settings.read_text().splitlines()
    for result in log["runs"][0]["results"]:
        place = result["locations"][0]
        line = place["physicalLocation"]["region"]["startLine"]
        assert lines[line - 1] == f'name = "{place["logicalLocations"][0]["name"]}"'
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(names["cyclonedx"].read_text()) is None
    assert int(junit.get("failures", "")) == list(outcomes.values()).count("violation")
    assert "<script" not in names["html"].read_text()
    assert names["csv"].read_text().count("\n") - 1 == sum(len(one["findings"]) for one in report["endpoints"])


def test_a_baseline_says_what_is_new_and_what_is_gone(fleet: Fleet, run: Run, tmp_path: Path) -> None:
    """The same audit again has nothing new; a policy that allows everything leaves findings that are gone."""
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    answers = tmp_path / "answers"
    run("--json", old, "--ledger", answers)
    code, out, _ = run("--baseline", old, "--json", new, "--ledger", answers, "--sarif", tmp_path / "a.sarif")
    fleet.settings.write_text(fleet.settings.read_text().replace("deny =", 'misdeclared = "pass"\nreview ='))
    after, _, _ = run("--baseline", old, "--json", tmp_path / "after.json", "--ledger", answers)
    results = json.loads((tmp_path / "a.sarif").read_text())["runs"][0]["results"]

    assert (code, "0 findings new, 0 gone" in out) == (1, True)
    assert {result["baselineState"] for result in results if result["kind"] in ("fail", "review")} == {"unchanged"}
    assert after == 3
    assert json.loads((tmp_path / "after.json").read_text())["gone"]
    assert run("--baseline", fleet.settings)[0] == 2


def test_githubs_profile_has_only_errors_and_warnings(run: Run, tmp_path: Path) -> None:
    """What decides nothing is left out, and a review is a warning."""
    run("--sarif", tmp_path / "a.sarif", "--sarif-profile", "github")
    log = json.loads((tmp_path / "a.sarif").read_text())

    Draft7Validator(SARIF).validate(log)
    assert {result["level"] for result in log["runs"][0]["results"]} == {"error", "warning"}


def test_a_killed_audit_goes_on_and_repeats_no_query(fleet: Fleet, run: Run, tmp_path: Path) -> None:
    """Over a kill and a resumed run no server is sent a query twice, and everybody comes out as may be."""
    run("--ledger", tmp_path / "whole", "--json", tmp_path / "whole.json")
    alone = {name: Counter(counts) for name, counts in fleet.asked.items()}
    for counts in fleet.asked.values():
        counts.clear()
    killed = audit_fleet.run(fleet, tmp_path / "cut", tmp_path / "no.json", jobs=2, kill_after=30)
    before = sum(map(Counter.total, fleet.asked.values()))
    code, _, _ = run("--ledger", tmp_path / "cut", "--json", tmp_path / "cut.json")
    told = [json.loads((tmp_path / file).read_text())["endpoints"] for file in ("whole.json", "cut.json")]

    assert killed == -9
    assert 0 < before < sum(map(Counter.total, alone.values()))
    assert audit_fleet.repeated(fleet, tmp_path / "cut") == 0
    for name, kind in fleet.kinds.items():  # what was in doubt stays unanswered, so that a finding may become a review
        assert {one["outcome"] for some in told for one in some if one["name"] == name} <= OUTCOMES[kind]
    assert code in (1, 3)


@pytest.fixture
def cluster() -> Iterator[tuple[str, list[int]]]:
    """The address of a Dask cluster of three worker processes on this machine, and their numbers."""
    distributed = pytest.importorskip("distributed", reason="DASK IS NOT INSTALLED: pip install 'probe-match[dask]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ports and diagnostics of Dask itself
        with (
            distributed.LocalCluster(
                n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
            ) as running,
            distributed.Client(running, set_as_default=False) as client,
        ):
            yield running.scheduler_address.removeprefix("tcp://"), list(client.run(os.getpid).values())


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Dask's own sockets to a killed worker
def test_an_audit_on_a_cluster_says_the_same_although_a_worker_dies(
    fleet: Fleet, run: Run, tmp_path: Path, cluster: tuple[str, list[int]]
) -> None:
    """Workers ask the endpoints; one is killed midway, another goes on from its ledger, and no query is sent twice."""
    run("--ledger", tmp_path / "here", "--json", tmp_path / "here.json")
    for counts in fleet.asked.values():
        counts.clear()
    address, workers = cluster
    killed = threading.Event()

    def kill() -> None:
        while sum(map(Counter.total, list(fleet.asked.values()))) < 10:
            time.sleep(0.005)
        os.kill(workers[0], signal.SIGKILL)
        killed.set()

    threading.Thread(target=kill, daemon=True).start()
    words = ("--ledger", tmp_path / "far", "--json", tmp_path / "far.json", "--backend", f"dask://{address}")
    code, _, _ = run(*words)
    told = [json.loads((tmp_path / file).read_text())["endpoints"] for file in ("here.json", "far.json")]

    assert killed.is_set()
    assert code in (1, 3)
    assert [one["name"] for one in told[1]] == [one["name"] for one in told[0]]
    assert audit_fleet.repeated(fleet, tmp_path / "far") == 0
    for name, kind in fleet.kinds.items():  # what was in doubt stays unanswered, so that a finding may become a review
        assert {one["outcome"] for some in told for one in some if one["name"] == name} <= OUTCOMES[kind] | {"review"}


def test_a_cluster_needs_ledgers_and_endpoints_that_it_reaches(
    fleet: Fleet, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ledgers a worker's death would ask twice; and the workers of another machine cannot ask this one's."""
    from probe_match.fingerprinting import backends

    monkeypatch.setattr(backends, "is_cluster", lambda: True)
    code, _, said = run()

    assert (code, "expected a --ledger folder" in said) == (2, True)
    monkeypatch.setattr(backends, "is_here", lambda: False)
    code, _, said = run("--ledger", tmp_path / "far")

    assert (code, "is on this machine, where a cluster's workers are not" in said) == (2, True)
    assert sum(map(Counter.total, fleet.asked.values())) == 0


def test_a_dry_run_asks_nothing(fleet: Fleet, run: Run) -> None:
    """The most that would be asked is said, and no server is."""
    code, out, _ = run("--dry-run")

    assert code == 0
    assert out.splitlines()[-1] == "all: at most 300 questions, against 2 known models"
    assert sum(map(Counter.total, fleet.asked.values())) == 0


def test_a_foreign_host_without_leave_ends_the_audit_before_it_begins(fleet: Fleet, run: Run) -> None:
    """One clear line, exit code 2, and not even the endpoints of this machine are asked."""
    with fleet.settings.open("a") as file:
        file.write('\n[[endpoint]]\nname = "far"\ntarget = "openai:https://api.example.com/v1#m"\nbudget = 10\n')
    code, out, err = run()

    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "api.example.com is not this machine, and there is no" in err
    assert sum(map(Counter.total, fleet.asked.values())) == 0


def test_a_slow_endpoint_ends_by_its_own_limit(fleet: Fleet, run: Run, tmp_path: Path) -> None:
    """Who answers after the time-out costs a little time and is left to a person."""
    told: dict[str, Any] = {}
    with audit_fleet.fleet(fleet.db.parent, ["slow"], 0, names=("open", "research"), slow=0.6, timeout=0.2):
        begun = time.monotonic()
        code, _, _ = run("--json", tmp_path / "slow.json")
        told = json.loads((tmp_path / "slow.json").read_text())

    assert code == 3
    assert time.monotonic() - begun < 10
    assert told["endpoints"][0]["outcome"] == "review"


def test_audits_help_names_its_exit_codes() -> None:
    """The command is listed, and its help says what each exit code means."""
    words = [sys.executable, "-c", "from probe_match.fingerprinting.cli import main; main()", "audit", "--help"]
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout

    assert "0: compliant; 1: violation" in " ".join(out.split())
