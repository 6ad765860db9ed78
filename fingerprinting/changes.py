"""
Who changed what in a reference database: a log that is only ever added to, each entry chained to the one before.

What the log says is there must be there, with the seal it says, and nothing else. Whoever knows the head of the log, as
`db log` shows it, sees a cut or an old copy too: its chain is no longer among the entries.
"""

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Final, NamedTuple

from sqlalchemy import Connection, insert, select

from . import storage
from .errors import DatabaseError
from .schema import bodies, changes, chat_bodies, public_suites, quarantined

START: Final = storage.sha256(b"probe-match/changes/1")
ADD: Final = "add"
REMOVE: Final = "remove"
TRACKED: Final = (bodies, chat_bodies, public_suites, quarantined)  # the tables whose rows are in the log
MAX_WHO: Final = 100  # characters
Place = tuple[str, str]  # table, and key of a row


class Change(NamedTuple):
    """
    One entry. seq: 1, 2, … at: ISO 8601, UTC. who: a claim, not a proof. action: add (or replace) or remove. place and
    key: table and row. seal: of that row, "" where it was removed. chain: over the entry and the chain before it.
    """

    seq: int
    at: str
    who: str
    action: str
    place: str
    key: str
    seal: str
    chain: str

    def follows(self, before: "Change | None") -> bool:
        """Whether this entry is whole and comes right after `before`."""
        seq, chain = (0, START) if before is None else (before.seq, before.chain)
        return self.seq == seq + 1 and self.chain == _chained(chain, self[:-1])


def user() -> str:
    """Who is at work: PROBE_MATCH_USER, or else the user of the operating system."""
    import pwd

    named = os.environ.get("PROBE_MATCH_USER", "").strip()
    if named:
        return "".join(c for c in named if c.isprintable())[:MAX_WHO]
    try:
        return pwd.getpwuid(os.geteuid()).pw_name[:MAX_WHO]
    except KeyError:  # containers run under numbers without a name
        return f"uid {os.geteuid()}"


def append(connection: Connection, action: str, place: str, key: str, seal: str = "") -> None:
    """Add an entry, within the transaction of the change; transactions that write come one after the other."""
    last = connection.execute(select(changes.c.seq, changes.c.chain).order_by(changes.c.seq.desc()).limit(1)).first()
    seq, chain = (0, START) if last is None else last
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    entry = (seq + 1, at, user(), action, place, key, seal)
    connection.execute(insert(changes).values(Change(*entry, _chained(chain, entry))._asdict()))


def entries(connection: Connection, newest: int | None = None) -> Iterator[Change]:
    """All entries, oldest first, or the `newest` so many, newest first. Raises SQLAlchemyError where they are gone."""
    wanted = select(changes).order_by(changes.c.seq if newest is None else changes.c.seq.desc()).limit(newest)
    for row in connection.execute(wanted.execution_options(yield_per=1000)):
        yield Change(*row)


def replay(connection: Connection) -> tuple[dict[Place, str], Change | None, str]:
    """
    What should be there after the longest unbroken beginning of the log: seal by table and key; the last entry of that
    beginning; and what is wrong after it, "" if nothing.
    """
    state: dict[Place, str] = {}
    last: Change | None = None
    for change in entries(connection):
        if not change.follows(last):
            return state, last, f"the log of changes is broken after entry {0 if last is None else last.seq}"
        last = change
        apply(state, change)

    return state, last, ""


def apply(state: dict[Place, str], change: Change) -> None:
    """Bring what should be there, seal by table and key, up to an entry."""
    if change.action == ADD:
        state[change.place, change.key] = change.seal
    else:
        state.pop((change.place, change.key), None)


def problems(connection: Connection, head: str | None = None) -> list[str]:
    """
    Where the log is broken or the rows are not what it says, one line each.

    head: the chain of an entry known to have been there.
    """
    state, last, broken = replay(connection)
    if broken:
        return [f"{broken}; db verify --recover FILE keeps what comes before"]
    found = {
        (table.name, str(key)): seal
        for table in TRACKED
        if connection.dialect.has_table(connection, table.name)
        for key, seal in connection.execute(select(next(iter(table.primary_key)), table.c.sha256))
    }
    told = [f"{_row(at)} is gone, and the log says nothing of it" for at in sorted(state.keys() - found.keys())]
    told += [f"{_row(at)} was added past the log" for at in sorted(found.keys() - state.keys())]
    told += [
        f"{_row(at)} is not the one the log speaks of" for at in sorted(state) if found.get(at, state[at]) != state[at]
    ]
    if head is not None and connection.execute(select(changes.c.seq).where(changes.c.chain == head)).first() is None:
        told.append(
            f"the log was cut or replaced: it ends at entry {0 if last is None else last.seq} without that head"
        )

    return told


def require_head(head: str | None) -> None:
    """Raise DatabaseError for what is no head."""
    if head is not None and not (head.startswith("sha256:") and len(head) == len(START)):
        raise DatabaseError(f"expected a head as db log shows it, sha256:…, got '{head[:80]}'")


def _chained(before: str, entry: tuple[object, ...]) -> str:
    return storage.sha256(before.encode() + storage.canonical_json(entry))


def _row(at: Place) -> str:
    return f"row '{at[1]}' of table {at[0]}"
