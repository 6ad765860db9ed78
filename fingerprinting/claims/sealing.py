"""
A link of a case book under an Ed25519 seal (RFC 8032): an in-toto Statement v1 in a DSSE v1 envelope.

The algorithm is fixed, nothing in an envelope chooses it. Envelopes are read strictly: one signature, no unknown field,
and the payload must be the canonical JSON of what it says.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData, MissingPackage

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
except ModuleNotFoundError as error:
    raise MissingPackage("seals need cryptography: pip install 'probe-match[evidence]'") from error

PAYLOAD: Final = "application/vnd.in-toto+json"
STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://probe-match.dev/claim-link/v1"
MOST: Final = 1 << 20  # bytes of one envelope


def seal(link: Mapping[str, Any], pem: bytes) -> dict[str, Any]:
    """The envelope of a link. pem: an unencrypted Ed25519 private key, PKCS 8. Raises BadData for another."""
    private = _private(pem)
    public = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    digest = storage.sha256(storage.canonical_json(link)).removeprefix("sha256:")
    statement = {
        "_type": STATEMENT, "subject": [{"name": str(link["schema"]), "digest": {"sha256": digest}}],
        "predicateType": PREDICATE, "predicate": dict(link),
    }  # fmt: skip
    payload = storage.canonical_json(statement)
    signature = base64.b64encode(private.sign(_encoded(payload))).decode()

    return {
        "payloadType": PAYLOAD, "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": public.hex(), "sig": signature}],
    }  # fmt: skip


def unseal(envelope: Any, where: str) -> tuple[dict[str, Any], str]:
    """The link in an envelope and the public key, 64 hex digits, that sealed it. Raises BadData for anything else."""
    try:
        if set(envelope) != {"payloadType", "payload", "signatures"} or envelope["payloadType"] != PAYLOAD:
            raise ValueError("unknown fields")
        (signature,) = envelope["signatures"]
        if set(signature) != {"keyid", "sig"} or not re.fullmatch(r"[0-9a-f]{64}", signature["keyid"]):
            raise ValueError("unknown fields")
        payload, signed = (base64.b64decode(text, validate=True) for text in (envelope["payload"], signature["sig"]))
        if base64.b64encode(payload).decode() != envelope["payload"] or len(payload) > MOST:
            raise ValueError("another encoding")
        if base64.b64encode(signed).decode() != signature["sig"]:
            raise ValueError("another encoding")
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature["keyid"])).verify(signed, _encoded(payload))
        statement = json.loads(payload)
        link = statement["predicate"]
        digest = storage.sha256(storage.canonical_json(link)).removeprefix("sha256:")
        expected = {
            "_type": STATEMENT, "subject": [{"name": link["schema"], "digest": {"sha256": digest}}],
            "predicateType": PREDICATE, "predicate": link,
        }  # fmt: skip
        if storage.canonical_json(expected) != payload:
            raise ValueError("another statement")
    except InvalidSignature as error:
        raise BadData(f"the seal on {where} does not fit what it seals; it was changed") from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, binascii.Error) as error:
        raise BadData(f"{where} is not one link under one Ed25519 seal as it is written here ({error})") from error

    return link, str(signature["keyid"])


def _encoded(payload: bytes) -> bytes:
    """What is signed (DSSE v1, pre-authentication encoding)."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)


def _private(pem: bytes) -> Ed25519PrivateKey:
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
