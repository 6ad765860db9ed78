"""
What is under way, in a file beside a ledger that nobody waits for: which queries have left, and answers that just came.

To wait for the disk before and after each request would slow an audit down by a fifth and more. So queries are written
down while others are under way, and answers are synced with the next queries. Were the run killed in between, nobody
could tell a query that waits from one that was sent, and an answer that came would be lost. Both are therefore noted
here at once, without a sync: that survives the death of a process. After the death of the machine (another boot)
departures are not believed, and all that has no answer is in doubt.
"""

import contextlib
import json
import os
import threading
import zlib
from pathlib import Path
from typing import Any, Final, NamedTuple

from .errors import DatabaseError

BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
ROOM: Final = 8 << 20  # bytes after which what is in the ledger is dropped from the file
HEAD: Final = 12  # bytes before a note: its length and its checksum, 4 each, and the length of its JSON


class Came(NamedTuple):
    """An entry that was on its way into the ledger."""

    kind: str
    of: int
    about: dict[str, Any]
    answer: bytes
    raw: bytes


class Departures:
    """The file beside a ledger. left: numbers of entries that left, None where it cannot be known. came: answers."""

    def __init__(self, ledger: Path) -> None:
        self.path: Path = ledger.with_name(f"{ledger.name}-left")
        self.left: set[int] | None = None
        self.came: list[Came] = []
        self._lock = threading.Lock()
        self._file: int | None = None
        self._size = 0
        self._pending: dict[int, bytes] = {}  # by the sent entry: the last note on it
        with contextlib.suppress(OSError):
            self._read(self.path.read_bytes())

    def begin(self) -> None:
        """Forget what was, and note from now on. Raises DatabaseError."""
        self.came = []
        try:
            self._start_over()
        except OSError as error:
            raise self._unwritable(error) from error

    def note_left(self, seq: int) -> None:
        """The queries of entry `seq` leave now. Raises DatabaseError."""
        self._note(seq, _packed([seq], b""))

    def note_came(self, kind: str, of: int, about: dict[str, Any], answer: bytes, raw: bytes) -> None:
        """What became of the queries of entry `of`. Raises DatabaseError."""
        self._note(of, _packed([of, kind, about, len(answer)], answer + raw))

    def kept(self, numbers: list[int]) -> None:
        """The ledger itself says now, on the disk, what became of these entries."""
        with self._lock:
            for number in numbers:
                self._pending.pop(number, None)

    def end(self, *, keep: bool) -> None:
        """Close the file. keep: the next run needs it; else everything is said in the ledger itself."""
        with self._lock:
            if self._file is None:
                return
            os.close(self._file)
            self._file = None
        if not keep:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _note(self, seq: int, note: bytes) -> None:
        with self._lock:
            if self._file is None:
                raise DatabaseError(f"{self.path} is closed; nothing more is sent")
            self._pending[seq] = note
            try:
                if self._size > ROOM:
                    self._start_over()
                else:
                    self._size += os.write(self._file, note)
            except OSError as error:
                raise self._unwritable(error) from error

    def _start_over(self) -> None:
        """A new file in the place of the old one, with what is not in the ledger yet."""
        notes = b"".join((_boot(), *self._pending.values()))
        fresh = self.path.with_name(f"{self.path.name}-new")
        opened = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.write(opened, notes) < len(notes):
                raise OSError(28, "no space left")
            fresh.replace(self.path)
        except OSError:
            os.close(opened)
            raise
        if self._file is not None:
            os.close(self._file)
        self._file, self._size = opened, len(notes)

    def _read(self, data: bytes) -> None:
        boot, left = _boot(), set()
        known, place = bool(boot) and data.startswith(boot), len(boot)
        while len(data) >= place + HEAD:
            length, checksum, told = (int.from_bytes(data[place + i : place + i + 4], "little") for i in (0, 4, 8))
            note = data[place + HEAD : place + HEAD + length]
            if len(note) < length or zlib.crc32(note, told) != checksum:
                break  # the end of a write that was cut short
            place += HEAD + length
            about = json.loads(note[:told])
            left.add(about[0])
            if len(about) > 1:
                of, kind, more, size = about
                self.came.append(Came(kind, of, more, note[told : told + size], note[told + size :]))
        self.left = left if known else None

    def _unwritable(self, error: OSError) -> DatabaseError:
        return DatabaseError(f"cannot write {self.path} ({error.strerror}); mend the disk and run again")


def _packed(about: list[Any], rest: bytes) -> bytes:
    told = json.dumps(about, separators=(",", ":")).encode()
    note = told + rest
    numbers = (len(note), zlib.crc32(note, len(told)), len(told))

    return b"".join(number.to_bytes(4, "little") for number in numbers) + note


def _boot() -> bytes:
    """What names this run of the machine, always 37 bytes where there is such a thing, else empty."""
    try:
        return BOOT.read_bytes()
    except OSError:
        return b""
