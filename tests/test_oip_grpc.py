"""The Open Inference Protocol over gRPC: the same answers, limits and records as over REST."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_server import MESSAGES, Model, serving
from hypothesis import given, settings
from hypothesis import strategies as st
from probe_match.clients import _calls, _oip_messages, _oip_wire, _patience, oip_grpc
from probe_match.clients._dialling import NotSent
from probe_match.fingerprinting import collect, ledger_states
from probe_match.fingerprinting.audits import Audit
from probe_match.fingerprinting.errors import TargetError, UsageError
from probe_match.fingerprinting.guards import GuardedClient
from probe_match.fingerprinting.ledger import open_ledger, read_ledger
from probe_match.fingerprinting.records import UNANSWERED, InputSpec

TWO = InputSpec("tabular", (2,), (-9.0,), (9.0,))
X = np.random.default_rng(0).uniform(-1, 1, (20, 2)).astype(np.float32)
CANARY = "sk-canary-9d1/+x"


def signs(rows: np.ndarray, _: Any = None) -> np.ndarray:
    """Probability of class 1 is the sigmoid of the first number."""
    p = 1 / (1 + np.exp(-rows[:, 0]))
    return np.stack([1 - p, p], 1)


def aborting(code: str, said: str, times: int = 1 << 30) -> Callable[[np.ndarray, Any], np.ndarray]:
    """A model that refuses the first so many requests."""
    left = [times]

    def answer(rows: np.ndarray, context: Any) -> np.ndarray:
        left[0] -= 1
        if left[0] >= 0:
            context.abort(grpc.StatusCode[code], said)
        return signs(rows)

    return answer


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("where", ["{}/m", "http://{}/m", "{}/v2/models/m", "{}/m/versions/1"])
def test_answers_come_as_the_model_gives_them(where: str, raw: bool) -> None:
    """However the address is written, in fields of their own or as raw bytes; one call for a batch."""
    model = Model(signs, (2,), raw=raw)
    with serving(model) as address:
        client = oip_grpc.connect(where.format(address))
        asked = collect.ask(client, X, TWO)
        client.close()

    assert client.shape == (2,)
    assert asked.scores == pytest.approx(signs(X), abs=1e-6)
    assert len(model.seen) == 1
    assert np.array_equal(model.seen[0], X)


def test_a_ledger_keeps_the_answers_byte_by_byte(tmp_path: Path) -> None:
    """And answers for the server afterwards, so that nothing is sent twice."""
    model = Model(signs, (2,))
    with serving(model) as address:
        for _ in range(2):
            client = oip_grpc.connect(f"{address}/m")
            client.batch = 8
            audit = Audit(open_ledger(tmp_path / "a", target=client.target))
            asked = collect.ask(GuardedClient(client, audit, concurrency=3), X, TWO)
            audit.close()
            client.close()
    with read_ledger(tmp_path / "a") as ledger:
        raw = [entry.raw for entry in ledger.entries() if entry.kind == "answered"]
        known = ledger_states.remember(ledger)

    assert asked.scores == pytest.approx(signs(X), abs=1e-6)
    assert known.count("answered") == len(X) == sum(len(rows) for rows in model.seen)
    assert all(MESSAGES["InferResponse"].FromString(answer).model_name == "m" for answer in raw)


def test_a_bad_input_is_isolated_and_batches_are_learnt() -> None:
    """An error for one row, and a server that takes a few hundred bytes at once."""

    def breaking(rows: np.ndarray, context: Any) -> np.ndarray:
        if (rows == X[7]).all(1).any():
            context.abort(grpc.StatusCode.INTERNAL, "cannot")
        return signs(rows)

    model = Model(breaking, (2,))
    with serving(model, options=[("grpc.max_receive_message_length", 120)]) as address:
        client = oip_grpc.connect(f"{address}/m")
        asked = collect.ask(client, X, TWO, partly=True)
        client.close()

    assert np.flatnonzero(asked.labels == UNANSWERED).tolist() == [7]
    assert max(len(rows) for rows in model.seen) < len(X)


def test_a_busy_server_is_waited_for_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """RESOURCE_EXHAUSTED is the 429 of gRPC."""
    monkeypatch.setattr(_patience, "FIRST_WAIT", 0.01)
    for times, answered in ((2, True), (1000, False)):
        model = Model(aborting("RESOURCE_EXHAUSTED", "quota", times), (2,))
        with serving(model) as address:
            client = oip_grpc.connect(f"{address}/m")
            if answered:
                assert len(client.ask(X).scores) == len(X)  # type: ignore[arg-type]
            else:
                with pytest.raises(TargetError, match="asked too fast"):
                    client.ask(X)
            client.close()
        assert len(model.seen) == (3 if answered else _patience.MOST_TRIES)


@pytest.mark.parametrize(
    ("code", "said", "state"),
    [
        ("UNAUTHENTICATED", "set PROBE_MATCH_API_KEY", "refused"),
        ("UNAVAILABLE", "got UNAVAILABLE: gone", "doubt"),
        ("CANCELLED", "got CANCELLED: gone", "doubt"),
        ("UNIMPLEMENTED", "status 501", "refused"),
    ],
)
def test_what_became_of_a_request_is_in_the_ledger(code: str, said: str, state: str, tmp_path: Path) -> None:
    """Sent once; in doubt wherever the server did not say itself what it did."""
    model = Model(aborting(code, "gone"), (2,))
    with serving(model) as address:
        client = oip_grpc.connect(f"{address}/m")
        audit = Audit(open_ledger(tmp_path / "a", target=client.target))
        with pytest.raises(TargetError, match=said):
            collect.ask(GuardedClient(client, audit), X, TWO)
        audit.close()
        client.close()
    with read_ledger(tmp_path / "a") as ledger:
        kinds = [entry.kind for entry in ledger.entries()]

    assert len(model.seen) == 1
    assert kinds == ["opened", "planned", "sent", state]


def test_a_call_is_over_by_its_deadline() -> None:
    """A server that never answers, and one that never shakes hands."""
    over = threading.Event()
    model = Model(lambda rows, _: signs(rows[: over.wait(5) or None]), (2,))
    with serving(model) as address:
        client = oip_grpc.connect(f"{address}/m", timeout=0.4)
        started = time.monotonic()
        with pytest.raises(TargetError, match="within 0"):
            client.ask(X)
        took = time.monotonic() - started
        over.set()
        client.close()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(TargetError):
            oip_grpc.connect(f"127.0.0.1:{silent.getsockname()[1]}/m", timeout=0.4)
        shaken = time.monotonic() - started

    assert max(took, shaken) < 0.9


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_an_answer_of_any_size_is_cut(compression: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than 16 MiB, plain or packed into a few KiB: an error, and the connection lives on."""
    many = np.zeros(6 << 20, np.float32)
    message = MESSAGES["InferResponse"](raw_output_contents=[many.tobytes()]).SerializeToString()
    model = Model(signs, (2,))
    monkeypatch.setattr(model, "_infer", lambda *_: message)
    with serving(model, compression=compression, options=[("grpc.max_send_message_length", -1)]) as address:
        client = oip_grpc.connect(f"{address}/m")
        with pytest.raises(TargetError):
            client.ask(X)
        monkeypatch.undo()
        assert len(client.ask(X).scores) == len(X)  # type: ignore[arg-type]
        client.close()


def test_keys_go_along_and_stay_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As authorization to the server; struck out of what it echoes, in errors and in the ledger."""
    monkeypatch.setenv("PROBE_MATCH_API_KEY", CANARY)
    model = Model(aborting("PERMISSION_DENIED", f"not with {CANARY}"), (2,))
    with serving(model) as address:
        client = oip_grpc.connect(f"{address}/m")
        audit = Audit(open_ledger(tmp_path / "a", target=client.target))
        with pytest.raises(TargetError) as caught:
            GuardedClient(client, audit).ask(X)
        audit.close()
        client.close()

    assert model.metadata[0]["authorization"] == f"Bearer {CANARY}"
    assert model.metadata[0]["idempotency-key"]
    assert "not with ***" in str(caught.value)
    assert not any(CANARY.encode() in file.read_bytes() for file in tmp_path.iterdir())
    assert CANARY not in repr(vars(client)) + repr(vars(client._calls))


def test_names_of_private_addresses_are_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """As over REST: looked up once, and refused before anything is sent; neither is a proxy passed by."""
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **told: real("127.0.0.1", *more, **told))
    model = Model(signs, (2,))
    with serving(model) as address:
        with pytest.raises(NotSent, match="no public address"):
            oip_grpc.connect(f"inside.example:{address.rpartition(':')[2]}/m")
        monkeypatch.setenv("PROBE_MATCH_PROXY", "http://127.0.0.1:1")
        with pytest.raises(UsageError, match="a proxy cannot be used"):
            oip_grpc.connect(f"{address}/m")


def test_what_is_wrong_with_an_address_is_one_line() -> None:
    """No model named, no such model, nobody there."""
    with serving(Model(signs, (2,))) as address:
        for where, said in ((address, "NAME"), (f"{address}/n", "no model at"), ("127.0.0.1:1/m", "refused")):
            with pytest.raises((TargetError, UsageError), match=said):
                oip_grpc.connect(where)


@pytest.mark.parametrize("datatype", sorted(_oip_wire.DATATYPES))
def test_messages_are_those_of_protobuf(datatype: str) -> None:
    """Requests as Google's own reader sees them, and answers of its writer as we see them, for every datatype."""
    values = ["a", "bc"] if datatype == "BYTES" else [True, False] if datatype == "BOOL" else [3, 200]
    if datatype in ("INT8", "INT16", "INT32", "INT64"):
        values = [3, -100]
    body = {"inputs": [{"name": "x", "shape": [2], "datatype": datatype, "data": values}], "outputs": [{"name": "p"}]}
    told = MESSAGES["InferRequest"].FromString(_oip_messages.infer("m", "1", body))
    (tensor,) = told.inputs
    answer = MESSAGES["InferResponse"](outputs=[tensor], raw_output_contents=told.raw_input_contents)
    (output,) = _oip_messages.read_infer(answer.SerializeToString(), "it")["outputs"]

    assert (told.model_name, told.model_version, told.outputs[0].name) == ("m", "1", "p")
    assert (tensor.name, tensor.datatype, list(tensor.shape)) == ("x", datatype, [2])
    assert output == {"name": "x", "datatype": datatype, "shape": [2], "data": values}


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda data: b"\x2a" + bytes([len(data)]) + data)))
def test_whatever_bytes_come_are_an_answer_or_our_error(data: bytes) -> None:
    """Nothing else is raised, and what is read is plain JSON."""
    with contextlib.suppress(TargetError):
        json.dumps(_oip_messages.read_infer(data, "it"))
        _oip_wire.read_metadata(_oip_messages.read_metadata(data, "it"), "it")


def test_many_empty_messages_do_not_fill_the_memory() -> None:
    """Two bytes a field: sixteen MiB of them are refused by their number."""
    with pytest.raises(TargetError, match="at most 262144 fields"):
        _oip_messages.read_infer(b"\x2a\x00" * (8 << 20), "it")


def test_the_transport_is_the_one_of_rest() -> None:
    """Budgets, ledger, keys and waiting are shared code."""
    assert issubclass(_calls.Calls, _calls.Transport)
