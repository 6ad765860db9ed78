"""
Seals on evidence: an in-toto Statement v1 in a DSSE v1 envelope, signed with Ed25519 (RFC 8032) and nothing else.

An envelope carries the public key that sealed it, so that it can be checked by itself; whose key that is, is for the
reader to know. It is read strictly: canonical JSON inside and out, no field that is not written here. So each statement
has one sealed form, and a changed byte is never a second spelling of the same thing.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData

from . import dsse

STATEMENT: Final = "https://in-toto.io/Statement/v1"
KEY: Final = re.compile(r"[0-9a-f]{64}")
MOST: Final = 1 << 20  # bytes of one payload


class Sealed(NamedTuple):
    """What was sealed. subjects: SHA-256 in hex by name. owner: public key, 64 hex digits."""

    kind: str
    subjects: dict[str, str]
    predicate: dict[str, Any]
    owner: str


def statement(kind: str, subjects: Mapping[str, str], predicate: Mapping[str, Any]) -> dict[str, Any]:
    """The statement that `predicate`, of the type `kind`, holds of things known by their SHA-256 in hex."""
    named = [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects.items()]
    return {"_type": STATEMENT, "subject": named, "predicateType": kind, "predicate": dict(predicate)}


def seal(kind: str, subjects: Mapping[str, str], predicate: Mapping[str, Any], pem: bytes) -> dict[str, Any]:
    """
    The envelope of a statement. pem: an unencrypted Ed25519 private key, PKCS 8. Raises BadData for another.
    """
    key = private_key(pem)
    payload = storage.canonical_json(statement(kind, subjects, predicate))
    if len(payload) > MOST:
        raise BadData(f"expected at most {MOST >> 20} MiB to seal, got {len(payload)} bytes")

    return dsse.wrap(payload, key, owner_of(key)).to_json()


def unseal(envelope: Any, where: str) -> Sealed:
    """What an envelope seals, its signature checked. Raises BadData for anything that `seal` does not write."""
    try:
        opened = dsse.unwrap(envelope)
        if opened.to_json() != envelope or opened.kind != dsse.PAYLOAD or not KEY.fullmatch(opened.keyid):
            raise ValueError("unknown fields, or another spelling")
        if len(opened.payload) > MOST:
            raise ValueError(f"more than {MOST} bytes")
        if not opened.fits(Ed25519PublicKey.from_public_bytes(bytes.fromhex(opened.keyid))):
            raise BadData(f"the seal on {where} does not fit what it seals; it was changed")
        value = json.loads(opened.payload)
        subjects = {one["name"]: one["digest"]["sha256"] for one in value["subject"]}
        kind, predicate = value["predicateType"], value["predicate"]
        if storage.canonical_json(statement(kind, subjects, predicate)) != opened.payload:
            raise ValueError("another statement")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BadData(f"{where} is not one statement under one Ed25519 seal as it is written here ({error})") from error

    return Sealed(str(kind), subjects, predicate, opened.keyid)


def private_key(pem: bytes) -> Ed25519PrivateKey:
    """The key in a PEM file. Raises BadData for one of another kind, elliptic curves included."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None  # the cause could quote the file: it stays out
    if not isinstance(key, Ed25519PrivateKey):
        raise BadData(
            "expected a private Ed25519 key in PEM without a password; make one with: "
            "openssl genpkey -algorithm ed25519"
        )

    return key


def owner_of(key: Ed25519PrivateKey) -> str:
    """The public half, 64 hex digits."""
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()
