"""The small model server answers as the protocol says, refuses cleanly, counts, and goes away."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import requests
from probe_match.clients import oip
from probe_match.fingerprinting import collect
from probe_match.fingerprinting.errors import TargetError, UsageError
from probe_match.fingerprinting.oip_server import Address, serve
from probe_match.fingerprinting.records import InputSpec


def proba(x: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-x[:, 0, 0]))
    return np.stack([1 - p, p], 1)


def fails(x: np.ndarray) -> np.ndarray:
    if x.any():
        raise ValueError("no such thing")
    return np.zeros(len(x), int)


MODELS = {
    "proba": proba,
    "label": lambda x: (x[:, 0, 0] > 0).astype(int),
    "name": lambda x: np.where(x[:, 0, 0] > 0, "yes", "no"),
    "fails": fails,
}


@pytest.fixture
def url() -> Iterator[Address]:
    with serve(MODELS, (2, 3), max_rows=50) as address:
        yield address


def body(rows: int = 2, **changes: Any) -> dict[str, Any]:
    data = np.linspace(-1, 1, rows * 6).tolist()
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [rows, 2, 3], "data": data, **changes}]}


def test_the_protocol_is_spoken(url: Address) -> None:
    """Server, health, metadata, readiness and index answer as a client expects them."""
    with requests.Session() as session:
        assert "extensions" in session.get(f"{url}/v2").json()
        for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/proba/ready"):
            assert session.get(url + path).status_code == 200
        metadata = session.get(f"{url}/v2/models/proba").json()
        index = session.post(f"{url}/v2/repository/index", json={}).json()

    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 2, 3]}]
    assert metadata["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}]
    assert [entry["name"] for entry in index] == list(MODELS)


@pytest.mark.parametrize(
    ("name", "datatype", "shape"), [("proba", "FP32", [2, 2]), ("label", "INT64", [2, 1]), ("name", "BYTES", [2, 1])]
)
def test_each_kind_of_answer_has_its_datatype(url: Address, name: str, datatype: str, shape: list[int]) -> None:
    """Probabilities, integer labels and named labels, flat and in order."""
    output = requests.post(f"{url}/v2/models/{name}/infer", json=body(), timeout=5).json()["outputs"][0]
    x = np.array(body()["inputs"][0]["data"], np.float32).reshape(2, 2, 3)

    assert (output["datatype"], output["shape"]) == (datatype, shape)
    assert output["data"] == pytest.approx(np.asarray(MODELS[name](x)).ravel().tolist()) if name == "proba" else True
    assert len(output["data"]) == np.prod(shape)


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/v2/models/none/infer", body(), 404),
        ("/v2/models/proba/explain", body(), 404),
        ("/nothing", body(), 404),
        ("/v2/models/proba/infer", {}, 400),
        ("/v2/models/proba/infer", [], 400),
        ("/v2/models/proba/infer", {"inputs": body()["inputs"] * 2}, 400),
        ("/v2/models/proba/infer", body(datatype="BYTES"), 400),
        ("/v2/models/proba/infer", body(shape=[2, 6]), 400),
        ("/v2/models/proba/infer", body(shape=[3, 2, 3]), 400),
        ("/v2/models/proba/infer", body(shape=[0, 2, 3], data=[]), 400),
        ("/v2/models/proba/infer", body(data=["a"] * 12), 400),
        ("/v2/models/proba/infer", body(data=[1e99] * 12), 400),
        ("/v2/models/proba/infer", body(51), 400),
        ("/v2/models/fails/infer", body(), 500),
    ],
)
def test_refusals_are_json_with_a_reason(url: Address, path: str, sent: Any, status: int) -> None:
    """Each bad request gets the status that real servers give, and one line."""
    reply = requests.post(url + path, json=sent, timeout=5)

    assert reply.status_code == status
    assert "\n" not in reply.json()["error"]
    assert sum(url.rows.values()) == 0


def test_bodies_are_bounded(url: Address) -> None:
    """A length that is missing, absurd or too large is refused before anything is read."""
    host, port = url.removeprefix("http://").split(":")
    for head, status in (
        ("Content-Length: 99999999999", b"413"),
        ("Content-Length: -1", b"411"),
        ("Transfer-Encoding: chunked", b"411"),
    ):
        with socket.create_connection((host, int(port)), 5) as connection:
            connection.sendall(f"POST /v2/models/proba/infer HTTP/1.1\r\n{head}\r\n\r\n".encode())

            assert status in connection.recv(4096).split(b"\r\n")[0]


def test_rows_are_counted_while_many_ask(url: Address) -> None:
    """The count holds under concurrency, for answered rows only."""
    with ThreadPoolExecutor(8) as pool:
        replies = list(
            pool.map(lambda _: requests.post(f"{url}/v2/models/label/infer", json=body(3), timeout=5), range(40))
        )

    assert all(reply.ok for reply in replies)
    assert url.rows == {"proba": 0, "label": 120, "name": 0, "fails": 0}


def test_our_client_gets_its_answers_and_learns_its_limit(url: Address) -> None:
    """The client and the server agree on everything, the largest batch included."""
    x = np.random.default_rng(0).normal(size=(120, 2, 3)).astype(np.float32)
    client = oip.connect(f"{url}/v2/models/proba")

    assert client.shape == (2, 3)
    assert collect.ask(client, x, InputSpec("image", (2, 3), (-9.0,), (9.0,))).scores == pytest.approx(
        proba(x), abs=1e-6
    )
    assert url.rows["proba"] == 120
    client.close()


def test_it_goes_away_and_takes_open_connections_along() -> None:
    """After the block, nothing listens, no thread is left, and an idle client did not hold it up."""
    before = threading.active_count()
    with requests.Session() as session:
        with serve(MODELS, (2, 3)) as url:
            assert session.get(f"{url}/v2").ok
        assert threading.active_count() == before
    with pytest.raises(TargetError, match="connection refused"):
        oip.connect(f"{url}/v2/models/proba", timeout=2)


def test_a_model_that_answers_neither_labels_nor_scores_is_refused_at_once() -> None:
    """What cannot be served is said before serving."""
    with pytest.raises(UsageError, match="labels"), serve({"m": lambda x: x}, (2, 3)):
        pass


def test_it_stays_silent(url: Address, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither requests nor broken connections are printed."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 5) as connection:
        connection.sendall(b"POST /v2/models/proba/infer HTTP/1.1\r\nContent-Length: 500\r\n\r\n{")
    with socket.create_connection((host, int(port)), 5) as connection:
        connection.sendall(b"garbage\r\n\r\n")
        connection.recv(4096)
    requests.post(f"{url}/v2/models/proba/infer", data=json.dumps(body()), timeout=5)

    assert capfd.readouterr() == ("", "")
