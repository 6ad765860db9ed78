"""
Public randomness that nobody could know when a claim was committed to.

Read are pulses as their sources publish them: drand (`round`, `randomness`, `signature`; the randomness is the SHA-256
of the signature, which is checked), the NIST beacon 2.0 (`pulse` with `pulseIndex` and `outputValue`), or a plain
`{"source", "round", "value"}` of any other. Signatures of the sources are not checked: the pulse is public, and whoever
doubts it compares it with the source.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData

MOST: Final = 1 << 16  # bytes of a pulse


class Beacon(NamedTuple):
    """source: who published it, such as `drand` or `nist`. round: its number there. value: hex, 32 to 64 bytes."""

    source: str
    round: int
    value: str


def read(path: Path, source: str) -> Beacon:
    """The pulse in a JSON file. source: what it is called in the commitment. Raises BadData for another shape."""
    data = storage.read_file(path, "beacon")
    if len(data) > MOST:
        raise BadData(f"expected the JSON of one beacon pulse in {path}, got {len(data)} bytes")
    try:
        pulse = json.loads(data)
        return checked(_of(pulse, source), str(path))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BadData(
            f"expected a pulse of drand, of the NIST beacon, or source, round and value in {path}, got something else"
        ) from error


def checked(beacon: Beacon, where: str) -> Beacon:
    """The beacon, if it has the shape of one. Raises BadData."""
    fits = (
        isinstance(beacon.source, str)
        and re.fullmatch(r"[a-z0-9][a-z0-9:._-]{0,127}", beacon.source)
        and isinstance(beacon.value, str)
        and re.fullmatch(r"(?:[0-9a-f]{2}){32,64}", beacon.value)
        and type(beacon.round) is int
        and 0 < beacon.round < 1 << 53
    )
    if not fits:
        raise BadData(f"expected a beacon's source, its round from 1 on and a value of 64 to 128 hex digits in {where}")

    return beacon


def _of(pulse: Any, source: str) -> Beacon:
    if "pulse" in pulse:  # NIST IR 8213
        return Beacon(source, pulse["pulse"]["pulseIndex"], pulse["pulse"]["outputValue"].lower())
    if "randomness" in pulse:
        value = pulse["randomness"].lower()
        if hashlib.sha256(bytes.fromhex(pulse["signature"])).hexdigest() != value:
            raise BadData("the pulse's randomness is not the SHA-256 of its signature; fetch it again from drand")
        return Beacon(source, pulse["round"], value)
    if pulse["source"] != source:
        raise BadData(f"expected a pulse of {source}, got one of {str(pulse['source'])[:60]}")

    return Beacon(source, pulse["round"], pulse["value"].lower())
