"""
A real server of text classifiers: infinity, with a model of random weights. Run by `make test-servers`.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import peers
import pytest
from probe_match.fingerprinting import collect
from probe_match.fingerprinting.records import InputSpec
from probe_match.fingerprinting.targets import open_target

pytestmark = [pytest.mark.servers, pytest.mark.timeout(1200)]
TEXTS = ["free software", "you may copy this program", "no warranty at all", "a", "the the the licence"]


class Served(NamedTuple):
    """Where it is, and what it must say."""

    url: str
    scores: np.ndarray


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = peers.environment("infinity", ("infinity-emb[torch,server]==0.0.78", "torch==2.13.0"))
    folder = tmp_path_factory.mktemp("infinity")
    (folder / "texts.json").write_text(json.dumps(TEXTS))
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "HF_", "INFINITY"))}
    env |= {**peers.QUIET, "HOME": str(folder), "PATH": f"{home}:{env.get('PATH', '')}"}
    make = [
        str(home / "python"),
        str(peers.APPS / "infinity_make.py"),
        str(Path(peers.APPS).parents[2] / "LICENSE"),
        "texts.json",
    ]
    made = subprocess.run(make, cwd=folder, env=env, capture_output=True, text=True, timeout=180)
    assert made.returncode == 0, made.stderr[-2000:]
    (port,) = peers.free_ports(1)
    command = [
        str(home / "infinity_emb"), "v2", "--model-id", "tiny", "--served-model-name", "tb", "--engine", "torch",
        "--device", "cpu", "--dtype", "float32", "--no-bettertransformer", "--no-model-warmup", "--host", "127.0.0.1",
        "--port", str(port),
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with peers.started(command, folder, env, lambda: peers.is_up(f"{url}/models")):
        yield Served(url, np.array(json.loads((folder / "expected.json").read_text())))


@pytest.mark.parametrize("form", ["hf:{}", "hf:{}#tb", "{}"])
def test_a_real_text_classifier_is_read_by_label(served: Served, form: str) -> None:
    """Its lists come sorted by score; labels and scores are the model's own in the reference's order."""
    client = open_target(form.format(served.url))
    asked = collect.ask(client, TEXTS, InputSpec("text"), classes=("pos", "neg", "neu"))
    client.close()

    assert client.target == f"hf:{served.url}#tb"
    assert asked.scores == pytest.approx(served.scores[:, [2, 0, 1]], abs=1e-5)
    assert np.array_equal(asked.labels, served.scores[:, [2, 0, 1]].argmax(1))
