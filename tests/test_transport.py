"""The transport: names and addresses, proxies, secrets, waits and deadlines, against servers that mean harm."""

import base64
import json
import socket
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import pytest
from probe_match.clients import _dialling, _json, _patience, _transport
from probe_match.clients._transport import NotSent, Transport
from probe_match.fingerprinting import errands, network
from probe_match.fingerprinting.errors import InputRefused, TargetError, UsageError
from probe_match.fingerprinting.network import Network

from benchmarks.reliability_rows.peer import Request, endless, http, peer, send

CANARY = "sk-canary/5f2d+x"
DEADLINE = 0.4


def answering(status: int = 200, body: Any = None, *headers: str) -> Callable[[socket.socket, Request], None]:
    return lambda connection, _: connection.sendall(http(status, {} if body is None else body, *headers))


# --- names and addresses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("127.0.0.1", False), ("10.1.2.3", False),
        ("192.168.0.1", False), ("172.16.0.1", False), ("169.254.169.254", False), ("100.64.0.1", False),
        ("0.0.0.0", False), ("255.255.255.255", False), ("224.0.0.1", False), ("::1", False), ("::", False),
        ("fe80::1%eth0", False), ("fd00:ec2::254", False), ("ff02::1", False), ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False), ("2002:7f00:1::", False), ("64:ff9b::5db8:d822", True), ("name", False),
    ],
)  # fmt: skip
def test_public_addresses_are_told_from_all_others(address: str, public: bool) -> None:
    """Loopback, private, link-local, shared, multicast and unspecified are not public, in whatever they are wrapped."""
    assert _dialling.is_public(address) == public


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A resolver: the addresses of each name, one for every look-up; its look-ups stand under "asked"."""
    known: dict[str, list[str]] = {"asked": []}
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *args: Any, **more: Any) -> Any:
        if host not in known:
            return real(host, port, *args, **more)
        known["asked"].append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (known[host].pop(0), port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


def test_a_name_that_stands_for_this_machine_is_refused(names: dict[str, list[str]]) -> None:
    """No connection is opened; an address in the URL, localhost, and --allow-private are the user's own word."""
    with peer(answering()) as server:
        port = server.url.rpartition(":")[2]
        names["model.test"] = ["127.0.0.1"] * 2
        with pytest.raises(NotSent, match=r"model\.test resolves to 127\.0\.0\.1, which is no public address"):
            Transport(timeout=2).post(f"http://model.test:{port}/", {})
        refused = len(server.requests)
        for host in ("127.0.0.1", "localhost"):
            assert Transport(timeout=2).get(f"http://{host}:{port}/").ok
        with network.using(Network(allow_private=True)):
            allowed = Transport(timeout=2)
        assert allowed.get(f"http://model.test:{port}/").ok

    assert refused == 0


def test_the_address_that_was_checked_is_the_one_connected_to(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that changes its address after the check is looked up once and gains nothing."""
    monkeypatch.setattr(_dialling, "is_public", lambda address: address == "127.0.0.1")
    with peer(answering()) as server:
        names["rebinding.test"] = ["127.0.0.1", "127.0.0.2", "127.0.0.2"]
        transport = Transport(timeout=2)
        for _ in range(2):  # the second time over the connection that is open
            assert transport.get(f"http://rebinding.test:{server.url.rpartition(':')[2]}/").ok
        transport.close()

    assert names["asked"] == ["rebinding.test"]


def test_a_resolver_that_hangs_does_not_hold_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking up a name is part of the request's time."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(3))
    started = time.monotonic()
    with pytest.raises(NotSent):
        Transport(timeout=DEADLINE).post("http://slow.test/", {})

    assert time.monotonic() - started < DEADLINE + 0.5


@pytest.mark.parametrize("answer", [lambda c, r: None, endless(b"", b"\x16", 0.05)], ids=["silent", "dripping"])
def test_a_handshake_without_end_is_cut(answer: Any) -> None:
    """TLS that stalls, or comes byte by byte, ends by the deadline, and nothing was sent."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            try:
                answer(connection, ("", "", {}, b""))
                connection.recv(1 << 16)
                time.sleep(1.5 * DEADLINE)
            except OSError:
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    started = time.monotonic()
    with pytest.raises(NotSent):
        Transport(timeout=DEADLINE).post(f"https://127.0.0.1:{listener.getsockname()[1]}/", {})
    taken = time.monotonic() - started
    thread.join()

    assert taken < DEADLINE + 0.5


# --- proxies --------------------------------------------------------------------------------------------------------


def test_a_proxy_is_used_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody's proxy variables count for nothing; --proxy and our own variable do, with its password struck out."""
    with peer(answering(200, {"from": "proxy"})) as proxy, peer(answering(200, {"from": "server"})) as server:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert Transport(timeout=2).get(server.url).json() == {"from": "server"}
        with network.using(Network(proxy=proxy.url)):
            assert Transport(timeout=2).get(server.url).json() == {"from": "proxy"}
        monkeypatch.setenv("PROBE_MATCH_PROXY", proxy.url.replace("//", "//me:canary@"))
        transport = Transport(timeout=2)
        assert transport.get(server.url).json() == {"from": "proxy"}

    assert proxy.requests[1][2]["proxy-authorization"] == "Basic " + base64.b64encode(b"me:canary").decode()
    assert "canary" not in repr(vars(transport))
    with pytest.raises(TargetError) as caught:
        transport.get(server.url)
    assert "canary" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("proxy", ["ftp://h", "h:80", "http://", "http://me:canary@h:80"])
def test_a_proxy_that_makes_no_sense_is_refused_unseen(proxy: str) -> None:
    """A password does not belong among arguments, and is not repeated."""
    with network.using(Network(proxy=proxy)), pytest.raises(UsageError, match="proxy") as caught:
        Transport()
    assert "canary" not in str(caught.value)


def test_a_proxy_that_never_opens_the_way_is_cut() -> None:
    """A tunnel that is not granted ends by the deadline, and nothing was sent to the target."""
    with peer(lambda connection, _: time.sleep(0.8)) as proxy, network.using(Network(proxy=proxy.url)):
        started = time.monotonic()
        with pytest.raises(NotSent):
            Transport(timeout=DEADLINE).post("https://host.test/", {})

        assert time.monotonic() - started < DEADLINE + 0.5


# --- secrets --------------------------------------------------------------------------------------------------------


FORMS = (CANARY, CANARY.replace("/", "\\/"), quote(CANARY, safe=""), base64.b64encode(CANARY.encode()).decode())


@pytest.mark.parametrize("form", FORMS)
def test_a_key_that_is_sent_back_is_struck_out_before_anybody_sees_it(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bodies and headers, of good answers and of complaints, in every form in which a server may echo the key."""
    monkeypatch.setenv("PROBE_MATCH_API_KEY", CANARY)
    body = f'{{"said": "{form}"}}'.encode()
    errand = errands.Errand()
    for status in (200, 400):
        with peer(answering(status, body, f"X-Echo: {form}")) as server, errands.run(errand):
            transport = Transport(timeout=2)
            reply = transport.post(server.url, {})
            said = str(transport.complaint(reply)) if status == 400 else str(reply.json())
        assert server.requests[0][2]["authorization"] == f"Bearer {CANARY}"
        for told in (said, repr(reply), repr(transport), repr(vars(transport)), repr(errand)):
            assert form not in told
            assert CANARY not in told


@pytest.mark.parametrize(
    "answer",
    [
        lambda c, r: time.sleep(2 * DEADLINE), send(b"no HTTP\r\n"), answering(302, b"", "Location: http://127.0.0.2/"),
        endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
    ],
)  # fmt: skip
def test_a_traceback_with_all_its_variables_holds_no_key(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong, the error and its causes carry no frame that knew the key."""
    monkeypatch.setenv("PROBE_MATCH_API_KEY", CANARY)
    with peer(answer) as server:
        try:
            Transport(timeout=DEADLINE, most=1 << 20).post(server.url, {})
        except TargetError as error:
            told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())

    assert "TargetError" in told
    assert CANARY not in told
    assert base64.b64encode(CANARY.encode()).decode() not in told


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "where", ["{other}/", "//127.0.0.1:1/", "https://{host}/", "http://169.254.169.254/", "/again"]
)
def test_no_redirect_is_followed(status: int, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever place is named, nothing goes there, and what was paid for is not posted again."""
    monkeypatch.setenv("PROBE_MATCH_API_KEY", CANARY)
    with peer(answering()) as other:
        place = where.format(other=other.url, host=other.url[7:])
        with peer(answering(status, b"", f"Location: {place}")) as server:
            with pytest.raises(TargetError, match="redirects to"):
                Transport(timeout=2, headers={"X-Other": CANARY}).post(server.url, {})

            assert (len(server.requests), len(other.requests)) == (1, 0)


# --- waiting and trying again ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset": "20"}, 20), ({"x-ratelimit-reset-requests": "1m30.5s"}, 90.5),
        ({"x-ratelimit-reset-tokens": "20ms"}, 0.02), ({"ratelimit-reset": "7"}, 7),
        ({"x-ratelimit-reset": "soon"}, None),
        ({"x-ratelimit-reset-requests": "3s", "x-ratelimit-reset-tokens": "6m"}, 360),
        ({"x-ratelimit-reset-requests": "3s", "x-ratelimit-reset-tokens": "6m", "x-ratelimit-remaining-requests": "0",
          "x-ratelimit-remaining-tokens": "900"}, 3),
        ({"retry-after": "2", "x-ratelimit-reset": "20"}, 2), ({"llm_provider-retry-after": "4"}, 4),
        ({"x-ratelimit-reset": "1" * 30}, None), ({"x-ratelimit-reset": "-3"}, None),
    ],
)  # fmt: skip
def test_resets_are_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, durations, of the limit that was reached; nonsense is nothing."""
    assert _patience.told_to_wait(headers) == seconds


def test_resets_may_be_points_in_time() -> None:
    """Seconds or milliseconds since 1970, or a date, are waits from now."""
    then = datetime.now(timezone.utc) + timedelta(seconds=30)
    for said in (str(int(then.timestamp())), str(int(then.timestamp() * 1000)), then.isoformat(), f"{then:%FT%TZ}"):
        waits = [
            _patience.told_to_wait({name: said}) for name in ("x-ratelimit-reset", "anthropic-ratelimit-tokens-reset")
        ]
        assert waits == pytest.approx([30, 30], abs=1.1)


@pytest.mark.parametrize(
    ("status", "headers", "most"),
    [
        (429, ("Retry-After: 0",), _patience.MOST_TRIES), (503, ("Retry-After: 0",), _patience.MOST_TRIES),
        (503, (), 2),
        (429, ("Retry-After: 86400",), 1), (500, (), 1), (502, (), 1), (504, (), 1), (404, (), 1), (401, (), 1),
        (500, ("X-Should-Retry: true",), 1), (200, ("Retry-After: 0", "X-Should-Retry: true"), 1),
    ],
)  # fmt: skip
def test_tries_are_bounded(status: int, headers: tuple[str, ...], most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a busy server is asked again, not for ever, and never after an answer, whatever it says."""
    monkeypatch.setattr(_patience, "FIRST_WAIT", 0.01)
    with peer(answering(status, {}, *headers)) as server:
        started = time.monotonic()
        Transport(timeout=2).post(server.url, {})

        assert len(server.requests) == most
        assert time.monotonic() - started < 1


def test_a_wait_ends_with_the_audits_time() -> None:
    """A server that wants more time than the audit has left is not waited for."""
    with (
        peer(answering(429, {}, "Retry-After: 5")) as server,
        errands.run(errands.Errand(seconds_left=lambda: 3.0)),
    ):
        started = time.monotonic()
        Transport(timeout=2, patience=60).post(server.url, {})

        assert (len(server.requests), time.monotonic() - started < 1) == (1, True)


@pytest.mark.parametrize(
    ("answer", "left", "status"),
    [(answering(), True, 200), (answering(500), True, 500), (send(b"nonsense"), True, None), (None, False, None)],
)
def test_an_errand_knows_what_left_and_what_came(answer: Any, left: bool, status: int | None) -> None:
    """A whole answer, a lost one and a request that never left are three different things."""
    with errands.run(errands.Errand()) as errand:
        if answer is None:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                with pytest.raises(NotSent):
                    Transport(timeout=0.5).post(f"http://127.0.0.1:{free.getsockname()[1]}", {})
        else:
            with peer(answer) as server:
                try:
                    Transport(timeout=2).post(server.url, {})
                except TargetError:
                    assert status is None

    assert [(attempt.left, attempt.status) for attempt in errand.attempts] == [(left, status)]


@pytest.mark.parametrize(("status", "kind"), [(413, InputRefused), (500, InputRefused), (401, TargetError)])
def test_a_complaint_says_whether_fewer_inputs_may_pass(status: int, kind: type[TargetError]) -> None:
    """Too much at once and one bad input look alike; a wrong key does not."""
    reply = _transport.Reply("http://h", status, b"")

    assert type(Transport().complaint(reply)) is kind


def test_threads_share_no_session() -> None:
    """Many threads ask at once, each over a connection of its own that is kept for the next request."""
    with peer(lambda c, r: (time.sleep(0.05), c.sendall(http(200, json.loads(r[3]))))[1]) as server:
        transport, said = Transport(timeout=5), []

        def ask(i: int) -> None:
            said.extend([transport.post(server.url, i).json() == i for _ in range(3)])

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        transport.close()

        assert said == [True] * 48
        assert len(server._connections) == 16


# --- memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [b"[],", b"{},", b'"ab",', b'{"ab":1},', b"1.5,", b"[[[[]]]],"])
def test_json_that_would_fill_the_memory_is_refused(unit: bytes) -> None:
    """Four bytes of text can be a hundred of objects; what is parsed stays within 64 MiB."""
    body = b"[" + unit * ((_transport.MAX_BYTES - 8) // len(unit)) + b"1]"
    tracemalloc.start()
    try:
        with pytest.raises(TargetError, match="more values than fit"):
            _json.parse(body, "it")
        largest = len(body)
        while largest > 1 << 16:  # the largest that is let through
            largest //= 2
            try:
                _json.parse(b"[" + unit * (largest // len(unit)) + b"1]", "it")
                break
            except TargetError:
                continue
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak - len(body) < 64 << 20
