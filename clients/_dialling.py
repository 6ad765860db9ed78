"""
Connecting to a name: looked up once, checked, and the address that was checked is the one connected to.

A name under a stranger's control may stand for this machine, for its neighbours or for a cloud's metadata service, and
for another address each time it is asked. So names reach public addresses only, unless the user allows more; a URL
that says an address itself, or localhost, means it.
"""

import ipaddress
import socket
import threading
from typing import Final

from probe_match.fingerprinting.errors import TargetError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
HERE: Final = ("localhost", "localhost.")
TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")  # NAT64: the last four bytes are an IPv4 address


class NotSent(TargetError):  # noqa: N818
    """No byte of the request left: no such host, nobody listens, no TLS, an address that may not be reached."""


def dial(host: str, port: int, seconds: float, *, allow_private: bool) -> socket.socket:
    """
    A connected socket. seconds: for the look-up, and for all addresses together after it.

    Raises NotSent for an address that may not be reached, OSError where none answers.
    """
    host = host.strip("[]")
    private = allow_private or host.lower() in HERE or literal(host) is not None
    found = look_up(host, port, seconds)
    permitted = [entry for entry in found if private or is_public(str(entry[4][0]))]
    if not permitted:
        raise NotSent(
            f"{host} resolves to {found[0][4][0]}, which is no public address; if you trust it, give the address "
            "itself or --allow-private"
        )
    failure: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in permitted[:8]:
        connected = socket.socket(family, kind, protocol)
        try:
            connected.settimeout(seconds / min(len(permitted), 8))
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.connect(address)
            connected.settimeout(seconds)
            return connected
        except OSError as error:
            connected.close()
            failure = error

    raise failure


def look_up(host: str, port: int, seconds: float) -> list[tuple[int, int, int, str, tuple[str | int, ...]]]:
    """As `socket.getaddrinfo`, but not for ever. Raises OSError."""
    if literal(host) is not None:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))  # type: ignore[arg-type]
    came: list[object] = []

    def ask() -> None:
        try:
            came.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            came.append(error)

    asking = threading.Thread(target=ask, daemon=True)  # a resolver cannot be interrupted, only left alone
    asking.start()
    asking.join(seconds)
    if not came:
        raise TimeoutError(f"the name {host} was not looked up in time")
    if isinstance(came[0], UnicodeError):
        raise socket.gaierror(socket.EAI_NONAME, "no name")
    if isinstance(came[0], OSError):
        raise came[0]
    assert isinstance(came[0], list)

    return came[0]


def literal(host: str) -> Address | None:
    """The address that a host says itself, None for a name; 127.1 and 2130706433 are names here."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet, in whatever it is wrapped."""
    address = literal(text)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in TRANSLATED:
            inner = ipaddress.IPv4Address(address.packed[12:])
        if inner is not None:
            return is_public(str(inner))

    return address is not None and address.is_global and not address.is_multicast
