"""Options that several commands share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def default_db() -> str:
    """The user's own database: references.db in probe-match's folder under the data folder of the desktop standard."""
    # An unset variable stays as it is written, and a relative path is to be ignored, says the standard.
    data = Path(os.path.expandvars("$XDG_DATA_HOME"))
    home = data if data.is_absolute() else Path.home() / ".local" / "share"

    return str(home / "probe-match" / "references.db")


def db_option(command: Command) -> Command:
    """`--db FILE`, passed on as `db: str`."""
    return click.option(
        "--db",
        default=default_db,
        show_default="~/.local/share/probe-match/references.db",
        metavar="FILE",
        help="Reference database: a file, or the URL of a server (postgresql+psycopg://…).",
    )(command)
