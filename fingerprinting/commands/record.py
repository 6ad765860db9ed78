"""`probe-match record`: ask a target now, decide later."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._chat import chat_options
from ._options import Wishes, audit_options, db_option, target_options

if TYPE_CHECKING:
    from probe_match.fingerprinting.collect import Client


@click.command()
@click.argument("target")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where the answers go; match --from reads them.")
@db_option
@click.option("--suite", "suite_file", metavar="FILE", help="Ask this suite instead of the database's questions.")
@click.option(
    "--budget",
    type=click.IntRange(1),
    help="Most questions to the target.  [default: 50, and 15 more for references to come where there is one]",
)
@click.option("--tokens", type=click.IntRange(1), help="Most output tokens of a language model.  [default: 100]")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Order of the questions.")
@chat_options
@audit_options
@target_options
@click.option("-q", "--quiet", is_flag=True, help="No text and no progress; the exit code tells.")
def record(
    target: str,
    output: str,
    db: str,
    suite_file: str | None,
    budget: int | None,
    tokens: int | None,
    seed: int,
    dry_run: bool,
    price: Any,
    concurrency: int | None,
    save: str | None,
    wishes: Wishes,
    allow_pickle: bool,
    timeout: float,
    quiet: bool,
) -> None:
    """
    Ask TARGET what match would ask, without stopping early, and keep the answers in a ledger: FILE.

    Nothing is decided. match --from FILE decides later, offline, and again when the database has grown. Until all is
    asked the ledger is FILE.part; a run that was killed goes on there when it is started again.

    \b
    Examples:
      probe-match record http://host:8080/v2/models/suspect -o suspect.ledger
      probe-match record suspect.onnx -o suspect.ledger --suite probes.npz
      probe-match record openai:https://host/v1#model -o model.ledger --max-cost tokens=20000
    """
    from probe_match.fingerprinting.chat import asking
    from probe_match.fingerprinting.chat.records import ChatClient
    from probe_match.fingerprinting.database import open_db
    from probe_match.fingerprinting.errors import BadData

    from . import _chat, _session

    if wishes.ledger is not None:
        raise click.UsageError("the ledger of record is its --output; leave out --ledger")
    part = Path(f"{output}.part")
    _session.require_writable(output, str(part), save)
    if Path(output).exists():
        raise BadData(f"{output} is there already; remove it or give another --output")
    with _session.any_target(
        target, allow_pickle=allow_pickle, timeout=timeout, concurrency=concurrency,
        wishes=wishes._replace(ledger=None if dry_run else str(part)), price=price, quiet=quiet,
    ) as client:  # fmt: skip
        if isinstance(client, ChatClient):
            with open_db(db, read_only=True) as references:
                planned = asking.plan_identification(references, budget=budget, tokens=tokens, seed=seed)
            planned = _chat.priced(planned, client, price, dry_run=dry_run)
            if dry_run:
                click.echo(_chat.told_cost(planned))
                return
            _chat.ask(client, planned, quiet=quiet, save=save)
        elif dry_run or save or tokens:
            raise click.UsageError("--dry-run, --save and --tokens are for language models")
        else:
            _ask(client, db, suite_file, budget=budget, seed=seed, quiet=quiet)
    try:
        part.rename(output)  # closed by now: one file, no log beside it
    except OSError as error:
        raise BadData(f"cannot write {output} ({error.strerror}); the answers are in {part}") from error
    if not quiet:
        click.echo(f"wrote {output}; decide with: probe-match match --from {output}")


def _ask(client: "Client", db: str, suite_file: str | None, *, budget: int | None, seed: int, quiet: bool) -> None:
    import numpy as np
    from probe_match.fingerprinting import confirming, matching
    from probe_match.fingerprinting.collect import collect
    from probe_match.fingerprinting.database import open_db

    from . import _session

    if suite_file is not None:
        suite = _session.read_suite(suite_file)
        rows = np.arange(min(len(suite), budget or len(suite)))
        with _session.progress("asking", quiet=quiet, total=len(rows)) as count:
            collect(client, suite, rows=rows, rng=np.random.default_rng(seed), progress=count)
        return
    with open_db(db, read_only=True) as references:
        groups = references.inputs(client.shape, ())
        alone = sum(len(names) for _, names in groups) == 1
        most = confirming.BUDGET if budget is None else budget
        shared = round(matching.PUBLIC_SHARE * most) if alone else 0
        own = most - shared if budget is not None and alone else budget
        with _session.progress("asking", quiet=quiet, total=most) as count:
            matching.match(client, references, budget=own, seed=seed, stop_early=False, progress=count)
            public = references.public_suite(groups[0][0]) if shared else None
            if public is not None:  # a single reference is judged by its own probes; those to come share these
                rows = np.arange(min(len(public), shared))
                rng = np.random.default_rng(seed)
                collect(client, public, rows=rows, rng=rng, progress=count, patient=True)
