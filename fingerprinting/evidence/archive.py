"""
Files in one deterministic zip: stored, sorted by name, of one date. The same files give the same bytes anywhere.

Written and read by hand, so that no release of Python or zlib changes a byte. What is read must be exactly what is
written here: then there are no bombs, as nothing is compressed, no member is there twice, no two readers see different
files, and a changed byte in a header is as visible as one in a member. Nothing is ever unpacked to the disk.
"""

import re
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData

Files = dict[str, bytes]
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99})?")
MOST: Final = 512 << 20  # bytes of all
FEW: Final = 256  # members
DATE: Final = (0, 33)  # 1 January 1980 at midnight, the first that a zip can hold
LOCAL: Final = struct.Struct("<4s5H3I2H")
CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
END: Final = struct.Struct("<4s4H2IH")
UNIX: Final = 3 << 8 | 20  # made on Unix, by version 2.0 of the format
MODE: Final = 0o100644 << 16


def pack(files: Mapping[str, bytes]) -> bytes:
    """One zip. Raises BadData for names, numbers and sizes that would not be read again."""
    size = sum(map(len, files.values()))
    if size > MOST or len(files) > FEW:
        raise BadData(f"expected at most {FEW} files of {MOST >> 20} MiB in all, got {len(files)} of {size >> 20} MiB")
    body, index = bytearray(), bytearray()
    for name in sorted(files):
        if not NAME.fullmatch(name):
            raise BadData(f"expected a plain name such as opened/pool.npz in a bundle, got {name[:60]!r}")
        data, written = files[name], name.encode("ascii")
        sums = (zlib.crc32(data), len(data), len(data))
        place = len(body)
        body += LOCAL.pack(b"PK\3\4", 20, 0, 0, *DATE, *sums, len(written), 0) + written + data
        index += CENTRAL.pack(b"PK\1\2", UNIX, 20, 0, 0, *DATE, *sums, len(written), 0, 0, 0, 0, MODE, place) + written

    return bytes(body + index + END.pack(b"PK\5\6", 0, 0, len(files), len(files), len(index), len(body), 0))


def unpack(data: bytes, where: str) -> Files:
    """The files in a zip that `pack` wrote. Raises BadData for any other."""
    files: Files = {}
    place = 0
    while data[place : place + 4] == b"PK\3\4" and len(files) <= FEW and place + LOCAL.size <= len(data):
        *_, size, length, _ = LOCAL.unpack_from(data, place)
        start = place + LOCAL.size + length
        name = data[place + LOCAL.size : start].decode("ascii", "replace")
        if name in files or start + size > len(data):
            break
        files[name], place = data[start : start + size], start + size
    try:
        same = bool(files) and pack(files) == data
    except BadData as error:
        raise BadData(f"{where} is no bundle that was written here ({error})") from error
    if not same:
        raise BadData(
            f"{where} is no bundle that was written here: expected files stored in order, of one date, each once, with "
            "nothing between; it was changed, cut off, or packed anew"
        )

    return files


def read(path: Path, what: str = "case") -> Files:
    """The files in a bundle on the disk. Raises BadData."""
    return unpack(storage.read_file(path, what), str(path))


def write(path: Path, files: Mapping[str, bytes], *, secret: bool = False) -> None:
    """The whole bundle or nothing. secret: for its owner alone, mode 0600."""
    storage.write_file(path, pack(files))
    if secret:
        path.chmod(0o600)
