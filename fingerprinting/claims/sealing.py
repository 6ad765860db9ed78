"""A link of a case book under the owner's seal: in-toto in DSSE, signed with Ed25519; see `evidence.seal`."""

from collections.abc import Mapping
from typing import Any, Final

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.evidence import seal as sealed

PREDICATE: Final = "https://probe-match.dev/claim-link/v1"


def seal(link: Mapping[str, Any], pem: bytes) -> dict[str, Any]:
    """The envelope of a link. pem: an unencrypted Ed25519 private key, PKCS 8. Raises BadData for another."""
    return sealed.seal(PREDICATE, _subject(link), link, pem)


def unseal(envelope: Any, where: str) -> tuple[dict[str, Any], str]:
    """The link in an envelope and the public key, 64 hex digits, that sealed it. Raises BadData for anything else."""
    found = sealed.unseal(envelope, where)
    link = found.predicate
    if found.kind != PREDICATE or not isinstance(link.get("schema"), str) or found.subjects != _subject(link):
        raise BadData(f"{where} seals something else than a link of a case book")

    return link, found.owner


def _subject(link: Mapping[str, Any]) -> dict[str, str]:
    return {str(link["schema"]): storage.sha256(storage.canonical_json(link)).removeprefix("sha256:")}
