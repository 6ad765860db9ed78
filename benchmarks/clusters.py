"""
What a cluster costs over one process, in enrolling a zoo of sixty models as `bench` does: on Dask and on Ray.

    python benchmarks/clusters.py [--output benchmarks/clusters.json] [--models 60] [--rounds 1] [--clusters dask ray]

Each cluster is three workers on this machine, started by its own commands. The models are enrolled in rounds, each
round here and on the clusters in turn, so that whatever else the machine does befalls all. Seconds are of all
processors and all processes that take part: caller, scheduler, workers and those that watch them. Where cores are the
limit their sum over that of one process is what a cluster costs; seconds by the clock stand beside it. Three plain
processes, each with a third of the models and no cluster, show what of it is the price of sharing cores and caches.
"""

import argparse
import contextlib
import importlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from probe_match.fingerprinting import backends, storage, targets
from probe_match.fingerprinting.bench.subjects import Settings, enroll_sources
from probe_match.fingerprinting.bench.zoo import Zoo, read_zoo
from probe_match.fingerprinting.enrolment import GENERATORS

ROOT: Final = Path(__file__).parents[1]
TASK: Final = "noisy3"
PEERS, SHADOWS = 40, 8  # five seconds a model; `enroll` trains six times as many, and takes as much longer
WORKERS: Final = 3
PORTS: Final = {"dask": 28786, "ray": 26399, "ray client": 23099}
BIN: Final = Path(sys.executable).parent


@dataclass
class Spent:
    """Seconds of one round, by the clock and of all processors, and what share of the latter each process took."""

    where: str
    models: int
    wall_s: float
    processor_s: float
    by_process: dict[str, float]
    digests: list[str]


class Meter:
    """
    Processor seconds of this process and of others with all their children, those that are over included but for
    their last second.
    """

    def __init__(self, roots: Sequence[int]) -> None:
        self.roots, self.seen, self._over = roots, dict[int, tuple[str, float]](), threading.Event()

    def look(self) -> dict[int, tuple[str, float]]:
        """Name and seconds by process."""
        alive = [psutil.Process()]
        for root in self.roots:
            parent = psutil.Process(root)
            alive += [parent, *parent.children(recursive=True)]
        for process in alive:
            with contextlib.suppress(psutil.Error), process.oneshot():
                used = process.cpu_times()
                self.seen[process.pid] = (_called(process), used.user + used.system)
        return dict(self.seen)

    def watch(self) -> None:
        """Look each second until told to stop."""
        while not self._over.wait(1):
            self.look()

    @contextlib.contextmanager
    def measuring(self, spent: dict[str, float]) -> Iterator[None]:
        """Put the seconds of the block into `spent`, by the name of the process."""
        before, thread = self.look(), threading.Thread(target=self.watch)
        thread.start()
        yield
        self._over.set()
        thread.join()
        for pid, (name, seconds) in self.look().items():
            spent[name] = round(spent.get(name, 0) + seconds - before.get(pid, (name, 0.0))[1], 2)


def _called(process: psutil.Process) -> str:
    """What a process is, in a word or two."""
    if process.pid == os.getpid():
        return "caller"
    words = " ".join(process.cmdline()[:40])
    known = {
        "scheduler": "scheduler", "dask worker": "nanny", "spawn_main": "worker", "ray::": "worker",
        "default_worker": "worker", "gcs_server": "gcs", "raylet/raylet": "raylet", "client.server": "client server",
    }  # fmt: skip
    return next((name for sign, name in known.items() if sign in words), "other")


def make_zoo(folder: Path, models: int) -> Zoo:
    """Sources of six classes, each on rows of its own, and the pool."""
    sys.path.insert(0, str(ROOT / "benchmarks" / "zoos"))
    import skops.io
    import tabular_tasks as tasks

    task, entries = tasks.load(TASK, 0), []
    for i in range(models):
        learner = tasks.LEARNERS[i % len(tasks.LEARNERS)]
        rows = np.random.default_rng(i).permutation(len(task.owner[0]))[: len(task.owner[0]) * 17 // 20]
        model = tasks.fit(learner, task.owner[0][rows], task.owner[1][rows], i)
        skops.io.dump(model, folder / f"s{i:02}.skops")
        entries.append({"name": f"s{i:02}", "target": f"sklearn:s{i:02}.skops", "role": "source", "learner": learner})
    np.savez(folder / "pool.npz", x=task.owner[0], y=task.owner[1])
    described = {"input": {"kind": "tabular", "shape": [len(task.low)]}, "pool": "pool.npz", "models": entries}
    (folder / "zoo.json").write_text(json.dumps(described))

    return read_zoo(folder)


def enrolled(zoo: Zoo, names: Sequence[str]) -> list[str]:
    """Enrol these models, wherever work is done now; the SHA-256 of each reference."""
    generators = {
        name: importlib.import_module(f"probe_match.probes.{name}").generate for name in GENERATORS["tabular"]
    }
    settings = Settings(peers=PEERS, shadows=SHADOWS, jobs=1)
    made = enroll_sources(zoo.only(names), settings, 0, targets.open_target, generators, tuple(generators))

    return [storage.sha256(storage.to_bytes(subject.reference)) for subject in made]


def measure(zoo: Zoo, names: Sequence[str], where: str, roots: Sequence[int], address: str | None) -> Spent:
    """One round at one place."""
    spent: dict[str, float] = {}
    started = time.perf_counter()
    with Meter(roots).measuring(spent), backends.using(address):
        digests = enrolled(zoo, names)
    wall = time.perf_counter() - started

    return Spent(where, len(names), round(wall, 2), round(sum(spent.values()), 2), spent, digests)


def plainly(zoo: Zoo, names: Sequence[str]) -> Spent:
    """The round in as many processes as a cluster has workers, started and warm before it begins."""
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(WORKERS), context.SimpleQueue()
    shares = [list(names[i::WORKERS]) for i in range(WORKERS)]
    processes = [context.Process(target=_share, args=(zoo.folder, one, ready, results)) for one in shares]
    for process in processes:
        process.start()
    spent = [results.get() for _ in processes]
    for process in processes:
        process.join()
    wall, busy = max(one[0] for one in spent), sum(one[1] for one in spent)

    return Spent("plain", len(names), round(wall, 2), round(busy, 2), {"worker": round(busy, 2)}, [])


def _share(folder: Path, names: list[str], ready: Any, results: Any) -> None:
    zoo = read_zoo(folder)
    enrolled(zoo, names[:1])
    ready.wait()
    wall, busy = time.perf_counter(), time.process_time()
    enrolled(zoo, names)
    results.put((time.perf_counter() - wall, time.process_time() - busy))


@contextlib.contextmanager
def dask() -> Iterator[tuple[list[int], str]]:
    """A scheduler and three workers: the processes to be watched, and the address."""
    address = f"127.0.0.1:{PORTS['dask']}"
    commands = (
        ["dask", "scheduler", "--host", "127.0.0.1", "--port", str(PORTS["dask"]), "--no-dashboard"],
        ["dask", "worker", f"tcp://{address}", "--nworkers", str(WORKERS), "--nthreads", "1", "--no-dashboard"],
    )
    with contextlib.ExitStack() as stack:
        roots = [stack.enter_context(_running(command)) for command in commands]
        from distributed import Client

        with Client(f"tcp://{address}", timeout=120, set_as_default=False) as client:
            client.wait_for_workers(WORKERS, timeout=240)
        yield roots, f"dask://{address}"


@contextlib.contextmanager
def ray() -> Iterator[tuple[list[int], str]]:
    """A head with three processors, as `dask`."""
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_agent_register_timeout_ms": "600000"}  # a busy machine is slow
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # the path of a socket has 107 characters at most
    command = [
        "ray", "start", "--head", "--node-ip-address=127.0.0.1", f"--port={PORTS['ray']}", f"--num-cpus={WORKERS}",
        "--block", "--include-dashboard=false", f"--ray-client-server-port={PORTS['ray client']}",
        f"--temp-dir={folder}",
    ]  # fmt: skip
    address = f"ray://127.0.0.1:{PORTS['ray client']}"
    try:
        with _running(command) as root:
            for attempt in range(20):
                time.sleep(6)
                with contextlib.suppress(Exception), backends.using(address):  # whatever it says until it is ready
                    break
                print("waiting for ray", attempt, flush=True)
            yield [root], address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _running(command: list[str]) -> Iterator[int]:
    """A command of this environment and its children, ended afterwards; its process id."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(BIN / command[0]), *command[1:]], stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )  # fmt: skip
        try:
            yield process.pid
        finally:
            with contextlib.suppress(psutil.Error):
                for child in psutil.Process(process.pid).children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        child.kill()
            process.kill()
            process.wait(20)


CLUSTERS: Final = {"dask": dask, "ray": ray}


def summary(spent: Sequence[Spent], kinds: Sequence[str]) -> dict[str, Any]:
    """Overheads, over all rounds and in each, and whether every reference is the same wherever it was made."""

    def of(where: str, what: str) -> np.ndarray:
        return np.array([getattr(one, what) for one in spent if one.where == where])

    here = of("here", "processor_s")
    found: dict[str, Any] = {
        "processors": os.cpu_count(), "workers": WORKERS, "models": int(of("here", "models").sum()),
        "peers": PEERS, "shadows": SHADOWS, "here_processor_s": round(float(here.sum()), 1),
        "here_wall_s": round(float(of("here", "wall_s").sum()), 1),
    }  # fmt: skip
    plain = of("plain", "processor_s")
    found["plain"] = {
        "processor_s": round(float(plain.sum()), 1), "wall_s": round(float(of("plain", "wall_s").sum()), 1),
        "overhead": round(float(plain.sum() / here.sum() - 1), 3),
    }  # fmt: skip
    digests = {where: [d for one in spent if one.where == where for d in one.digests] for where in ("here", *kinds)}
    for kind in kinds:
        there = of(kind, "processor_s")
        m = len(there)
        by = {name: round(sum(one.by_process.get(name, 0) for one in spent if one.where == kind), 1)
              for name in sorted({name for one in spent if one.where == kind for name in one.by_process})}  # fmt: skip
        found[kind] = {
            "processor_s": round(float(there.sum()), 1), "wall_s": round(float(of(kind, "wall_s").sum()), 1),
            "by_process": by, "overhead": round(float(there.sum() / here[:m].sum() - 1), 3),
            "overhead_over_plain": round(float(there.sum() / plain[:m].sum() - 1), 3),
            "overhead_by_round": [round(float(one), 3) for one in there / here[:m] - 1],
            "speed": round(float(of("here", "wall_s")[:m].sum() / of(kind, "wall_s").sum()), 2),
            "identical": digests[kind] == digests["here"][: len(digests[kind])],
        }  # fmt: skip
    return found


def main() -> None:
    """Measure, round by round, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "clusters.json")
    parser.add_argument("--models", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--clusters", nargs="*", choices=CLUSTERS, default=list(CLUSTERS))
    options = parser.parse_args()
    spent: list[Spent] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        zoo = make_zoo(Path(folder), options.models)
        names = [model.name for model in zoo.models]
        enrolled(zoo, names[:1])  # what is imported once
        places: dict[str, tuple[list[int], str | None]] = {"here": ([], None), "plain": ([], None)}
        for kind in options.clusters:
            places[kind] = stack.enter_context(CLUSTERS[kind]())
        for i, part in enumerate(np.array_split(names, options.rounds)):
            turn = list(places)[i % len(places) :] + list(places)[: i % len(places)]
            for where in turn:
                plain = where == "plain"
                spent.append(plainly(zoo, part) if plain else measure(zoo, list(part), where, *places[where]))
                print(json.dumps({k: v for k, v in asdict(spent[-1]).items() if k != "digests"}), flush=True)
            if {one.where for one in spent} == set(places):
                options.output.write_text(json.dumps(summary(spent, options.clusters), indent=1) + "\n")
    print(options.output.read_text())


if __name__ == "__main__":
    main()
