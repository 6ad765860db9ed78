"""
An audit's endpoints asked by the workers of a cluster, each with its ledger in a folder that all of them reach.

A worker that dies is replaced by another, which goes on from the ledger: what was answered is not asked again, and what
was under way is in doubt, as after a killed audit. So a cluster needs ledgers, and one machine's own endpoints are
asked by its own workers only.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from joblib import delayed
from probe_match.fingerprinting import backends, network
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.errors import UsageError

from . import authority as authorities
from .examining import examine, ledger_path
from .records import Examined
from .settings import Endpoint


class Asking(NamedTuple):
    """How a worker asks. database: as it opens it. ledgers: a folder. reach: of the network, as on this machine."""

    database: str
    ledgers: Path
    alpha: float
    seed: int
    reach: network.Network


def examine_all(
    endpoints: Sequence[Endpoint], rates: Sequence[str], database: str, ledgers: Path | None, alpha: float, seed: int
) -> Iterator[tuple[int, Examined]]:
    """
    Each endpoint's number and what it answered. rates: one an endpoint. Endpoints of one foreign host are one piece of
    work, so that they are asked one after the other. Raises UsageError before anything is asked.
    """
    if ledgers is None:
        raise UsageError("expected a --ledger folder that all workers reach: one that dies is replaced by another")
    pieces: dict[str, list[int]] = {}
    for i, endpoint in enumerate(endpoints):
        host = authorities.host_of(endpoint.target)
        own = authorities.is_loopback(host)
        if own and not backends.is_here():
            raise UsageError(f"'{endpoint.name}' is on this machine, where a cluster's workers are not; audit it apart")
        pieces.setdefault(f"{i}" if own else f"host {host}", []).append(i)
    where = database if "://" in database else str(Path(database).expanduser().absolute())
    asking = Asking(where, ledgers.absolute(), alpha, seed, network.current())
    work = [delayed(_examine)([(i, endpoints[i], rates[i]) for i in piece], asking) for piece in pieces.values()]
    for piece in backends.run(work, 1):
        yield from piece


def _examine(endpoints: Sequence[tuple[int, Endpoint, str]], asking: Asking) -> list[tuple[int, Examined]]:
    """On a worker."""
    with network.using(asking.reach), open_db(asking.database, read_only=True) as references:
        return [
            (i, examine(endpoint, references, alpha=asking.alpha, seed=asking.seed, rate=rate,
                        ledger=ledger_path(asking.ledgers, endpoint)))
            for i, endpoint, rate in endpoints
        ]  # fmt: skip
