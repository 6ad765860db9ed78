"""
How long the console's pages take with 10,000 references, 10,000 jobs and 100 watches, over real HTTP on loopback.

Every page is asked for by one browser after the other, and the time is that from the request's last byte to the
answer's first, so that it is the server's own and a little of the machine's. What follows a change of the database is
timed apart: the first page then reads all headers anew.

    python benchmarks/console.py --references 10000 --output benchmarks/console.json
"""

import argparse
import contextlib
import json
import os
import platform
import sqlite3
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import requests
from probe_match.fingerprinting import schema, storage, storing
from probe_match.fingerprinting.chat.changing import RoundP
from probe_match.fingerprinting.chat.history import History
from probe_match.fingerprinting.chat.records import Bank, Question
from probe_match.fingerprinting.chat.sentinels import Plan
from probe_match.fingerprinting.console.config import Config
from probe_match.fingerprinting.console.jobs import Jobs
from probe_match.fingerprinting.console.serving import serving
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.oip_server import serve
from probe_match.fingerprinting.records import About, InputSpec, Panel, ProbeSuite, Reference, Responses

FEATURES: Final = 6
PROBES: Final = 40
TARGET: Final = "oip:http://127.0.0.1:9/v2/models/m"
LICENCES: Final = ("Apache-2.0", "MIT", "CC-BY-NC-4.0", "LicenseRef-scancode-llama-3.3-license-2024")


def model(seed: int) -> Any:
    """A classifier of float32 (m, FEATURES)."""
    weights = np.random.default_rng(seed).normal(size=(FEATURES, 4))
    return lambda x: np.asarray((np.tanh(2 * x) @ weights).argmax(1))


def reference(rng: np.random.Generator) -> Reference:
    """One with a panel of its own."""
    x = rng.normal(size=(PROBES, FEATURES)).astype(np.float32)
    spec = InputSpec("tabular", (FEATURES,), (-10.0,) * FEATURES, (10.0,) * FEATURES)
    suite = ProbeSuite("bench", "uniform", 0, spec, x, ("uniform",) * PROBES, np.ones(PROBES), None)
    labels = model(1)(x)
    answers = Responses(suite.digest, "bench", "label", labels[:, None], None, np.zeros(PROBES, np.float32), PROBES)
    others = np.array([model(100 + i)(x) for i in range(36)] + [labels] * 4, np.int16)
    names, roles = tuple(f"model {i}" for i in range(40)), ("peer",) * 36 + ("shadow",) * 4
    uses = ("estimate",) * 12 + ("calibrate",) * 24 + ("estimate",) * 4
    return Reference("bench", About(), suite, answers, Panel(names, roles, uses, others))


def fill(folder: Path, references: int, watches: int) -> None:
    """The database and the history."""
    rng = np.random.default_rng(0)
    plain = reference(rng)
    with open_db(folder / "known.db", create=True) as db:
        suite = storage.to_bytes(plain.suite)
        with db.store.transaction(write=True) as connection:  # one for all: thousands take a while to reach the disk
            for i in range(references):
                parent = f"family-{i // 10:05}/model-0" if i % 10 else None
                about = About(license=LICENCES[i % 4], parent=parent, source=f"https://example.org/{i}")
                one = replace(plain, name=f"family-{i // 10:05}/model-{i % 10}", about=about)
                rows = [schema.body_row(one), *schema.derived_rows(one)]
                storing.add_rows(db.name, connection, rows, plain.suite.digest, suite, replace=False)
    history = History(folder / "watch.db")
    for i in range(watches):
        bank = Bank("b", tuple(Question(f"c{j}", "word", f"Say a word, {j}.", "word") for j in range(30)))
        watch = history.begin(f"openai:http://127.0.0.1:9/v1#m{i}", bank, Plan(), 5, 0)
        for _ in range(30):
            history.end(history.open_round(watch, "round"), RoundP(float(rng.uniform())))
    history.close()


def fill_jobs(folder: Path, jobs: int) -> None:
    """As many jobs of a console that were never done."""
    Jobs(folder / "console.db").close()
    asked, now = json.dumps({"endpoint": [{"name": "target", "target": TARGET}]}), time.time()
    with contextlib.closing(sqlite3.connect(folder / "console.db")) as db, db:
        db.executemany(
            "INSERT INTO jobs (id, kind, title, asked, state, begun, ended, answered, outcome, why, leave, granted) "
            "VALUES (?, 'match', ?, ?, 'failed', ?, ?, 0, '', 'nobody there', '', 0)",
            [(f"{i:016x}", f"{TARGET}{i}", asked, now, now) for i in range(jobs)],
        )


def timed(session: requests.Session, address: str, times: int) -> dict[str, float]:
    """Milliseconds: median, 95th percentile and largest of so many requests, and how large the page is."""
    taken, size = [], 0
    for _ in range(times):
        answer = session.get(address, timeout=30)
        assert answer.status_code == 200, answer.text[:200]
        taken.append(answer.elapsed.total_seconds() * 1000)
        size = len(answer.content)
    median, high = np.percentile(taken, [50, 95])

    return {"median_ms": round(float(median), 1), "p95_ms": round(float(high), 1), "max_ms": round(max(taken), 1),
            "bytes": size}  # fmt: skip


def measure(folder: Path, references: int, jobs: int, times: int) -> dict[str, Any]:
    """All pages, and the first after a change."""
    config = Config(
        str(folder / "known.db"), folder / "console", folder / "watch.db", folder / "authorization.toml", port=0
    )
    if not (folder / "console").exists():
        fill_jobs(folder / "console", jobs)
    begun = time.monotonic()
    with serving(config) as (url, _), serve({"m": model(1)}, (FEATURES,)) as endpoint:
        up = time.monotonic() - begun
        target = f"oip:{endpoint}/v2/models/m"
        asked = {"match": {"target": target, "references": ["family-00000/model-0"]}}
        job = requests.post(f"{url}/api/v1/jobs", json=asked, timeout=30).json()
        while requests.get(f"{url}/api/v1/jobs/{job['id']}", timeout=30).json()["state"] in ("waiting", "running"):
            time.sleep(0.05)
        middle, last = f"family-{references // 25:05}/model-0", references // 50
        pages = {
            "references": "/references", "references, last page": f"/references?page={last}",
            "references, many found": "/references?search=apache",
            "references, one found": f"/references?search={middle}",
            "references, none found": "/references?search=nothing+like+it",
            "reference": f"/reference?name={middle}", "start": "/start", "jobs": "/jobs",
            "jobs, last page": f"/jobs?page={max(1, jobs // 50)}", "verdict with answers": f"/jobs/{job['id']}",
            "watches": "/watches", "API, references": "/api/v1/references?per_page=200",
            "API, jobs": "/api/v1/jobs?per_page=200",
        }  # fmt: skip
        session = requests.Session()
        for path in pages.values():  # templates are read once
            session.get(url + path, timeout=30)
        found = {name: timed(session, url + path, times) for name, path in pages.items()}
        changed = []
        for i in range(5):
            with open_db(folder / "known.db") as db:
                db.add(replace(reference(np.random.default_rng(i)), name=f"new-{os.getpid()}-{i}"))
            changed.append(timed(session, f"{url}/references", 1)["max_ms"])

    return {"seconds_to_start": round(up, 2), "pages": found, "first_page_after_a_change_ms": changed}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--watches", type=int, default=100)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--folder", help="Use and keep what was made there.")
    parser.add_argument("--output", default="benchmarks/console.json")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(words.folder or made)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "known.db").exists():
            fill(folder, words.references, words.watches)
        told = measure(folder, words.references, words.jobs, words.times)
    size = {"references": words.references, "jobs": words.jobs, "watches": words.watches, "times": words.times}
    slowest = max(told["pages"].items(), key=lambda item: item[1]["p95_ms"])
    load = round(os.getloadavg()[0], 1)  # of the machine, which may be doing other things
    told = {
        "machine": platform.processor() or platform.machine(),
        "load": load,
        **size,
        "slowest_p95": slowest[0],
        **told,
    }
    Path(words.output).write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
