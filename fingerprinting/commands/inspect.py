"""`probe-match inspect`: what a target speaks, takes and shows."""

import sys

import click

from ._options import target_options


@click.command()
@click.argument("target")
@click.option("--client", "name", metavar="NAME", help="The protocol, where the server does not say it: mlflow, v1, …")
@click.option("--shape", metavar="N[,N…]", help="Shape of one input, where the server does not say it: 64, or 3,32,32.")
@target_options
@click.option("--json", "json_file", is_flag=False, flag_value="-", metavar="[FILE]", help="Write the result as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No text; the exit code tells.")
def inspect(
    target: str,
    name: str | None,
    shape: str | None,
    allow_pickle: bool,
    timeout: float,
    json_file: str | None,
    quiet: bool,
) -> None:
    """
    Say what TARGET speaks, which inputs it takes, how many at once, and how much its answers show.

    A bare URL is asked what it speaks by a few requests that only read; --client NAME goes before that, as NAME:URL
    does. At most three probes are sent. Exit code 0: it answers; 3: it does not, a person must look; 2: error.

    \b
    Examples:
      probe-match inspect http://host:8080
      probe-match inspect http://host:5000 --client mlflow --shape 64
      probe-match inspect rest:litserve@http://host:8000/predict --json
    """
    import json

    from probe_match.fingerprinting import inspecting, report

    from . import _session

    sizes = _sizes(shape)
    _session.require_writable(json_file)
    where = f"{name}:{target}" if name else target
    with _session.any_target(where, allow_pickle=allow_pickle, timeout=timeout) as client:
        found = inspecting.inspect(client, client.target.partition(":")[0], shape=sizes)
    if not quiet and json_file != "-":
        click.echo("\n".join(report.printable(line) for line in inspecting.to_lines(found)))
    if json_file is not None:
        _session.write_text(json_file, json.dumps(inspecting.to_json(found), indent=1, ensure_ascii=False))
    sys.exit(3 if found.refusal else 0)


def _sizes(shape: str | None) -> tuple[int, ...] | None:
    if shape is None:
        return None
    try:
        sizes = tuple(int(size) for size in shape.replace("x", ",").split(",") if size.strip())
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise click.UsageError(f"expected --shape 64 or --shape 3,32,32, got '{shape[:40]}'")
    return sizes
