"""
Ed25519 signatures (RFC 8032) of packs, and the keys that are trusted.

A file of trusted keys has one key a line, in hex, then whose it is. Needs the extra `evidence`.
"""

import re
from pathlib import Path
from typing import Any, Final

from . import storage
from .errors import BadData, MissingPackage

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
except ModuleNotFoundError as _error:
    raise MissingPackage("signatures need cryptography: pip install 'probe-match[evidence]'") from _error

PURPOSE: Final = b"probe-match/pack/1\0"  # what is signed cannot be passed off as something else that is signed
KEY: Final = re.compile(r"[0-9a-f]{64}")


def sign(data: bytes, pem: bytes) -> dict[str, str]:
    """Public key and signature, in hex. pem: an unencrypted Ed25519 private key, PKCS 8. Raises BadData for another."""
    private = _private(pem)

    return {"key": _hex(private), "signature": private.sign(PURPOSE + data).hex()}


def public_key(pem: bytes) -> str:
    """The public key of a private one, 64 hex digits."""
    return _hex(_private(pem))


def signer(data: bytes, signature: Any) -> str:
    """The public key, in hex, whose signature this is. Raises BadData where it is not."""
    try:
        key, value = bytes.fromhex(signature["key"]), bytes.fromhex(signature["signature"])
        Ed25519PublicKey.from_public_bytes(key).verify(value, PURPOSE + data)
    except (InvalidSignature, KeyError, TypeError, ValueError) as error:
        raise BadData("the signature does not fit what it signs; get the pack again from its source") from error

    return key.hex()


def trusted_keys(path: Path) -> dict[str, str]:
    """Whose each trusted key is. Raises BadData for a file that is missing or holds anything else."""
    lines = storage.read_file(path, "file of trusted keys").decode("utf-8", "replace").splitlines()
    keys = {}
    for number, line in enumerate(lines, 1):
        key, _, whose = line.partition("#")[0].strip().partition(" ")
        if key and not KEY.fullmatch(key.lower()):
            raise BadData(f"expected 64 hex digits and a name in line {number} of {path}, got '{line[:40]}'")
        if key:
            keys[key.lower()] = whose.strip() or "no name given"

    return keys


def _private(pem: bytes) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadData("expected a private Ed25519 key in PEM without a password, got something else") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadData(
            "expected an Ed25519 key, got one of another kind; make one with: openssl genpkey -algorithm ed25519"
        )

    return key


def _hex(private: Ed25519PrivateKey) -> str:
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    return private.public_key().public_bytes(*raw).hex()
