"""`probe-match explain`: how a model decides."""

import json
from pathlib import Path

import click

from ._options import Wishes, audit_options, output_options, regression_option, target_options


@click.command()
@click.argument("target")
@click.option(
    "--pool", required=True, metavar="FILE", help="Inputs of the model's task: .npz (x, y), .csv, .jsonl of texts."
)
@click.option("--label", metavar="COLUMN", help="Label column of a .csv pool.  [default: y, label, target or class]")
@click.option("--text", metavar="COLUMN", help="Text column of a pool of texts.  [default: text]")
@regression_option
@click.option("--against", metavar="TARGET", help="A second model of the same task, explained beside the first.")
@click.option(
    "--budget", default=1000, show_default=True, type=click.IntRange(10), help="Most questions to each model."
)
@click.option(
    "--access", type=click.Choice(["label", "scores", "auto"]), default="auto", show_default=True,
    help="What of the answers to use.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Which rows stand for the pool.")
@audit_options
@click.option("--concurrency", type=click.IntRange(1, 64), help="Requests under way at once.  [default: 1]")
@target_options
@output_options
def explain(
    target: str,
    pool: str,
    label: str | None,
    text: str | None,
    regression: bool,
    against: str | None,
    budget: int,
    access: str,
    seed: int,
    wishes: Wishes,
    concurrency: int | None,
    allow_pickle: bool,
    timeout: float,
    json_file: str | None,
    html_file: str | None,
    quiet: bool,
) -> None:
    """
    Say what each feature contributes to TARGET's decisions: linearly, nonlinearly, in pairs.

    Columns of tables, regions of images, words of texts, for classifiers and regressors, from answers alone. Figures
    are in units of the output, with intervals. More --budget, narrower intervals.

    \b
    Examples:
      probe-match explain mine.onnx --pool pool.csv --label species
      probe-match explain http://host:8080/v2/models/a --pool pool.npz --budget 5000 --html a.html
      probe-match explain a.skops --against b.skops --pool pool.npz --json
    """
    from probe_match.fingerprinting.explain import comparing, explaining, report
    from probe_match.fingerprinting.pools import load_pool

    from . import _session

    _session.require_writable(json_file, html_file)
    if against is not None and wishes.ledger is not None:
        raise click.UsageError("a ledger is of one target; explain the two one by one, or leave out --ledger")
    loaded = load_pool(Path(pool), label=label, text=text, drop_duplicates=True, regression=regression)
    made = []
    for where in [target] if against is None else [target, against]:
        with (
            _session.target(
                where, allow_pickle=allow_pickle, timeout=timeout, concurrency=concurrency, wishes=wishes, quiet=quiet
            ) as client,
            _session.progress("asking", quiet=quiet, total=budget) as count,
        ):
            made.append(
                explaining.explain(
                    client,
                    loaded,
                    budget=budget,
                    seed=seed,
                    access="label" if access == "label" else None,
                    progress=count,
                )
            )
    comparison = comparing.compare(made[0], made[1]) if against is not None else None
    if not quiet and json_file != "-":
        for one in made:
            click.echo(report.to_text(one))
        if comparison is not None:
            click.echo(report.compared(comparison))
    if json_file is not None:
        _session.write_text(json_file, json.dumps(report.to_json(made[0], comparison), indent=1, ensure_ascii=False))
    if html_file is not None:
        _session.write_text(html_file, report.to_html(made[0], comparison))
