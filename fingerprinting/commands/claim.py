"""
`probe-match claim`: ownership claims, committed to before the probes are known and recomputed by whoever doubts them.
"""

import contextlib
import json
from pathlib import Path
from typing import Any

import click

from . import _claims, _evidence
from ._claims import key_option, read_key
from ._options import Option, Wishes, audit_options, target_options
from ._printing import json_option

seal_option: Option = click.option(
    "--seal", envvar="PROBE_MATCH_SIGNING_KEY", show_envvar=True, required=True, metavar="FILE",
    help="Private Ed25519 key in PEM that seals every link of the case book.",
)  # fmt: skip
book_option: Option = click.option(
    "--book", required=True, metavar="FILE", help="Your case book; links are only ever added."
)
pool_option: Option = click.option(
    "--pool",
    required=True,
    metavar="FILE",
    help="Inputs with true labels: .npz (x, y) or .csv. Probes lie between its rows.",
)
peer_option: Option = click.option(
    "--peer",
    "peers_at_hand",
    multiple=True,
    metavar="TARGET",
    help="Honest model at hand: must not look derived; repeat.",
)


@click.group()
def claim() -> None:
    """
    Prove that a model descends from yours: commit, stamp, run, reveal, verify, report.

    \b
    Examples:
      probe-match claim key owner.key
      probe-match claim commit mine.skops --pool pool.npz --book cases.jsonl --beacon drand:5000000
      probe-match claim run suspect.onnx --source mine.skops --pool pool.npz --book cases.jsonl -o case.mfpb
      probe-match claim stamp cases.jsonl --tsa URL --tsa-root north.pem --tsa URL --tsa-root south.pem
      probe-match claim reveal case.mfpb -o opened.mfpb
      probe-match claim verify opened.mfpb
      probe-match claim report opened.mfpb --html report.html
    """


claim.add_command(_claims.reveal)
claim.add_command(_claims.verify)
claim.add_command(_evidence.stamp)
claim.add_command(_evidence.report)


@claim.command()
@click.argument("file")
def key(file: str) -> None:
    """
    Make a secret owner key in a new FILE that only you can read. It is never shown.

    \b
    Example:
      probe-match claim key owner.key
    """
    from probe_match.fingerprinting.claims import keys

    made = keys.make(Path(file))
    click.echo(f"wrote {file}, a secret; its hash is {made.hash}")


@claim.command()
@click.argument("target")
@pool_option
@book_option
@click.option(
    "--beacon", metavar="SOURCE:ROUND", help="Public randomness of a round that is not out yet, such as drand:5000000."
)
@click.option("--no-beacon", is_flag=True, help="Wait for none: p-values are then corrected for 2^40 keys.")
@click.option(
    "--statistic", type=click.Choice(["targeted", "crossings"]), default="targeted", show_default=True,
    help="targeted: registered bits, for evidence. crossings: both sides of the boundary, for screening.",
)  # fmt: skip
@click.option(
    "--ways", default=1024, show_default=True, type=click.IntRange(8, 65536), help="Ways that are asked about."
)
@click.option(
    "--candidates",
    type=click.IntRange(8, 65536),
    help="Ways they are chosen from, by peers.  [default: four times as many]",
)
@click.option(
    "--gap", type=click.FloatRange(0, 1, min_open=True),
    help="Ask at this distance across your boundary on every way, as a share of it, instead of where changed copies of "
    "your model show best.  [default: 0.12 for models whose weights cannot be read]",
)  # fmt: skip
@click.option("--peers", default=260, show_default=True, type=click.IntRange(8, 10000), help="Honest models to train.")
@peer_option
@click.option("--threshold", default=1e-6, show_default=True, type=float, help="Corrected p-value to stay below.")
@click.option(
    "--retries",
    default=0,
    show_default=True,
    type=click.IntRange(0, 10),
    help="Times an unanswered probe is asked again.",
)
@click.option("--weights", metavar="FILE", help="Your model's weights: their root is committed to (see weights hash).")
@click.option("--suite", metavar="FILE", help="Refused: probes are derived from key and beacon, never listed.")
@key_option
@seal_option
@target_options
def commit(
    target: str, pool: str, book: str, beacon: str | None, no_beacon: bool, statistic: Any, ways: int,
    candidates: int | None, gap: float | None, peers: int, peers_at_hand: tuple[str, ...], threshold: float,
    retries: int, weights: str | None, suite: str | None, owner_key: str | None, seal: str, allow_pickle: bool,
    timeout: float,
) -> None:  # fmt: skip
    """
    Bind yourself to a key, a model, a rule and a round of a beacon that is still to come. TARGET is your own model.

    \b
    Example:
      probe-match claim commit mine.skops --pool pool.npz --book cases.jsonl --beacon drand:5000000
    """
    from probe_match.fingerprinting.claims import books, running
    from probe_match.fingerprinting.pools import load_pool
    from probe_match.fingerprinting.storage import read_file

    from . import _session

    if suite is not None:
        raise click.UsageError(
            f"a list of probes picked by hand ({suite}) proves nothing: one can be picked against any model; "
            "leave out --suite: probes are derived from key and beacon"
        )
    if (beacon is None) != no_beacon:
        raise click.UsageError("expected --beacon SOURCE:ROUND of a round that is not out yet, or --no-beacon")
    _session.require_writable(book)
    secret, pem, known = read_key(owner_key), read_file(Path(seal), "sealing key"), books.read(Path(book))
    with contextlib.ExitStack() as opened:
        source, *at_hand = [
            opened.enter_context(_session.target(where, allow_pickle=allow_pickle, timeout=timeout))
            for where in (target, *peers_at_hand)
        ]
        generator = running.generator_for(source, statistic, ways, candidates or min(4 * ways, 65536), gap)
        made = running.commit(
            source, load_pool(Path(pool)), secret, generator, links=known.links, beacon=_round(beacon), peers=peers,
            at_hand=at_hand, weights=_root(weights), threshold=threshold, retries=retries,
        )  # fmt: skip
    books.write(Path(book), books.extended(known, made.to_json(), pem))
    after = (
        "run it when you like"
        if made.beacon is None
        else f"run it when round {made.beacon[1]} of {made.beacon[0]} is out"
    )
    click.echo(f"case {made.serial} is committed to in {book}: {made.digest}")
    click.echo(f"it will ask {generator.questions} questions; {after}")


@claim.command()
@click.argument("target")
@click.option("--source", required=True, metavar="TARGET", help="Your own model, the one that was committed to.")
@pool_option
@book_option
@click.option("--beacon", metavar="FILE", help="The pulse: JSON of drand or NIST, or with source, round and value.")
@click.option(
    "--copy", "copies", multiple=True, metavar="TARGET", help="Known to descend from yours: must be found; repeat."
)
@peer_option
@click.option(
    "--searched",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Models looked at before this one was accused, it included.",
)
@click.option(
    "--ledgers",
    metavar="FOLDER",
    help="Where all answers are written down; a killed run goes on.  [default: OUTPUT.ledgers]",
)
@click.option(
    "--output", "-o", required=True, metavar="FILE", help="The closed case; what opens it is kept in FILE.private."
)
@click.option("--jobs", default=-1, show_default=True, type=int, help="Processes for training; -1 uses all processors.")
@key_option
@seal_option
@audit_options
@target_options
@json_option
@click.option("-q", "--quiet", is_flag=True, help="No text and no progress; the exit code tells.")
@click.pass_context
def run(
    ctx: click.Context, target: str, source: str, pool: str, book: str, beacon: str | None, copies: tuple[str, ...],
    peers_at_hand: tuple[str, ...], searched: int, ledgers: str | None, output: str, jobs: int,
    owner_key: str | None, seal: str, wishes: Wishes, allow_pickle: bool, timeout: float, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """
    Run the last case of the book: derive the probes, train honest models, ask TARGET and the controls, and close the
    case.

    Exit codes: 0 match, 1 no match, 2 error, 3 inconclusive.

    \b
    Example:
      probe-match claim run suspect.onnx --source mine.skops --pool pool.npz --book cases.jsonl -o case.mfpb
    """
    from probe_match.fingerprinting.claims import beacons, books, commitments, files, opening, running
    from probe_match.fingerprinting.evidence import bundle, exchanges, stamping
    from probe_match.fingerprinting.pools import load_pool
    from probe_match.fingerprinting.storage import read_file

    from . import _session

    if wishes.ledger is not None:
        raise click.UsageError("every model of a case has its own ledger; give their folder with --ledgers")
    folder = Path(ledgers or f"{output}.ledgers")
    _session.require_writable(book, output, f"{output}.private")
    secret, pem, known = read_key(owner_key), read_file(Path(seal), "sealing key"), books.read(Path(book))
    if not known.links or known.links[-1]["schema"] != commitments.SCHEMA:
        raise click.UsageError(f"{book} ends with no case to run; commit one with: claim commit")
    commitment = commitments.read(known.links[-1])
    commitments.require_last(known.links, commitment)
    pulse = None
    if commitment.beacon is not None:
        if beacon is None:
            raise click.UsageError(
                f"expected --beacon FILE with round {commitment.beacon[1]} of {commitment.beacon[0]}"
            )
        pulse = beacons.read(Path(beacon), commitment.beacon[0])
    folder.mkdir(parents=True, exist_ok=True)
    roles = [(source, "source"), *((c, "copy") for c in copies), *((p, "peer") for p in peers_at_hand)]
    with contextlib.ExitStack() as opened:
        models = [
            running.Model(
                opened.enter_context(_session.target(where, allow_pickle=allow_pickle, timeout=timeout)), role,
                folder / f"{role}-{place}.ledger",
            )
            for place, (where, role) in enumerate(roles)
        ]  # fmt: skip
        ledger = folder / "suspect.ledger"
        suspect = _session.target(
            target, allow_pickle=allow_pickle, timeout=timeout, wishes=wishes._replace(ledger=str(ledger)), quiet=quiet
        )
        models.append(running.Model(opened.enter_context(suspect), "suspect", ledger))
        count = opened.enter_context(_session.progress("claim", quiet=quiet))
        case, probes = running.run(
            commitment, secret, pulse, loaded := load_pool(Path(pool)), models,
            audits=commitments.check_chain(known.links), searched=searched, jobs=jobs, progress=count,
        )  # fmt: skip
    closed, private, book_now = opening.close(case, probes, loaded, secret, known, pem)
    private[bundle.EXCHANGES] = exchanges.of_case(folder, private[files.LEAVES])
    made = bundle.close(closed, pem, did="run", tokens=stamping.tokens(Path(book), len(book_now.links) - 1))
    files.write(Path(f"{output}.private"), private, secret=True)
    files.write(Path(output), made)
    books.write(Path(book), book_now)
    result = json.loads(closed[files.RESULT])
    if as_json:
        click.echo(json.dumps(result, indent=1, ensure_ascii=False))
    elif not quiet:
        click.echo(_claims.told(result))
        click.echo(f"closed in {output}; open it with: probe-match claim reveal {output} -o opened.mfpb")
    ctx.exit({"match": 0, "no match": 1}.get(result["finding"]["outcome"], 3))


def _round(text: str | None) -> tuple[str, int] | None:
    """`drand:5000000` as its source and round."""
    if text is None:
        return None
    source, _, number = text.rpartition(":")
    if not source or not number.isdigit() or len(number) > 15:
        raise click.UsageError(f"expected --beacon SOURCE:ROUND such as drand:5000000, got '{text[:60]}'")

    return source, int(number)


def _root(weights: str | None) -> str | None:
    if weights is None:
        return None
    from probe_match.fingerprinting.weights import digests, reading

    return f"sha256:{digests.digest(reading.read(Path(weights))).root}"
