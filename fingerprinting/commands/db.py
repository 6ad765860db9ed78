"""`probe-match db`: list, show, remove and check what is in the reference database."""

import json
from typing import TYPE_CHECKING, Any

import click

from . import _db_published as published
from . import _db_sharing as sharing
from ._options import db_option
from ._printing import json_option, printable, table

if TYPE_CHECKING:
    from probe_match.fingerprinting.chat.records import ChatReference


@click.group()
def db() -> None:
    """
    List, show, remove and check references.

    \b
    Examples:
      probe-match db list
      probe-match db show resnet18
      probe-match db verify --db team.db
    """


@db.command("list")
@db_option
@json_option
def list_references(db: str, as_json: bool) -> None:
    """
    List all references, one line each.

    \b
    Examples:
      probe-match db list
      probe-match db list --json
    """
    from probe_match.fingerprinting.chat import shelf
    from probe_match.fingerprinting.database import open_db

    with open_db(db, read_only=True) as references:
        headers = sorted([*references.headers(), *shelf.headers(references)], key=lambda header: str(header["name"]))
    if as_json:
        click.echo(json.dumps(headers, indent=1))
    elif not headers:
        click.echo(f"no references in {references.name}; add one with: probe-match enroll TARGET --name NAME")
    else:
        click.echo(table(TITLES, [_line(header) for header in headers]))


@db.command("show")
@click.argument("name")
@db_option
@json_option
def show_reference(name: str, db: str, as_json: bool) -> None:
    """
    Show one reference: its origin, its input, its probes and who was asked them.

    \b
    Examples:
      probe-match db show resnet18
      probe-match db show resnet18 --json
    """
    from probe_match.fingerprinting.chat import shelf
    from probe_match.fingerprinting.database import open_db
    from probe_match.fingerprinting.schema import header

    from . import _identity

    with open_db(db, read_only=True) as references:
        if name in shelf.names(references):
            _show_chat(shelf.get(references, name), as_json)
            return
        reference = references.get(name)
        named = _identity.of_reference(references, reference)
    shown = header(reference) | {
        "note": reference.about.note,
        "target": reference.answers.target,
        "generator": reference.suite.generator,
        "classes": list(reference.suite.classes),
        "answered": int(reference.answers.answered.sum()),
        "sent": reference.answers.sent,
        "fingerprint": named,
    }
    if as_json:
        click.echo(json.dumps(shown, indent=1))
        return
    told = shown | {"input": _input(shown["input"]), "classes": ", ".join(shown["classes"])}
    for key, value in told.items():
        if value not in (None, ""):
            click.echo(f"{key + ':':<13}{printable(value)}")


@db.command("history")
@click.argument("name")
@db_option
@click.option(
    "--json", "json_file", is_flag=False, flag_value="-", metavar="[FILE]",
    help="Write the result as JSON, to a file or to standard output.",
)  # fmt: skip
@click.option("--html", "html_file", metavar="FILE", help="Write a page.")
def show_history(name: str, db: str, json_file: str | None, html_file: str | None) -> None:
    """
    Show the versions of one model over time: what changed from each to the next, and their fingerprint ids.

    Versions are what --parent connects with NAME, and what is named so but for a number or date. Nobody is asked.

    \b
    Example:
      probe-match db history churn-v3 --html churn.html --json churn.json
    """
    from probe_match.fingerprinting.database import open_db
    from probe_match.fingerprinting.lineage import history, history_report

    from . import _session

    _session.require_writable(json_file, html_file)
    with open_db(db, read_only=True) as references:
        found = history.read(references, name)
    if json_file != "-":
        click.echo(history_report.to_text(found))
    if json_file is not None:
        _session.write_text(json_file, json.dumps(history_report.to_json(found), indent=1, ensure_ascii=False))
    if html_file is not None:
        _session.write_text(html_file, history_report.to_html(found))


@db.command("remove")
@click.argument("name")
@db_option
def remove_reference(name: str, db: str) -> None:
    """
    Remove one reference, with everything that was stored for it.

    \b
    Example:
      probe-match db remove resnet18
    """
    from probe_match.fingerprinting.chat import shelf
    from probe_match.fingerprinting.database import open_db

    with open_db(db) as references:
        if name in shelf.names(references):
            shelf.remove(references, name)
        else:
            references.remove(name)
    click.echo(f"removed {printable(name)} from {references.name}")


@db.command("verify")
@click.option("--head", metavar="SHA256", help="Of the log, as db log showed it once: sees a cut or an old copy.")
@click.option("--recover", metavar="FILE", help="Save what is sound into a new file, up to the first broken entry.")
@db_option
@click.pass_context
def verify_references(ctx: click.Context, head: str | None, recover: str | None, db: str) -> None:
    """
    Check every row against its digest and against the log of changes. Exit code 2 if anything is wrong.

    \b
    Examples:
      probe-match db verify
      probe-match db verify --recover saved.db
    """
    from probe_match.fingerprinting.chat import shelf
    from probe_match.fingerprinting.database import open_db

    with open_db(db, read_only=True) as references:
        problems = references.verify(head)
        count = len(references.names()) + len(shelf.names(references)) if not problems else 0
    for problem in problems:
        click.echo(printable(problem))
    if recover is not None:
        sharing.recover_into(db, recover)
    if problems:
        ctx.exit(2)
    click.echo(f"all well: {count} reference{'s' * (count != 1)} in {references.name}")


TITLES = ("name", "role", "license", "parent", "input", "suite", "probes", "peers", "shadows", "date", "digest")


def _show_chat(reference: "ChatReference", as_json: bool) -> None:
    """A language model: where it comes from, and what it answered most to each question, with the share of that."""
    from probe_match.fingerprinting.chat import shelf

    shown = shelf.header(reference)
    likeliest = {cell: max(some.items(), key=lambda pair: pair[1]) for cell, some in reference.counts.items() if some}
    if as_json:
        counts = {cell: dict(some) for cell, some in reference.counts.items()}
        told = {"off_form": dict(reference.off_form)} if reference.reader else {}
        click.echo(json.dumps(shown | {"counts": counts} | told, indent=1, ensure_ascii=False))
        return
    for key, value in (shown | {"input": "chat"}).items():
        if value not in (None, ""):
            click.echo(f"{key + ':':<14}{printable(value)}")
    if reference.reader:
        click.echo(
            f"{'off form:':<14}{sum(reference.off_form.values())} answers, read by {printable(reference.reader)}"
        )
    for question in reference.bank.questions:
        if question.cell in likeliest:
            answer, times = likeliest[question.cell]
            share = times / sum(reference.counts[question.cell].values())
            click.echo(f"  {printable(question.text)[:60]:<60}  {printable(answer)[:24]} ({share:.0%})")


def _line(header: dict[str, Any]) -> list[str]:
    told = {"probes": header.get("asked"), "peers": None, "shadows": None, "suite": header.get("bank")} | header
    told |= {
        "input": _input(header["input"]),
        "suite": _short(str(told["suite"])),
        "digest": _short(header["digest"]),
    }

    return [printable("-" if told[title] is None else told[title]) for title in TITLES]


def _input(spec: dict[str, Any]) -> str:
    return " ".join([spec["kind"], "x".join(map(str, spec["shape"])), spec.get("output", "")]).strip()


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:8]


for _command in (*published.COMMANDS, *sharing.COMMANDS):
    db.add_command(_command)
