"""
The reference database: every known model, what it answered, and what its peers and shadows answered.

    with open_db("references.db", create=True) as db:
        db.add(reference)
        names, labels = db.public_labels(reference.suite.spec)

Adding is one transaction, so that a reference is there whole or not at all, and every row read is checked against the
sha256 it was stored with. Many processes may read and write at once.
"""

import json
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from sqlalchemy import Connection, RowMapping, Table, delete, insert, select

from . import changes, prepared, schema, storage, storing
from .connecting import Store, connect
from .errors import DatabaseError, ProbeMatchError
from .packing import Packed
from .records import InputSpec, ProbeSuite, Reference
from .schema import Body, bodies, headers, public_suites, quarantined, sealed, suites


def open_db(url: str | Path, create: bool = False, read_only: bool = False) -> "ReferenceDB":
    """
    Open a database: the path of an SQLite file, `sqlite:///FILE`, or the SQLAlchemy URL of a server.

    create: make it if it is missing. Raises DatabaseError if it is missing, damaged, no reference database, or made
    by a newer version.
    """
    store = connect(str(url), create=create, read_only=read_only)
    try:
        store.prepare(create=create)
    except ProbeMatchError:
        store.close()
        raise

    return ReferenceDB(store)


class ReferenceDB:
    """An open reference database; a context manager. Any method may raise DatabaseError."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def name(self) -> str:
        """Where it is: a path, or a URL without its password."""
        return self.store.name

    def __enter__(self) -> "ReferenceDB":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all connections."""
        self.store.close()

    def names(self) -> list[str]:
        """All references, sorted."""
        with self.store.transaction() as connection:
            return sorted(connection.execute(select(bodies.c.name)).scalars())

    def headers(self) -> list[dict[str, Any]]:
        """What a listing shows of each reference (see `schema.header`), sorted by name; reads no arrays."""
        with self.store.transaction() as connection:
            rows = connection.execute(select(headers).order_by(headers.c.name)).mappings().all()
        for row in rows:
            self._check(headers, row)

        return [json.loads(row["data"]) for row in rows]

    def inputs(self, shape: tuple[int, ...] | None, only: Sequence[str] = ()) -> list[tuple[InputSpec, list[str]]]:
        """
        Each input of this shape (of any, if None) with the names of its references, sorted.

        only: considers these references alone. Raises DatabaseError for one that is not there.
        """
        with self.store.transaction() as connection:
            for name in only:
                if connection.execute(select(bodies.c.name).where(bodies.c.name == name)).first() is None:
                    raise self.unknown(connection, name)
        found: dict[InputSpec, list[str]] = {}
        apart = self.quarantined()
        for entry in prepared.inputs(self):
            if entry["name"] in apart:
                continue
            kind, size, features = (entry["input"][key] for key in ("kind", "shape", "features"))
            if (shape is None or size == list(shape)) and (not only or entry["name"] in only):
                output = entry["input"].get("output", "classes")
                spec = InputSpec(kind, tuple(size), features=tuple(features), output=output)
                found.setdefault(spec, []).append(entry["name"])

        return list(found.items())

    def quarantined(self) -> dict[str, str]:
        """References that no verdict names, with the reason; see `quarantine`."""
        if not self.store.has(quarantined):
            return {}
        with self.store.transaction() as connection:
            rows = connection.execute(select(quarantined).order_by(quarantined.c.name)).mappings().all()
        for row in rows:
            self._check(quarantined, row)

        return {row["name"]: row["data"].decode() for row in rows}

    def get(self, name: str) -> Reference:
        """One whole reference."""
        with self.store.transaction() as connection:
            return self.read(connection, name)

    def add(self, reference: Reference, *, replace: bool = False) -> None:
        """Store a reference, all of it or nothing. replace: forget the one of the same name."""
        self.store.require_free(reference.name, schema.chat_headers)
        rows = [schema.body_row(reference), *schema.derived_rows(reference)]
        data = storage.to_bytes(reference.suite)
        with self.store.transaction(write=True) as connection:
            storing.add_rows(self.name, connection, rows, reference.suite.digest, data, replace=replace)

    def remove(self, name: str) -> None:
        """Forget a reference, and its suite unless it is public or another reference was asked it."""
        with self.store.transaction(write=True) as connection:
            suite = connection.execute(select(bodies.c.suite).where(bodies.c.name == name)).scalar()
            if suite is None:
                raise self.unknown(connection, name)
            storing.forget(connection, name)
            storing.drop_unused(connection, suite)
            changes.append(connection, changes.REMOVE, bodies.name, name)
            if connection.execute(delete(quarantined).where(quarantined.c.name == name)).rowcount:
                changes.append(connection, changes.REMOVE, quarantined.name, name)

    def public_suite(self, spec: InputSpec) -> ProbeSuite | None:
        """The suite that references of this input share, or None before there is one."""
        with self.store.transaction() as connection:
            digest = self._public_digest(connection, spec)
            return None if digest is None else self.read_suite(connection, digest)

    def set_public_suite(self, suite: ProbeSuite) -> None:
        """Make a suite the public one of its input. References that never answered it drop out of `public_labels`."""
        table, row = sealed(public_suites, input=schema.input_key(suite.spec), suite=suite.digest, data=b"")
        data = storage.to_bytes(suite)
        same_input = public_suites.c.input == row["input"]
        with self.store.transaction(write=True) as connection:
            former = connection.execute(select(public_suites.c.suite).where(same_input)).scalar()
            connection.execute(delete(table).where(same_input))
            connection.execute(insert(table).values(row))
            changes.append(connection, changes.ADD, table.name, row["input"], row["sha256"])
            storing.add_suite(connection, suite.digest, data)
            if former is not None:
                storing.drop_unused(connection, former)

    def public_labels(self, spec: InputSpec) -> tuple[list[str], np.ndarray]:
        """
        Names, sorted, and labels int16 (references, n): what each reference that was asked the public suite of this
        input answered most often to a probe, UNANSWERED where nothing.
        """
        rows = self._public(schema.labels, spec)
        if not rows:
            return [], np.zeros((0, 0), np.int16)
        lengths = {len(row["data"]) for row in rows}
        if len(lengths) > 1:
            raise DatabaseError(f"answers to one suite differ in length in {self.name}; find them with 'db verify'")

        packed = np.frombuffer(b"".join(row["data"] for row in rows), "<i2").reshape(len(rows), -1)
        return [row["name"] for row in rows], packed.astype(np.int16)

    def public_packed(self, spec: InputSpec) -> tuple[list[str], Packed] | None:
        """As `public_labels`, packed for search; of a large file mapped into memory. None where there is nothing."""
        suite = self.public_suite(spec)
        if suite is None:
            return None
        names, found = prepared.packed(self, suite.digest, lambda: self.public_labels(spec))
        return (names, found) if names else None

    def own_probes(self, names: Sequence[str]) -> list[int]:
        """How many probes of its own each of these references has that was enrolled with peers."""
        wanted = set(names)
        return [
            entry["probes"] for entry in self.headers() if entry["name"] in wanted and entry["peers"] + entry["shadows"]
        ]

    def public_scores(self, spec: InputSpec) -> dict[str, np.ndarray]:
        """
        Mean scores by reference to the public suite, float16 (n, k), or a regressor's numbers, float32 (n, 1); NaN
        where nothing came. k may differ.
        """
        stored = schema.score_type(spec)
        return {
            row["name"]: np.frombuffer(row["data"], stored).reshape(row["probes"], -1).astype(stored[1:])
            for row in self._public(schema.scores, spec)
        }

    def verify(self, head: str | None = None) -> list[str]:
        """
        Everything that is wrong, one line each; [] if every row is whole, agrees with the others and with the log.

        head: of the log, as somebody noted it down; it must still be among the entries.
        """
        from .checking import problems

        return problems(self, head)

    def row(self, connection: Connection, table: Table, key: str) -> RowMapping | None:
        """The row of that key in a table with a single key, its seal checked; None where there is none."""
        (column,) = table.primary_key
        row = connection.execute(select(table).where(column == key)).mappings().first()
        if row is not None:
            self._check(table, row)

        return row

    def read(self, connection: Connection, name: str) -> Reference:
        """One whole reference, within a transaction."""
        row = self.row(connection, bodies, name)
        if row is None:
            raise self.unknown(connection, name)
        suite = self.read_suite(connection, row["suite"])
        body = storage.from_bytes(Body, row["data"], f"reference '{name}' in {self.name}")

        return body.reference(suite)

    def read_suite(self, connection: Connection, digest: str) -> ProbeSuite:
        """One suite, within a transaction."""
        row = self.row(connection, suites, digest)
        if row is None:
            raise DatabaseError(f"suite {digest[:15]}… is missing from {self.name}; add its references again")

        return storage.from_bytes(ProbeSuite, row["data"], f"suite {digest[:15]}… in {self.name}")

    def _public(self, table: Table, spec: InputSpec) -> Sequence[RowMapping]:
        with self.store.transaction() as connection:
            digest = self._public_digest(connection, spec)
            if digest is None:
                return []
            rows = connection.execute(select(table).where(table.c.suite == digest)).mappings().all()
        for row in rows:
            self._check(table, row)
        apart = self.quarantined()

        return sorted((row for row in rows if row["name"] not in apart), key=lambda row: str(row["name"]))

    def _public_digest(self, connection: Connection, spec: InputSpec) -> str | None:
        """Of the suite for exactly this input, or for one that differs only in not naming its features."""
        found: dict[str, str] = {}
        for row in connection.execute(select(public_suites).order_by(public_suites.c.input)).mappings():
            self._check(public_suites, row)
            found[row["input"]] = row["suite"]
        key = schema.input_key(spec)
        if key in found:
            return found[key]
        for other, digest in found.items():
            kind, shape, features, *output = json.loads(other)
            if spec.accepts(InputSpec(kind, tuple(shape), (0.0,), (1.0,), tuple(features), (), *output)):
                return digest

        return None

    def _check(self, table: Table, row: RowMapping) -> None:
        if not schema.intact(table, row):
            raise DatabaseError(
                f"{schema.label(table, row)} in {self.name} is damaged; find all damage with 'db verify', "
                "then remove what is damaged and add it again"
            )

    def unknown(self, connection: Connection, name: str) -> DatabaseError:
        """What to say of a name that is not there."""
        names = sorted(connection.execute(select(bodies.c.name)).scalars())
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        if near:
            advice = f"did you mean {', '.join(near)}?"
        else:
            advice = f"known are {', '.join(names[:8])}" if names else "it is empty; add a model with enroll"

        return DatabaseError(f"no reference '{name}' in {self.name}; {advice}")
