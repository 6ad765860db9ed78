"""`probe-match suite`: build, list and show probe suites."""

import json
from pathlib import Path
from typing import Any

import click

from ._options import db_option, regression_option, target_options


@click.group()
def suite() -> None:
    """
    Build, list and show probe suites.

    \b
    Examples:
      probe-match suite list
      probe-match suite build midpoints --source mine.onnx --pool pool.npz -o midpoints.npz
      probe-match suite show midpoints.npz
    """


@suite.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def list_generators(as_json: bool) -> None:
    """
    List the probe generators, what they work on and what they need.

    \b
    Examples:
      probe-match suite list
      probe-match suite list --json
    """
    from probe_match.fingerprinting import registry
    from probe_match.fingerprinting.errors import MissingPackage

    rows: list[dict[str, Any]] = []
    for name in registry.available("probes"):
        try:
            module = registry.load("probes", name)
        except MissingPackage as error:
            rows.append({"name": name, "inputs": [], "needs": None, "about": str(error)})
            continue
        about = " ".join((module.__doc__ or "").strip().split("\n\n")[0].split())
        rows.append({"name": name, "inputs": list(module.KINDS), "needs": module.NEEDS, "about": about})
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo(f"{row['name']:<14} {', '.join(row['inputs']):<22} needs {row['needs'] or '?':<9} {row['about']}")


@suite.command("build")
@click.argument("generator")
@click.option("--source", required=True, metavar="TARGET", help="Model whose behaviour the probes explore.")
@click.option("--pool", required=True, metavar="FILE", help="Inputs to start from: .npz (x, y), .csv or .jsonl.")
@click.option("--label", metavar="COLUMN", help="Label column of a .csv pool.")
@click.option("--text", metavar="COLUMN", help="Text column of a pool of texts.")
@click.option("--drop-duplicates", is_flag=True, help="Remove repeated pool rows instead of refusing them.")
@regression_option
@click.option(
    "--peer", "peers", multiple=True, metavar="TARGET", help="Honest model, for generators that compare; repeat."
)
@click.option(
    "-n", "--probes", default=100, show_default=True, type=click.IntRange(1, 100_000), help="Probes to build."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Same seed, same suite.")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the suite (.npz).")
@target_options
def build(
    generator: str,
    source: str,
    pool: str,
    label: str | None,
    text: str | None,
    drop_duplicates: bool,
    regression: bool,
    peers: tuple[str, ...],
    probes: int,
    seed: int,
    output: str,
    allow_pickle: bool,
    timeout: float,
) -> None:
    """
    Build a suite with one generator; `suite list` shows them.

    \b
    Examples:
      probe-match suite build misclassified --source mine.onnx --pool pool.npz -n 50 -o errors.npz
      probe-match suite build boundary --source mine.pt2 --pool pool.npz -o boundary.npz
      probe-match suite build rare --source mine.onnx --peer other.onnx --pool pool.npz -o rare.npz
    """
    from contextlib import ExitStack

    from probe_match.fingerprinting import collect, registry, storage
    from probe_match.fingerprinting.errors import UsageError
    from probe_match.fingerprinting.pools import load_pool

    from . import _session

    _session.require_writable(output)
    module = registry.load("probes", generator)
    loaded = load_pool(Path(pool), label=label, text=text, drop_duplicates=drop_duplicates, regression=regression)
    if loaded.spec.kind not in module.KINDS:
        raise UsageError(f"{generator} works on {', '.join(module.KINDS)} inputs, the pool's are {loaded.spec.kind}")
    with ExitStack() as stack:
        opened = [
            stack.enter_context(_session.target(where, allow_pickle=allow_pickle, timeout=timeout))
            for where in (source, *peers)
        ]
        for client in opened:
            collect.require_fit(client, loaded.spec)
        more = {"peers": opened[1:]} if peers else {}
        made = module.generate(opened[0], loaded, n=probes, seed=seed, **more)
    storage.write_file(Path(output), storage.to_bytes(made))
    click.echo(f"{len(made)} probes in {output}, suite {made.digest}")


@suite.command("show")
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def show(file: str, as_json: bool) -> None:
    """
    Show what a suite file holds.

    \b
    Examples:
      probe-match suite show midpoints.npz
      probe-match suite show midpoints.npz --json
    """
    from probe_match.fingerprinting import report

    from . import _session

    loaded = _session.read_suite(file)
    facts: dict[str, Any] = {
        "name": loaded.name,
        "generator": loaded.generator,
        "params": dict(loaded.params),
        "seed": loaded.seed,
        "probes": len(loaded),
        "input": {"kind": loaded.spec.kind, "shape": list(loaded.spec.shape)},
        "output": loaded.spec.output,
        "classes": list(loaded.classes),
        "digest": loaded.digest,
    }
    if as_json:
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    for key, value in facts.items():
        click.echo(f"{key:<10} {report.printable(value if isinstance(value, str) else json.dumps(value))}")


@suite.command("export")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the suite (.npz).")
@click.option("--shape", metavar="N[,N…]", help="Shape of the input, where the database holds several.")
@db_option
def export(output: str, shape: str | None, db: str) -> None:
    """
    Write the public suite of a database to a file, to publish beside fingerprints made on it.

    \b
    Examples:
      probe-match suite export -o public.npz
      probe-match suite export -o public.npz --db team.db --shape 3,32,32
    """
    from probe_match.fingerprinting import storage

    from . import _identity, _session

    _session.require_writable(output)
    try:
        wanted = None if shape is None else tuple(int(size) for size in shape.split(","))
    except ValueError:
        raise click.UsageError(f"expected a shape such as 64 or 3,32,32, got '{shape}'") from None
    made = _identity.suite(None, db, wanted)
    storage.write_file(Path(output), storage.to_bytes(made))
    click.echo(f"{len(made)} probes in {output}, suite {made.digest}")


@suite.command("adopt")
@click.argument("file")
@click.option("--replace", is_flag=True, help="Drop the public suite that the database has for this input.")
@db_option
def adopt(file: str, replace: bool, db: str) -> None:
    """
    Make a published suite the public one of its input, so that your references are comparable with its publisher's.

    Models that are enrolled from then on are asked it. The database is made where there is none.

    \b
    Examples:
      probe-match suite adopt public.npz
      probe-match suite adopt public.npz --replace --db team.db
    """
    from probe_match.fingerprinting import adopting
    from probe_match.fingerprinting.database import open_db

    from . import _session

    loaded = _session.read_suite(file)
    with open_db(db, create=True) as references:
        new = adopting.adopt(references, loaded, replace=replace)
        told = "models enrolled from now on are asked it" if new else "it was the public suite already"
        click.echo(f"{len(loaded)} probes, suite {loaded.digest}, in {references.name}: {told}")


@suite.command("lint")
@click.argument("file")
@click.pass_context
def lint(ctx: click.Context, file: str) -> None:
    """
    Look for personal data in a suite of texts, before it goes to other people's servers. Exit code 3 if any is found.

    \b
    Example:
      probe-match suite lint spliced.npz
    """
    from probe_match.fingerprinting.compliance import personal

    from . import _session

    loaded = _session.read_suite(file)
    if not isinstance(loaded.inputs, tuple):
        click.echo(f"{file} holds {loaded.spec.kind} inputs, no texts; nothing was looked at")
        return
    found = list(personal.find(loaded.inputs))
    for one in found:
        click.echo(f"probe {one.number}: what looks like a {one.kind}, {one.shown}")
    click.echo(f"{len(loaded)} texts, {len(found)} places with what looks like personal data")
    ctx.exit(3 if found else 0)
