"""Work on a cluster: the same results as here, also when a worker dies."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from joblib import delayed
from joblib.parallel import get_active_backend
from probe_match.fingerprinting import backends, storage
from probe_match.fingerprinting.errors import MissingPackage, TargetError, UsageError


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Dask cluster of three worker processes on this machine."""
    distributed = pytest.importorskip("distributed", reason="DASK IS NOT INSTALLED: pip install 'probe-match[dask]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ports and diagnostics of Dask itself
        with distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as running:
            yield running.scheduler_address.removeprefix("tcp://")


def slow_square(x: int, shared: np.ndarray) -> tuple[int, float, int]:
    """A piece of work, and the process that did it."""
    time.sleep(0.05)
    return x, float(x * x + shared.sum()), os.getpid()


def test_a_cluster_gives_what_this_machine_gives_although_a_worker_dies(cluster: str) -> None:
    """One of three workers is killed midway: nothing is lost or doubled, and results are as of processes here."""
    shared = np.random.default_rng(0).random(50_000)
    work = [delayed(slow_square)(x, shared) for x in range(60)]
    local = [result[:2] for result in backends.run(work, 1)]
    killed = []

    def kill() -> None:
        time.sleep(0.6)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from distributed import Client

            with Client(f"tcp://{cluster}", set_as_default=False) as client:
                pids = client.run(os.getpid)
            killed.append(next(iter(pids.values())))
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with backends.using(f"dask://{cluster}"):
        far = list(backends.run(work, 1, shared=[shared]))
    thread.join()

    assert [result[:2] for result in far] == local
    assert killed
    assert os.getpid() not in {pid for *_, pid in far}
    assert len({pid for *_, pid in far}) >= 2


def test_a_zoo_enrolled_on_a_cluster_is_byte_identical(cluster: str, tmp_path: Path) -> None:
    """The first source with its peers and shadows sent piece by piece, the other as a whole: both as made here."""
    import skops.io
    import worlds
    from probe_match.fingerprinting.bench.subjects import Settings, enroll_sources
    from probe_match.fingerprinting.bench.zoo import read_zoo
    from probe_match.fingerprinting.targets import open_target

    for seed in (1, 2):
        skops.io.dump(worlds.source(seed), tmp_path / f"s{seed}.skops")
    x, y = worlds.data()
    np.savez(tmp_path / "pool.npz", x=x[:120], y=y[:120])
    models = [{"name": f"s{seed}", "target": f"sklearn:s{seed}.skops", "role": "source"} for seed in (1, 2)]
    (tmp_path / "zoo.json").write_text(json.dumps({"pool": "pool.npz", "models": models}))

    def enrolled() -> list[bytes]:
        settings = Settings(peers=8, shadows=2, jobs=1, without=("disturbed", "changed"))
        made = enroll_sources(read_zoo(tmp_path), settings, 0, open_target, {}, ())
        return [storage.to_bytes(subject.reference) for subject in made]

    here = enrolled()
    with backends.using(f"dask://{cluster}"):
        there = enrolled()

    assert len(here) == 2
    assert there == here


def backend_in_use(_: int) -> str:
    """What joblib would do the parallel work of this piece of work with."""
    return type(get_active_backend()[0]).__name__


def test_a_piece_of_work_is_done_where_it_was_sent(cluster: str) -> None:
    """Dask's own way is to send every tree of a worker's forest round the cluster again: ten times the work."""
    with backends.using(f"dask://{cluster}"):
        assert set(backends.run([delayed(backend_in_use)(i) for i in range(3)], 1)) == {"SequentialBackend"}


def test_what_is_sent_twice_has_two_names(cluster: str) -> None:
    """Named by content, data that is let go while it is sent again is gone, and Dask looks for it for ever."""
    from distributed import get_client

    shared = np.arange(1000.0)
    with backends.using(f"dask://{cluster}"):
        first, again = (get_client().scatter([shared], broadcast=True)[0] for _ in range(2))

        assert first.key != again.key
        assert np.array_equal(first.result(), shared)


@pytest.mark.parametrize("where", ["dask://", "slurm://x:1", "processes://x", "dask"])
def test_an_unknown_backend_says_what_there_is(where: str) -> None:
    """A mistyped backend is a usage error, not work done here in silence."""
    with pytest.raises(UsageError, match="expected processes, dask://"), backends.using(where):
        pass


def test_a_missing_scheduler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody answers, the error says what to start."""
    monkeypatch.setattr(backends, "SECONDS", 0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            pytest.raises(TargetError, match="start one with: dask scheduler") as e,
            backends.using("dask://127.0.0.1:9"),
        ):
            pass

    assert "\n" not in str(e.value)


def test_a_cluster_without_its_package_is_a_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask is installed on request."""
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)

    with pytest.raises(MissingPackage, match=r"probe-match\[dask\]"), backends.using("dask://127.0.0.1:9"):
        pass


@pytest.mark.servers
def test_a_ray_cluster_gives_what_this_machine_gives_although_a_worker_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Dask, one of three workers is killed midway; its work is done again."""
    pytest.importorskip("ray", reason="RAY IS NOT INSTALLED: pip install 'probe-match[ray]'")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr(backends, "SECONDS", 60)
    seen = tmp_path / "pids"
    seen.touch()

    def noted(x: int, shared: np.ndarray) -> tuple[int, float]:
        time.sleep(0.1)
        with seen.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return x, float(x * x + shared.sum())

    def kill() -> None:
        while not seen.read_text().count("\n"):
            time.sleep(0.05)
        os.kill(int(seen.read_text().split()[0]), signal.SIGKILL)

    shared = np.random.default_rng(0).random(50_000)
    expected = [(x, float(x * x + shared.sum())) for x in range(60)]
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # the path of a socket has 107 characters at most
    head = subprocess.Popen(
        [Path(sys.executable).with_name("ray"), "start", "--head", "--port=26399", "--num-cpus=3", "--block",
         "--include-dashboard=false", "--ray-client-server-port=23099", f"--temp-dir={folder}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        time.sleep(16)
        thread = threading.Thread(target=kill)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with backends.using("ray://127.0.0.1:23099"):
                thread.start()
                far = list(backends.run([delayed(noted)(x, shared) for x in range(60)], 1))
        thread.join()
    finally:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait(10)
        shutil.rmtree(folder, ignore_errors=True)

    assert far == expected
    assert len(set(seen.read_text().split())) >= 3
