"""`claim reveal` and `claim verify`, and how a result is told."""

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._options import target_options
from .db import json_option, printable

if TYPE_CHECKING:
    from probe_match.fingerprinting.claims.keys import OwnerKey
    from probe_match.fingerprinting.claims.verifying import Verified

key_option = click.option(
    "--owner-key",
    metavar="FILE",
    help="The secret key, a file of mode 0600.  [default: PROBE_MATCH_OWNER_KEY, 64 hex digits]",
)


def read_key(file: str | None) -> "OwnerKey":
    """The owner's key, in a file or in the environment."""
    from probe_match.fingerprinting.claims import keys

    return keys.read(None if file is None else Path(file), os.environ.get(keys.VARIABLE))


@click.command()
@click.argument("case")
@click.option(
    "--only", multiple=True, type=click.IntRange(0), metavar="N", help="Open this leaf alone, and keep the key; repeat."
)
@click.option("--output", "-o", required=True, metavar="FILE", help="The opened case.")
@key_option
def reveal(case: str, only: tuple[int, ...], output: str, owner_key: str | None) -> None:
    """
    Open a case for whoever is to verify it: with the key, so that everything can be recomputed, or single leaves.

    \b
    Examples:
      probe-match claim reveal case.mfpb --owner-key owner.key -o opened.mfpb
      probe-match claim reveal case.mfpb --owner-key owner.key --only 17 -o one.mfpb
    """
    from probe_match.fingerprinting.claims import files, opening, verifying

    from . import _session

    _session.require_writable(output)
    closed, private = files.read(Path(case)), files.read(Path(f"{case}.private"))
    opened = opening.reveal(closed, private, read_key(owner_key), only)
    checked = verifying.verify(opened)
    files.write(Path(output), opened)
    what = "the key" if checked.whole else f"{checked.leaves[0]} of {checked.leaves[1]} leaves"
    click.echo(f"revealed {what} in {output}; check it with: probe-match claim verify {output}")


@click.command()
@click.argument("case")
@click.option("--owner", metavar="HEX", help="Public key that must have sealed the case book.")
@click.option(
    "--honest", "honest", multiple=True, metavar="TARGET",
    help="Honest model of your own, to be asked the opened probes and counted among the peers; repeat.",
)  # fmt: skip
@click.option("--source", metavar="TARGET", help="The owner's model, to see that places and labels are its own.")
@target_options
@json_option
@click.pass_context
def verify(
    ctx: click.Context, case: str, owner: str | None, honest: tuple[str, ...], source: str | None,
    allow_pickle: bool, timeout: float, as_json: bool,
) -> None:  # fmt: skip
    """
    Recompute a case from its file alone. Exit codes: 0 valid, 1 invalid, 2 unreadable, 3 valid but not opened whole, or
    your own honest models (--honest) change its outcome.

    \b
    Examples:
      probe-match claim verify opened.mfpb
      probe-match claim verify opened.mfpb --honest mine-1.onnx --honest mine-2.onnx
    """
    from probe_match.fingerprinting.claims import files, verifying
    from probe_match.fingerprinting.errors import BadData

    from . import _session

    given = files.read(Path(case))
    try:
        checked = verifying.verify(given)
        if owner is not None and owner.lower() != checked.owner:
            raise BadData(f"the case book was sealed by {checked.owner[:16]}…, not by {owner[:16]}")
    except BadData as error:
        click.echo(f"invalid: {printable(str(error))}", err=True)
        ctx.exit(1)
    other = None
    if (honest or source) and checked.whole is None:
        raise click.UsageError("--honest and --source need a case that was opened with the owner's key")
    if checked.whole is not None:
        with contextlib.ExitStack() as opened:
            clients = [
                opened.enter_context(_session.target(where, allow_pickle=allow_pickle, timeout=timeout))
                for where in (*honest, *(() if source is None else (source,)))
            ]
            if source is not None:
                different = verifying.not_the_sources(checked.whole, clients.pop())
                if different:
                    click.echo(
                        f"invalid: the {', '.join(different)} recorded are not those of {source[:200]}", err=True
                    )
                    ctx.exit(1)
            other = verifying.with_others(checked.whole, clients) if clients else None
    stands = other is None or other["finding"]["outcome"] == checked.result["finding"]["outcome"]
    if as_json:
        click.echo(json.dumps(_report(checked, other), indent=1, ensure_ascii=False))
    else:
        click.echo(_in_lines(checked))
        if other is not None:
            click.echo(f"with {len(honest)} honest models of yours: {told(other)}")
    ctx.exit(0 if checked.whole is not None and stands else 3)


def told(result: dict[str, Any]) -> str:
    """A result in a few lines."""
    found, counts, nearest = result["finding"], result["finding"]["peers"], printable(str(result["nearest"]))
    lines = [
        f"{found['outcome']}: {printable(result['suspect'])} ({printable(found['why'])})",
        f"  p-value {found['p_corrected']:.2g}: {found['p_query']:.2g} for a model that hits as often as the worst "
        f"honest one may ({found['bound']:.0%}), times {found['factor']:.3g}",
        f"  by rank {found['p_model']:.3f}, among {counts['kin']} honest models of the source's kind and "
        f"{counts['others']} others; the nearest is {nearest} with {found['nearest_hits']} hits",
    ]
    for control in result["controls"]:
        held = "as expected" if control["as_expected"] else "NOT as expected"
        lines.append(f"  control {printable(control['of'])} ({control['role']}): {control['hits']} hits, {held}")

    return "\n".join(lines)


def _in_lines(checked: "Verified") -> str:
    """What was verified, in a few lines."""
    opened, leaves = checked.leaves
    head = "valid" if checked.whole is not None else f"valid, but only {opened} of {leaves} leaves are open"
    who = f"case {checked.commitment.serial} of owner {checked.owner[:16]}…"
    lines = [
        f"{head}: {who}, {checked.result['statistic']}, {leaves} leaves",
        told(checked.result),
        *(f"  note: {printable(note)}" for note in checked.notes),
    ]

    return "\n".join(lines)


def _report(checked: "Verified", other: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "schema": "probe-match/claim-check/1", "valid": True, "whole": checked.whole is not None,
        "owner": checked.owner, "commitment": checked.commitment.to_json(), "result": checked.result,
        "opened": checked.leaves[0], "leaves": checked.leaves[1], "notes": list(checked.notes), "with_honest": other,
    }  # fmt: skip
