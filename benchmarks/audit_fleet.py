"""
An audit of a seeded fleet of loopback endpoints, and whether it says of each what is true.

Four models are owned: two under licences that the policy denies, one with an ancestor under such a licence, one under a
permissive licence. Endpoints serve them honestly, serve copies, serve fine-tuned ones, serve models of nobody's, lie
about the name, answer too slowly, or are dead. Then the audit is killed and resumed: no server may be sent a query
twice.

    python benchmarks/audit_fleet.py --endpoints 40 --seeds 1,2,3 --output benchmarks/audit.json
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from probe_match.clients import sklearn
from probe_match.fingerprinting import enrolment, registry
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.keying import input_keys
from probe_match.fingerprinting.ledger import read_ledger
from probe_match.fingerprinting.oip_server import serve
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.records import About
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

FEATURES: Final = 16
CLASSES: Final = 6
KINDS: Final = ("honest", "copied", "fine-tuned", "unknown", "dead", "slow", "lying")
# These must be found or left to a person; no other may come out as a violation.
TRUE: Final = {"copied", "fine-tuned", "lying"}
OWNED: Final = {
    "open": ("Apache-2.0", None),
    "closed": ("LicenseRef-owner-proprietary", None),
    "research": ("CC-BY-NC-4.0", None),
    "tuned": ("MIT", "research"),
}
POLICY: Final = """seed = {seed}

[policy]
owner = "benchmark"
allow = ["Apache-2.0", "MIT"]
deny = ["category:non-commercial", "LicenseRef-owner-proprietary"]
"""


@dataclass(frozen=True)
class Fleet:
    """kinds: by endpoint. settings, db: files. asked: by endpoint, how often each input came to its server."""

    kinds: dict[str, str]
    settings: Path
    db: Path
    asked: dict[str, Counter[bytes]]


class Watched:
    """A model that counts what it is asked. slow: seconds before each answer."""

    def __init__(self, model: Any, asked: Counter[bytes], slow: float = 0.0) -> None:
        self.model, self.asked, self.slow = model, asked, slow
        self.lock = threading.Lock()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Class scores."""
        with self.lock:
            self.asked.update(row.tobytes() for row in np.ascontiguousarray(x, np.float32))
        time.sleep(self.slow)
        return np.asarray(self.model.predict_proba(x))


def world(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 (1800, 16) and int64 (1800,): 600 rows are the owners', 600 the thieves', 600 other people's."""
    x, y = make_classification(
        1800, FEATURES, n_informative=14, n_redundant=2, n_classes=CLASSES, flip_y=0.05, random_state=seed
    )
    return x.astype(np.float32), y.astype(np.int64)


def known_models(seed: int, names: Sequence[str]) -> dict[str, Any]:
    """The owned models; each has learnt two thirds of the owners' rows, another two thirds each."""
    x, y = world(seed)
    made = {}
    for i, name in enumerate(names):
        rows = np.random.default_rng([seed, i]).permutation(600)[:400]
        made[name] = RandomForestClassifier(40, random_state=1000 * seed + i).fit(x[rows], y[rows])
    return made


def enrol(db: Path, models: Mapping[str, Any], seed: int, *, peers: int, shadows: int) -> None:
    """The owned models as references, with licences and lineage."""
    x, y = world(seed)
    pool = make_pool(x[:600], y[:600])
    with open_db(db, create=True) as references:
        for name, model in models.items():
            licence, parent = OWNED[name]
            public = references.public_suite(pool.spec)
            enrolled = enrolment.enroll(
                sklearn.wrap(model), pool, name=name, about=About(license=licence, parent=parent), log=x[600:1200],
                generators={"midpoints": registry.load("probes", "midpoints").generate},
                public=public, peers=peers, shadows=shadows, seed=seed,
            )  # fmt: skip
            if public is None:
                references.set_public_suite(enrolled.public)
            references.add(enrolled.reference)


def suspect(kind: str, number: int, models: Mapping[str, Any], seed: int) -> tuple[Any, str, str]:
    """The model behind an endpoint, the licence its operator declares, and the model he says it is."""
    x, y = world(seed)
    rng = np.random.default_rng([seed, 7, number])
    owned = [name for name in models if name != "open"]
    if kind in ("unknown", "slow", "dead"):  # honestly made, of other people's rows
        rows = 1200 + rng.permutation(600)[:400]
        learner = (RandomForestClassifier, ExtraTreesClassifier)[number % 2](30, random_state=number)
        return learner.fit(x[rows], y[rows]), "MIT", ""
    if kind == "honest":
        return models["open"], "Apache-2.0", "open"
    source = models[owned[number % len(owned)]]
    if kind == "lying":
        return source, "Apache-2.0", "open"
    rows = 600 + rng.permutation(600)[: 600 if kind == "copied" else 500]
    stolen = source.predict(x[rows])
    if kind == "copied":  # learnt from the source's answers
        return ExtraTreesClassifier(30, min_samples_leaf=2, random_state=number).fit(x[rows], stolen), "Apache-2.0", ""
    tuned = RandomForestClassifier(10, warm_start=True, random_state=number).fit(x[rows[:200]], y[rows[:200]])
    return _Grown(source, tuned), "MIT", ""


class _Grown:
    """A forest grown further on other rows: the source's trees and some more."""

    def __init__(self, source: Any, more: Any) -> None:
        self.source, self.more = source, more

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """The mean over all trees, 40 and 10."""
        return 0.8 * self.source.predict_proba(x) + 0.2 * self.more.predict_proba(x)


@contextlib.contextmanager
def fleet(
    folder: Path, kinds: Sequence[str], seed: int, *, names: Sequence[str] = tuple(OWNED), peers: int = 100,
    shadows: int = 16, slow: float = 3.0, timeout: float = 2.0,
) -> Iterator[Fleet]:  # fmt: skip
    """Servers, database and settings of one endpoint a kind given. slow: seconds; above `timeout`, none is answered."""
    models = known_models(seed, names)
    db = folder / "known.db"
    if not db.exists():
        enrol(db, models, seed, peers=peers, shadows=shadows)
    asked: dict[str, Counter[bytes]] = {}
    served, told = {}, [POLICY.format(seed=seed)]
    named = {}
    for i, kind in enumerate(kinds):
        name = f"{kind}-{i}"
        named[name] = kind
        asked[name] = Counter()
        model, licence, claim = suspect(kind, i, models, seed)
        served[name] = Watched(model, asked[name], slow if kind == "slow" else 0.0), licence, claim
    with serve({name: one[0] for name, one in served.items() if named[name] != "dead"}, (FEATURES,)) as url:
        for name, (_, licence, claim) in served.items():
            site = "http://127.0.0.1:9" if named[name] == "dead" else url
            told.append(
                f'[[endpoint]]\nname = "{name}"\ntarget = "oip:{site}/v2/models/{name}"\ndeclared = "{licence}"\n'
                f'model = "{claim}"\ntimeout = {timeout}\nmax_seconds = 20\n'
            )
        settings = folder / "audit.toml"
        settings.write_text("\n".join(told), encoding="utf-8")
        for counts in asked.values():
            counts.clear()  # the server's own look at what a model gives
        yield Fleet(named, settings, db, asked)


def run(fleet_: Fleet, ledgers: Path, out: Path, *, jobs: int = 4, kill_after: int | None = None) -> int:
    """
    The audit as a user runs it, in a process of its own; its exit code. kill_after: rows that the servers have seen,
    after which it is killed.
    """
    command = [
        sys.executable, "-c", "from probe_match.fingerprinting.cli import main; main()", "audit",
        str(fleet_.settings), "--db", str(fleet_.db),
        "--ledger", str(ledgers), "--json", str(out), "--jobs", str(jobs), "-q",
    ]  # fmt: skip
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    while kill_after is not None and process.poll() is None:
        if sum(map(Counter.total, list(fleet_.asked.values()))) >= kill_after:
            process.send_signal(signal.SIGKILL)
        time.sleep(0.01)

    return process.wait(timeout=590)


def repeated(made: Fleet, ledgers: Path) -> int:
    """
    Rows that servers were sent again: of each input, as often as it came beyond how often the audit meant to ask it.

    An input may be meant twice: to see whether one model answers, some are asked anew.
    """
    again = 0
    for name, counts in made.asked.items():
        path = ledgers / f"{name}.ledger"
        if not counts or not path.exists():
            continue
        meant: dict[str, set[int]] = {}
        with read_ledger(path) as ledger:
            for entry in ledger.entries():
                if entry.kind == "sent":
                    about = json.loads(entry.about)
                    for key, nth in zip(about["keys"], about["nth"], strict=True):
                        meant.setdefault(key, set()).add(nth)
        rows = np.stack([np.frombuffer(row, np.float32) for row in counts])
        for key, times in zip(input_keys(rows), counts.values(), strict=True):
            again += max(0, times - len(meant.get(key, ())))

    return again


def judged(report: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    """False violations, true ones found, left to a person and missed, with the outcomes by kind."""
    outcome = {one["name"]: one["outcome"] for one in report["endpoints"]}
    table: dict[str, Counter[str]] = {}
    for name, kind in kinds.items():
        table.setdefault(kind, Counter())[outcome[name]] += 1
    return {
        "by_kind": {kind: dict(counts) for kind, counts in sorted(table.items())},
        "false_violations": sum(outcome[n] == "violation" and kind not in TRUE for n, kind in kinds.items()),
        "found": sum(outcome[n] == "violation" and kind in TRUE for n, kind in kinds.items()),
        "in_review": sum(outcome[n] == "review" and kind in TRUE for n, kind in kinds.items()),
        "missed": sum(outcome[n] == "compliant" and kind in TRUE for n, kind in kinds.items()),
    }


def measured(folder: Path, endpoints: int, seed: int, kill_after: int) -> dict[str, Any]:
    """One audit left alone and one killed and resumed, against the truth. folder: keeps the database."""
    kinds = [KINDS[i % len(KINDS)] for i in range(endpoints)]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary, fleet(folder, kinds, seed) as made:
        work = Path(temporary)
        enrolled = time.monotonic() - begun
        begun = time.monotonic()
        code = run(made, work / "whole", work / "whole.json")
        seconds = time.monotonic() - begun
        whole = json.loads((work / "whole.json").read_text())
        alone = {name: Counter(counts) for name, counts in made.asked.items()}
        for counts in made.asked.values():
            counts.clear()
        killed = run(made, work / "cut", work / "cut.json", kill_after=kill_after)
        before = sum(map(Counter.total, made.asked.values()))
        resumed = run(made, work / "cut", work / "cut.json")
        cut = json.loads((work / "cut.json").read_text())
        again = repeated(made, work / "cut")
    outcomes = [[one["outcome"] for one in report["endpoints"]] for report in (whole, cut)]

    return {
        "endpoints": endpoints, "seed": seed, "setup_seconds": round(enrolled, 1),
        "audit_seconds": round(seconds, 1), "questions": sum(map(Counter.total, alone.values())), "exit": code,
        **judged(whole, made.kinds),
        "killed": {
            "exit": killed, "questions_before": before, "resumed_exit": resumed,
            "questions_in_all": sum(map(Counter.total, made.asked.values())),
            "repeated": again,
            "same_outcomes": outcomes[0] == outcomes[1],
            **{key: value for key, value in judged(cut, made.kinds).items() if key != "by_kind"},
        },
    }  # fmt: skip


def main() -> None:
    """Run and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().split("\n")[0])
    parser.add_argument("--endpoints", type=int, default=40)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--kill-after", type=int, default=500, help="questions")
    parser.add_argument("--folder", type=Path, help="keep the databases here and use them again")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/audit.json"))
    given = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory() as temporary:
        for seed in map(int, given.seeds.split(",")):
            folder = (given.folder or Path(temporary)) / str(seed)
            folder.mkdir(parents=True, exist_ok=True)
            runs.append(measured(folder, given.endpoints, seed, given.kill_after))
            print(json.dumps(runs[-1]))
    given.output.write_text(json.dumps({"runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
