"""`probe-match match`: which known model stands behind a target."""

import sys

import click

from ._options import asking_options, db_option, output_options, target_options


@click.command()
@click.argument("target")
@db_option
@click.option(
    "--reference", "only", multiple=True, metavar="NAME", help="Consider only this reference; repeat for more."
)
@asking_options
@target_options
@output_options
def match(
    target: str,
    db: str,
    only: tuple[str, ...],
    budget: int | None,
    alpha: float,
    access: str,
    seed: int,
    no_early_stop: bool,
    allow_pickle: bool,
    timeout: float,
    json_file: str | None,
    html_file: str | None,
    quiet: bool,
) -> None:
    """
    Say which known model stands behind TARGET, or that none of them does.

    Every comparable reference in the database is considered. Exit code 0: match; 1: no match; 3: inconclusive or
    evasion suspected, a person must look; 2: error.

    \b
    Examples:
      probe-match match http://host:8080/v2/models/suspect
      probe-match suspect.onnx --budget 30 --alpha 0.001
      probe-match suspect.onnx --json verdict.json --html verdict.html
    """
    from probe_match.fingerprinting import confirming, matching, report
    from probe_match.fingerprinting.database import open_db

    from . import _session

    confirming.check_limits(budget, alpha)
    _session.require_writable(json_file, html_file)
    with (
        open_db(db, read_only=True) as references,
        _session.target(target, allow_pickle=allow_pickle, timeout=timeout) as client,
        _session.progress("asking", quiet=quiet, total=budget or confirming.BUDGET) as count,
    ):
        verdict = matching.match(
            client,
            references,
            only=only,
            budget=budget,
            alpha=alpha,
            access="label" if access == "label" else None,
            seed=seed,
            stop_early=not no_early_stop,
            progress=count,
        )
    _session.show(
        [(verdict.target, verdict)],
        json_file=json_file,
        html_file=html_file,
        quiet=quiet,
        title="Which known model is this?",
        intro="Each target was asked probes on which copies and honest models differ, and compared with both.",
        data=report.to_json(verdict),
    )
    sys.exit(report.EXIT[verdict.decision])
