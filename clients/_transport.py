"""
The one door to the network: deadlines, limits, retries and secrets live here.

What a hostile server can do to a plain HTTP client, and what is done about it: bytes sent one by one (a
deadline for the whole request), endless or compressed bodies (nothing but identity encoding, a cap on bytes),
redirects that carry keys away (never followed), names that stand for this machine or its neighbours (see
`_dialling`), keys sent back in an answer (struck out before anybody sees it), nonsense instead of JSON (one clear
error). Only a request that surely never left is sent again, because every other one may have been counted or paid for.
"""

import functools
import os
import re
from collections import deque
from collections.abc import Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from json import dumps
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import requests
import tenacity
import urllib3
from probe_match.fingerprinting import errands, network
from probe_match.fingerprinting.errors import InputRefused, TargetError, UsageError

from . import _json
from ._deadline import Adapter, Flight, flying
from ._dialling import NotSent
from ._keys import OWN, PROXY, KeyHeader, Proxies, Secrets, key_for, proxy_for
from ._patience import SPENT, Patience

__all__ = ["KEY", "NotSent", "Reply", "Transport", "checked", "redacted"]

KEY: Final = OWN
CA_BUNDLE: Final = "PROBE_MATCH_CA_BUNDLE"  # a file of certificates for hosts with a private authority
MAX_BYTES: Final = 16 << 20
PATIENCE: Final = 10.0  # seconds
RETRIES: Final = 2
INPUT_REFUSED: Final = (400, 413, 422, 500)  # what servers answer to too many inputs, or to one bad among them
AGENT: Final = f"probe-match/{version('probe-match')}"
# What urllib3 and requests raise while a request is under way.
BROKEN: Final = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, UnicodeError)


class Reply(NamedTuple):
    """What a server answered; status is anything but a redirect. headers: names in lower case."""

    url: str
    status: int
    body: bytes
    headers: Mapping[str, str] = {}

    @property
    def ok(self) -> bool:
        """Whether the server did what it was asked."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON. Raises TargetError."""
        return _json.parse(self.body, self.url)


class Transport:
    """
    All requests to one target. timeout: seconds for a whole request, from the name's look-up to the last byte. most:
    bytes of an answer. site: the URL of the target, which says whose key may go along. patience: seconds that a request
    may wait in all where the server is too busy. headers: sent with every request. key_header: "Authorization" (as
    Bearer), or the field that takes the bare key. sign: further headers for one request, from its method, URL and body.

    The key in PROBE_MATCH_API_KEY, else that of the site's provider, goes into its header and nowhere else. A session
    serves one thread at a time, so that any number of threads may ask at once.
    """

    def __init__(
        self,
        *,
        timeout: float = 30.0,
        most: int = MAX_BYTES,
        site: str = "",
        patience: float = PATIENCE,
        headers: Mapping[str, str] | None = None,
        key_header: str = "Authorization",
        sign: Callable[[str, str, bytes], Mapping[str, str]] | None = None,
    ) -> None:
        if not 0 < timeout < 1e6:
            raise UsageError(f"expected a timeout above 0 seconds, got {timeout}")
        self.timeout = timeout
        self._most = most
        self._variable, key = key_for(site)
        proxy = proxy_for(network.current().proxy)
        self._secrets = Secrets(key, proxy)
        self._auth = KeyHeader(key_header, None if sign is not None else key)  # who signs sends no key
        self._headers = {"User-Agent": AGENT, "Accept": "application/json", "Accept-Encoding": "identity"}
        self._headers |= dict(headers or {})
        self._proxies = Proxies() if proxy is None else Proxies(http=proxy, https=proxy)
        self._allow_private = network.current().allow_private
        self._sign = sign
        self._patience = Patience(patience)
        self._verify: bool | str = os.environ.get(CA_BUNDLE) or True
        self._idle: deque[requests.Session] = deque()  # sessions that no thread uses

    def __repr__(self) -> str:
        return f"Transport(timeout={self.timeout:g})"

    def get(self, url: str) -> Reply:
        """What `url` answers. Raises TargetError where no whole answer comes in time."""
        return self._patience.persist(lambda: self._fetch("GET", url, None))

    def post(self, url: str, value: Any) -> Reply:
        """What `url` answers to a JSON value; sent once, unless the server is too busy. Raises TargetError."""
        try:
            body = dumps(value, allow_nan=False).encode()
        except ValueError as error:
            raise TargetError(f"only finite numbers can be sent to {url} ({error})") from error
        most = errands.current().seconds_left()

        return self._patience.persist(lambda: self._counted(url, body), most=most)

    def submit(self, url: str, body: bytes, kind: str) -> Reply:
        """What `url` answers to bytes of another media type than JSON. Raises TargetError."""
        return self._patience.persist(lambda: self._fetch("POST", url, body, {"Content-Type": kind}))

    def complaint(self, reply: Reply) -> TargetError:
        """The error that a reply which is not ok amounts to: InputRefused where fewer inputs at once may pass."""
        said = self.shown(_json.told(reply.body))
        if reply.status in (401, 403):
            hint = "refuses the key in" if self._auth else "wants a key; set"
            return TargetError(f"{reply.url} {hint} {self._variable} ({reply.status}: {said})")
        if reply.status == 402 or SPENT in reply.body:
            return TargetError(
                f"{reply.url} has no money left for this key ({reply.status}: {said}); top up its account"
            )
        if reply.status == 429:
            return TargetError(f"{reply.url} is asked too fast or its quota is spent (429: {said}); try again later")

        kind = InputRefused if reply.status in INPUT_REFUSED else TargetError

        return kind(f"expected an answer from {reply.url}, got status {reply.status}: {said or 'no text'}")

    def close(self) -> None:
        """Close the connections kept open, and wait for nothing any more."""
        self._patience.stop()
        while self._idle:
            self._idle.pop().close()

    def shown(self, text: bytes | str) -> str:
        """A server's words, for people: one line, without the key."""
        return self._secrets.struck(_json.printable(text, 2000))[:200]

    def _counted(self, url: str, body: bytes) -> Reply:
        """One request that may be paid for: told to the errand it belongs to before it leaves and when it is over."""
        errand = errands.current()
        attempt = errand.depart(redacted(url))
        try:
            reply = self._fetch("POST", url, body, errand.headers())
        except NotSent:
            attempt.left = False
            raise
        attempt.status, attempt.body = reply.status, reply.body

        return reply

    def _fetch(self, method: str, url: str, body: bytes | None, more: Mapping[str, str] = {}) -> Reply:
        checked(url)
        flight = Flight(self.timeout, allow_private=self._allow_private)
        try:
            with flying(flight):
                try:
                    return self._send(method, url, body, flight, more)
                except requests.ConnectionError as error:
                    if not _never_left(error, flight):
                        raise
                again = tenacity.Retrying(
                    retry=tenacity.retry_if_exception(lambda error: _never_left(error, flight)),
                    stop=tenacity.stop_after_attempt(RETRIES) | tenacity.stop_when_event_set(flight.over),
                    wait=tenacity.wait_exponential(multiplier=0.1, max=1.0),
                    sleep=tenacity.sleep_using_event(flight.over),
                    reraise=True,
                )
                flight.over.wait(0.1)
                return again(self._send, method, url, body, flight, more)
        except BROKEN as error:
            # Without its frames, whose variables hold the key.
            raise self._explained(error, url, flight) from _bare(error)

    def _send(self, method: str, url: str, body: bytes | None, flight: Flight, more: Mapping[str, str]) -> Reply:
        headers = self._headers if body is None else self._headers | {"Content-Type": "application/json", **more}
        if self._sign is not None:
            headers = headers | dict(self._sign(method, url, body or b""))
        session = self._idle.pop() if self._idle else _session()
        try:
            # Nothing of the session's own is merged in, which would cost a tenth of a request.
            request = requests.Request(method, url, headers, data=body, auth=self._auth).prepare()
            with session.send(
                request, timeout=flight.left(), verify=self._verify, proxies=self._proxies, stream=True,
                allow_redirects=False,
            ) as response:  # fmt: skip
                reply = self._read(response, url, flight)
        except BaseException:
            session.close()
            raise
        if not reply.ok:
            session.close()  # many servers hang up after an error; the next request must not meet that
        self._idle.append(session)
        return reply

    def _read(self, response: requests.Response, url: str, flight: Flight) -> Reply:
        if 300 <= response.status_code < 400:
            where = redacted(self.shown(response.headers.get("Location", "nowhere")))
            raise TargetError(f"{url} redirects to {where}; give the address that answers")
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise TargetError(f"expected a plain answer from {url}, got encoding '{self.shown(encoding)[:40]}'")
        fields = {name.lower(): self._secrets.struck(value) for name, value in response.headers.items()}
        body = bytearray()
        for part in response.raw.stream(1 << 16, decode_content=False):
            body += part
            if len(body) > self._most:
                raise TargetError(f"{url} answers more than {self._most >> 20} MiB; ask for less at once")
        if flight.over.is_set():
            raise TimeoutError("cut")  # to a body without a length, the end looks like its own

        return Reply(url, response.status_code, self._secrets.struck_bytes(bytes(body)), fields)

    def _explained(self, error: Exception, url: str, flight: Flight) -> TargetError:
        kind: type[TargetError] = TargetError if flight.departed else NotSent
        late = flight.over.is_set() or isinstance(error, TimeoutError | requests.Timeout)
        if late and not isinstance(error, requests.ConnectTimeout):
            return kind(f"expected an answer from {url} within {self.timeout:g} s, got none; raise --timeout")
        reason = getattr(error.args[0], "reason", error) if error.args else error
        told = self.shown(str(reason))
        if isinstance(error, requests.exceptions.ProxyError):
            what = f"the proxy does not answer ({told[-120:]}); check --proxy or {PROXY}"
        elif isinstance(error, requests.ConnectTimeout):
            what = "no connection in time; is the server running?"
        elif "refused" in told:
            what = "connection refused; is the server running?"
        elif isinstance(reason, urllib3.exceptions.NameResolutionError):
            what = "no such host; check the name"
        elif isinstance(error, requests.exceptions.SSLError):
            what = f"TLS failed ({told[-120:]}); set {CA_BUNDLE} to the file of your authority"
        else:
            return kind(f"expected a whole answer from {url}, got a broken one ({told[:120]})")

        return kind(f"cannot reach {url}: {what}")


@functools.lru_cache(256)  # the same few addresses are asked thousands of times
def checked(url: str) -> str:
    """The URL if it is one we ask: http(s), a host, no user name, query or fragment. Raises UsageError."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError(f"expected http(s)://host[:port]/path, got '{_json.printable(redacted(url))}'")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            f"expected a URL without user name, query or fragment, got '{redacted(url)}'; keys go into {KEY}"
        )

    return url


def redacted(url: str) -> str:
    """The URL without what may be secret: user name, password, query and fragment."""
    return re.sub(r"[?#].*", "", re.sub(r"//[^/?#]*@", "//***@", url))


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no proxies, .netrc or bundles from the surroundings
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter())

    return session


def _never_left(error: BaseException, flight: Flight) -> bool:
    """Whether another try may reach a server that this one did not."""
    if flight.departed or flight.over.is_set():
        return False
    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None

    return isinstance(error, requests.ConnectionError) and isinstance(reason, urllib3.exceptions.NewConnectionError)


def _bare(error: BaseException) -> BaseException:
    """An error without the frames that it and its causes came through."""
    seen: BaseException | None = error
    for _ in range(20):
        if seen is None:
            break
        seen.__traceback__ = None
        seen = seen.__cause__ or seen.__context__

    return error
