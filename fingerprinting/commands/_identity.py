"""What `fingerprint`, `verify`, `db show` and `enroll` share: suites by name, and identities asked for or stored."""

import json
from typing import Any

import click
from probe_match.fingerprinting import identity
from probe_match.fingerprinting.collect import Client, collect
from probe_match.fingerprinting.database import ReferenceDB, open_db
from probe_match.fingerprinting.errors import DatabaseError, ProbeMatchError, UsageError
from probe_match.fingerprinting.records import ProbeSuite, Reference

from . import _session


def suite(file: str | None, db: str, shape: tuple[int, ...] | None, claim: str | None = None) -> ProbeSuite:
    """A suite from a file, or the public one of a database for that shape; the one of a claimed identity."""
    if file is not None:
        found = [_session.read_suite(file)]
    else:
        with open_db(db, read_only=True) as references:
            specs = [spec for spec, _ in references.inputs(shape)]
            found = [some for spec in specs if (some := references.public_suite(spec)) is not None]
    fitting = [some for some in found if claim is None or identity.is_of(claim, some.digest)]
    if not fitting and claim is not None and found:
        digests = ", ".join(some.digest[:15] + "…" for some in found[:3])
        raise UsageError(f"{claim} is on another suite than {digests}; pass the one it names with --suite")
    if not fitting:
        raise DatabaseError(f"no public suite in {db} for inputs of shape {shape}; pass one with --suite")
    if len(fitting) > 1:
        raise UsageError(f"{db} has {len(fitting)} public suites for this target; pass one with --suite")

    return fitting[0]


def ask(client: Client, probes: ProbeSuite, quiet: bool) -> identity.Identity:
    """The identity of a model, asked every probe of a suite that it stands on."""
    rows = identity.standing(probes)
    with _session.progress("asking", quiet=quiet, total=len(rows)) as count:
        return identity.identify(collect(client, probes, rows=rows, progress=count), probes)


def verify(client: Client, claim: str, file: str | None, db: str, json_file: str | None, quiet: bool) -> int:
    """Whether a target has the claimed identity; 0 as claimed, 1 another, 3 another where float noise may be why."""
    claim = identity.parse(claim)
    probes = suite(file, db, client.shape, claim)
    found = ask(client, probes, quiet)
    same = found.name == claim
    decision = "as claimed" if same else "inconclusive" if found.close > 0 else "another"
    data = {
        "schema": "probe-match/identity/1", "target": client.target, "claim": claim, "fingerprint": found.name,
        "decision": decision, "suite": probes.digest, "probes": found.probes, "close": found.close,
    }  # fmt: skip
    if json_file is not None:
        _session.write_text(json_file, json.dumps(data, indent=1, ensure_ascii=False))
    if not quiet and json_file != "-":
        why = f"all {found.probes} answers are as claimed" if same else f"its answers name it {found.name}"
        click.echo(f"{decision}: {why}{_doubt(found) if decision == 'inconclusive' else ''}")

    return {"as claimed": 0, "another": 1, "inconclusive": 3}[decision]


def told(found: identity.Identity) -> str:
    """An identity in one line."""
    return f"{found.name}  on {found.probes} probes{_doubt(found) if found.close > 0 else ''}"


def of_reference(references: ReferenceDB, reference: Reference) -> str | None:
    """A stored reference's identity on the public suite, None where its answers do not make one."""
    probes = references.public_suite(reference.suite.spec)
    return None if probes is None else of_answers(reference, probes)


def of_answers(reference: Reference, public: ProbeSuite) -> str | None:
    """A reference's identity on a public suite, None where its answers do not make one."""
    if reference.public is None:
        return None
    try:
        return identity.identify(reference.public, public).name
    except ProbeMatchError:  # unanswered probes, or a suite too small: no identity, and no reason to fail
        return None


def to_json(client: Client, probes: ProbeSuite, found: identity.Identity) -> dict[str, Any]:
    """What `fingerprint --json` writes."""
    return {
        "schema": "probe-match/identity/1", "target": client.target, "fingerprint": found.name,
        "suite": probes.digest, "probes": found.probes, "close": found.close,
    }  # fmt: skip


def _doubt(found: identity.Identity) -> str:
    return f"; {found.close} of them hang on less than float noise, so that another runtime may name it otherwise"
