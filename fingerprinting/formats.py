"""
Versions of the files that this program writes and reads again: `probe-match/NAME/VERSION`.

A later version reads every earlier one; an earlier one says of a later one that it is later, not that it is broken.
What each file is for, and where it says its version, stands in docs/formats.md.
"""

import re
from typing import Final

from .errors import BadData

SCHEMA: Final = re.compile(r"(probe-match/[a-z-]+)/([1-9][0-9]{0,5})")


def require(found: object, ours: str, where: str) -> int:
    """
    The version of something that calls itself `found`, from 1 to that of `ours`, the newest that is read here.

    Raises BadData, which tells a file of a newer version from another file.
    """
    told = SCHEMA.fullmatch(found) if isinstance(found, str) else None
    known = SCHEMA.fullmatch(ours)
    assert known is not None
    if told is None or told[1] != known[1]:
        raise BadData(f"expected {ours} in {where}, got {str(found)[:60]!r}; check the path")
    if int(told[2]) > int(known[2]):
        raise newer(where, f"{told[0]}, and this version reads up to {ours}")

    return int(told[2])


def newer(where: str, what: str) -> BadData:
    """The error for a file of a version that was not there yet. what: how it shows."""
    return BadData(f"{where} was made by a newer probe-match ({what}); upgrade probe-match to read it")
