"""
The owner's secret key, and everything that is drawn from it: probes, bits, order and salts.

Until the beacon is out nobody knows the probes, the owner included; until the key is revealed nobody else does. Seeds
are HKDF-SHA256 (RFC 5869) of the key with the beacon as salt, draws are HMAC-SHA256 (RFC 2104) of a name and a counter.
"""

import hashlib
import hmac
import os
import re
import stat
from pathlib import Path
from typing import Final

import numpy as np
from probe_match.fingerprinting.errors import BadData, MissingPackage, UsageError

try:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ModuleNotFoundError as _error:
    raise MissingPackage("claims need cryptography: pip install 'probe-match[evidence]'") from _error

VARIABLE: Final = "PROBE_MATCH_OWNER_KEY"  # 64 hex digits
SIZE: Final = 32
TAG: Final = b"probe-match/owner-key/1\0"


class OwnerKey:
    """32 secret bytes, which no message, log or `repr` shows."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SIZE:
            raise BadData(f"expected an owner key of {SIZE} bytes, got {len(secret)}; make one with: claim key")
        self._secret = secret

    def __repr__(self) -> str:
        return f"OwnerKey({self.hash[:15]}…)"

    @property
    def hash(self) -> str:
        """What may be shown of it, `sha256:…`, and what a commitment binds."""
        return "sha256:" + hashlib.sha256(TAG + self._secret).hexdigest()

    def seed(self, salt: bytes, purpose: str) -> bytes:
        """32 bytes for one purpose, under a salt that others chose."""
        return HKDF(hashes.SHA256(), SIZE, salt, f"probe-match/{purpose}/1".encode()).derive(self._secret)

    def reveal(self) -> str:
        """The secret in hex, for the one who is to verify."""
        return self._secret.hex()


def make(path: Path) -> OwnerKey:
    """A new key in a new file that only its owner can read. Raises BadData where there is one."""
    secret = os.urandom(SIZE)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secret.hex() + "\n")
    except FileExistsError as error:
        raise BadData(f"{path} is there already; a key that is overwritten proves nothing any more") from error
    except OSError as error:
        raise BadData(f"cannot write {path}: {error.strerror or error}") from error

    return OwnerKey(secret)


def read(path: Path | None, text: str | None = None) -> OwnerKey:
    """The key in a file that only its owner can read, else in `text`, which the environment held. Raises BadData."""
    if path is None:
        if text is None:
            raise UsageError(f"expected an owner key in {VARIABLE} or --owner-key FILE; make one with: claim key FILE")
        return of_hex(text, VARIABLE)
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(4 * SIZE)
    except OSError as error:
        raise BadData(f"cannot read owner key {path}: {error.strerror or error}") from error
    if mode & 0o077:
        raise BadData(f"{path} has mode {mode:04o}, others may have read the key; expected 0600: chmod 600 {path}")

    return of_hex(data.decode("ascii", "replace"), str(path))


def of_hex(text: str, where: str) -> OwnerKey:
    """The key that was written as 64 hex digits. Raises BadData, which does not quote it."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text.strip()):
        raise BadData(f"expected 64 hex digits in {where}, got something else; make a key with: claim key FILE")

    return OwnerKey(bytes.fromhex(text.strip()))


def draws(seed: bytes, name: str, count: int) -> np.ndarray:
    """uint64 (count,): the first 8 bytes, big-endian, of HMAC-SHA256(seed, name ‖ 0 ‖ counter as 8 bytes)."""
    start = hmac.new(seed, name.encode() + b"\0", hashlib.sha256)
    out = bytearray()
    for counter in range(count):
        state = start.copy()
        state.update(counter.to_bytes(8, "big"))
        out += state.digest()[:8]

    return np.frombuffer(bytes(out), ">u8").astype(np.uint64)


def below(drawn: np.ndarray, bounds: np.ndarray | int) -> np.ndarray:
    """int64: draws as whole numbers from 0 to below the bounds (at most 2^32; the bias is below 2^-32)."""
    return ((drawn >> np.uint64(32)) * np.asarray(bounds, np.uint64) >> np.uint64(32)).astype(np.int64)


def salt(seed: bytes, index: int) -> bytes:
    """The salt of one leaf: all 32 bytes of HMAC-SHA256(seed, "leaf" ‖ 0 ‖ index)."""
    return hmac.new(seed, b"leaf\0" + index.to_bytes(8, "big"), hashlib.sha256).digest()
