"""`probe-match demo`: the main job on shipped data."""

import json

import click


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

    from . import _session

    with (
        _session.progress("training peers and shadows", quiet=quiet, total=story.PEERS + story.SHADOWS) as training,
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
        accused = [e for e in endpoints if e.verdict.decision == "match"]
        for e in accused:
            click.echo(f"\n{e.name}: {e.verdict.why}")
        truth = ", ".join(
            f"{e.name} is {'the thief' if e.role == 'thief' else 'honest'} ({e.story})" for e in endpoints
        )
        click.echo(f"\nThe truth, which no step above was told: {truth}.")
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


def _table(endpoints: list) -> str:  # type: ignore[type-arg]
    from probe_match.fingerprinting import report

    lines = [f"{'endpoint':<10} {'verdict':<18} {'p-value':>8} {'questions':>10}  why"]
    for e in endpoints:
        v = e.verdict
        lines.append(
            f"{e.name:<10} {report.WORDS[v.decision]:<18} {v.matches[0].p_value:>8.2g} {v.sent:>10}  {_short(v)}"
        )
    return "\n".join(lines)


def _short(verdict) -> str:  # type: ignore[no-untyped-def]
    best = verdict.matches[0]
    nearest = verdict.nearest_peer[1] if verdict.nearest_peer else 0.0
    return f"score {best.score:.1f}; the nearest of {verdict.cohort} honest models scores {nearest:.1f}"
