"""The Open Inference Protocol client, and the transport under it, against servers good, odd and hostile."""

import contextlib
import gzip
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probe_match.clients import _oip_wire, _transport, oip
from probe_match.clients._transport import Transport
from probe_match.fingerprinting import collect
from probe_match.fingerprinting.answers import usable
from probe_match.fingerprinting.errors import TargetError, UsageError
from probe_match.fingerprinting.oip_server import serve
from probe_match.fingerprinting.records import UNANSWERED, InputSpec

from benchmarks.reliability_rows.peer import Peer, Request, endless, http, peer, send

DEADLINE = 0.8
TWO = InputSpec("tabular", (2,), (-9.0,), (9.0,))


# --- servers --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def model_server(
    infer: Callable[[dict[str, Any]], tuple[int, Any]], metadata: dict[str, Any] | None = None
) -> Iterator[Peer]:
    """A server that speaks the protocol, whose model is `infer(body) -> status, answer`."""

    def answer(connection: socket.socket, request: Request) -> None:
        _, path, _, body = request
        status, value = 200, metadata if metadata is not None else {"name": "m", "inputs": [], "outputs": []}
        if path.endswith("/ready"):
            value = {}
        elif path.endswith("/infer"):
            status, value = infer(json.loads(body))
        connection.sendall(http(status, value))

    with peer(answer) as server:
        server.url += "/v2/models/m"
        yield server


def described(datatype: str = "FP32", shape: Any = (-1, 2), outputs: tuple[str, ...] = ("y",)) -> dict[str, Any]:
    given = [{"name": "in", "datatype": datatype, "shape": list(shape)}]
    return {"name": "m", "inputs": given, "outputs": [{"name": name} for name in outputs]}


def signs(body: dict[str, Any]) -> tuple[int, Any]:
    """A model of two numbers: probability of class 1 is the sigmoid of the first."""
    entry = body["inputs"][0]
    x = np.reshape(entry["data"], entry["shape"])
    p = 1 / (1 + np.exp(-x[:, :1]))
    data = np.concatenate([1 - p, p], 1).ravel().tolist()
    return 200, {"outputs": [{"name": "y", "datatype": "FP32", "shape": [len(x), 2], "data": data}]}


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(600, 2)).astype(np.float32)


def infers(server: Peer) -> list[dict[str, Any]]:
    return [json.loads(body) for _, path, _, body in server.requests if path.endswith("/infer")]


# --- the transport --------------------------------------------------------------------------------------------------


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(b"\0" * (32 << 20))


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("silence", lambda c, r: time.sleep(0.8), "within 0.8 s"),
        ("drip of the head", endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.05), "within 0.8 s"),
        ("drip of the body", endless(HEAD, b"1", 0.05), "within 0.8 s"),
        ("drip without keep-alive", endless(HEAD[:-2] + b"Connection: close\r\n\r\n", b"1", 0.05), "within 0.8 s"),
        ("drip of chunks", endless(CHUNKED, b"1\r\n1\r\n", 0.05), "within 0.8 s"),
        ("endless interim answers", endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01), "within 0.8 s"),
        ("endless body", endless(b"HTTP/1.1 200 OK\r\n\r\n", b"1" * 65536), "more than 1 MiB"),
        ("endless header", endless(b"HTTP/1.1 200 OK\r\nX: ", b"1" * 65536), "broken one"),
        ("endless headers", endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), "broken one"),
        ("gzip bomb", send(http(200, BOMB, "Content-Encoding: gzip")), "encoding 'gzip'"),
        ("redirect", send(http(302, b"", "Location: http://u:pw@other/?key=1")), r"redirects to http://\*\*\*@other/;"),
        ("not found", send(http(404, b"gone \x1b[31m \x00 fishing")), r"status 404: gone \[31m fishing"),
        ("server error", send(http(500, b"x" * 900)), "status 500: x{200}$"),
        ("short body", send(HEAD + b"1"), "broken one"),
        ("no HTTP", send(b"SSH-2.0-OpenSSH\r\n"), "broken one"),
        ("hang up", send(), "broken one"),
        ("two lengths", send(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 7\r\n\r\n") + b"1"), "broken one"),
        ("deep JSON", send(http(200, b"[" * 300_000)), "nested too deeply"),
        ("NaN", send(http(200, b'{"a": NaN}')), "expected JSON"),
        ("a number without end", send(http(200, b"1" * 9000)), "expected JSON"),
        ("bad UTF-8", send(http(200, b'"\xff"')), "expected JSON"),
        ("a page", send(http(200, b"<html>")), "expected JSON"),
        ("a wanted key", send(http(401, b"who?")), "set PROBE_MATCH_API_KEY"),
    ],
)  # fmt: skip
def test_every_hostile_answer_is_one_clear_error_in_time(name: str, answer: Any, said: str) -> None:
    """Whatever a server does, the request ends by its deadline, with one line, and leaves no thread behind."""
    before = threading.active_count()
    transport = Transport(timeout=DEADLINE, most=1 << 20)
    with peer(answer) as server:
        started = time.monotonic()
        with pytest.raises(TargetError, match=said) as caught:
            value_at(transport, server.url)
        taken = time.monotonic() - started
    transport.close()

    assert taken < DEADLINE + 0.5
    message = str(caught.value)
    assert message.isprintable()
    assert "pw" not in message
    assert "key=1" not in message
    assert len(message) < 500
    until = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() <= before


def value_at(transport: Transport, url: str) -> Any:
    reply = transport.get(url)
    if not reply.ok:
        raise transport.complaint(reply)
    return reply.json()


def test_a_drip_fed_reader_is_freed_while_the_server_still_drips() -> None:
    """The thread that reads ends at the deadline, not when the server tires."""
    with peer(endless(HEAD, b"1", 0.02)) as server:
        transport = Transport(timeout=0.2)
        with pytest.raises(TargetError):
            transport.get(server.url)
        until = time.monotonic() + 2
        while (reading := _flying()) and time.monotonic() < until:
            time.sleep(0.01)
        transport.close()

    assert not reading


def _flying() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "_fly" in thread.name]


def test_a_closed_port_says_that_nothing_listens() -> None:
    """The commonest mistake gets the plainest answer, after tries that surely cost nothing."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v2/models/m"
    started = time.monotonic()

    with pytest.raises(TargetError, match=r"cannot reach http://127.* connection refused; is the server running\?"):
        oip.connect(url, timeout=2)
    assert time.monotonic() - started < 2.5


def test_only_a_request_that_never_left_is_sent_again() -> None:
    """A server that took the request and hung up has been asked once."""
    with peer(send()) as server:
        with pytest.raises(TargetError):
            Transport(timeout=2).post(server.url, {})

        assert len(server.requests) == 1


def test_a_server_that_starts_late_is_still_reached() -> None:
    """A refused connection is tried again within the deadline."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    accepted = []

    def late() -> None:
        time.sleep(0.15)
        with socket.create_server(address) as listener, listener.accept()[0] as connection:
            accepted.append(connection.recv(4096))
            connection.sendall(http(200, b"{}"))

    thread = threading.Thread(target=late)
    thread.start()
    transport = Transport(timeout=5)

    assert transport.get(f"http://127.0.0.1:{address[1]}").json() == {}
    thread.join()
    transport.close()


def test_what_is_sent_names_us_and_carries_the_key_home_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An honest agent, identity encoding, the key as bearer; nothing from the surroundings, no cookies back."""
    monkeypatch.setenv("PROBE_MATCH_API_KEY", "sk-canary")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with peer(lambda connection, _: connection.sendall(http(200, {}, "Set-Cookie: id=1"))) as server:
        transport = Transport(timeout=2)
        transport.get(server.url)
        transport.get(server.url)
        transport.close()
        headers = server.requests[1][2]

    assert headers["user-agent"].startswith("probe-match/")
    assert headers["accept-encoding"] == "identity"
    assert headers["authorization"] == "Bearer sk-canary"
    assert "cookie" not in headers


def test_an_echoed_key_is_struck_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that repeats the key in its complaint does not get it printed."""
    monkeypatch.setenv("PROBE_MATCH_API_KEY", "sk-canary")
    with peer(send(http(403, b"no sk-canary here"))) as server, pytest.raises(TargetError) as caught:
        oip.connect(server.url + "/v2/models/m", timeout=2)

    assert "sk-canary" not in str(caught.value)
    assert "refuses the key in PROBE_MATCH_API_KEY" in str(caught.value)


def test_a_key_that_cannot_be_a_header_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line break in the key would end the header; the message does not hold the key."""
    monkeypatch.setenv("PROBE_MATCH_API_KEY", "sk-canary\nX: y")

    with pytest.raises(UsageError) as caught:
        Transport()
    assert "sk-canary" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://u:sk-canary@h/v2/models/m", "http://h/v2/models/m?k=sk-canary", "http://h/#sk-canary", "ftp://h/", "http://",
     "http:///v2/models/m", "http://h:99999/", "http://h\n/", "http://h /", "h:80"],
)  # fmt: skip
def test_urls_that_carry_secrets_or_make_no_sense_are_refused(url: str) -> None:
    """What is refused is shown without what may be secret."""
    with pytest.raises(UsageError, match="expected") as caught:
        oip.connect(url)
    assert "sk-canary" not in str(caught.value)


# --- the protocol ---------------------------------------------------------------------------------------------------


def test_answers_of_a_whole_pool_come_in_order(rows: np.ndarray) -> None:
    """More rows than one request takes are asked in several, over one connection."""
    with model_server(signs, described()) as server:
        client = oip.connect(server.url)
        asked = collect.ask(client, rows, TWO)
        client.close()

    assert client.shape == (2,)
    assert asked.scores[:, 1] == pytest.approx(1 / (1 + np.exp(-rows[:, 0])), abs=1e-6)
    assert [body["inputs"][0]["shape"][0] for body in infers(server)] == [256, 256, 88]
    assert {body["inputs"][0]["name"] for body in infers(server)} == {"in"}


@pytest.mark.parametrize(
    ("status", "limit", "said", "most"),
    [
        (400, 100, "inference request batch-size must be <= 100 for 'm'", 2),
        (413, 60, "Payload too large", 4),
        (500, 60, "Internal Server Error", 5),
        (422, 60, "too many", 5),
    ],
)
def test_the_batch_size_is_learnt(rows: np.ndarray, status: int, limit: int, said: str, most: int) -> None:
    """A refused batch is cut to what the server names, or halved, and the size is remembered."""

    def infer(body: dict[str, Any]) -> tuple[int, Any]:
        small = body["inputs"][0]["shape"][0] <= limit
        return signs(body) if small else (status, {"error": said})

    with model_server(infer, described()) as server:
        client = oip.connect(server.url)
        asked = collect.ask(client, rows, TWO)
        first = len(infers(server))
        collect.ask(client, rows[:200], TWO)
        client.close()

    assert np.array_equal(asked.labels, rows[:, 0] > 0)
    served = [body["inputs"][0]["shape"][0] for body in infers(server)]
    assert sum(size > limit for size in served) < most
    assert all(size <= limit for size in served[first:])


def test_one_poison_row_is_isolated(rows: np.ndarray) -> None:
    """The row that a server fails on stays unanswered, all others are answered, and the batch size stays."""

    def infer(body: dict[str, Any]) -> tuple[int, Any]:
        return (500, {"error": "cannot"}) if max(body["inputs"][0]["data"]) > 50 else signs(body)

    poisoned = rows[:20].copy()
    poisoned[7, 1] = 99
    with model_server(infer, described()) as server:
        client = oip.connect(server.url)
        asked = collect.ask(client, poisoned, TWO, partly=True)
        with pytest.raises(TargetError, match="did not answer all of 20 inputs"):
            collect.ask(client, poisoned, TWO)
        client.close()

    assert np.flatnonzero(asked.labels == UNANSWERED).tolist() == [7]
    assert np.isnan(asked.scores[7]).all()
    assert np.array_equal(np.delete(asked.labels, 7), np.delete(poisoned[:, 0] > 0, 7))
    assert len(infers(server)) <= 2 * 10 + 1  # the first time also without naming outputs
    assert client.batch == 256


@pytest.mark.parametrize(
    "data",
    [
        [0.1, 0.9, math.nan, 0.5, 0.8, 0.2],
        [0.1, 0.9, math.inf, 0.5, 0.8, 0.2],
        [0.1, 0.9, "NaN", "Infinity", 0.8, 0.2],
        [0.1, 0.9, None, None, 0.8, 0.2],
        [[0.1, 0.9], None, [0.8, 0.2]],
        [[0.1, 0.9], [], [0.8, 0.2]],
        [[0.1, 0.9], [0.5], [0.8, 0.2]],
    ],
)
def test_an_input_without_numbers_spoils_no_other(rows: np.ndarray, data: list[Any]) -> None:
    """NaN, infinity, null or half a row for one input leaves it unanswered; nothing is sent again."""
    answer = {"outputs": [{"name": "y", "datatype": "FP32", "shape": [3, 2], "data": data}]}
    with model_server(lambda _: (200, answer), described()) as server:
        client = oip.connect(server.url)
        asked = collect.ask(client, rows[:3], TWO, partly=True)
        client.close()

    assert asked.labels.tolist() == [1, UNANSWERED, 0]
    assert len(infers(server)) == 1


def test_labels_with_a_gap_are_labels() -> None:
    """Null among whole numbers makes no scores of them."""
    outputs = [{"name": "y", "datatype": "INT64", "shape": [3, 1], "data": [4, None, 2]}]
    said = _oip_wire.read_answer({"outputs": outputs}, 3, "it")

    assert said.scores is None
    assert usable(said, 3).tolist() == [True, False, True]


def test_a_server_that_fails_on_everything_is_an_error(rows: np.ndarray) -> None:
    """Every input refused, alone and with others, is a broken server and no bad input; none is sent for ever."""
    with model_server(lambda body: (500, {"error": "cannot"}), described()) as server:
        client = oip.connect(server.url)
        with pytest.raises(TargetError, match="status 500"):
            collect.ask(client, rows[:64], TWO, partly=True)
        client.close()

    assert len(infers(server)) <= 2 * 64 + 1


@pytest.mark.parametrize("metadata", [described(), {"name": "m", "inputs": [], "outputs": []}, {}])
@pytest.mark.parametrize("wanted", ["FP32", "FP64", "FP16"])
def test_the_datatype_is_learnt(rows: np.ndarray, metadata: dict[str, Any], wanted: str) -> None:
    """A refusal that names another datatype is followed once; the metadata may be wrong or empty."""

    def infer(body: dict[str, Any]) -> tuple[int, Any]:
        got = body["inputs"][0]["datatype"]
        return signs(body) if got == wanted else (400, {"error": f"data-type is '{got}', but 'm' expects '{wanted}'"})

    with model_server(infer, metadata) as server:
        client = oip.connect(server.url)
        asked = collect.ask(client, rows[:9], TWO)
        client.close()

    assert np.array_equal(asked.labels, rows[:9, 0] > 0)
    assert len(infers(server)) == 1 + (wanted != "FP32")


def test_probabilities_are_asked_for_where_a_server_may_hide_them(rows: np.ndarray) -> None:
    """One try for predict_proba; a model that has none is asked plainly from then on."""

    def labels_only(body: dict[str, Any]) -> tuple[int, Any]:
        if "outputs" in body:
            return 400, {"error": "unknown output predict_proba"}
        data = [int(x > 0) for x in body["inputs"][0]["data"][::2]]
        return 200, {"outputs": [{"name": "predict", "datatype": "INT64", "shape": [len(data), 1], "data": data}]}

    with model_server(labels_only) as server:
        client = oip.connect(server.url)
        asked = [collect.ask(client, rows[:9], TWO) for _ in range(2)]
        client.close()

    assert np.array_equal(asked[1].labels, rows[:9, 0] > 0)
    assert asked[0].scores is None
    assert ["outputs" in body for body in infers(server)] == [True, False, False]


def test_a_fixed_batch_is_padded(rows: np.ndarray) -> None:
    """A model of exactly four rows per request answers ten."""

    def infer(body: dict[str, Any]) -> tuple[int, Any]:
        return signs(body) if body["inputs"][0]["shape"] == [4, 2] else (400, {"error": "shape"})

    with model_server(infer, described(shape=(4, 2))) as server:
        client = oip.connect(server.url)
        labels = collect.ask(client, rows[:10], TWO).labels
        client.close()

    assert np.array_equal(labels, rows[:10, 0] > 0)


def test_texts_are_sent_as_bytes_and_named_labels_come_back() -> None:
    """A text model is asked in BYTES, and its answers are labels by name."""

    def infer(body: dict[str, Any]) -> tuple[int, Any]:
        entry = body["inputs"][0]
        assert (entry["datatype"], entry["shape"]) == ("BYTES", [2, 1])
        data = ["long" if len(text) > 4 else "short" for text in entry["data"]]
        return 200, {"outputs": [{"name": "y", "datatype": "BYTES", "shape": [2], "data": data}]}

    with model_server(infer, described("BYTES", (-1, 1))) as server:
        client = oip.connect(server.url)
        asked = collect.ask(client, ["a", "a warm day"], InputSpec("text"), classes=("short", "long"))
        client.close()

    assert client.shape == ()
    assert asked.labels.tolist() == [0, 1]


def test_whole_numbers_are_sent_where_they_are_wanted(rows: np.ndarray) -> None:
    """An integer input gets integers, and fractions are refused before they are sent."""
    with model_server(signs, described("UINT8")) as server:
        client = oip.connect(server.url)
        client.ask(np.array([[3, 4]], np.float32))
        with pytest.raises(TargetError, match="UINT8"):
            client.ask(rows[:2])
        client.close()

    assert [type(value) for value in infers(server)[0]["inputs"][0]["data"]] == [int, int]


def test_an_unready_or_unknown_model_is_named() -> None:
    """Connecting fails where asking would, and says which models there are."""
    with serve({"a": lambda x: np.zeros(len(x), int), "b": lambda x: np.zeros(len(x), int)}, (2,)) as url:
        with pytest.raises(TargetError, match="it serves a, b"):
            oip.connect(f"{url}/v2/models/c")
        with pytest.raises(UsageError, match="it serves a, b"):
            oip.connect(url)
    with peer(send(http(503, {"ready": False}))) as server, pytest.raises(TargetError, match="503"):
        oip.connect(server.url + "/v2/models/m", timeout=2)


def test_a_server_of_one_model_needs_no_name() -> None:
    """Its only model is meant, version or not."""
    with serve({"only": lambda x: np.ones(len(x), int)}, (2,)) as url:
        for where in (url, f"{url}/v2", f"{url}/v2/models/only/versions/1", f"{url}/v2/models/only/infer"):
            client = oip.connect(where)

            assert client.ask(np.zeros((2, 2), np.float32)).labels.tolist() == [1, 1]
            client.close()


@pytest.mark.parametrize(
    "outputs",
    [
        None, [], [3], [{"name": "y"}], [{"name": "y", "shape": [2, 2], "data": [1, 2, 3]}],
        [{"name": "y", "shape": [3, 2], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}],
        [{"name": "y", "shape": [2], "datatype": "FP32", "data": [10**400, 1]}],
        [{"name": "y", "shape": [2, 10**14], "datatype": "FP32", "data": [1, 2]}],
        [{"name": "y", "shape": [2], "datatype": "BYTES", "data": ["\ud800", "a"]}],
        [{"name": "y", "shape": [2], "datatype": "BYTES", "data": ["x" * 10_000, "a"]}],
        [{"name": "y", "shape": [2], "datatype": "FP32", "data": [{}, None]}],
        [{"name": "y", "shape": [2, 2, 2], "datatype": "FP32", "data": [0] * 8}],
        [{"name": "y", "shape": [2, 2], "datatype": "FP32", "data": [[1], [2, 3]]}],
        [{"name": "y", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, None, 4]}],
        [{"name": "y", "shape": [2, 1], "datatype": "INT64", "data": [-7, 1]}],
    ],
)  # fmt: skip
def test_answers_that_do_not_fit_are_errors(outputs: Any) -> None:
    """Wrong rows, shapes, types and texts are the target's fault, in one line."""
    with model_server(lambda body: (200, {"outputs": outputs}), described()) as server:
        client = oip.connect(server.url)
        with pytest.raises(TargetError) as caught:
            collect.ask(client, np.zeros((2, 2), np.float32), TWO)
        client.close()

    assert len(str(caught.value)) < 500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
    | st.sampled_from(["y", "FP32", "BYTES", "INT64"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["name", "shape", "data", "datatype", "inputs", "outputs"]), inner),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_any_json_is_read_or_refused(value: Any) -> None:
    """No metadata and no answer, however shaped, gets past as another kind of error."""
    for read in (
        lambda: _oip_wire.read_metadata(value, "s"),
        lambda: _oip_wire.read_metadata({"inputs": value}, "s"),
        lambda: _oip_wire.read_metadata({"inputs": [value]}, "s"),
        lambda: _oip_wire.read_answer(value, 2, "s"),
        lambda: _oip_wire.read_answer({"outputs": [value]}, 2, "s"),
    ):
        with contextlib.suppress(TargetError):
            read()


def test_wide_inputs_go_in_smaller_requests() -> None:
    """A request holds about a million numbers at most."""
    with model_server(signs, described(shape=(-1, 100_000))) as server:
        client = oip.connect(server.url)
        client.ask(np.zeros((11, 100_000), np.float32))
        client.close()

    assert [body["inputs"][0]["shape"][0] for body in infers(server)] == [10, 1]


def test_redacting_keeps_the_address_and_drops_the_rest() -> None:
    """User, password, query and fragment go; scheme, host and path stay."""
    assert _transport.redacted("https://u:p@h:1/a/b?k=1#f") == "https://***@h:1/a/b"
    assert _transport.redacted("http://h/a") == "http://h/a"
