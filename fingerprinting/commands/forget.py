"""`probe-match forget`: erase what endpoints answered."""

from pathlib import Path

import click


@click.command()
@click.argument("path", metavar="FILE")
@click.option("--target", metavar="TARGET", help="Of a history of watches: forget this target.")
@click.option("--older-than", type=click.FloatRange(0), metavar="DAYS", help="Only ledgers without a newer entry.")
@click.option("--why", default="on request", show_default=True, metavar="TEXT", help="Written down instead.")
@click.option("--dry-run", is_flag=True, help="Say what would be erased, and erase nothing.")
def forget(path: str, target: str | None, older_than: float | None, why: str, dry_run: bool) -> None:
    """
    Erase recorded answers from FILE: a ledger, a folder of ledgers, or a history of watches.

    A ledger keeps what was asked, when and at what cost, and word of what was erased, so that it can still be checked.
    Erased answers are gone for good; nothing can be decided from such a ledger again.

    \b
    Examples:
      probe-match forget suspect.ledger --why "request of 2026-11-25"
      probe-match forget answers --older-than 90
      probe-match forget watches.db --target openai:https://host/v1#model
    """
    from probe_match.fingerprinting.compliance import forgetting
    from probe_match.fingerprinting.report import printable

    place = Path(path)
    ledgers = forgetting.ledgers_at(place)
    if target is not None and not ledgers:
        if not dry_run:
            forgetting.forget_watch(place, target)
        click.echo(f"{'would forget' if dry_run else 'forgot'} the watch of {printable(target)} in {path}")
        return
    if not ledgers:
        raise click.UsageError(f"expected a ledger, a folder of ledgers, or a history with --target, got {path}")
    for ledger in ledgers:
        days = forgetting.age(ledger)
        if (older_than is not None and days < older_than) or forgetting.erased(ledger):
            continue
        if dry_run:
            click.echo(f"would forget {ledger}: last entry {days:.0f} days ago")
        else:
            click.echo(f"forgot {forgetting.forget_ledger(ledger, why)} answers in {ledger}")
