"""
A real MLServer, asked through our client.

Its environment (about 530 MB) is made once, under .cache/envs/mlserver of the checkout, and kept.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import peers
import pytest
from probe_match.clients import oip
from probe_match.fingerprinting import collect
from probe_match.fingerprinting.errors import TargetError
from probe_match.fingerprinting.records import InputSpec
from probe_match.fingerprinting.targets import open_target

DIGITS = InputSpec("image", (64,))
TRAIN = """
import joblib, numpy as np, sys
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
x, y = load_digits(return_X_y=True)
x = (x / 16).astype(np.float32)
model = LogisticRegression(max_iter=50, tol=1e-2).fit(x, y)
joblib.dump(model, sys.argv[1])
np.savez(sys.argv[2], x=x, labels=model.predict(x), scores=model.predict_proba(x))
"""

pytestmark = pytest.mark.timeout(600)  # the first run installs the server


class Served(NamedTuple):
    """Where the models are, and what they must answer."""

    url: str
    x: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


@pytest.fixture(scope="module")
def environment() -> Path:
    """The bin folder of an environment with MLServer in it."""
    return peers.environment("mlserver", peers.PEERS["mlserver"].packages)


@pytest.fixture(scope="module")
def served(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The digit model behind a running MLServer, and what it must answer."""
    folder = tmp_path_factory.mktemp("mlserver")
    answers = folder / "answers.npz"
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MLSERVER"))}
    clean |= {"DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "2"}
    python = str(environment / "python")
    for name in ("digits", "described"):
        (folder / name).mkdir()
        model = folder / name / "model.joblib"
        subprocess.run([python, "-c", TRAIN, str(model), str(answers)], check=True, env=clean, timeout=120)
        settings: dict[str, Any] = {
            "name": name,
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": "./model.joblib", "version": "v1.0"},
        }
        if name == "described":
            settings["inputs"] = [{"name": "x", "datatype": "FP64", "shape": [-1, 64]}]
        (folder / name / "model-settings.json").write_text(json.dumps(settings))
    http, grpc, metrics = peers.free_ports(3)
    ports = {"http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    (folder / "settings.json").write_text(
        json.dumps({"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports})
    )
    log = folder / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [str(environment / "mlserver"), "start", str(folder)],
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True, env=clean, cwd=folder,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{http}"
        wait_until_ready(server, url, log)
        with np.load(answers) as file:
            known = dict(file)
        yield Served(url, known["x"], known["labels"], known["scores"])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(10)


def wait_until_ready(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until and server.poll() is None:
        try:
            for name in ("digits", "described"):
                oip.connect(f"{url}/v2/models/{name}", timeout=5).close()
        except TargetError:
            time.sleep(0.3)
        else:
            return
    pytest.fail(f"MLServer did not start: {log.read_text()[-2000:]}")


@pytest.mark.parametrize("name", ["digits", "described"])
def test_a_real_server_gives_the_models_own_answers(served: Served, name: str) -> None:
    """All 1,797 digits, labels and probabilities, with and without a description of the input."""
    client = oip.connect(f"{served.url}/v2/models/{name}")
    asked = collect.ask(client, served.x, DIGITS)
    client.close()

    assert client.shape == ((64,) if name == "described" else None)
    assert np.array_equal(asked.labels, served.labels)
    assert asked.scores == pytest.approx(served.scores, abs=1e-5)


def test_a_bare_url_of_a_real_server_is_recognised(served: Served) -> None:
    """Detection needs no more than the URL of a model."""
    client = open_target(f"{served.url}/v2/models/digits")
    answered = client.ask(served.x[:3])
    client.close()

    assert client.target == f"oip:{served.url}/v2/models/digits"
    assert answered.labels is not None
    assert answered.labels.tolist() == served.labels[:3].tolist()


def test_a_real_servers_refusals_are_our_errors(served: Served) -> None:
    """An unknown model is named among those there are; rows of a wrong width are one line."""
    with pytest.raises(TargetError, match=r"it serves .*digits"):
        oip.connect(f"{served.url}/v2/models/nope")
    client = oip.connect(f"{served.url}/v2/models/digits")
    for _ in range(20):  # it hangs up after each, so that a connection kept open would be met half closed
        with pytest.raises(TargetError, match="status 500"):
            client.ask(np.zeros((9, 5), np.float32))
    client.close()
