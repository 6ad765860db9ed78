"""`probe-match match`: which known model stands behind a target."""

import sys
from typing import Any

import click

from ._chat import chat_options
from ._options import asking_options, db_option, output_options, target_options


@click.command()
@click.argument("target", required=False)
@db_option
@click.option(
    "--reference", "only", multiple=True, metavar="NAME", help="Consider only this reference; repeat for more."
)
@asking_options
@click.option("--tokens", type=click.IntRange(1), help="Most output tokens of a language model.  [default: 100]")
@click.option(
    "--transcripts", metavar="FILE", help="Judge recorded answers of a language model: JSON lines of prompt and answer."
)
@chat_options
@target_options
@output_options
def match(
    target: str | None,
    db: str,
    only: tuple[str, ...],
    budget: int | None,
    alpha: float,
    access: str,
    seed: int,
    no_early_stop: bool,
    tokens: int | None,
    transcripts: str | None,
    dry_run: bool,
    price: Any,
    max_cost: float | None,
    concurrency: int | None,
    save: str | None,
    allow_pickle: bool,
    timeout: float,
    json_file: str | None,
    html_file: str | None,
    quiet: bool,
) -> None:
    """
    Say which known model stands behind TARGET, or that none of them does.

    Every comparable reference in the database is considered. A language model is asked the questions that most of the
    references were asked, for about 100 tokens of output; --dry-run says what that costs. Exit code 0: match; 1: no
    match; 3: inconclusive or evasion suspected, a person must look; 2: error.

    \b
    Examples:
      probe-match match http://host:8080/v2/models/suspect
      probe-match suspect.onnx --budget 30 --alpha 0.001
      probe-match suspect.onnx --json verdict.json --html verdict.html
      probe-match openai:https://host/v1#model --dry-run --price 0.15/0.60
      probe-match match --transcripts answers.jsonl
    """
    from probe_match.fingerprinting import confirming, matching, report
    from probe_match.fingerprinting.chat.records import ChatClient
    from probe_match.fingerprinting.database import open_db

    from . import _chat, _session

    confirming.check_limits(budget, alpha)
    _session.require_writable(json_file, html_file, save)
    if (target is None) == (transcripts is None):
        raise click.UsageError("expected a TARGET or --transcripts FILE, one of the two")
    if target is None:
        with open_db(db, read_only=True) as references:
            found = _chat.judge_recording(
                str(transcripts), references, only=only, budget=budget, alpha=alpha, seed=seed
            )
        _chat.finish(found, json_file=json_file, html_file=html_file, quiet=quiet, title="Which known model is this?")
    with (
        open_db(db, read_only=True) as references,
        _session.any_target(str(target), allow_pickle=allow_pickle, timeout=timeout, concurrency=concurrency) as client,
    ):
        if isinstance(client, ChatClient):
            asked = _chat.identify(
                client,
                references,
                only=only,
                budget=budget,
                tokens=tokens,
                alpha=alpha,
                seed=seed,
                stop_early=not no_early_stop,
                dry_run=dry_run,
                price=price,
                max_cost=max_cost,
                save=save,
                quiet=quiet,
            )
            if asked is not None:
                _chat.finish(
                    asked, json_file=json_file, html_file=html_file, quiet=quiet, title="Which known model is this?"
                )
            return
        if dry_run or save or tokens or max_cost:
            raise click.UsageError("--dry-run, --save, --tokens and --max-cost are for language models")
        with _session.progress("asking", quiet=quiet, total=budget or confirming.BUDGET) as count:
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
