"""
Other people's model servers, all with the same digit model behind them, for tests against the real thing.

Each has an environment of its own under .cache/envs/NAME of the checkout, made once; each runs in a process group of
its own on loopback ports that were free, and its group is killed in the end. Where one cannot be installed, its tests
are skipped and say so.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TextIO
from urllib.request import Request, urlopen

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

ENVIRONMENTS: Final = Path(__file__).resolve().parents[2] / ".cache" / "envs"
APPS: Final = Path(__file__).parent / "apps"
STARTS_IN: Final = 300  # seconds; one that dies is noticed at once
TRIES: Final = 3  # some give up by themselves where the machine is busy: Ray after half a minute
QUIET: Final = {
    "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1", "BENTOML_DO_NOT_TRACK": "True", "GRADIO_ANALYTICS_ENABLED": "False",
    "RAY_USAGE_STATS_ENABLED": "0", "HF_HUB_OFFLINE": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONUNBUFFERED": "1",
}  # fmt: skip


class Peer(NamedTuple):
    """
    How one server is made and asked. packages: what to install. run: its command line; {python}, {bin}, {folder},
    {port}, {port2}, … are filled in. make: a script that is run before. ready: path that answers once the model is up,
    to `body` where there is one. targets: what a user would write, {url} or {grpc}, its host:port, filled in.
    """

    packages: tuple[str, ...]
    run: str
    ready: str
    targets: tuple[str, ...]
    make: str = ""
    body: bytes | None = None
    env: Mapping[str, str] = {}


PEERS: Final = {
    "mlserver": Peer(
        ("mlserver==1.7.1", "mlserver-sklearn==1.7.1"), "{bin}/mlserver start .", "/v2/models/digits/ready",
        ("oip:{url}/v2/models/digits", "oip-grpc:{grpc}/digits", "{url}/v2/models/digits", "{url}"),
        make="mlserver_make.py {port} {port2} {port3}",
    ),
    "mlflow": Peer(
        ("mlflow==3.17.2",), "{bin}/mlflow models serve -m tensor --env-manager local -h 127.0.0.1 -p {port}", "/ping",
        ("mlflow:{url}", "{url}/invocations", "{url}"), make="mlflow_make.py",
    ),
    "mlflow-table": Peer(
        ("mlflow==3.17.2",), "{bin}/mlflow models serve -m table --env-manager local -h 127.0.0.1 -p {port}", "/ping",
        ("mlflow:{url}",), make="mlflow_make.py",
    ),
    "kserve": Peer(
        ("kserve==0.21.0",), "{python} kserve_app.py {port} {port2}", "/v1/models/digits",
        ("v1:{url}/v1/models/digits", "v1:{url}", "oip:{url}/v2/models/digits", "oip-grpc:{grpc}/digits",
         "{url}/v1/models/digits:predict", "{url}"),
    ),
    "triton": Peer(
        ("nvidia-pytriton==0.7.0",), "{python} triton_app.py {port} {port2} {port3}", "/v2/models/digits/ready",
        ("oip-grpc:{grpc}/digits", "oip:{url}/v2/models/digits"),
        env={"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))},
    ),
    "litserve": Peer(
        ("litserve==0.2.19", "numpy"), "{python} litserve_app.py {port}", "/health",
        ("rest:litserve@{url}/predict", "{url}"),
    ),
    "bentoml": Peer(
        ("bentoml==1.4.39",), "{bin}/bentoml serve bentoml_app:Digits --host 127.0.0.1 --port {port}", "/readyz",
        ("rest:bentoml@{url}", "rest:bentoml@{url}/predict", "{url}"),
    ),
    "gradio": Peer(("gradio==6.31.0",), "{python} gradio_app.py {port}", "/gradio_api/info", ("gradio:{url}", "{url}")),
    "azureml": Peer(
        ("azureml-inference-server-http==1.5.1", "numpy"),
        "{bin}/azmlinfsrv --entry_script azureml_app.py --port {port}", "/", ("rest:azureml@{url}", "{url}"),
        env={"AML_APP_ROOT": "{folder}"},
    ),
    "cog": Peer(
        ("cog==0.23.1", "numpy"), "{python} -m cog.server.http --host 127.0.0.1", "/predictions",
        ("rest:cog@{url}", "{url}"), body=b'{"input": {"x": "' + b"0," * 63 + b'0"}}',
        env={"PORT": "{port}", "COG_PREDICT_TYPE_STUB": "cog_app.py:Predictor", "PATH": "{bin}:/usr/bin:/bin"},
    ),
    "vetiver": Peer(("vetiver==0.2.6",), "{python} vetiver_app.py {port}", "/ping", ("rest:vetiver@{url}", "{url}")),
    "ray": Peer(
        ("ray[serve]==2.60.0", "numpy"), "{python} ray_app.py {port}", "/-/routes", ("rest:ray@{url}", "{url}"),
    ),
    "torchserve": Peer(
        ("torchserve==0.12.0", "torch-model-archiver==0.12.0", "torch==2.13.0", "pyyaml", "numpy"),
        "{bin}/torchserve --foreground --ncs --model-store store --models digits=digits.mar "
        "--ts-config config.properties", "/predictions/digits", ("rest:torchserve@{url}/predictions/digits",),
        make="torchserve_make.py {port} {port2} {port3} {port4} {port5}", body=b"[" + b"0," * 63 + b"0]",
        env={"PATH": "{bin}:/usr/bin:/bin", "TMPDIR": "{folder}"},  # where it notes that it runs already
    ),
}  # fmt: skip


def model() -> tuple[MLPClassifier, np.ndarray, np.ndarray]:
    """The model that somebody owns, and all digits: float32 (1797, 64) in [0, 1] and int64 (1797,)."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    return trained(7, x, y), x, y


def trained(seed: int, x: np.ndarray, y: np.ndarray) -> MLPClassifier:
    """A model of the owner's class on the owner's rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return MLPClassifier((32,), max_iter=60, tol=1e-2, random_state=seed).fit(x[:900], y[:900])


def environment(name: str, packages: Sequence[str]) -> Path:
    """The bin folder of an environment with these packages; skips the test where they cannot be had."""
    home = ENVIRONMENTS / name
    ready, wanted = home / ".ready", " ".join(packages)
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test process may be making it
        if not ready.exists() or ready.read_text() not in ("", wanted):
            shutil.rmtree(home, ignore_errors=True)
            install = [str(home / "bin" / "pip"), "install", "--quiet", *packages]
            try:
                subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True, timeout=120)
                subprocess.run(install, check=True, capture_output=True, text=True, timeout=900)
            except (subprocess.SubprocessError, OSError) as error:
                told = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1:]
                pytest.skip(f"{name.upper()} NOT TESTED: cannot install {wanted}: {''.join(told)}")
            ready.write_text(wanted)

    return home / "bin"


class Url(str):
    """The base URL of a peer. grpc: host:port where it speaks that as well."""

    __slots__ = ("grpc",)
    grpc: str


@contextlib.contextmanager
def running(name: str, folder: Path, weights: Path) -> Iterator[Url]:
    """The base URL of a running peer; folder: empty, for its files. weights: of the model, as `save` writes them."""
    peer = PEERS[name]
    home = environment(name.partition("-")[0], peer.packages)
    for app in APPS.iterdir():
        if app.is_file():
            shutil.copy(app, folder)
    ports = free_ports(5)
    given = {"python": str(home / "python"), "bin": str(home), "folder": str(folder), "port": ports[0]}
    given |= {f"port{i}": port for i, port in enumerate(ports, 1)}
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MLFLOW", "PROBE_MATCH"))}
    env |= {**QUIET, "PEER_MODEL": str(weights), "PATH": f"{home}:{env.get('PATH', '')}", "HOME": str(folder)}
    env |= {key: value.format(**given) for key, value in peer.env.items()}
    if peer.make:
        made = subprocess.run(
            [given["python"], *peer.make.format(**given).split()], cwd=folder, env=env, capture_output=True, text=True,
            timeout=180,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr[-2000:]
    url = Url(f"http://127.0.0.1:{ports[0]}")
    url.grpc = f"127.0.0.1:{ports[1]}"
    with started(peer.run.format(**given).split(), folder, env, lambda: is_up(url + peer.ready, peer.body)):
        yield url


@contextlib.contextmanager
def started(command: Sequence[str], folder: Path, env: Mapping[str, str], up: Callable[[], bool]) -> Iterator[None]:
    """A server in a process group of its own, once it is up; in the end the group is killed."""
    log, until = folder / "log", time.monotonic() + STARTS_IN
    for left in reversed(range(TRIES)):
        with log.open("w") as output, _group(command, folder, env, output) as server:
            while server.poll() is None and time.monotonic() < until:
                if up():
                    yield
                    return
                time.sleep(0.3)
        if not left or time.monotonic() > until:
            pytest.fail(f"{command[0]} did not start: {log.read_text()[-3000:]}")


@contextlib.contextmanager
def _group(
    command: Sequence[str], folder: Path, env: Mapping[str, str], output: TextIO
) -> "Iterator[subprocess.Popen[bytes]]":
    server = subprocess.Popen(
        command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, env=dict(env), cwd=folder
    )
    try:
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
            time.sleep(0.2)
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(10)


def is_up(url: str, body: bytes | None = None) -> bool:
    """Whether a server answers there as it should."""
    try:
        with urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=5) as answer:
            return answer.status < 300
    except OSError:
        return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def save(source: MLPClassifier, path: Path) -> None:
    """The weights of a model, for the peers."""
    (w0, w1), (b0, b1) = source.coefs_, source.intercepts_
    np.savez(
        path, w0=w0.astype(np.float32), b0=b0.astype(np.float32), w1=w1.astype(np.float32), b1=b1.astype(np.float32)
    )
