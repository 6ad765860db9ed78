"""Timestamp authorities over HTTP (RFC 3161, section 3.4): one query, one token, through the project's transport."""

from collections.abc import Sequence

from probe_match.fingerprinting.evidence import timestamps
from probe_match.fingerprinting.evidence.timestamps import Authority, Stamp

from ._transport import Transport

TIMEOUT = 30.0  # seconds


def stamp(url: str, data: bytes, trusted: Sequence[Authority], *, timeout: float = TIMEOUT) -> tuple[bytes, Stamp]:
    """
    A token for `data`, of which only the SHA-256 leaves this machine, and what it says.

    Raises TargetError where no whole answer comes, BadData where it is no token of a trusted authority for this query.
    """
    asked = timestamps.query(data)
    # A transport that signs sends no key: authorities of time have no business with keys of models.
    transport = Transport(
        timeout=timeout, site=url, most=timestamps.MOST, headers={"Accept": timestamps.REPLY}, sign=lambda *_: {}
    )
    try:
        reply = transport.submit(url, asked.der, timestamps.QUERY)
        if not reply.ok:
            raise transport.complaint(reply)
    finally:
        transport.close()

    return reply.body, timestamps.verify(reply.body, data, trusted, f"the answer of {url}", asked.nonce)
