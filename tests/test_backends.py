"""Work on a cluster: the same results as here, also when a worker dies."""

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


def test_enrolment_on_a_cluster_is_byte_identical(cluster: str) -> None:
    """Peers and shadows trained by workers give the reference that processes here give."""
    import worlds
    from probe_match.clients import sklearn
    from probe_match.fingerprinting.enrolment import enroll
    from probe_match.fingerprinting.records import About

    def enrolled() -> bytes:
        made = enroll(
            sklearn.wrap(worlds.source()), worlds.pool(), name="s", about=About(), generators={}, peers=12, shadows=4
        )
        reference = made.reference
        assert reference.panel is not None
        return reference.panel.labels.tobytes() + storage.canonical_json(list(reference.panel.names))

    here = enrolled()
    with backends.using(f"dask://{cluster}"):
        there = enrolled()

    assert there == here


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
