"""
Envelopes of DSSE v1 around in-toto statements (https://github.com/secure-systems-lab/dsse): one payload, one signature.

What is signed names its type and its lengths, so that no payload can be read as another. Whoever opens an envelope says
with which key; nothing inside chooses an algorithm. Keys are Ed25519 (RFC 8032), or ECDSA on one of CURVES, which
OpenSSF Model Signing uses. Needs cryptography.
"""

import base64
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from probe_match.fingerprinting.errors import MissingPackage

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
except ModuleNotFoundError as _error:
    raise MissingPackage("seals need cryptography: pip install 'probe-match[evidence]'") from _error

PAYLOAD: Final = "application/vnd.in-toto+json"
CURVES: Final[dict[str, hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512(),
}  # fmt: skip
PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey


class Envelope(NamedTuple):
    """What an envelope holds. keyid: what it says of the key, a hint that proves nothing."""

    kind: str
    payload: bytes
    signature: bytes
    keyid: str

    def to_json(self) -> dict[str, Any]:
        """As it is written."""
        return {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.kind,
            "signatures": [{"sig": base64.b64encode(self.signature).decode(), "keyid": self.keyid}],
        }

    def fits(self, key: PublicKey) -> bool:
        """Whether this key signed."""
        message = _encoded(self.kind, self.payload)
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(self.signature, message)
            else:
                key.verify(self.signature, message, ec.ECDSA(CURVES[key.curve.name]))
        except InvalidSignature:
            return False
        return True


def wrap(payload: bytes, key: PrivateKey, keyid: str = "") -> Envelope:
    """A payload, signed."""
    message = _encoded(PAYLOAD, payload)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return Envelope(PAYLOAD, payload, key.sign(message), keyid)
    return Envelope(PAYLOAD, payload, key.sign(message, ec.ECDSA(CURVES[key.curve.name])), keyid)


def unwrap(value: Mapping[str, Any]) -> Envelope:
    """The envelope in a JSON object, its signature not yet checked. Raises KeyError, TypeError or ValueError."""
    (signature,) = value["signatures"]
    payload, signed = (base64.b64decode(text, validate=True) for text in (value["payload"], signature["sig"]))

    return Envelope(str(value["payloadType"]), payload, signed, str(signature.get("keyid", "")))


def _encoded(kind: str, payload: bytes) -> bytes:
    """What is signed (DSSE v1, pre-authentication encoding)."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)
