"""`probe-match watch`: is an endpoint still what it was, look after look."""

import sys
from pathlib import Path

import click

from ._options import Wishes, audit_options, network_options


def default_history() -> str:
    """watch.db beside the user's own reference database."""
    from ._options import default_db

    return str(Path(default_db()).with_name("watch.db"))


@click.command()
@click.argument("target")
@click.option(
    "--history",
    default=default_history,
    show_default="~/.local/share/probe-match/watch.db",
    metavar="FILE",
    help="What was asked and answered so far, of all targets.",
)
@click.option("--looks", default=1, show_default=True, type=click.IntRange(1), help="Rounds to ask in this run.")
@click.option(
    "--every", default=0.0, show_default=True, type=click.FloatRange(0), metavar="SECONDS", help="Wait between looks."
)
@click.option(
    "--alpha",
    default=0.01,
    show_default=True,
    type=click.FloatRange(0, 0.5, min_open=True),
    help="Chance that an endpoint that never changes ever gets an alarm, however often it is looked at.",
)
@click.option(
    "--prompts",
    default=400,
    show_default=True,
    type=click.IntRange(20, 5000),
    help="Most prompts to try, three calls each, when choosing the questions.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Choice of the questions.")
@click.option("--restart", is_flag=True, help="Forget this target's past and begin anew, after an alarm for instance.")
@click.option("--dry-run", is_flag=True, help="Say how much would be asked, and ask nothing.")
@click.option("--timeout", default=60.0, show_default=True, type=click.FloatRange(0.1), help="Seconds for one request.")
@click.option(
    "--json",
    "json_file",
    is_flag=False,
    flag_value="-",
    metavar="[FILE]",
    help="Write the last look as JSON, to a file or to standard output.",
)
@audit_options
@network_options
@click.option("-q", "--quiet", is_flag=True, help="No text and no progress; the exit code tells.")
def watch(
    target: str,
    history: str,
    looks: int,
    every: float,
    alpha: float,
    prompts: int,
    seed: int,
    restart: bool,
    dry_run: bool,
    timeout: float,
    json_file: str | None,
    wishes: Wishes,
    quiet: bool,
) -> None:
    """
    Say whether a language model's endpoint is still what it was when the watch began.

    The first look chooses questions on which small changes show and takes a baseline; every later one asks a few dozen
    one-token questions. Run it from cron, or with --looks and --every. It may be killed at any time and goes on where
    it was. Exit code 0: unchanged; 1: modified, or another model; 3: a person must look; 2: error.

    \b
    Examples:
      probe-match watch openai:https://host/v1#model
      probe-match watch openai:https://host/v1#model --looks 24 --every 3600 --json watch.json
      probe-match watch openai:https://host/v1#model --ledger watch.ledger --rate 5/s --max-cost queries=2000
      probe-match watch openai:https://host/v1#model --dry-run
    """
    import json
    import time

    from probe_match.fingerprinting.chat import change_report, changing, sentinels, watching
    from probe_match.fingerprinting.chat.history import History

    from . import _session

    _session.require_writable(json_file)
    if dry_run:
        click.echo(change_report.cost(sentinels.Plan(), prompts, looks))
        return
    if restart and wishes.ledger is not None and Path(wishes.ledger).exists():
        raise click.UsageError(f"--restart asks everything anew; give it a --ledger of its own, {wishes.ledger} exists")
    past = History(Path(history))
    verdict = None
    try:
        with _session.chat_target(target, timeout=timeout, wishes=wishes, quiet=quiet) as client:
            known = past.find(client.target)
            if restart and known:
                past.forget(known)
            for number in range(looks):
                if number:
                    time.sleep(every)
                with _session.progress("asking", quiet=quiet) as count:
                    verdict = watching.look(client, past, alpha=alpha, seed=seed, prompts=prompts, progress=count)
                if not quiet and json_file != "-":
                    click.echo(change_report.to_text(verdict))
                if changing.EXIT[verdict.decision] == 1:
                    break
    finally:
        past.close()
    assert verdict is not None
    if json_file is not None:
        _session.write_text(json_file, json.dumps(change_report.to_json(verdict), indent=1, ensure_ascii=False))
    sys.exit(changing.EXIT[verdict.decision])
