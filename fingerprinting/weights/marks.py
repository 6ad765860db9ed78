"""
An owner's signature inside a model's weights: what all ways to embed one share.

The 256 bits come from the owner's key by HKDF, so they are nobody else's and say nothing about the key. A record of
the mark, which may be shown, says where to look; the key says what should be there. On a model that has nothing to do
with the owner each bit agrees by chance alone, whatever that model is, since the bits are independent of it: the number
of agreeing bits is binomial. This holds for one record and one key, chosen before the suspect was seen; `PRESENT`
leaves room for 2^40 trials, and a record that was committed to beforehand leaves none to doubt.

A mark is a watermark: something was put into the model. It is evidence of another kind than a fingerprint.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from probe_match.fingerprinting import formats
from probe_match.fingerprinting.errors import BadData, UsageError
from scipy.special import bdtrc

SCHEMA: Final = "probe-match/mark/1"
WAYS: Final = ("spread", "regulariser", "passport")
BITS: Final = 256
PRESENT: Final = 2.0**-60  # 10^-6 after 2^40 trials: 194 of 256 bits
MIN_KEY: Final = 16
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Mark:
    """Where a signature lies. tensors: (name, shape) of those that carry it, in order; salt: 32 hex digits, public."""

    way: str
    tensors: tuple[tuple[str, tuple[int, ...]], ...]
    salt: str

    def __post_init__(self) -> None:
        if self.way not in WAYS:
            raise BadData(f"unknown way '{self.way}' to mark a model; expected one of {', '.join(WAYS)}")

    def to_json(self) -> dict[str, Any]:
        """Its public record."""
        tensors = [{"name": name, "shape": list(shape)} for name, shape in self.tensors]
        return {"schema": SCHEMA, "way": self.way, "bits": BITS, "salt": self.salt, "tensors": tensors}


@dataclass(frozen=True)
class Reading:
    """What was read back: how many of the bits are wrong, and how probable so few are by chance."""

    errors: int
    p_value: float

    @property
    def present(self) -> bool:
        """Whether chance is out of the question."""
        return self.p_value <= PRESENT


def from_json(value: Any, where: str) -> Mark:
    """The mark of a record."""
    try:
        formats.require(value["schema"], SCHEMA, where)
        if value["bits"] != BITS:
            raise BadData(f"expected {BITS} bits in {where}, got {str(value['bits'])[:20]}")
        tensors = tuple((str(t["name"]), tuple(int(n) for n in t["shape"])) for t in value["tensors"])
        return Mark(str(value["way"]), tensors, bytes.fromhex(value["salt"]).hex())
    except (KeyError, TypeError, ValueError) as error:
        raise BadData(f"{where} is no record of a mark; expected what 'probe-match weights embed' wrote") from error


def stream(key: str, mark: Mark, use: str, size: int) -> np.ndarray:
    """uint8 (size,): bytes that only the key's owner can make, different for each mark and use."""
    if len(key) < MIN_KEY:
        raise UsageError(f"the owner's key has {len(key)} characters; expected {MIN_KEY} random ones or more")
    info = f"{SCHEMA}\0{mark.way}\0{use}".encode()
    seed = HKDF(hashes.SHA256(), 32, bytes.fromhex(mark.salt), info).derive(key.encode())
    # SHAKE, not a generator of numpy's: that may draw otherwise in a later version

    return np.frombuffer(hashlib.shake_256(seed).digest(size), np.uint8)


def signs(key: str, mark: Mark, use: str, size: int) -> np.ndarray:
    """float32 (size,) of −1 and 1."""
    bits = np.unpackbits(stream(key, mark, use, -(-size // 8)), count=size)
    return bits.astype(np.float32) * 2 - 1


def signature(key: str, mark: Mark) -> np.ndarray:
    """float32 (256,) of −1 and 1: the owner's bits."""
    return signs(key, mark, "signature", BITS)


def carriers(mark: Mark, arrays: Arrays) -> list[np.ndarray]:
    """
    The tensors that carry a mark, float32. Where a thief renamed them, those of the same shape are taken in the model's
    order, if there are as many.
    """
    if all(name in arrays and arrays[name].shape == shape for name, shape in mark.tensors):
        return [np.asarray(arrays[name], np.float32) for name, _ in mark.tensors]
    wanted = [shape for _, shape in mark.tensors]
    found: dict[tuple[int, ...], list[np.ndarray]] = {
        shape: [a for a in arrays.values() if a.shape == shape] for shape in set(wanted)
    }
    if any(len(found[shape]) != wanted.count(shape) for shape in found):
        raise BadData(
            "the model has no tensors of the names or shapes in the mark's record; is it of that architecture?"
        )

    return [np.asarray(found[shape].pop(0), np.float32) for shape in wanted]


def judge(scores: np.ndarray, bits: np.ndarray) -> Reading:
    """scores: (256,), positive where a bit reads 1; bits: −1 and 1. A score of 0 or NaN is a wrong bit."""
    right = int(np.sum(scores * bits > 0))
    return Reading(BITS - right, float(bdtrc(right - 1, BITS, 0.5)) if right else 1.0)
