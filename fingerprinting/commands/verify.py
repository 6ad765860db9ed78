"""`probe-match verify`: is a model served unchanged."""

import sys
from typing import TYPE_CHECKING, Any

import click

from ._chat import chat_options
from ._options import Wishes, audit_options, db_option, output_options, target_options

if TYPE_CHECKING:
    from probe_match.fingerprinting.collect import Client
    from probe_match.fingerprinting.records import Fragile


@click.command()
@click.argument("target")
@click.option("--claim", metavar="NAME", help="Reference that the target is said to be, or a fingerprint id pm1:….")
@click.option("--keys", metavar="FILE", help="Your planted pairs instead: JSON lines of key and response, kept secret.")
@click.option(
    "--suite", "suite_file", metavar="FILE", help="Ask these fragile probes (suite build sensitive) instead of its own."
)
@db_option
@click.option(
    "--budget", type=click.IntRange(1), help="Questions to the target.  [default: 60; 160 to a language model]"
)
@click.option("--alpha", default=0.01, show_default=True, type=float, help="Accepted rate of false accusations.")
@click.option(
    "--access",
    type=click.Choice(["label", "scores", "auto"]),
    default="auto",
    show_default=True,
    help="What of the answers to use.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Order of the questions.")
@click.option("--no-early-stop", is_flag=True, help="Ask all fragile probes even when a change is sure.")
@chat_options
@audit_options
@target_options
@output_options
def verify(
    target: str,
    claim: str | None,
    keys: str | None,
    suite_file: str | None,
    db: str,
    budget: int | None,
    alpha: float,
    access: str,
    seed: int,
    no_early_stop: bool,
    dry_run: bool,
    price: Any,
    concurrency: int | None,
    save: str | None,
    wishes: Wishes,
    allow_pickle: bool,
    timeout: float,
    json_file: str | None,
    html_file: str | None,
    quiet: bool,
) -> None:
    """
    Say whether TARGET still answers exactly as the reference NAME did when it was enrolled, and how it was changed.

    A classifier or regressor is asked at most ten fragile probes, which any change of weights or thresholds moves and
    another runtime does not, and more only where something changed, to tell the kind of change. A language model is
    asked the same questions with the same settings; with --keys your secret questions, and its hits are weighed
    against chance. Exit code 0: as claimed; 1: modified, or another model; 3: a person must look; 2: error.

    \b
    Examples:
      probe-match verify http://host:8080/v2/models/mine --claim mine
      probe-match verify served.onnx --claim mine --access label --json verdict.json --html verdict.html
      probe-match verify served.onnx --claim mine --suite fragile.npz
      probe-match verify served.onnx --claim pm1:… --suite public.npz
      probe-match verify openai:https://host/v1#model --claim model-2026
      probe-match verify openai:https://host/v1#model --claim model-2026 --dry-run --price 0.15/0.60
      probe-match verify openai:https://host/v1#model --keys keys.jsonl
    """
    from probe_match.fingerprinting import confirming, identity, registry, report
    from probe_match.fingerprinting.chat import asking
    from probe_match.fingerprinting.chat.keys import judge as judge_keys
    from probe_match.fingerprinting.chat.records import ChatClient
    from probe_match.fingerprinting.database import open_db

    from . import _chat, _identity, _session

    confirming.check_limits(None, alpha)
    _session.require_writable(json_file, html_file, save)
    if (claim is None) == (keys is None):
        raise click.UsageError("expected --claim NAME or --keys FILE, one of the two")
    if claim is not None and identity.is_identity(claim):
        with _session.target(
            target, allow_pickle=allow_pickle, timeout=timeout, concurrency=concurrency, wishes=wishes, quiet=quiet
        ) as model:
            sys.exit(_identity.verify(model, claim, suite_file, db, json_file, quiet))
    fragile = None if claim is None else _session.fragile_of(db, claim, suite_file)
    if fragile is not None:
        if dry_run or save:
            raise click.UsageError("--dry-run and --save are for language models")
        with _session.target(
            target, allow_pickle=allow_pickle, timeout=timeout, concurrency=concurrency, wishes=wishes, quiet=quiet
        ) as model:
            found = _ask(
                model, fragile, str(claim), budget=budget, alpha=alpha, access=access, seed=seed,
                stop_early=not no_early_stop, quiet=quiet,
            )  # fmt: skip
        _session.show(
            [(found.target, found)], json_file=json_file, html_file=html_file, quiet=quiet,
            title=f"Is this still {claim}?", data=report.to_json(found),
            intro="The target was asked probes on which any change of the model shows and another runtime does not.",
        )  # fmt: skip
        sys.exit(report.EXIT[found.decision])
    if keys is not None:
        planned = asking.plan_keys(registry.load("probes", "chat-keys").generate, keys, budget=budget, seed=seed)
    else:
        with open_db(db, read_only=True) as references:
            planned = asking.plan_verification(references, str(claim), budget=budget, seed=seed)
    with _session.any_target(
        target, allow_pickle=allow_pickle, timeout=timeout, concurrency=concurrency,
        wishes=Wishes() if dry_run else wishes, price=price, quiet=quiet,
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


def _ask(
    client: "Client",
    fragile: "Fragile",
    claim: str,
    *,
    budget: int | None,
    alpha: float,
    access: str,
    seed: int,
    stop_early: bool,
    quiet: bool,
) -> Any:
    """The verdict on a model that takes inputs."""
    from probe_match.fingerprinting import verifying

    from . import _session

    with _session.progress("asking", quiet=quiet, total=budget or verifying.BUDGET) as count:
        return verifying.verify(
            client,
            fragile,
            claim,
            budget=budget,
            alpha=alpha,
            access="label" if access == "label" else None,
            seed=seed,
            stop_early=stop_early,
            progress=count,
        )
