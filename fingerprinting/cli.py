"""
The command line: `probe-match TARGET` is `probe-match match TARGET`.

Commands are files in `commands/`, imported only when called, so that `--help` is fast. An error a user can mend is one
line on stderr and exit code 2; a bug keeps its traceback.
"""

import signal
import sys
from typing import Final

import click
from click_default_group import DefaultGroup

from .errors import ProbeMatchError

# Command, and what it does in one line; the module of the same name in `commands/` holds it.
COMMANDS: Final = {
    "demo": "See the main job in under a minute: a stolen model is served and found.",
    "match": "Say which known model stands behind a target.",
    "record": "Ask a target now, decide later with match --from.",
    "inspect": "Say what a target speaks, takes and shows, with three questions at most.",
    "verify": "Say whether a model is still exactly the one it is said to be.",
    "compare": "Compare two targets without a database.",
    "explain": "Say how a model decides: linear, nonlinear and pairwise contributions.",
    "fingerprint": "Print a short id of what a model does, for papers and model cards.",
    "lineage": "Draw the family tree of references and suspects.",
    "audit": "Say which endpoints serve models whose licences a policy forbids.",
    "enroll": "Add a known model to the reference database.",
    "suite": "Build, list and show probe suites.",
    "weights": "Digest, sign, verify and mark a model's weights.",
    "claim": "Prove that a model descends from yours: commit, run, reveal, verify.",
    "watch": "Say whether a language model is still what it was, look after look.",
    "serve": "Serve the web console and its REST API.",
    "bench": "Measure error rates on models whose descent is known.",
    "db": "List, show, remove and check references.",
    "ledger": "Say what a ledger holds, and list every query in doubt.",
    "forget": "Erase recorded answers from ledgers and histories, and leave word of it.",
}
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells say it


class Commands(DefaultGroup):  # type: ignore[misc]  # the package has no types
    """Loads a command when it is called; what is no command is a target to match."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of a first day's use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, else `match` with the name as its target."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            module = __import__(f"probe_match.fingerprinting.commands.{cmd_name}", fromlist=[cmd_name])
            self.add_command(getattr(module, cmd_name), cmd_name)
        elif cmd_name not in COMMANDS and "match" not in self.commands:
            self.get_command(ctx, "match")
        command: click.Command | None = super().get_command(ctx, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=Commands, default="match", default_if_no_args=False, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="probe-match", message="probe-match %(version)s")
def cli() -> None:
    """
    Say which known model stands behind an endpoint, from its answers alone.

    \b
    Examples:
      probe-match demo
      probe-match enroll onnx:mine.onnx --name mine --pool pool.npz
      probe-match https://host/v2/models/suspect
      probe-match compare a.onnx b.onnx --pool pool.npz

    A target is client:where (onnx:model.onnx, sklearn:model.skops, torch:model.pt2, function:package.module:name,
    replay:answers.jsonl, oip:http://host/v2/models/name, openai:https://host/v1#model, anthropic:model, ollama:model),
    a model file, or a URL.

    Exit codes: 0 match, 1 no match, 2 usage or tool error, 3 a person must look.
    """


class Interrupted(BaseException):
    """Ctrl-C. Not KeyboardInterrupt: scikit-learn's networks take that for "stop training early" and go on."""


def main() -> None:
    """Entry point of `probe-match`."""
    former = signal.signal(signal.SIGINT, _interrupt)
    try:
        code = cli.main(prog_name="probe-match", standalone_mode=False)
    except (click.Abort, Interrupted):
        former = signal.SIG_IGN  # what is left is tidying up
        _complain("interrupted; nothing half done was kept")
        code = INTERRUPTED
    except click.ClickException as error:
        hint = f"; see '{error.ctx.command_path} --help'" if isinstance(error, click.UsageError) and error.ctx else ""
        _complain(error.format_message().rstrip(".") + hint)
        code = 2
    except ProbeMatchError as error:
        _complain(str(error))
        code = 2
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has left; nothing to say and nobody to say it to
        code = 0
    finally:
        signal.signal(signal.SIGINT, former)
    sys.exit(code)


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted


def _complain(message: str) -> None:
    line = " ".join(message.split())
    click.echo(f"probe-match: {''.join(c if c.isprintable() else '?' for c in line)}", err=True)
