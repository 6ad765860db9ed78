"""`probe-match serve`: the web console and its REST API."""

import os
from pathlib import Path

import click

from ._options import db_option, network_options
from .watch import default_history


def default_folder() -> str:
    """`console` beside the user's own reference database."""
    from ._options import default_db

    return str(Path(default_db()).with_name("console"))


@click.command()
@db_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; any but this machine's own needs a token.",
)
@click.option(
    "--port",
    default=8321,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A name that the console is reached by, besides its address; repeat.",
)
@click.option(
    "--certificate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="For HTTPS: certificate chain, PEM.",
)
@click.option(
    "--key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="For HTTPS: private key, PEM."
)
@click.option(
    "--folder", default=default_folder, show_default="~/.local/share/probe-match/console", metavar="FOLDER",
    help="Where jobs, results and answers are kept.",
)  # fmt: skip
@click.option(
    "--history", default=default_history, show_default="~/.local/share/probe-match/watch.db", metavar="FILE",
    help="Watches to show.",
)  # fmt: skip
@click.option(
    "--authorization", default="authorization.toml", show_default=True, metavar="FILE", help="Leave to ask other hosts."
)
@click.option(
    "--jobs", default=2, show_default=True, type=click.IntRange(1, 16), help="Matches and audits run at once."
)
@click.option(
    "--days",
    default=90,
    show_default=True,
    type=click.IntRange(1, 36_500),
    help="Answers of endpoints are forgotten after so many.",
)
@network_options
def serve(
    db: str,
    host: str,
    port: int,
    names: tuple[str, ...],
    certificate: Path | None,
    key: Path | None,
    folder: str,
    history: str,
    authorization: str,
    jobs: int,
    days: int,
) -> None:
    """
    Serve the web console and its REST API: references, matches, audits, watches.

    Listens to this machine alone unless told otherwise. PROBE_MATCH_CONSOLE_TOKEN, a long random text, is then asked of
    whoever enters; any other --host needs it. Hosts other than this machine are asked only with an authorization.toml,
    as by audit. Keys come from the environment of this command and are never shown.

    \b
    Examples:
      probe-match serve
      probe-match serve --db known.db --port 9000
      probe-match serve --host 0.0.0.0 --name audits.example.org
    """
    from probe_match.fingerprinting.errors import MissingPackage

    try:
        from probe_match.fingerprinting.console import serving
        from probe_match.fingerprinting.console.config import TOKEN, Config
    except ModuleNotFoundError as error:
        raise MissingPackage(f"serve needs {error.name}: pip install 'probe-match[console]'") from error
    if (certificate is None) != (key is None):
        raise click.UsageError("expected both --certificate and --key, or neither")
    config = Config(
        db, Path(folder), Path(history), Path(authorization), host, port, os.environ.get(TOKEN, ""), names, jobs, days,
        secure=certificate is not None,
    )  # fmt: skip
    serving.run(config, certificate=certificate, key=key, listening=_say)


def _say(url: str) -> None:
    click.echo(f"probe-match console at {url}, until Ctrl-C", err=True)
