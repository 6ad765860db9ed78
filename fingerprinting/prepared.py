"""
What is worked out from a large database once and kept in a folder beside its file, which may be deleted at any time.

Answers to a public suite, packed and mapped into memory rather than read, and which reference takes which inputs. The
folder is named after the head of the log of changes, so that what was prepared before a change is never used after it.
A seal beside the parts holds that name and their digests: parts that are damaged, mixed up or of another database are
made again. Whoever changes a part may write a fitting seal, so some answers, drawn anew each time, are compared with
the sealed rows of the database as well.
"""

import contextlib
import hashlib
import io
import json
import mmap
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sqlalchemy import func, select

from . import changes, schema, searching, storage
from .errors import BadData
from .packing import Packed, pack

if TYPE_CHECKING:
    from .database import ReferenceDB

CHECKED: Final = 64  # references whose answers are compared with the database's


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
    if where is not None and _whole(where, "inputs"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads((where / "inputs.json").read_bytes())
            return [{"name": name, "input": group["input"]} for group in kept for name in group["names"]]
    found = [{"name": header["name"], "input": header["input"]} for header in db.headers()]
    if where is not None:
        groups: dict[bytes, dict[str, Any]] = {}
        for entry in found:
            key = storage.canonical_json(entry["input"])
            groups.setdefault(key, {"input": entry["input"], "names": []})["names"].append(entry["name"])
        _keep(where, "inputs", {"json": storage.canonical_json(list(groups.values()))})

    return found


def packed(db: "ReferenceDB", suite: str, read: Callable[[], tuple[list[str], np.ndarray]]) -> tuple[list[str], Packed]:
    """Names and packed answers to a suite, from the folder, or else from what `read` gives; that is then kept there."""
    where, stem = folder(db), suite.removeprefix("sha256:")[:32]
    if where is not None and _whole(where, stem):
        with contextlib.suppress(OSError, ValueError, EOFError):
            names = json.loads((where / f"{stem}.names").read_bytes())
            rows = np.load(where / f"{stem}.rows", mmap_mode="r", allow_pickle=False)
            found = Packed(
                rows, *(np.load(where / f"{stem}.{part}", allow_pickle=False) for part in ("counts", "silences"))
            )
            if rows.shape == (len(found.counts), len(names)) and _agrees(db, suite, names, found):
                return names, found
    names, labels = read()
    found = pack(labels)
    if where is not None:
        parts = {part: _npy(array) for part, array in found._asdict().items()}
        _keep(where, stem, {**parts, "names": storage.canonical_json(names)})

    return names, found


def make_ready(db: "ReferenceDB") -> None:
    """Prepare all of it now, so that a first suspect need not wait; of small databases nothing."""
    if folder(db) is not None:
        for spec, _ in db.inputs(None):
            db.public_packed(spec)


def _agrees(db: "ReferenceDB", suite: str, names: list[str], found: Packed) -> bool:
    """Whether some references, drawn so that nobody can foresee which, answered what the database's sealed rows say."""
    drawn = sorted(secrets.SystemRandom().sample(range(len(names)), min(CHECKED, len(names))))
    table, own = schema.labels, dict(zip((names[i] for i in drawn), found.labels(np.array(drawn)), strict=True))
    with db.store.transaction() as connection:
        rows = connection.execute(select(table).where(table.c.suite == suite, table.c.name.in_(own))).mappings().all()

    return len(rows) == len(own) and all(
        schema.intact(table, row) and np.array_equal(np.frombuffer(row["data"], "<i2"), own[row["name"]])
        for row in rows
    )


def _whole(where: Path, stem: str) -> bool:
    """Whether the parts of that stem are there and as they were kept, for this state of this database."""
    try:
        seal = json.loads((where / f"{stem}.seal").read_bytes())
        return bool(seal["of"] == where.name) and all(
            _digest(where / f"{stem}.{part}") == digest for part, digest in seal["parts"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _digest(path: Path) -> str:
    """As `storage.sha256`, of a file that need not fit into memory."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return "sha256:" + hashlib.sha256(content).hexdigest()


def _keep(where: Path, stem: str, parts: dict[str, bytes]) -> None:
    """Write parts of the present state and drop former states; where none may be written, do nothing."""
    seal = {"of": where.name, "parts": {part: storage.sha256(data) for part, data in parts.items()}}
    with contextlib.suppress(OSError, BadData):
        if not where.exists():
            where.parent.mkdir(parents=True, exist_ok=True)
            for former in where.parent.iterdir():
                shutil.rmtree(former, ignore_errors=True)
            where.mkdir(exist_ok=True)
        for part, data in parts.items():
            storage.write_file(where / f"{stem}.{part}", data)
        storage.write_file(where / f"{stem}.seal", storage.canonical_json(seal))  # last: it makes the parts count


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
