"""How commands print: JSON instead of text, columns, and words from outside."""

from collections.abc import Sequence

import click

from ._options import Option

json_option: Option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, aligned on the left."""
    lines = [titles, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]

    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def printable(value: object) -> str:
    """Text from outside without what could move a terminal's cursor, colour it or hide other text."""
    return "".join(c if c.isprintable() else " " for c in str(value))
