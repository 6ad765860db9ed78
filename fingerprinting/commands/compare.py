"""`probe-match compare`: two targets, no database."""

import sys

import click

from ._options import (
    Wishes,
    asking_options,
    audit_options,
    enrolment_options,
    explain_option,
    output_options,
    target_options,
)


@click.command()
@click.argument("a")
@click.argument("b")
@enrolment_options
@asking_options
@explain_option
@audit_options
@click.option("--concurrency", type=click.IntRange(1, 64), help="Requests to B under way at once.  [default: 1]")
@target_options
@output_options
def compare(
    a: str,
    b: str,
    pool: str | None,
    label: str | None,
    text: str | None,
    drop_duplicates: bool,
    regression: bool,
    log: str | None,
    peers: int | None,
    shadows: int | None,
    jobs: int,
    budget: int | None,
    alpha: float,
    access: str,
    seed: int,
    no_early_stop: bool,
    explain: int | None,
    wishes: Wishes,
    concurrency: int | None,
    allow_pickle: bool,
    timeout: float,
    json_file: str | None,
    html_file: str | None,
    quiet: bool,
) -> None:
    """
    Say whether target B derives from target A, without a database.

    A is enrolled for the moment, with peers and shadows of its own; B is asked at most the budget. Exit codes as for
    match.

    \b
    Examples:
      probe-match compare mine.onnx http://host:8080/v2/models/suspect --pool pool.npz
      probe-match compare a.skops b.skops --pool pool.csv --label species --json
      probe-match compare mine.skops http://host:8080/v2/models/suspect --pool pool.npz --explain 64 --html page.html
    """
    from probe_match.fingerprinting import confirming, enrolment, matching, report
    from probe_match.fingerprinting.records import About

    from . import _likeness, _session

    confirming.check_limits(budget, alpha)
    _session.require_writable(json_file, html_file)
    loaded, logged = _session.pool_and_log(pool, label, text, drop_duplicates, log, regression)
    models = sum(enrolment.panel_size(loaded.spec, peers, shadows))
    with (
        _session.target(a, allow_pickle=allow_pickle, timeout=timeout) as known,
        _session.target(
            b, allow_pickle=allow_pickle, timeout=timeout, concurrency=concurrency, wishes=wishes, quiet=quiet
        ) as suspect,
    ):
        with _session.progress("training", quiet=quiet, total=models) as count:
            enrolled = enrolment.enroll(
                known,
                loaded,
                name=known.target,
                about=About(),
                generators=_session.generators(loaded.spec.kind),
                log=logged,
                peers=peers,
                shadows=shadows,
                seed=seed,
                jobs=jobs,
                progress=count,
            )
        with _session.progress("asking", quiet=quiet, total=budget or confirming.BUDGET) as count:
            verdict = matching.match_one(
                suspect,
                enrolled.reference,
                budget=budget,
                alpha=alpha,
                access="label" if access == "label" else None,
                seed=seed,
                stop_early=not no_early_stop,
                progress=count,
            )
        explanation = None
        if explain is not None:
            explanation = _likeness.beside(
                suspect, enrolled.reference, enrolled.public, budget=explain, access=access, seed=seed, quiet=quiet
            )
    _session.show(
        [(verdict.target, verdict)],
        json_file=json_file,
        html_file=html_file,
        quiet=quiet,
        title="Does B derive from A?",
        intro=f"A is {report.printable(known.target)}; B is {report.printable(suspect.target)}.",
        data=report.to_json(verdict),
        explanation=explanation,
    )
    sys.exit(report.EXIT[verdict.decision])
