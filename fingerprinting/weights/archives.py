"""
Members of a zip archive as bytes: stored ones are views into the file, packed ones are unpacked within a limit.

Names are only ever looked up in the archive, nothing is written, so a name that climbs out of it reaches nothing.
"""

import io
import struct
import zipfile
import zlib
from typing import Final

from probe_match.fingerprinting.errors import BadData

MAX_MEMBERS: Final = 100_000
MAX_PACKED: Final = 96 << 20  # bytes that all packed members of an archive may unpack to
LOCAL: Final = struct.Struct("<4s5H3L2H")
UNREADABLE: Final = (
    zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, KeyError, RuntimeError, NotImplementedError,
    struct.error, IndexError, OverflowError,
)  # fmt: skip


class Archive:
    """An open archive; `names` are its members'."""

    def __init__(self, data: memoryview, where: str) -> None:
        self._data, self._where, self._left = data, where, MAX_PACKED
        try:
            with zipfile.ZipFile(_View(data)) as archive:
                found = archive.infolist()
        except UNREADABLE as error:
            raise BadData(f"{where} is no zip archive that can be read ({str(error)[:80]})") from error
        if len(found) > MAX_MEMBERS or len({info.filename for info in found}) != len(found):
            raise BadData(f"{where} has a member twice, or more than {MAX_MEMBERS}; two readers would see two models")
        self._members = {info.filename: info for info in found}
        self.names: list[str] = list(self._members)

    def read(self, name: str) -> memoryview:
        """The bytes of one member."""
        info = self._members.get(name)
        if info is None:
            raise BadData(f"{self._where} refers to '{name[:80]}', which it does not hold")
        try:
            fields = LOCAL.unpack(self._data[info.header_offset : info.header_offset + LOCAL.size])
            start = info.header_offset + LOCAL.size + fields[9] + fields[10]
            packed = self._data[start : start + info.compress_size]
            if fields[0] != b"PK\x03\x04" or info.flag_bits & 1 or len(packed) != info.compress_size:
                raise BadData(f"member '{name[:80]}' of {self._where} is encrypted or damaged")
            if info.compress_type == zipfile.ZIP_STORED and info.file_size == info.compress_size:
                return packed
            return memoryview(self._unpack(info, packed))
        except UNREADABLE as error:
            raise BadData(f"member '{name[:80]}' of {self._where} cannot be read ({str(error)[:80]})") from error

    def _unpack(self, info: zipfile.ZipInfo, packed: memoryview) -> bytes:
        if info.compress_type != zipfile.ZIP_DEFLATED:
            raise BadData(f"{self._where} is packed in an unusual way; expected stored or deflated members")
        if info.file_size > self._left:
            raise BadData(f"{self._where} unpacks to more than {MAX_PACKED >> 20} MiB; save it without compression")
        unpacked = zlib.decompressobj(-15).decompress(packed, info.file_size + 1)
        if len(unpacked) != info.file_size or zlib.crc32(unpacked) != info.CRC:
            raise BadData(f"member '{info.filename[:80]}' of {self._where} is not what its archive says it is")
        self._left -= len(unpacked)
        return unpacked


class _View(io.RawIOBase):
    """A view as the file that zipfile wants, without a copy."""

    def __init__(self, data: memoryview) -> None:
        super().__init__()
        self._data, self._at = data, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, (0, self._at, len(self._data))[whence] + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = len(self._data) if size < 0 else self._at + size
        found = bytes(self._data[self._at : end])
        self._at += len(found)
        return found
