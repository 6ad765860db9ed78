"""`probe-match verify`: is a language model served unchanged."""

from typing import Any

import click

from ._chat import chat_options
from ._options import Wishes, audit_options, db_option, network_options, output_options


@click.command()
@click.argument("target")
@click.option("--claim", metavar="NAME", help="Reference that the target is said to be.")
@click.option("--keys", metavar="FILE", help="Your planted pairs instead: JSON lines of key and response, kept secret.")
@db_option
@click.option("--budget", type=click.IntRange(1), help="Questions to the target.  [default: 160]")
@click.option("--alpha", default=0.01, show_default=True, type=float, help="Accepted rate of false accusations.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Order of the questions.")
@click.option("--timeout", default=60.0, show_default=True, type=click.FloatRange(0.1), help="Seconds for one request.")
@chat_options
@audit_options
@network_options
@output_options
def verify(
    target: str,
    claim: str | None,
    keys: str | None,
    db: str,
    budget: int | None,
    alpha: float,
    seed: int,
    timeout: float,
    dry_run: bool,
    price: Any,
    concurrency: int | None,
    save: str | None,
    wishes: Wishes,
    json_file: str | None,
    html_file: str | None,
    quiet: bool,
) -> None:
    """
    Say whether TARGET, a language model, still answers exactly as the reference NAME did when it was enrolled.

    It is asked the same questions with the same settings. With --keys it is asked your secret questions, and its hits
    are weighed against chance. Exit code 0: as claimed; 1: modified, or another model; 3: a
    person must look; 2: error.

    \b
    Examples:
      probe-match verify openai:https://host/v1#model --claim model-2026
      probe-match verify openai:https://host/v1#model --claim model-2026 --dry-run --price 0.15/0.60
      probe-match verify openai:https://host/v1#model --keys keys.jsonl
    """
    from probe_match.fingerprinting import confirming, registry
    from probe_match.fingerprinting.chat import asking
    from probe_match.fingerprinting.chat.keys import judge as judge_keys
    from probe_match.fingerprinting.chat.records import ChatClient
    from probe_match.fingerprinting.database import open_db

    from . import _chat, _session

    confirming.check_limits(None, alpha)
    _session.require_writable(json_file, html_file, save)
    if (claim is None) == (keys is None):
        raise click.UsageError("expected --claim NAME or --keys FILE, one of the two")
    if keys is not None:
        planned = asking.plan_keys(registry.load("probes", "chat-keys").generate, keys, budget=budget, seed=seed)
    else:
        with open_db(db, read_only=True) as references:
            planned = asking.plan_verification(references, str(claim), budget=budget, seed=seed)
    with _session.any_target(
        target, allow_pickle=False, timeout=timeout, concurrency=concurrency, wishes=Wishes() if dry_run else wishes,
        price=price, quiet=quiet,
    ) as client:  # fmt: skip
        if not isinstance(client, ChatClient):
            raise click.UsageError(f"{target} is no language model; expected one such as openai:https://host/v1#model")
        planned = _chat.priced(planned, client, price, dry_run=dry_run)
        if dry_run:
            click.echo(_chat.told_cost(planned))
            return
        transcript = _chat.ask(client, planned, quiet=quiet, save=save)
    if claim is None:
        verdict = judge_keys(planned.bank, transcript, alpha=alpha)
    else:
        verdict = asking.verify(transcript, planned, claim, alpha=alpha, seed=seed)
    title = "Does this model know your keys?" if claim is None else f"Is this still {claim}?"
    _chat.finish(verdict, json_file=json_file, html_file=html_file, quiet=quiet, title=title)
