"""`probe-match demo`: the main job on shipped data."""

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from probe_match.fingerprinting.demo import Endpoint


@click.command()
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Draws everything: data, models, order."
)
@click.option(
    "--json", "json_file", is_flag=False, flag_value="-", metavar="[FILE]", help="Write the verdicts as JSON."
)
@click.option("--html", "html_file", metavar="FILE", help="Write a report page with plots.")
@click.option("--jobs", default=2, show_default=True, type=int, help="Processes for training.")
@click.option("-q", "--quiet", is_flag=True, help="No text and no progress.")
def demo(seed: int, json_file: str | None, html_file: str | None, jobs: int, quiet: bool) -> None:
    """
    See the main job in under a minute: a stolen digit classifier is put behind a real HTTP server, and found.

    No network beyond this machine, no key. Five honest models stand behind the same server. Exit code 0 if the thief
    is found and nobody else is accused, else 1.

    \b
    Examples:
      probe-match demo
      probe-match demo --seed 7 --html report.html --json verdicts.json
    """
    import sys

    from probe_match.fingerprinting import demo as story
    from probe_match.fingerprinting import registry, report
    from probe_match.fingerprinting.exploring import PEERS, SHADOWS

    from . import _session

    _session.require_writable(json_file, html_file)
    with (
        _session.progress("training peers and shadows", quiet=quiet, total=PEERS + SHADOWS) as training,
        _session.progress("asking endpoints", quiet=quiet) as asking,
    ):
        _, endpoints = story.run(
            seed=seed,
            wrap=registry.load("clients", "sklearn").wrap,
            connect=registry.load("clients", "oip").connect,
            generators=_session.generators("tabular"),
            jobs=jobs,
            training=training,
            asking=asking,
        )
    found = all((e.verdict.decision == "match") == (e.role == "thief") for e in endpoints)
    if not quiet and json_file != "-":
        click.echo(_table(endpoints))
    if json_file is not None:
        data = {
            "schema": "probe-match/demo/1",
            "seed": seed,
            "endpoints": [{"name": e.name, "role": e.role, "verdict": report.to_json(e.verdict)} for e in endpoints],
        }
        _session.write_text(json_file, json.dumps(data, indent=1, ensure_ascii=False))
    if html_file is not None:
        page = report.to_html(
            [(e.name, e.verdict) for e in endpoints], title="Six endpoints, one of them stolen", intro=story.INTRO
        )
        _session.write_text(html_file, page)
        if not quiet and json_file != "-":
            click.echo(f"\nReport with plots: {html_file}")
    sys.exit(0 if found else 1)


def _table(endpoints: "list[Endpoint]") -> str:
    import textwrap

    from probe_match.fingerprinting import report

    lines = [f"{'endpoint':<10}{'verdict':<19}{'p-value':>8}{'questions':>11}   in truth, which no step was told"]
    for e in endpoints:
        word, p = report.WORDS[e.verdict.decision], e.verdict.matches[0].p_value
        lines.append(f"{e.name:<10}{word:<19}{p:>8.2g}{e.verdict.sent:>11}   {e.role}: {e.story}")
        lines += textwrap.wrap(e.verdict.why, 100, initial_indent=" " * 10, subsequent_indent=" " * 10)
    return "\n".join(lines)
