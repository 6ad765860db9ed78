"""
References that no verdict names: "hubs", which stand out for suspects that have nothing to do with them, and copies of
another reference under a name of their own, beside which neither stands out, and those that say nothing.

A poisoned or careless reference, with peers that answer nothing sensible or answers like everybody's, makes matches of
strangers. Every reference is therefore tried with the other references of its input as suspects, as if each stood
behind an endpoint: one that would be named for more than a fifth of them is a hub. One that answers all alike as a
reference that was there before it is a copy. Declared kin, parent and child or children of one parent, do not count.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from sqlalchemy import delete, func, insert, select

from . import changes, cohort, packing, schema, searching
from .confirming import weigh
from .database import ReferenceDB
from .joining import joinable
from .records import UNANSWERED, ProbeSuite, Reference, Responses
from .schema import bodies, quarantined, sealed
from .verdicts import MIN_ANSWERED, Evidence, is_match

HUB_SHARE: Final = 0.2  # of honest suspects; more, and a reference says nothing about who stands behind one
PANEL: Final = 64  # references tried as suspects, drawn by seed where there are more
LEAST: Final = 5  # suspects without which nothing is said
ALPHA: Final = 0.01
Progress = Callable[[int, int], None]


class Hub(NamedTuple):
    """A reference that would be named for `named` of `tried` others."""

    name: str
    named: int
    tried: int

    def __str__(self) -> str:
        return f"hub: it would be named for {self.named} of {self.tried} other references"


class Copy(NamedTuple):
    """A reference that gives all the answers, so many, of another one, `of`, that was there before."""

    name: str
    of: str
    answers: int

    def __str__(self) -> str:
        return f"copy: its {self.answers} answers are those of '{self.of}', which was there before"


class Mute(NamedTuple):
    """A reference that says nothing: `different` labels among so many answers."""

    name: str
    answered: int
    different: int

    def __str__(self) -> str:
        return f"mute: {self.answered} answers to the public suite, {self.different} of them different"


def suspicious(db: ReferenceDB, *, seed: int = 0, progress: Progress | None = None) -> list[Hub | Copy | Mute]:
    """
    All hubs, and among the others those that say nothing and all copies, that are not in quarantine yet.

    Of those that answered a public suite; a hub needs that suite, or peers that answered it.
    """
    found: list[Hub | Copy | Mute] = []
    parents = {header["name"]: header["parent"] for header in db.headers()}
    for spec, names in db.inputs(None):
        suite = db.public_suite(spec)
        if suite is None or spec.output == "number":
            continue
        known, labels = db.public_labels(spec)
        wanted = set(names)
        rows = {name: labels[i].astype(np.int64) for i, name in enumerate(known) if name in wanted}
        its = _hubs(db, suite, rows, parents, seed, progress)
        gone = {hub.name for hub in its}
        mute = [one for one in _mute(rows) if one.name not in gone]
        gone |= {one.name for one in mute}
        found += [*its, *mute]
        found += _copies({name: rows[name] for name in _by_age(db) if name in rows.keys() - gone}, parents)

    return found


def _hubs(
    db: ReferenceDB, suite: ProbeSuite, rows: dict[str, np.ndarray], parents: dict[str, str | None], seed: int,
    progress: Progress | None,
) -> list[Hub]:  # fmt: skip
    found = []
    order = np.random.default_rng(seed).permutation(len(rows))[:PANEL]
    suspects = [list(rows)[i] for i in order]
    told = _told_by_all(rows, suspects, parents)
    for at, name in enumerate(rows):
        others = [other for other in suspects if not _are_kin(name, other, parents)]
        alone = _told_by_one(db.get(name), suite, [rows[other] for other in others])
        named = max(told[name], alone)
        if len(others) >= LEAST and named > HUB_SHARE * len(others):
            found.append(Hub(name, named, len(others)))
        if progress is not None:
            progress(at + 1, len(rows))

    return found


def _mute(rows: dict[str, np.ndarray]) -> list[Mute]:
    each = {name: labels[labels != UNANSWERED] for name, labels in rows.items()}
    told = [Mute(name, len(labels), len(np.unique(labels))) for name, labels in each.items()]
    return [one for one in told if one.answered < MIN_ANSWERED or one.different == 1]


def _copies(rows: dict[str, np.ndarray], parents: dict[str, str | None]) -> list[Copy]:
    """Of references in the order in which they came: each is tried against the former ones that are no copies."""
    found: dict[str, Copy] = {}
    for at, name in enumerate(rows):
        former = [other for other in list(rows)[:at] if other not in found and not _are_kin(name, other, parents)]
        if not former:
            continue
        known = np.array([rows[other] for other in former])
        both = (known != UNANSWERED) & (rows[name] != UNANSWERED)
        telling = both.sum(1) >= max(MIN_ANSWERED, len(rows[name]) // 2)  # few answers are alike by chance
        same = np.flatnonzero(((known == rows[name]) | ~both).all(1) & telling)
        if len(same):
            found[name] = Copy(name, former[same[0]], int(both[same[0]].sum()))

    return list(found.values())


def _by_age(db: ReferenceDB) -> list[str]:
    """All references, the one that was added (or replaced) last at the end; by name where no log tells."""
    names = db.names()
    if not db.store.has(schema.changes):
        return names
    log = schema.changes.c
    wanted = select(log.key, func.max(log.seq)).where(log.place == bodies.name, log.action == changes.ADD)
    with db.store.transaction() as connection:
        age = {row[0]: row[1] for row in connection.execute(wanted.group_by(log.key))}

    return sorted(names, key=lambda name: (age.get(name, 0), name))


def _evidence(labels: np.ndarray, known: np.ndarray, names: Sequence[str]) -> list[Evidence]:
    if len(names) > searching.LARGE:
        return searching.compare(labels, packing.pack(known), names)
    return cohort.compare(labels, known, list(names))


def set_apart(db: ReferenceDB, name: str, why: str | None) -> None:
    """Name a reference in no verdict any more, or, where `why` is None, again. Raises DatabaseError without it."""
    with db.store.transaction(write=True) as connection:
        if connection.execute(select(bodies.c.name).where(bodies.c.name == name)).first() is None:
            raise db.unknown(connection, name)
        gone = connection.execute(delete(quarantined).where(quarantined.c.name == name)).rowcount
        if why is not None:
            table, row = sealed(quarantined, name=name, data=why.encode())
            connection.execute(insert(table).values(row))
            changes.append(connection, changes.ADD, table.name, name, row["sha256"])
        elif gone:
            changes.append(connection, changes.REMOVE, quarantined.name, name)


def _told_by_all(rows: dict[str, np.ndarray], suspects: list[str], parents: dict[str, str | None]) -> dict[str, int]:
    """For how many suspects each reference would be named, with the other references as its peers."""
    told = dict.fromkeys(rows, 0)
    for suspect in suspects:
        names = [name for name in rows if not _are_kin(name, suspect, parents)]
        if len(names) < LEAST or not (rows[suspect] != UNANSWERED).any():
            continue
        for one in _evidence(rows[suspect], np.array([rows[name] for name in names]), names):
            told[one.reference] += is_match(one, len(names), ALPHA)

    return told


def _told_by_one(reference: Reference, suite: ProbeSuite, suspects: list[np.ndarray]) -> int:
    """For how many suspects a reference alone would be named, by its own peers' answers to the public suite."""
    if not joinable(reference):
        return 0
    assert reference.public is not None
    tried = Reference(reference.name, reference.about, suite, reference.public, reference.public_panel)
    named = 0
    for labels in suspects:
        latency = np.zeros(len(labels), np.float32)
        asked = Responses(suite.digest, "another reference", "label", labels[:, None], None, latency, len(labels))
        named += is_match(weigh(tried, asked), 1, ALPHA)

    return named


def _are_kin(a: str, b: str, parents: dict[str, str | None]) -> bool:
    """The same, parent and child, or children of one parent."""
    return bool({a, parents.get(a) or a} & {b, parents.get(b) or b})
