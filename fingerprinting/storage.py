"""
Records as bytes, and bytes as records: canonical JSON, npz without pickle, sha256, atomic files.

A record is a frozen dataclass of plain values, tuples, arrays and other records. Its arrays go into an npz archive
under their dotted field names, all else into one canonical JSON member, so that nothing executable is ever stored.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import tempfile
import tokenize
import types
import typing
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from . import formats
from .errors import BadData, ProbeMatchError

Record = TypeVar("Record")
HEADER = "header"
# Metadata of a field that older records lack: left out where it holds its default, so that their digests stay.
LATER = types.MappingProxyType({"later": True})
# What zipfile and numpy raise on damaged archives. RuntimeError: encrypted or compressed in an unknown way.
# MemoryError: an array said to hold terabytes. SyntaxError, TokenError: numpy reads an array's header as literals.
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, KeyError, RuntimeError, MemoryError, SyntaxError,
    tokenize.TokenError,
)  # fmt: skip
MAX_BYTES = 1 << 30  # a suite of 10,000 images of 3x64x64 floats is half of this


class _Newer(Exception):  # noqa: N818
    """A record has a field that is not known here."""


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces; NaN and infinities are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def from_canonical_json(data: bytes, what: str) -> Any:
    """The value that `canonical_json` writes exactly so. Raises BadData for anything else."""
    try:
        value = json.loads(data)
        same = canonical_json(value) == data
    except (ValueError, RecursionError) as error:
        raise BadData(f"expected JSON as {what}, got something else ({str(error)[:60]})") from error
    if not same:
        raise BadData(f"{what} is not written as canonical JSON; it was changed")

    return value


def digest(record: Any) -> str:
    """`sha256:…` over a record's header and the digests of its arrays; independent of compression and file layout."""
    header, arrays = _take_apart(record)
    for path, array in arrays.items():
        data = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
        header[path] = [data.dtype.str, list(data.shape), hashlib.sha256(data.tobytes()).hexdigest()]

    return sha256(canonical_json(header))


def sha256(data: bytes) -> str:
    """`sha256:` and 64 hex digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def to_bytes(record: Any) -> bytes:
    """One npz archive holding a record; the same record always gives the same bytes. Raises BadData for objects."""
    header, arrays = _take_apart(record)
    for path, array in arrays.items():
        if array.dtype.hasobject:  # numpy would pickle it
            raise BadData(f"expected numbers or text as {path} of a {type(record).__name__}, got Python objects")
    members = {HEADER: np.frombuffer(canonical_json(header), np.uint8), **arrays}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **members)  # type: ignore[arg-type]

    return buffer.getvalue()


def from_bytes(kind: type[Record], data: bytes, source: str = "record") -> Record:
    """
    The record that `to_bytes` wrote; `source` names it in errors.

    Raises BadData if the bytes are not such an archive, too large, or fail the record's own checks.
    """
    arrays = read_npz(data, source)
    if HEADER not in arrays:
        raise BadData(
            f"{source} is not a {kind.__name__} that probe-match wrote, but another npz archive; check the path"
        )
    try:
        header = json.loads(arrays.pop(HEADER).tobytes())
        return typing.cast(Record, _put_together(kind, header, arrays, ""))
    except ProbeMatchError:
        raise
    except _Newer as error:
        raise formats.newer(source, str(error)) from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BadData(f"{source} is not a {kind.__name__} of this version ({error}); make it again") from error


def read_npz(data: bytes, source: str) -> dict[str, np.ndarray]:
    """All arrays of an npz archive, without pickle, at most MAX_BYTES unpacked. Raises BadData."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_BYTES:
            raise BadData(f"{source} unpacks to {size >> 20} MiB; at most {MAX_BYTES >> 20} MiB are read")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("a member is no array")
        return arrays
    except UNREADABLE as error:
        why = str(error).partition("\n")[0]
        raise BadData(f"{source} is not a readable npz archive without pickled objects ({why})") from error


def read_file(path: Path, what: str) -> bytes:
    """The bytes of a file of at most MAX_BYTES. Raises BadData where it is missing, unreadable or too large."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadData(f"{what} {path} is larger than {MAX_BYTES >> 20} MiB; use a smaller one")
        return path.read_bytes()
    except OSError as error:
        raise BadData(f"cannot read {what} {path}: {error.strerror or error}") from error


def write_file(path: Path, data: bytes) -> None:
    """Write all of `data` under `path` or nothing: into a temporary file beside it, synced, then renamed."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise BadData(f"cannot write {path}: {error.strerror or error}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise BadData(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()


def _take_apart(record: Any, prefix: str = "") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    header: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if field.metadata.get("later") and value == field.default:
            continue
        if isinstance(value, np.ndarray):
            arrays[prefix + field.name] = value
        elif dataclasses.is_dataclass(value):
            inner, more = _take_apart(value, f"{prefix}{field.name}.")
            header[field.name] = inner
            arrays.update(more)
        else:
            header[field.name] = dict(value) if isinstance(value, Mapping) else value

    return header, arrays


def _put_together(kind: Any, header: dict[str, Any], arrays: dict[str, np.ndarray], prefix: str) -> Any:
    hints = typing.get_type_hints(kind)
    unknown = header.keys() - {field.name for field in dataclasses.fields(kind)}
    if unknown:  # left out, what it says would be lost: a regressor would pass for a classifier
        raise _Newer(f"it says '{min(unknown)[:40]}' of a {kind.__name__}")
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if prefix + field.name in arrays:
            values[field.name] = arrays[prefix + field.name]
            continue
        if field.metadata.get("later") and field.name not in header:
            continue
        value = header[field.name]
        inner = [hint for hint in _alternatives(hints[field.name]) if dataclasses.is_dataclass(hint)]
        if inner and isinstance(value, dict):
            values[field.name] = _put_together(inner[0], value, arrays, f"{prefix}{field.name}.")
        else:
            values[field.name] = _tuples(value)

    return kind(**values)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)

    return typing.get_args(hint) if union else (hint,)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
