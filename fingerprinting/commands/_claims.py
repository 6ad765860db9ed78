"""`claim reveal` and `claim verify`, and how a result is told."""

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ._options import target_options
from .db import json_option, printable

if TYPE_CHECKING:
    from probe_match.fingerprinting.claims.keys import OwnerKey
    from probe_match.fingerprinting.claims.verifying import Opened, Verified

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
@click.option(
    "--pool", metavar="FILE",
    help="Labelled inputs of your own: honest models are trained on them and count; needs --source.",
)  # fmt: skip
@click.option("--source", metavar="TARGET", help="The owner's model, to see that places and labels are its own.")
@click.option("--retrain", is_flag=True, help="Train the claimant's honest models again and compare; needs --source.")
@click.option("--again", metavar="TARGET", help="The suspect, to be asked again.")
@click.option("--jobs", default=-1, show_default=True, type=int, help="Processes for training; -1 uses all processors.")
@target_options
@json_option
@click.pass_context
def verify(
    ctx: click.Context, case: str, owner: str | None, honest: tuple[str, ...], source: str | None,
    pool: str | None, retrain: bool, jobs: int, again: str | None, allow_pickle: bool, timeout: float, as_json: bool,
) -> None:  # fmt: skip
    """
    Recompute a case from its file alone; with models at hand, ask and train again and compare.

    Exit codes: 0 valid, 1 invalid, 2 unreadable, 3 valid but not opened whole, or your own honest models (--honest,
    --pool) change its outcome, or the suspect answers otherwise now (--again).

    \b
    Examples:
      probe-match claim verify opened.mfpb
      probe-match claim verify opened.mfpb --honest mine-1.onnx --honest mine-2.onnx
    """
    from probe_match.fingerprinting.claims import files, verifying
    from probe_match.fingerprinting.errors import BadData

    given = files.read(Path(case))
    try:
        checked = verifying.verify(given)
        if owner is not None and owner.lower() != checked.owner:
            raise BadData(f"the case book was sealed by {checked.owner[:16]}…, not by {owner[:16]}")
    except BadData as error:
        click.echo(f"invalid: {printable(str(error))}", err=True)
        ctx.exit(1)
    others: dict[str, Any] = {}
    if (honest or source or again or retrain or pool) and checked.whole is None:
        raise click.UsageError("asking and training again needs a case that was opened with the owner's key")
    if (retrain or pool) and source is None:
        raise click.UsageError("--retrain and --pool need --source, the owner's model, whose class some are of")
    if checked.whole is not None:
        wanted = _Wanted(honest, pool, source, again, retrain, jobs)
        others = _ask_again(checked.whole, wanted, allow_pickle=allow_pickle, timeout=timeout)
    if as_json:
        click.echo(json.dumps(_report(checked, others), indent=1, ensure_ascii=False))
    else:
        click.echo("\n".join([_in_lines(checked), *_others_in_lines(others)]))
    counted = others.get("with_honest")
    stands = counted is None or counted["finding"]["outcome"] == checked.result["finding"]["outcome"]
    if min([*others.get("source", {"": 1.0}).values(), others.get("peers", 1.0)]) < 0.98:
        ctx.exit(1)
    ctx.exit(0 if checked.whole is not None and stands and others.get("suspect", 1.0) >= 0.98 else 3)


class _Wanted(NamedTuple):
    """What a verifier has at hand: honest models, a pool, the source, the suspect; and how to train."""

    honest: tuple[str, ...]
    pool: str | None
    source: str | None
    again: str | None
    retrain: bool
    jobs: int


def _ask_again(whole: "Opened", wanted: _Wanted, **how: Any) -> dict[str, Any]:
    """What models at hand say of an opened case."""
    from probe_match.fingerprinting.claims import again
    from probe_match.fingerprinting.pools import load_pool

    from . import _session

    found: dict[str, Any] = {}
    peers, clients = [], []
    with contextlib.ExitStack() as opened:
        count = opened.enter_context(_session.progress("training", quiet=False))
        if wanted.source is not None:
            own = opened.enter_context(_session.target(wanted.source, **how))
            found["source"] = again.source_says(whole, own)
            if wanted.retrain:
                found["peers"] = again.peers_say(whole, own, jobs=wanted.jobs, progress=count)
            if wanted.pool is not None:
                pool = load_pool(Path(wanted.pool))
                peers = again.trained_on(whole, own, pool, jobs=wanted.jobs, progress=count)
        if wanted.again is not None:
            suspect = opened.enter_context(_session.target(wanted.again, **how))
            found["suspect"] = again.suspect_says(whole, suspect)
        clients = [opened.enter_context(_session.target(where, **how)) for where in wanted.honest]
        if clients or peers:
            found["with_honest"] = again.with_others(whole, clients, peers)

    return found


def _others_in_lines(others: dict[str, Any]) -> list[str]:
    lines = [
        f"  the source says {share:.1%} of the recorded {what} again"
        for what, share in others.get("source", {}).items()
    ]
    if "peers" in others:
        lines.append(f"  honest models trained again give {others['peers']:.1%} of the recorded readings")
    if "suspect" in others:
        lines.append(f"  asked again, the suspect gives {others['suspect']:.1%} of the recorded answers")
    if "with_honest" in others:
        lines.append(f"with your honest models: {told(others['with_honest'])}")

    return lines


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


def _report(checked: "Verified", others: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": "probe-match/claim-check/1", "valid": True, "whole": checked.whole is not None,
        "owner": checked.owner, "commitment": checked.commitment.to_json(), "result": checked.result,
        "opened": checked.leaves[0], "leaves": checked.leaves[1], "notes": list(checked.notes), "again": others,
    }  # fmt: skip
