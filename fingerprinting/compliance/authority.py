"""
Who may ask whose servers: `authorization.toml`, without which nothing but this machine is asked.

Terms of service often forbid finding out what stands behind an endpoint. Whether that binds is for counsel to say; the
file says that somebody did, for which hosts, how fast, how much, and until when.
"""

import datetime as dt
import fnmatch
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.audits import read_rate
from probe_match.fingerprinting.errors import UsageError

from .settings import Endpoint, _number, _only, _text, _texts, read_toml
from .words import plain

FILE: Final = "authorization.toml"
LOCAL: Final = ("onnx", "sklearn", "torch", "function", "replay")  # clients that ask no server
HOMES: Final = {"anthropic": "api.anthropic.com", "ollama": "127.0.0.1", "openai": "api.openai.com"}
URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s]+", re.IGNORECASE)
DEFAULT_RATE: Final = "1/s"


@dataclass(frozen=True)
class Authority:
    """
    Leave to ask. hosts: names, `*.` for all below one. rate: most requests to one host. budget: most questions in all.
    expires: its last day. digest: of the file.
    """

    who: str
    basis: str
    hosts: tuple[str, ...]
    rate: str
    budget: int
    expires: dt.date
    terms: str
    digest: str

    def covers(self, host: str) -> bool:
        """Whether a host is among those named."""
        return any(fnmatch.fnmatchcase(host, pattern.casefold()) for pattern in self.hosts)


def read(path: Path) -> Authority:
    """The authority of a file. Raises BadData, UsageError."""
    told = read_toml(path)
    where = plain(path.name)
    _only(told, where, tuple(name for name in Authority.__dataclass_fields__ if name != "digest"))
    who, basis, rate = (_text(told, key, where) for key in ("who", "basis", "rate"))
    hosts, expires = _texts(told, "hosts", where), told.get("expires")
    if not who.strip() or not basis.strip() or not hosts:
        raise UsageError(f"expected {where} to say who asks, on what basis, and which hosts")
    if any(pattern.strip("*.") == "" for pattern in hosts):
        raise UsageError(f"expected {where} to name its hosts; one pattern stands for every host there is")
    if type(expires) is not dt.date:
        raise UsageError(f"expected {where} to say expires = YEAR-MONTH-DAY, without quotes")
    rate = rate or DEFAULT_RATE
    read_rate(rate)
    budget = int(_number(told, "budget", 0, where, whole=True, least=1))

    return Authority(
        who, basis, hosts, rate, budget, expires, _text(told, "terms", where), storage.sha256(path.read_bytes())
    )


def host_of(target: str) -> str | None:
    """The host that a target is asked at, in lower case; None for a model that is run or read on this machine."""
    client, colon, where = target.partition(":")
    if URL.match(target):
        where = target
    elif not colon or client in LOCAL or len(client) == 1:
        return None
    elif client == "rest" and "@" in where:
        where = where.partition("@")[2]
    # Where the client looks for an address, and nowhere else: a model's name may hold one, too.
    if URL.match(where):
        try:
            return (urlsplit(where).hostname or where).casefold()
        except ValueError:  # no address that anything could be asked at
            return where.casefold()
    if client in HOMES:
        return HOMES[client]
    host = re.match(r"\[?([0-9a-f:]+|[\w.-]+)\]?(:\d+)?(/|$)", where, re.IGNORECASE)  # host:port/… of some clients

    return host[1].casefold() if host and client != "sagemaker" else client


def is_loopback(host: str | None) -> bool:
    """Whether asking it stays on this machine. A name that merely resolves to it does not count."""
    if host is None or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return False


def require(endpoints: Sequence[Endpoint], authority: Authority | None, where: Path, *, today: dt.date) -> None:
    """Raise UsageError, in one line, where something would be asked that nobody allowed."""
    outside = [(endpoint, host_of(endpoint.target)) for endpoint in endpoints]
    outside = [(endpoint, host) for endpoint, host in outside if not is_loopback(host)]
    if not outside:
        return
    hosts = ", ".join(sorted({plain(host)[:80] for _, host in outside})[:5])
    if authority is None:
        raise UsageError(
            f"{hosts} is not this machine, and there is no {plain(where)}; say there who asks, on what basis, hosts, "
            "rate, budget and expires"
        )
    if today > authority.expires:
        raise UsageError(f"{plain(where)} expired on {authority.expires}; ask for leave again before asking {hosts}")
    strange = sorted({str(host) for _, host in outside if not authority.covers(str(host))})
    if strange:
        raise UsageError(f"{plain(where)} does not name {plain(strange[0])[:80]}; nothing was asked")
    for endpoint, _ in outside:
        if endpoint.budget is None:
            raise UsageError(f"'{endpoint.name}' is not on this machine; give it a budget, in questions")
    asked = sum(endpoint.budget or 0 for endpoint, _ in outside)
    if asked > authority.budget:
        raise UsageError(
            f"the endpoints may be asked {asked} questions in all and {plain(where)} allows {authority.budget}; lower "
            "their budgets"
        )
