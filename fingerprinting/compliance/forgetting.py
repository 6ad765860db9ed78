"""
Forgetting what endpoints answered: answers may hold personal data, and are kept no longer than somebody says.

A ledger loses its answers and keeps what was asked, when and at what cost, with word of what was erased and why, so
that its chain stays checkable. A history of watches has no chain; a watch goes whole. Digests of erased answers stay:
whoever can guess an answer exactly can confirm it.
"""

import datetime as dt
import sqlite3
import time
from pathlib import Path
from typing import Final

from probe_match.fingerprinting.chat.history import History
from probe_match.fingerprinting.errors import BadData, DatabaseError, UsageError
from probe_match.fingerprinting.ledger import is_ledger, open_ledger, read_ledger

from .settings import Retention

DAY: Final = 86_400.0  # seconds


def ledgers_at(path: Path) -> list[Path]:
    """The ledgers of a folder, or the one at a path."""
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file() and is_ledger(file))
    return [path] if is_ledger(path) else []


def age(path: Path) -> float:
    """Days since the last entry of a ledger."""
    with read_ledger(path) as ledger:
        last = max((entry.at for entry in ledger.entries()), default=0.0)
    return (time.time() - last) / DAY


def erased(path: Path) -> bool:
    """Whether a ledger has lost its answers already."""
    with read_ledger(path) as ledger:
        return bool(ledger.forgotten)


def forget_ledger(path: Path, why: str) -> int:
    """Erase the answers of a ledger; how many there were. Raises DatabaseError."""
    with read_ledger(path) as ledger:
        target = str(ledger.about.get("target"))
    with open_ledger(path, target=target, erased=True) as ledger:
        return ledger.forget(why)


def sweep(folder: Path, retention: Retention, *, today: dt.date | None = None) -> list[Path]:
    """
    Forget the ledgers of an audit's folder that are older than is allowed, unless they are on hold, and put them aside
    so that the next audit begins anew. Returns where they are.
    """
    if retention.hold or not folder.is_dir():
        return []
    moved = []
    for path in ledgers_at(folder):
        if path.suffix == ".ledger" and age(path) > retention.days:
            if not erased(path):
                forget_ledger(path, f"kept for {retention.days} days")
            day = today or dt.date.today()
            aside = path.with_name(f"{path.stem}.forgotten-{day.isoformat()}")
            if aside.exists():
                raise DatabaseError(f"{aside} is there already; move it, and run the audit again")
            moved.append(path.rename(aside))

    return moved


def forget_watch(path: Path, target: str) -> None:
    """Remove a watch from a history with all its answers. Raises UsageError where there is none of that target."""
    if not path.is_file():
        raise BadData(f"no ledger, folder of ledgers or history at {path}; check the path")
    history = History(path)
    try:
        watch = history.find(target)
        if watch is None:
            raise UsageError(f"{path} holds no watch of '{target[:200]}'; name the target as it was watched")
        history.forget(watch)
    finally:
        history.close()
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("VACUUM")  # what was deleted is gone from the file, not only from its tables
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DatabaseError(f"cannot tidy up {path} ({error}); nobody else may have it open") from error
