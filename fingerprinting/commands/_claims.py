"""`claim reveal` and `claim verify`, and how a result is told."""

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ._evidence import roots_option, seal_option, trusted
from ._options import target_options
from ._printing import json_option, printable

if TYPE_CHECKING:
    from datetime import datetime

    from probe_match.fingerprinting.claims.keys import OwnerKey
    from probe_match.fingerprinting.claims.verifying import Opened
    from probe_match.fingerprinting.evidence.checking import Checked

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
@seal_option
def reveal(case: str, only: tuple[int, ...], output: str, owner_key: str | None, seal: str) -> None:
    """
    Open a case for whoever is to verify it: with the key, so that everything can be recomputed, or single leaves.

    \b
    Examples:
      probe-match claim reveal case.mfpb --owner-key owner.key --seal seal.pem -o opened.mfpb
      probe-match claim reveal case.mfpb --owner-key owner.key --seal seal.pem --only 17 -o one.mfpb
    """
    from probe_match.fingerprinting.claims import opening
    from probe_match.fingerprinting.evidence import archive, bundle, checking
    from probe_match.fingerprinting.storage import read_file

    from . import _session

    _session.require_writable(output)
    given, private = archive.read(Path(case)), archive.read(Path(f"{case}.private"))
    closed = checking.check(given, case).bundle.case
    revealed = opening.reveal(closed, private, read_key(owner_key), only)
    made = bundle.close(
        revealed, read_file(Path(seal), "sealing key"), did="reveal", log=given[bundle.CUSTODY],
        tokens=bundle.read_tokens(given),
    )  # fmt: skip
    checked = checking.check(made, output).claim
    archive.write(Path(output), made)
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
@click.option("--against", metavar="CASE", help="Somebody else's case on the same model: say who committed first.")
@roots_option
@target_options
@json_option
@click.pass_context
def verify(
    ctx: click.Context, case: str, owner: str | None, honest: tuple[str, ...], source: str | None,
    pool: str | None, retrain: bool, jobs: int, again: str | None, against: str | None, roots: tuple[str, ...],
    allow_pickle: bool, timeout: float, as_json: bool,
) -> None:  # fmt: skip
    """
    Recompute a case from its file alone; with models at hand, ask and train again and compare.

    Exit codes: 0 valid, 1 invalid, 2 unreadable, 3 valid but not opened whole, or its times are not those of two
    authorities that you trust (--tsa-root), or your own honest models (--honest, --pool) change its outcome, or the
    suspect answers otherwise now (--again), or another case is not shown to be later (--against).

    \b
    Examples:
      probe-match claim verify opened.mfpb --tsa-root north.pem --tsa-root south.pem
      probe-match claim verify opened.mfpb --honest mine-1.onnx --honest mine-2.onnx
      probe-match claim verify opened.mfpb --against theirs.mfpb --tsa-root north.pem --tsa-root south.pem
    """
    from probe_match.fingerprinting.errors import BadData
    from probe_match.fingerprinting.evidence import archive, checking, timestamps

    given, authorities = archive.read(Path(case)), trusted(roots)
    try:
        found = checking.check(given, case, authorities, owner)
        checked = found.claim
        others: dict[str, Any] = {}
        if against is not None:
            theirs = checking.check(archive.read(Path(against)), against, authorities)
            others["earlier"] = timestamps.earlier(found.commitment_stamps, theirs.commitment_stamps)
    except BadData as error:
        click.echo(f"invalid: {printable(str(error))}", err=True)
        ctx.exit(1)
    if (honest or source or again or retrain or pool) and checked.whole is None:
        raise click.UsageError("asking and training again needs a case that was opened with the owner's key")
    if (retrain or pool) and source is None:
        raise click.UsageError("--retrain and --pool need --source, the owner's model, whose class some are of")
    if checked.whole is not None:
        wanted = _Wanted(honest, pool, source, again, retrain, jobs)
        others |= _ask_again(checked.whole, wanted, allow_pickle=allow_pickle, timeout=timeout)
    if as_json:
        click.echo(json.dumps(_report(found, others), indent=1, ensure_ascii=False))
    else:
        click.echo("\n".join([_in_lines(found), *_others_in_lines(others)]))
    counted = others.get("with_honest")
    stands = counted is None or counted["finding"]["outcome"] == checked.result["finding"]["outcome"]
    if min([*others.get("source", {"": 1.0}).values(), others.get("peers", 1.0)]) < 0.98:
        ctx.exit(1)
    stands = stands and others.get("suspect", 1.0) >= 0.98 and others.get("earlier", "first") == "first"
    ctx.exit(0 if found.complete and stands else 3)


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
    if "earlier" in others:
        whose = {"first": "this case", "second": "the other case", "ambiguous": "neither, by times that are trusted"}
        lines.append(f"  committed to first: {whose[others['earlier']]}")
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


def _in_lines(found: "Checked") -> str:
    """What was verified, in a few lines."""
    checked = found.claim
    opened, leaves = checked.leaves
    head = "valid" if checked.whole is not None else f"valid, but only {opened} of {leaves} leaves are open"
    who = f"case {checked.commitment.serial} of owner {checked.owner[:16]}…"
    lines = [
        f"{head}: {who}, {checked.result['statistic']}, {leaves} leaves",
        told(checked.result),
        *(f"  {what} by {time:%Y-%m-%d %H:%M:%S} UTC, say {_names(found, link)}" for what, time, link in _times(found)),
        *(f"  note: {printable(note)}" for note in found.notes),
    ]

    return "\n".join(lines)


def _names(found: "Checked", link: int) -> str:
    return " and ".join(printable(stamp.authority) for stamp in found.stamps[link])


def _times(found: "Checked") -> list[tuple[str, "datetime", int]]:
    """What two authorities vouch for: what, when, and the link of the book."""
    links = len(found.bundle.lines)
    moments = (("committed to", found.committed, links - 1), ("run", found.run, links))
    return [(what, time, link) for what, time, link in moments if time is not None]


def _report(found: "Checked", others: dict[str, Any]) -> dict[str, Any]:
    checked = found.claim
    return {
        "schema": "probe-match/claim-check/1", "valid": True, "whole": checked.whole is not None,
        "owner": checked.owner, "commitment": checked.commitment.to_json(), "result": checked.result,
        "opened": checked.leaves[0], "leaves": checked.leaves[1], "notes": list(found.notes), "again": others,
        "times": {what: time.isoformat() for what, time, _ in _times(found)},
    }  # fmt: skip
