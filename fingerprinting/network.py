"""How targets may be reached, for all clients that are made in a block: what the transport of each of them reads."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple


class Network(NamedTuple):
    """
    proxy: its URL, None for a direct way. allow_private: names may resolve to addresses of private networks, of this
    machine and of link-local services; without it only a URL that says such an address itself reaches one.
    """

    proxy: str | None = None
    allow_private: bool = False


_current: ContextVar[Network] = ContextVar("network", default=Network())  # noqa: B039 - frozen


def current() -> Network:
    """What holds for clients that are made now."""
    return _current.get()


@contextlib.contextmanager
def using(network: Network) -> Iterator[None]:
    """Let this hold for the clients that are made in the block."""
    token = _current.set(network)
    try:
        yield
    finally:
        _current.reset(token)
