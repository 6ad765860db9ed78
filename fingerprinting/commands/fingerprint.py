"""`probe-match fingerprint`: a short name for what a model does."""

import json

import click

from ._options import Wishes, audit_options, db_option, target_options


@click.command()
@click.argument("target")
@click.option(
    "--suite", "suite_file", metavar="FILE", help="Suite that the fingerprint is on.  [default: the database's]"
)
@db_option
@audit_options
@click.option("--concurrency", type=click.IntRange(1, 64), help="Requests under way at once.  [default: 1]")
@target_options
@click.option(
    "--json", "json_file", is_flag=False, flag_value="-", metavar="[FILE]",
    help="Write the result as JSON, to a file or to standard output.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Print the fingerprint alone, and no progress.")
def fingerprint(
    target: str,
    suite_file: str | None,
    db: str,
    wishes: Wishes,
    concurrency: int | None,
    allow_pickle: bool,
    timeout: float,
    json_file: str | None,
    quiet: bool,
) -> None:
    """
    Print the fingerprint id (pm1:…) of TARGET's behaviour on a public suite, for papers and model cards.

    The same model has the same id behind any runtime or server, whether it shows scores or labels. Check one with
    `verify TARGET --claim pm1:…`.

    \b
    Examples:
      probe-match fingerprint mine.onnx --suite public.npz
      probe-match fingerprint http://host:8080/v2/models/mine --db team.db --json
    """
    from . import _identity, _session

    _session.require_writable(json_file)
    with _session.target(
        target, allow_pickle=allow_pickle, timeout=timeout, concurrency=concurrency, wishes=wishes, quiet=quiet
    ) as client:
        probes = _identity.suite(suite_file, db, client.shape)
        found = _identity.ask(client, probes, quiet)
    if json_file is not None:
        _session.write_text(json_file, json.dumps(_identity.to_json(client, probes, found), indent=1))
    if json_file != "-":
        click.echo(found.name if quiet else _identity.told(found))
