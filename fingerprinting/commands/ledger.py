"""`probe-match ledger`: what a ledger holds, and what nobody knows the end of."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click


@click.command("ledger")
@click.argument("path", metavar="FILE")
@click.option("--json", "json_file", metavar="FILE", is_flag=False, flag_value="-", help="Write JSON, to - by default.")
def ledger(path: str, json_file: str | None) -> None:
    """
    Say what FILE holds: whom it is about, what was answered and spent, and every query in doubt with its cost.

    In doubt is what was sent and never wholly answered: it may have been paid. `--in-doubt resend` of the command that
    asks sends it again. Exit code 3 where anything is in doubt.

    \b
    Examples:
      probe-match ledger suspect.ledger
      probe-match ledger suspect.ledger --json doubts.json
    """
    from probe_match.fingerprinting import doubts, ledger_states
    from probe_match.fingerprinting.ledger import read_ledger
    from probe_match.fingerprinting.report import printable

    with read_ledger(Path(path)) as opened:
        memory = ledger_states.remember(opened)
        found = doubts.doubts(opened, memory)
        target, entries = str(opened.about.get("target", "")), opened.head().seq
    if json_file is not None:
        _write(json_file, target, entries, memory, found)
    else:
        spent = _cost(memory.spent)
        click.echo(
            f"{printable(target)}: {ledger_states.in_words(memory)}; {spent} at most; {entries} entries, unbroken"
        )
        for doubt in found:
            together = "" if doubt.among == 1 else f" together with {doubt.among - 1} more"
            click.echo(
                f"in doubt  {_time(doubt.at)}  entry {doubt.entry}  {doubt.key[:16]}…  at most {_cost(doubt.cost)}"
                f"{together}: {printable(doubt.why)}"
            )
    click.get_current_context().exit(3 if found else 0)


def _write(file: str, target: str, entries: int, memory: Any, found: list[Any]) -> None:
    import json

    from . import _session

    told = {
        "schema": "probe-match/ledger-state/1", "target": target, "entries": entries,
        "answered": memory.count("answered"), "failed": memory.count("failed"), "spent": memory.spent._asdict(),
        "in_doubt": [
            {"entry": d.entry, "at": _time(d.at), "key": d.key, "nth": d.nth, "cost": d.cost._asdict(),
             "sent_together": d.among, "why": d.why}
            for d in found
        ],
    }  # fmt: skip
    _session.write_text(file, json.dumps(told, indent=1, ensure_ascii=False))


def _cost(cost: Any) -> str:
    parts = [f"{cost.queries} quer{'y' if cost.queries == 1 else 'ies'}"]
    parts += [f"{cost.tokens} tokens"] if cost.tokens else []
    parts += [f"${cost.dollars:.4f}"] if cost.dollars else []

    return ", ".join(parts)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="seconds")
