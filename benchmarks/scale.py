"""
What large and shared databases cost, measured part by part; a part that is in the output already is not run again.

    python benchmarks/scale.py [--output benchmarks/scale.json] [--parts search match writers corruption]

Times are the least of several runs, wall clock and processor seconds; on a busy machine the latter say more.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from probe_match.fingerprinting import changes, cohort, packing, schema, searching, storage, storing
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.records import About, InputSpec, ProbeSuite, Reference, Responses

ROOT = Path(__file__).parents[1]
PROBES, CLASSES, SEED = 64, 10, 0
SUITE = ProbeSuite(
    "public", "uniform", SEED, InputSpec("tabular", (8,)),
    np.random.default_rng(SEED).random((PROBES, 8)).astype(np.float32), ("uniform",) * PROBES, np.ones(PROBES), None,
)  # fmt: skip


def answers(m: int, seed: int = SEED) -> np.ndarray:
    """uint8 (probes, m): models of one task, each right in half of its answers."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, PROBES, dtype=np.uint8)
    rows = np.empty((PROBES, m), np.uint8)
    for i in range(PROBES):
        noise = rng.integers(0, CLASSES, m, dtype=np.uint8)
        rows[i] = np.where(rng.random(m, np.float32) < 0.5, noise, truth[i])
    return rows


def least(work: Callable[[], Any], runs: int = 9) -> dict[str, float]:
    """Milliseconds, wall clock and processor, of the quickest run each; the first, cold run does not count."""
    work()
    wall, cpu = [], []
    for _ in range(runs):
        started, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - used)
    return {"wall_ms": round(1e3 * min(wall), 3), "wall_median_ms": round(1e3 * sorted(wall)[runs // 2], 3),
            "cpu_ms": round(1e3 * min(cpu), 3)}  # fmt: skip


def over(work: Callable[[], Any], other: Callable[[], Any], runs: int = 41) -> dict[str, float]:
    """How much longer one takes than another, run in turns, so that whatever else the machine does befalls both."""
    spent = np.empty((2, 2, runs))
    for i in range(runs):
        for j, one in enumerate((work, other)):
            started, used = time.perf_counter(), time.process_time()
            one()
            spent[:, j, i] = time.perf_counter() - started, time.process_time() - used
    least_, median = spent.min(2), np.median(spent, axis=2)
    return {
        f"{clock}_{what}": round(float(values[at, 0] / values[at, 1]), 2)
        for at, clock in enumerate(("wall", "cpu"))
        for what, values in (("least", least_), ("median", median))
    }


def search() -> dict[str, Any]:
    """Exact search at 10^3 to 10^6 references, against reading the same bytes with numpy, and the memory it takes."""
    rows_ = []
    for m in (1_000, 10_000, 100_000, 1_000_000):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.npy"
            np.save(path, answers(m))
            rows_.append(searched(m, path))
    return {"probes": PROBES, "classes": CLASSES, "sizes": rows_}


def searched(m: int, path: Path) -> dict[str, Any]:
    """One size, its packed answers mapped from a file."""
    mapped = np.load(path, mmap_mode="r")
    packed = packing.counted(mapped, CLASSES)
    rng = np.random.default_rng(1)
    suspect = np.where(rng.random(PROBES) < 0.15, rng.integers(0, CLASSES, PROBES), mapped[:, m // 3]).astype(np.int64)
    stranger, names = rng.integers(0, CLASSES, PROBES), [str(i) for i in range(m)]
    found = {
        "references": m,
        "packed_bytes": mapped.nbytes,
        "nearest_100": least(lambda: searching.nearest(packed, suspect, 100)),
        "nearest_100_of_a_stranger": least(lambda: searching.nearest(packed, stranger, 100)),
        "evidence": least(lambda: searching.compare(suspect, packed, names)),
        "numpy_fromfile": least(lambda: np.fromfile(path, np.uint8)),
        "numpy_sum": least(lambda: mapped.sum()),
        "numpy_copy": least(lambda: np.array(mapped)),
        "numpy_max": least(lambda: mapped.max()),
        "source_first": int(searching.nearest(packed, suspect, 1)[0]) == m // 3,
    }
    if m == 100_000:
        found["recall_at_10_of_20_suspects"] = recall(packed)
    if m == 1_000_000:
        buffer = np.empty(path.stat().st_size, np.uint8)
        reads: dict[str, Callable[[], Any]] = {
            "fromfile": lambda: np.fromfile(path, np.uint8), "load": lambda: np.load(path),
            "copy": lambda: np.array(mapped), "sum": mapped.sum, "max": mapped.max,
            "read_into_an_array_at_hand": lambda: path.open("rb", buffering=0).readinto(buffer),
        }  # fmt: skip
        for name, suspects in (("copy", suspect), ("stranger", stranger)):
            found[f"search_of_a_{name}_over"] = {
                read: over(partial(searching.nearest, packed, suspects, 100), work) for read, work in reads.items()
            }
        found["memory_over_packed"] = memory(path)
    return found


MEASURE = """
import sys
from pathlib import Path
import numpy as np
from probe_match.fingerprinting import packing, searching
rows = np.load(sys.argv[1], mmap_mode="r")
suspect = np.arange(rows.shape[0]) % 10
small = packing.pack(np.zeros((10, rows.shape[0]), int))
searching.nearest(small, np.zeros(rows.shape[0], int), 5)
def most():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
before = most()
counts = np.ones((rows.shape[0], 10), np.int64) * rows.shape[1] // 10
packed = packing.Packed(rows, counts, np.zeros(rows.shape[1], np.uint16))
searching.nearest(packed, suspect, 100)
print((most() - before) / rows.nbytes)
"""


def memory(path: Path) -> float:
    """What a search adds to the most memory a process has held, the mapped file included, over the packed size."""
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], check=True, capture_output=True, text=True)
    return float(done.stdout)


def recall(packed: packing.Packed, suspects: int = 20) -> float:
    """Share of the true ten nearest, by the definition in float64, that the search gives."""
    every = packed.labels(np.arange(packed.rows.shape[1]))
    hits = 0
    for seed in range(suspects):
        rng = np.random.default_rng([2, seed])
        suspect = np.where(rng.random(PROBES) < 0.3, rng.integers(0, CLASSES, PROBES), every[rng.integers(len(every))])
        counts = packed.counts + np.eye(CLASSES)[suspect]
        rarity = (counts + 2 / CLASSES) / (counts.sum(1, keepdims=True) + 2)
        exact = cohort.ratio(suspect[None], every, rarity)[0]
        best = set(np.argsort(-exact, kind="stable")[:10].tolist())
        hits += len(best & set(searching.nearest(packed, suspect, 10).tolist()))
    return hits / (10 * suspects)


def fill(path: str, m: int) -> None:
    """A database of m references that answered the public suite."""
    rows = answers(m)
    data = storage.to_bytes(SUITE)
    with open_db(path, create=True) as db:
        db.set_public_suite(SUITE)
        with db.store.transaction(write=True) as connection:
            for i in range(m):
                reference = answered(f"r{i:07}", rows[:, i])
                kept = [schema.body_row(reference), *schema.derived_rows(reference)]
                storing.add_rows(path, connection, kept, SUITE.digest, data)


def answered(name: str, labels: np.ndarray) -> Reference:
    """A reference that answered the public suite and nothing else."""
    labels = labels.astype(np.int64)[:, None]
    given = Responses(SUITE.digest, "function:m", "label", labels, None, np.zeros(PROBES, np.float32), PROBES)
    return Reference(name, About(), SUITE, given, None, given)


TARGET = """
import numpy as np
def model(x):
    return (np.asarray(x).sum(1) * 7).astype(int) % 10
"""


def match(m: int = 10_000) -> dict[str, Any]:
    """`match` as a user starts it: the first time, when the answers are packed, and later; and --help."""
    command = [sys.executable, "-c", "from probe_match.fingerprinting.cli import main; main()"]
    with tempfile.TemporaryDirectory() as folder:
        fill(f"{folder}/many.db", m)
        Path(folder, "standin.py").write_text(TARGET)
        asked = [*command, "match", "function:standin:model", "--db", "many.db", "-q"]
        times = [timed(asked, folder) for _ in range(8)]
        bare = [timed([sys.executable, "-c", "pass"], folder) for _ in range(8)]
        help_ = [timed([*command, "--help"], folder) for _ in range(8)]
    return {
        "references": m,
        "first": times[0],
        "later": {key: min(one[key] for one in times[1:]) for key in times[0]},
        "bare_python": {key: min(one[key] for one in bare) for key in bare[0]},
        "help": {key: min(one[key] for one in help_) for key in help_[0]},
    }


def timed(command: list[str], folder: str) -> dict[str, float]:
    """Seconds of a process from its start, wall clock and processor."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": folder})  # fmt: skip
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode == 2:
        raise RuntimeError(done.stderr)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"wall_s": round(wall, 3), "cpu_s": round(cpu, 3)}


def insert_many(url: str, writer: int, each: int) -> None:
    """One writer: so many references, each a transaction of its own."""
    labels = answers(each, writer)
    with open_db(url) as db:
        for i in range(each):
            db.add(answered(f"w{writer}-{i:05}", labels[:, i]))


def writers(number: int = 8, each: int = 5000) -> dict[str, Any]:
    """Eight processes that insert at once, on both engines: what is lost, doubled or out of the chain."""
    sys.path.insert(0, str(ROOT / "tests"))
    import postgres

    with tempfile.TemporaryDirectory() as folder, postgres.server() as server:
        urls = {"sqlite": f"{folder}/w.db", "postgresql": postgres.new_database(server, "writers")}
        return {engine: write_at_once(url, number, each) for engine, url in urls.items()}


def write_at_once(url: str, number: int, each: int) -> dict[str, Any]:
    """Run the writers and count."""
    open_db(url, create=True).close()
    started = time.perf_counter()
    processes = [
        multiprocessing.get_context("spawn").Process(target=insert_many, args=(url, writer, each))
        for writer in range(number)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    seconds = time.perf_counter() - started
    wanted = {f"w{writer}-{i:05}" for writer in range(number) for i in range(each)}
    with open_db(url) as db, db.store.transaction() as connection:
        names = db.names()
        state, last, broken = changes.replay(connection)
        problems = changes.problems(connection)
    return {
        "writers": number,
        "each": each,
        "failed_processes": sum(process.exitcode != 0 for process in processes),
        "lost": len(wanted - set(names)),
        "doubled": len(names) - len(set(names)),
        "logged": 0 if last is None else last.seq,
        "chain": broken or "whole",
        "problems": len(problems) + len(wanted ^ {key for _, key in state}),
        "inserts_per_second": round(number * each / seconds, 1),
    }


def corruption(times: int = 500) -> dict[str, Any]:
    """Random changes of the contents behind the database's back, one at a time: how many db verify tells."""
    sys.path.insert(0, str(ROOT / "tests"))
    import test_team

    rng, missed = random.Random(SEED), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.db"
        test_team.fill(str(path)).close()
        whole = path.read_bytes()
        for _ in range(times):
            path.write_bytes(whole)
            what = test_team.corrupt(path, rng)
            with open_db(path, read_only=True) as db:
                if not db.verify():
                    missed.append(what)
    return {"injected": times, "found": times - len(missed), "missed": missed}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "search": search, "match": match, "writers": writers, "corruption": corruption,
}  # fmt: skip


def plot(figures: dict[str, Any], path: Path) -> None:
    """Milliseconds of a search by the number of references."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sizes = figures["search"]["sizes"]
    m = [entry["references"] for entry in sizes]
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for key, title in (
        ("nearest_100", "exact search"),
        ("numpy_fromfile", "numpy.fromfile"),
        ("numpy_max", "numpy.max"),
    ):
        axes.loglog(m, [entry[key]["wall_ms"] for entry in sizes], "o-", label=title)
    axes.loglog(m, [sizes[-1]["nearest_100"]["wall_ms"] * one / m[-1] for one in m], ":", color="grey", label="linear")
    axes.set(xlabel="references, 64 answers each", ylabel="milliseconds a suspect")
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure what is not measured yet, write it after each part, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "scale.json")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    figures = json.loads(options.output.read_text()) if options.output.exists() else {"processors": os.cpu_count()}
    for part in options.parts:
        if part not in figures:
            figures[part] = PARTS[part]()
            options.output.write_text(json.dumps(figures, indent=1) + "\n")
            print(part, json.dumps(figures[part], indent=1), flush=True)
    if "search" in figures:
        plot(figures, options.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
