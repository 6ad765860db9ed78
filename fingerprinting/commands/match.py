"""`probe-match match`: which known model stands behind a target."""

import sys
from typing import TYPE_CHECKING, Any

import click

from ._chat import chat_options
from ._options import (
    Wishes,
    asking_options,
    audit_options,
    db_option,
    explain_option,
    output_options,
    target_options,
)

if TYPE_CHECKING:
    from probe_match.fingerprinting.collect import Client
    from probe_match.fingerprinting.database import ReferenceDB


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
@click.option(
    "--from", "recording", metavar="FILE", help="Ask nothing: judge what record wrote, a --ledger or another recording."
)
@click.option(
    "--decoys",
    metavar="FILE",
    help="Put inputs of this pool (.npz, .csv, .jsonl) between the probes, one for each, from the same budget.",
)
@explain_option
@chat_options
@audit_options
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
    recording: str | None,
    decoys: str | None,
    explain: int | None,
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
    Say which known model stands behind TARGET, or that none of them does.

    Every comparable reference in the database is considered. A language model is asked the questions that most of the
    references were asked, for about 100 tokens of output; --dry-run says what that costs. Exit code 0: match; 1: no
    match; 3: inconclusive or evasion suspected, a person must look; 2: error.

    \b
    Examples:
      probe-match match http://host:8080/v2/models/suspect
      probe-match suspect.onnx --budget 30 --alpha 0.001
      probe-match suspect.onnx --json verdict.json --html verdict.html
      probe-match http://host:8080/v2/models/suspect --ledger audit.ledger --rate 5/s --max-cost queries=40
      probe-match http://host:8080/v2/models/suspect --budget 100 --decoys pool.npz
      probe-match suspect.onnx --explain 64 --html verdict.html
      probe-match match --from audit.ledger
      probe-match openai:https://host/v1#model --dry-run --price 0.15/0.60
      probe-match match --transcripts answers.jsonl
    """
    from probe_match.fingerprinting import confirming, report
    from probe_match.fingerprinting.chat.records import ChatClient
    from probe_match.fingerprinting.database import open_db

    from . import _chat, _likeness, _session

    title = "Which known model is this?"
    confirming.check_limits(budget, alpha)
    _session.require_writable(json_file, html_file, save)
    if sum(given is not None for given in (target, transcripts, recording)) != 1:
        raise click.UsageError("expected a TARGET, --from FILE or --transcripts FILE, one of the three")
    explanation = None
    if target is None:
        if explain:
            raise click.UsageError("nothing is asked with --from and --transcripts; leave out --explain")
        if wishes != Wishes():
            raise click.UsageError("nothing is asked with --from and --transcripts; leave out --ledger and limits")
        transcripts = transcripts or _session.transcripts_in(str(recording))
        target = f"replay:{recording}"
    with open_db(db, read_only=True) as references:
        if transcripts is not None:
            found = _chat.judge_recording(transcripts, references, only=only, budget=budget, alpha=alpha, seed=seed)
            _chat.finish(found, json_file=json_file, html_file=html_file, quiet=quiet, title=title)
        with _session.any_target(
            target, allow_pickle=allow_pickle, timeout=timeout, concurrency=concurrency,
            wishes=Wishes() if dry_run else wishes, price=price, quiet=quiet,
        ) as client:  # fmt: skip
            if isinstance(client, ChatClient):
                if decoys is not None or explain is not None:
                    raise click.UsageError(
                        "--decoys and --explain are for models that take inputs, not for language models"
                    )
                asked = _chat.identify(
                    client, references, only=only, budget=budget, tokens=tokens, alpha=alpha, seed=seed,
                    stop_early=not (no_early_stop or recording), dry_run=dry_run, price=price, save=save, quiet=quiet,
                )  # fmt: skip
            elif dry_run or save or tokens:
                raise click.UsageError("--dry-run, --save and --tokens are for language models")
            else:
                asked = _ask(
                    client, references, only=only, budget=budget, alpha=alpha, access=access, seed=seed,
                    stop_early=not (no_early_stop or recording), decoys=decoys, quiet=quiet,
                )  # fmt: skip
                if explain is not None:
                    explanation = _likeness.of_match(
                        client, references, asked, budget=explain, access=access, seed=seed, quiet=quiet
                    )
    if asked is None:
        return
    if isinstance(client, ChatClient):
        _chat.finish(asked, json_file=json_file, html_file=html_file, quiet=quiet, title=title)
    _session.show(
        [(asked.target, asked)],
        json_file=json_file,
        html_file=html_file,
        quiet=quiet,
        title=title,
        intro="Each target was asked probes on which copies and honest models differ, and compared with both.",
        data=report.to_json(asked),
        explanation=explanation,
    )
    sys.exit(report.EXIT[asked.decision])


def _ask(
    client: "Client",
    references: "ReferenceDB",
    *,
    only: tuple[str, ...],
    budget: int | None,
    alpha: float,
    access: str,
    seed: int,
    stop_early: bool,
    decoys: str | None,
    quiet: bool,
) -> Any:
    """The verdict on a model that takes inputs."""
    from pathlib import Path

    import numpy as np
    from probe_match.fingerprinting import confirming, matching
    from probe_match.fingerprinting.decoys import Decoys, using
    from probe_match.fingerprinting.pools import load_pool

    from . import _session

    pool = None if decoys is None else load_pool(Path(decoys), drop_duplicates=True)
    between = None if pool is None else Decoys(pool, np.random.default_rng(seed))
    total = budget or confirming.BUDGET
    with using(between), _session.progress("asking", quiet=quiet, total=total) as count:
        return matching.match(
            client,
            references,
            only=only,
            budget=budget,
            alpha=alpha,
            access="label" if access == "label" else None,
            seed=seed,
            stop_early=stop_early,
            progress=count,
        )
