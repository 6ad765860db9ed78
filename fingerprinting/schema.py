"""
Tables of the reference database, the seal on every row, and how a reference is laid out in rows.

A seal is the sha256 of all the other columns of a row, so that neither a flipped bit nor a row moved to another name
goes unnoticed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table

from . import storage
from .errors import BadData
from .records import About, Fragile, InputSpec, Panel, ProbeSuite, Reference, Responses

SCHEMA: Final = 2  # see `migrating`
MAX_LABEL: Final = np.iinfo(np.int16).max

tables: MetaData = MetaData()
meta: Table = Table("meta", tables, Column("key", String, primary_key=True), Column("value", String, nullable=False))


def _sealed(name: str, *columns: Column[Any]) -> Table:
    seal = Column("sha256", String, nullable=False)
    return Table(name, tables, *columns, Column("data", LargeBinary, nullable=False), seal)


def _answers(name: str) -> Table:
    model = Column("suite", String, primary_key=True), Column("name", String, primary_key=True)
    return _sealed(name, *model, Column("probes", Integer, nullable=False))


# data: a ProbeSuite. Suites are stored once however many references were asked them.
suites: Table = _sealed("suites", Column("digest", String, primary_key=True))
# Which suite the references of one input share. data: nothing.
public_suites: Table = _sealed(
    "public_suites", Column("input", String, primary_key=True), Column("suite", String, nullable=False)
)
# data: JSON, what a listing shows. Apart from the arrays, so that listing reads little.
headers: Table = _sealed("headers", Column("name", String, primary_key=True))
# data: a Body.
bodies: Table = _sealed(
    "bodies", Column("name", String, primary_key=True), Column("suite", String, nullable=False, index=True)
)
# data: labels int16 (n,), or scores float16 (n, k), float32 of regressors, little-endian: one answer per probe, read by
# the thousand.
labels: Table = _answers("labels")
scores: Table = _answers("scores")
# Language models, in files that have any: their headers as above, what they answered, and the banks they were asked.
chat_headers: Table = _sealed("chat_headers", Column("name", String, primary_key=True))
chat_bodies: Table = _sealed(
    "chat_bodies", Column("name", String, primary_key=True), Column("bank", String, nullable=False, index=True)
)
chat_banks: Table = _sealed("chat_banks", Column("digest", String, primary_key=True))
CHAT: Final = (chat_headers, chat_bodies, chat_banks)
# References that no verdict names, with the reason as data; since schema 2.
quarantined: Table = _sealed("quarantined", Column("name", String, primary_key=True))
SEALED: Final = (suites, public_suites, headers, bodies, labels, scores, *CHAT, quarantined)
# Who changed what, one row a change, never altered; since schema 2. See `changes`.
changes: Table = Table(
    "changes",
    tables,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    *(Column(name, String, nullable=False) for name in ("at", "who", "action", "place", "key", "seal", "chain")),
)
LATER: Final = (*CHAT, quarantined)  # sealed tables that older files lack

Row = tuple[Table, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Body:
    """A Reference without its suite, which other references may share."""

    name: str
    about: About
    answers: Responses
    panel: Panel | None
    public: Responses | None
    public_panel: Panel | None = field(default=None, metadata=storage.LATER)
    fragile: Fragile | None = field(default=None, metadata=storage.LATER)

    def reference(self, suite: ProbeSuite) -> Reference:
        """The reference that asks this suite."""
        return Reference(
            self.name, self.about, suite, self.answers, self.panel, self.public, self.public_panel, self.fragile
        )


def sealed(table: Table, **row: Any) -> Row:
    """A row ready to be stored."""
    return table, {**row, "sha256": _seal(table, row)}


def intact(table: Table, row: Mapping[Any, Any]) -> bool:
    """Whether a row is as it was stored."""
    try:
        return bool(_seal(table, row) == row["sha256"])
    except (TypeError, ValueError):  # a column that is no longer of its type
        return False


def label(table: Table, row: Mapping[Any, Any]) -> str:
    """A row's name in messages."""
    keys = ", ".join(f"'{row[column.name]}'" for column in table.primary_key)
    return f"row {keys} of table {table.name}"


def body_row(reference: Reference) -> Row:
    """The row that holds a reference's arrays."""
    body = Body(
        reference.name, reference.about, reference.answers, reference.panel, reference.public, reference.public_panel,
        reference.fragile,
    )  # fmt: skip
    return sealed(bodies, name=reference.name, suite=reference.suite.digest, data=storage.to_bytes(body))


def derived_rows(reference: Reference) -> list[Row]:
    """What is kept beside the body so that it need not be read: the header, and labels and scores per suite."""
    rows = [sealed(headers, name=reference.name, data=storage.canonical_json(header(reference)))]
    asked = {reference.answers.suite: reference.answers}
    if reference.public is not None:
        asked.setdefault(reference.public.suite, reference.public)
    for suite, responses in asked.items():
        answered = responses.label
        if len(answered) and answered.max() > MAX_LABEL:
            raise BadData(f"expected labels up to {MAX_LABEL} in '{reference.name}', got {int(answered.max())}")
        key = {"suite": suite, "name": reference.name, "probes": len(answered)}
        rows.append(sealed(labels, **key, data=answered.astype("<i2").tobytes()))
        if responses.score is not None:
            kept = responses.score.astype(score_type(reference.suite.spec))
            rows.append(sealed(scores, **key, data=kept.tobytes()))

    return rows


def header(reference: Reference) -> dict[str, Any]:
    """What a listing shows; digests are `sha256:…`, counts are models of the panel."""
    about, spec, panel = reference.about, reference.suite.spec, reference.panel
    return {
        "name": reference.name,
        "role": about.role,
        "license": about.license,
        "parent": about.parent,
        "source": about.source,
        "weights": about.weights,
        "date": about.date,
        "input": {"kind": spec.kind, "shape": list(spec.shape), "features": list(spec.features)}
        | ({} if spec.output == "classes" else {"output": spec.output}),
        "access": reference.answers.access,
        "suite": reference.suite.digest,
        "probes": len(reference.suite),
        "peers": 0 if panel is None else len(panel.rows("peer")),
        "shadows": 0 if panel is None else len(panel.rows("shadow")),
        "public": None if reference.public is None else reference.public.suite,
        "digest": storage.digest(reference),
    }


def input_key(spec: InputSpec) -> str:
    """JSON of what decides whether two suites may be put to the same models."""
    output = [] if spec.output == "classes" else [spec.output]
    return storage.canonical_json([spec.kind, spec.shape, spec.features, *output]).decode()


def score_type(spec: InputSpec) -> str:
    """How scores are stored: probabilities briefly, a regressor's numbers of any size in full."""
    return "<f4" if spec.output == "number" else "<f2"


def _seal(table: Table, row: Mapping[Any, Any]) -> str:
    plain = [table.name, *(row[column.name] for column in table.columns if column.name not in ("data", "sha256"))]
    return storage.sha256(storage.canonical_json(plain) + b"\0" + row["data"])
