"""Options that several commands share."""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import click
from probe_match.fingerprinting import network

Command = TypeVar("Command", bound=Callable[..., Any])


class Option(Protocol):
    """Gives a command one more option."""

    def __call__(self, command: Command, /) -> Command:
        """The command with it."""


def with_options(command: Command, options: Sequence[Callable[[Any], Any]]) -> Command:
    """The command with all of these options, shown in their order."""
    for option in reversed(options):
        command = option(command)
    return command


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


def backend_option(what: str) -> Callable[[Command], Command]:
    """`--backend`: where the parallel work of the command is done. what: says the help, which."""

    def hold(context: click.Context, _: click.Parameter, value: str) -> None:
        if value != "processes":
            from probe_match.fingerprinting import backends

            context.with_resource(backends.using(value))

    return click.option(
        "--backend",
        default="processes",
        show_default=True,
        expose_value=False,
        callback=hold,
        metavar="WHERE",
        help=f"{what}: processes, dask://HOST:PORT or ray://HOST:PORT, a cluster of your own.",
    )


def network_options(command: Command) -> Command:
    """`--proxy` and `--allow-private`: how hosts are reached, for everything that the command opens."""

    def hold(context: click.Context, option: click.Parameter, value: Any) -> None:
        if value:
            context.with_resource(network.using(network.current()._replace(**{str(option.name): value})))

    options = [
        click.option(
            "--proxy", metavar="URL", expose_value=False, callback=hold, help="Ask through this proxy.  [default: none]"
        ),
        click.option(
            "--allow-private",
            is_flag=True,
            expose_value=False,
            callback=hold,
            help="Follow host names into private networks.",
        ),
    ]
    return with_options(command, options)


def target_options(command: Command) -> Command:
    """`--timeout`, `--allow-pickle` and the options of the network: how targets are opened."""
    command = network_options(command)
    command = click.option(
        "--timeout", default=30.0, show_default=True, type=click.FloatRange(0.1), help="Seconds for one request."
    )(command)
    return click.option(
        "--allow-pickle", is_flag=True, help="Load model files that can run code (.joblib, .pkl, .pt). Only your own."
    )(command)


def asking_options(command: Command) -> Command:
    """`--budget`, `--alpha`, `--access`, `--seed`, `--no-early-stop`: how a suspect is asked."""
    options = [
        click.option("--budget", type=int, help="Most questions to the target.  [default: 50]"),
        click.option(
            "--alpha", default=0.01, show_default=True, type=float, help="Accepted rate of false accusations."
        ),
        click.option(
            "--access",
            type=click.Choice(["label", "scores", "auto"]),
            default="auto",
            show_default=True,
            help="What of the answers to use.",
        ),
        click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Order of the questions."),
        click.option("--no-early-stop", is_flag=True, help="Ask the whole budget even when the answer is clear."),
    ]
    return with_options(command, options)


class Wishes(NamedTuple):
    """Within what a target is asked: as the user wrote it. concurrency, price: of `chat_options`."""

    ledger: str | None = None
    in_doubt: str = "hold"
    rate: str | None = None
    max_cost: tuple[str, ...] = ()
    max_seconds: float | None = None


def audit_options(command: Command) -> Command:
    """`--ledger`, `--in-doubt`, `--rate`, `--max-cost`, `--max-seconds`, passed on as `wishes: Wishes`."""
    options = [
        click.option(
            "--ledger", metavar="FILE", help="Write down every question and answer; a killed run goes on there."
        ),
        click.option(
            "--in-doubt",
            type=click.Choice(["hold", "resend"]),
            default="hold",
            show_default=True,
            help="Questions of a killed run that were sent and never answered: leave them, or pay again.",
        ),
        click.option("--rate", metavar="N/TIME", help="Most requests: 5/s, 100/min, 1/10s."),
        click.option(
            "--max-cost",
            multiple=True,
            metavar="KIND=N",
            help="Never passed: queries=N, tokens=N or dollars=X (with --price); repeat.",
        ),
        click.option("--max-seconds", type=click.FloatRange(0, min_open=True), help="Ask no longer than this."),
    ]

    @functools.wraps(command)
    def packed(*args: Any, **values: Any) -> Any:
        wishes = Wishes(**{name: values.pop(name) for name in Wishes._fields})
        return command(*args, wishes=wishes, **values)

    wrapped: Any = packed
    return with_options(wrapped, options)


def output_options(command: Command) -> Command:
    """`--json [FILE]`, `--html FILE`, `-q`: where the result goes."""
    options = [
        click.option(
            "--json",
            "json_file",
            is_flag=False,
            flag_value="-",
            metavar="[FILE]",
            help="Write the result as JSON, to a file or to standard output.",
        ),
        click.option("--html", "html_file", metavar="FILE", help="Write a report page."),
        click.option("-q", "--quiet", is_flag=True, help="No text and no progress; the exit code tells."),
    ]
    return with_options(command, options)


explain_option: Option = click.option(
    "--explain",
    type=click.IntRange(20),
    metavar="N",
    help="Ask up to N questions more: in how far do target and reference decide alike? The verdict stays as it is.",
)

regression_option: Option = click.option(
    "--regression", is_flag=True, help="The pool's y are measurements.  [default: if they are not whole numbers]"
)


def enrolment_options(command: Command) -> Command:
    """`--pool`, how to read it, `--log`, and how many models to train with `--jobs`."""
    options = [
        click.option(
            "--pool",
            metavar="FILE",
            help="Inputs with true labels, your training data among them: .npz (x, y), .csv, or .jsonl for texts.",
        ),
        click.option(
            "--label", metavar="COLUMN", help="Label column of a .csv pool.  [default: y, label, target or class]"
        ),
        click.option("--text", metavar="COLUMN", help="Text column of a pool of texts.  [default: text]"),
        click.option("--drop-duplicates", is_flag=True, help="Remove repeated pool rows instead of refusing them."),
        regression_option,
        click.option(
            "--log",
            metavar="FILE",
            help="Inputs your model was asked in service, unlabelled: .npz (x), .csv or .jsonl.",
        ),
        click.option(
            "--peers", type=int, help="Honest models to train for comparison.  [default: 260; 36 networks for images]"
        ),
        click.option("--shadows", type=int, help="Copies to make on purpose.  [default: 32; 12 networks for images]"),
        click.option(
            "--jobs", default=-1, show_default=True, type=int, help="Processes for training; -1 uses all processors."
        ),
    ]
    return with_options(command, options)
