"""`probe-match db`: list, show, remove and check what is in the reference database."""

import json
from collections.abc import Sequence
from typing import Any

import click

from ._options import db_option

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


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
    from probe_match.fingerprinting.database import open_db

    with open_db(db, read_only=True) as references:
        headers = references.headers()
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
    from probe_match.fingerprinting.database import open_db
    from probe_match.fingerprinting.schema import header

    with open_db(db, read_only=True) as references:
        reference = references.get(name)
    shown = header(reference) | {
        "note": reference.about.note,
        "target": reference.answers.target,
        "generator": reference.suite.generator,
        "classes": list(reference.suite.classes),
        "answered": int(reference.answers.answered.sum()),
        "sent": reference.answers.sent,
    }
    if as_json:
        click.echo(json.dumps(shown, indent=1))
        return
    told = shown | {"input": _input(shown["input"]), "classes": ", ".join(shown["classes"])}
    for key, value in told.items():
        if value not in (None, ""):
            click.echo(f"{key + ':':<11}{printable(value)}")


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
    from probe_match.fingerprinting.database import open_db

    with open_db(db) as references:
        references.remove(name)
    click.echo(f"removed {printable(name)} from {references.name}")


@db.command("verify")
@db_option
@click.pass_context
def verify_references(ctx: click.Context, db: str) -> None:
    """
    Check every row against the digest it was stored with. Exit code 2 if any is damaged.

    \b
    Example:
      probe-match db verify
    """
    from probe_match.fingerprinting.database import open_db

    with open_db(db, read_only=True) as references:
        problems = references.verify()
        count = len(references.names()) if not problems else 0
    for problem in problems:
        click.echo(printable(problem))
    if problems:
        ctx.exit(2)
    click.echo(f"all well: {count} reference{'s' * (count != 1)} in {references.name}")


TITLES = ("name", "role", "license", "parent", "input", "suite", "probes", "peers", "shadows", "date", "digest")


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, aligned on the left."""
    lines = [titles, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]

    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def printable(value: object) -> str:
    """Text from outside without what could move a terminal's cursor, colour it or hide other text."""
    return "".join(c if c.isprintable() else " " for c in str(value))


def _line(header: dict[str, Any]) -> list[str]:
    told = header | {
        "input": _input(header["input"]),
        "suite": _short(header["suite"]),
        "digest": _short(header["digest"]),
    }

    return [printable("-" if told[title] is None else told[title]) for title in TITLES]


def _input(spec: dict[str, Any]) -> str:
    return " ".join([spec["kind"], "x".join(map(str, spec["shape"])), spec.get("output", "")]).strip()


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:8]
