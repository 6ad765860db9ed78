"""
What is worked out from a large database once and kept in a folder beside its file, which may be deleted at any time.

Answers to a public suite, packed and mapped into memory rather than read, and which reference takes which inputs. The
folder is named after the head of the log of changes, so that what was prepared before a change is never used after it.
"""

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import func, select

from . import changes, schema, searching, storage
from .errors import BadData

if TYPE_CHECKING:
    from .database import ReferenceDB


def folder(db: "ReferenceDB") -> Path | None:
    """Where what belongs to the present state is kept; None for small databases, servers and files without a log."""
    if not db.store.sqlite or not db.store.has(schema.changes):
        return None
    with db.store.transaction() as connection:
        if int(connection.execute(select(func.count()).select_from(schema.headers)).scalar() or 0) <= searching.LARGE:
            return None
        head = next(changes.entries(connection, 1), None)

    return None if head is None else Path(f"{db.name}.prepared") / "public" / head.chain.removeprefix("sha256:")[:32]


def inputs(db: "ReferenceDB") -> list[dict[str, Any]]:
    """As `headers`, of each reference its name and input alone."""
    where = folder(db)
    if where is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads((where / "inputs.json").read_bytes())
            return [{"name": name, "input": group["input"]} for group in kept for name in group["names"]]
    found = [{"name": header["name"], "input": header["input"]} for header in db.headers()]
    if where is not None:
        groups: dict[bytes, dict[str, Any]] = {}
        for entry in found:
            key = storage.canonical_json(entry["input"])
            groups.setdefault(key, {"input": entry["input"], "names": []})["names"].append(entry["name"])
        _keep(where, "inputs.json", storage.canonical_json(list(groups.values())))

    return found


def packed(
    db: "ReferenceDB", suite: str, read: Callable[[], tuple[list[str], np.ndarray]]
) -> tuple[list[str], searching.Packed]:
    """Names and packed answers to a suite, from the folder, or else from what `read` gives; that is then kept there."""
    where, stem = folder(db), suite.removeprefix("sha256:")[:32]
    if where is not None:
        with contextlib.suppress(OSError, ValueError, EOFError):
            rows = np.load(where / f"{stem}.npy", mmap_mode="r", allow_pickle=False)
            counts = np.load(where / f"{stem}.counts.npy", allow_pickle=False)
            names = json.loads((where / f"{stem}.names.json").read_bytes())
            if rows.ndim == 2 and rows.shape == (len(counts), len(names)):
                return names, searching.Packed(rows, counts)
    names, labels = read()
    found = searching.pack(labels)
    if where is not None:
        _keep(where, f"{stem}.npy", _npy(found.rows))
        _keep(where, f"{stem}.counts.npy", _npy(found.counts))
        _keep(where, f"{stem}.names.json", storage.canonical_json(names))

    return names, found


def _keep(where: Path, name: str, data: bytes) -> None:
    """Write a file of the present state and drop former ones; where none may be written, do nothing."""
    with contextlib.suppress(OSError, BadData):
        if not where.exists():
            where.parent.mkdir(parents=True, exist_ok=True)
            for former in where.parent.iterdir():
                shutil.rmtree(former, ignore_errors=True)
            where.mkdir(exist_ok=True)
        storage.write_file(where / name, data)


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
