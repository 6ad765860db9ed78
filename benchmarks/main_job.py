"""
What the main job must reach, measured: thieves found and honest models accused over seeds, time, memory, start-up.

    python benchmarks/main_job.py [--seeds 20] [--output benchmarks/main_job.json]

Each demonstration is a process of its own, as a user starts it. Times depend on the machine; compare ratios.
"""

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from probe_match.clients import function
from probe_match.fingerprinting import matching
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.enrolment import enroll
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.records import About
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from tqdm import tqdm

COMMAND = [sys.executable, "-c", "from probe_match.fingerprinting.cli import main; main()"]


def demonstrations(seeds: int) -> dict[str, Any]:
    """Run `probe-match demo` for seeds 0, 1, …; count what was found and who was accused."""
    found = accused = honest = 0
    seconds, questions, missed = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in tqdm(range(seeds), desc="demo", disable=not sys.stderr.isatty()):
            out = Path(folder) / "out.json"
            started = time.perf_counter()
            subprocess.run([*COMMAND, "demo", "-q", "--seed", str(seed), "--json", str(out)], check=False)
            seconds.append(time.perf_counter() - started)
            for endpoint in json.loads(out.read_text())["endpoints"]:
                matched = endpoint["verdict"]["decision"] == "match"
                if endpoint["role"] == "thief":
                    found += matched
                    questions.append(endpoint["verdict"]["queries"]["sent"])
                    missed += [] if matched else [seed]
                else:
                    honest += 1
                    accused += matched
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)
    return {
        "seeds": seeds,
        "thieves_found": found,
        "missed_seeds": missed,
        "honest_models": honest,
        "honest_accused": accused,
        "mean_questions_to_thief": float(np.mean(questions)),
        "seconds_median": float(np.median(seconds)),
        "seconds_max": max(seconds),
        "largest_process_mib": round(peak),
    }


def start_up(runs: int = 15) -> dict[str, float]:
    """Seconds of `probe-match --help` over a bare interpreter, best of several."""

    def best(command: list[str]) -> float:
        times = []
        for _ in range(runs):
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times.append(time.perf_counter() - started)
        return min(times)

    bare, ours = best([sys.executable, "-c", "pass"]), best([*COMMAND, "--help"])
    return {"bare_python": bare, "help": ours, "difference": ours - bare}


def match_many(references: int = 1000) -> dict[str, float]:
    """Seconds of one match against many stored references of one input, client calls included."""
    x, y = make_classification(3000, 20, n_informative=10, n_classes=4, flip_y=0.05, random_state=0)
    x = x.astype(np.float32)
    source = RandomForestClassifier(20, random_state=0).fit(x[:1000], y[:1000])
    enrolled = enroll(
        function.wrap(source.predict), make_pool(x[1000:], y[1000:]), name="r", about=About(), generators={}
    )
    answers = enrolled.reference.public
    assert answers is not None
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder, open_db(Path(folder) / "many.db", create=True) as db:
        db.set_public_suite(enrolled.public)
        for i in tqdm(range(references), desc="references", disable=not sys.stderr.isatty()):
            labels = np.where(
                rng.random(answers.labels.shape) < 0.4, rng.integers(0, 4, answers.labels.shape), answers.labels
            )
            other = dataclasses.replace(answers, labels=labels)
            db.add(dataclasses.replace(enrolled.reference, name=f"r{i:04}", public=other))
        stranger = RandomForestClassifier(20, random_state=1).fit(x[1000:2000], y[1000:2000])
        times = []
        for _ in range(5):
            started = time.perf_counter()
            matching.match(function.wrap(stranger.predict), db)
            times.append(time.perf_counter() - started)
    return {"references": references, "first_seconds": times[0], "median_seconds": float(np.median(times))}


def main() -> None:
    """Measure all, print it, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    figures = {
        "processors": os.cpu_count(),
        "demo": demonstrations(options.seeds),
        "start_up_seconds": start_up(),
        "match": match_many(),
    }
    text = json.dumps(figures, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
