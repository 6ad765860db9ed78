"""
References that no verdict names: "hubs", which stand out for suspects that have nothing to do with them.

A poisoned or careless reference, with peers that answer nothing sensible or answers like everybody's, makes matches of
strangers. Every reference is therefore tried with the other references of its input as suspects, as if each stood
behind an endpoint: one that would be named for more than a fifth of them is a hub. Declared kin, parent and child or
children of one parent, do not count.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from sqlalchemy import delete, insert, select

from . import changes, cohort
from .confirming import weigh
from .database import ReferenceDB
from .joining import joinable
from .records import UNANSWERED, ProbeSuite, Reference, Responses
from .schema import bodies, quarantined, sealed
from .verdicts import is_match

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


def hubs(db: ReferenceDB, *, seed: int = 0, progress: Progress | None = None) -> list[Hub]:
    """All hubs among the references that answered a public suite with their peers, sorted by name."""
    found = []
    parents = {header["name"]: header["parent"] for header in db.headers()}
    for spec, names in db.inputs(None):
        suite = db.public_suite(spec)
        if suite is None or spec.output == "number":
            continue
        known, labels = db.public_labels(spec)
        rows = {name: labels[i].astype(np.int64) for i, name in enumerate(known) if name in set(names)}
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

    return sorted(found)


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
        evidence = cohort.compare(rows[suspect], np.array([rows[name] for name in names]), names)
        for one in evidence:
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
