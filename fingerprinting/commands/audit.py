"""`probe-match audit`: licence compliance of many endpoints."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ._options import backend_option, db_option, network_options, output_options

if TYPE_CHECKING:
    from probe_match.fingerprinting.compliance.records import Judged, Report
    from probe_match.fingerprinting.compliance.settings import Settings


@click.command()
@click.argument("file", metavar="AUDIT.toml")
@db_option
@click.option(
    "--authorization", metavar="FILE", help="Leave to ask other hosts.  [default: authorization.toml beside AUDIT.toml]"
)
@click.option("--jobs", default=4, show_default=True, type=click.IntRange(1, 64), help="Endpoints asked at once.")
@backend_option("Who asks the endpoints")
@click.option("--ledger", metavar="FOLDER", help="Write down every question and answer; a killed audit goes on there.")
@click.option("--baseline", metavar="FILE", help="JSON of an earlier audit: say what is new.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked, and ask nothing.")
@click.option("--sarif", metavar="FILE", help="Write SARIF 2.1.0.")
@click.option(
    "--sarif-profile", type=click.Choice(["full", "github"]), default="full", show_default=True,
    help="github: what its code scanning shows.",
)  # fmt: skip
@click.option("--cyclonedx", metavar="FILE", help="Write a CycloneDX bill of the models found.")
@click.option("--csv", "csv_file", metavar="FILE", help="Write the findings as CSV.")
@click.option("--junit", metavar="FILE", help="Write JUnit XML for a build server.")
@click.option("-v", "--verbose", is_flag=True, help="Show what decides nothing, too.")
@network_options
@output_options
def audit(
    file: str,
    db: str,
    authorization: str | None,
    jobs: int,
    ledger: str | None,
    baseline: str | None,
    dry_run: bool,
    sarif: str | None,
    sarif_profile: Literal["full", "github"],
    cyclonedx: str | None,
    csv_file: str | None,
    junit: str | None,
    verbose: bool,
    json_file: str | None,
    html_file: str | None,
    quiet: bool,
) -> None:
    """
    Say which endpoints serve models whose licences a policy forbids.

    AUDIT.toml holds a [policy] of SPDX identifiers and the endpoints. Each is asked as match asks. A host that is not
    this machine is asked only with an authorization.toml. Exit code 0: compliant; 1: violation; 3: a person must look;
    2: error.

    \b
    Examples:
      probe-match audit audit.toml
      probe-match audit audit.toml --ledger answers --html audit.html --sarif audit.sarif
      probe-match audit audit.toml --json audit.json --baseline last.json
      probe-match audit audit.toml --ledger answers --backend dask://127.0.0.1:8786
      probe-match audit audit.toml --dry-run
    """
    from probe_match.fingerprinting.database import open_db
    from probe_match.fingerprinting.errors import MissingPackage

    from . import _session

    try:
        from probe_match.fingerprinting.compliance import auditing, authority, forgetting, settings, told

        if cyclonedx:
            from probe_match.fingerprinting.compliance import bom  # noqa: F401 - before anything is asked
    except ModuleNotFoundError as error:
        raise MissingPackage(f"audit needs {error.name}: pip install 'probe-match[licence]'") from error
    _session.require_writable(json_file, html_file, sarif, cyclonedx, csv_file, junit)
    path = Path(file)
    plan = settings.read(path)
    leave_file = Path(authorization) if authorization else path.parent / authority.FILE
    leave = authority.read(leave_file) if authorization or leave_file.exists() else None
    old = None if baseline is None else _read_baseline(Path(baseline))
    with open_db(db, read_only=True) as references:
        if dry_run:
            for name, says in auditing.cost(plan, references):
                click.echo(f"{name}: {says}")
            return
        if ledger is not None:
            past = forgetting.sweep(Path(ledger), plan.retention)
            if past and not quiet:
                click.echo(f"forgot {len(past)} ledgers older than {plan.retention.days} days in {ledger}", err=True)
        with _session.progress("asking", quiet=quiet, total=len(plan.endpoints)) as count:
            report = auditing.audit(
                plan, references, authority=leave, authority_file=leave_file, jobs=jobs,
                ledgers=None if ledger is None else Path(ledger), database=db, done=_counting(count),
            )  # fmt: skip
    if old is not None:
        report = auditing.against(report, old)
    if not quiet and json_file != "-":
        click.echo(told.to_text(report, verbose=verbose))
    _write(report, plan, path, json_file, html_file, sarif, sarif_profile, cyclonedx, csv_file, junit)
    sys.exit(report.exit)


def _counting(count: Callable[[int], None]) -> "Callable[[Judged], None]":
    return lambda _: count(1)


def _write(
    report: "Report",
    plan: "Settings",
    path: Path,
    json_file: str | None,
    html_file: str | None,
    sarif_file: str | None,
    profile: Literal["full", "github"],
    cyclonedx: str | None,
    csv_file: str | None,
    junit: str | None,
) -> None:
    from probe_match.fingerprinting.compliance import page, sarif, tables, told

    from . import _session

    if json_file is not None:
        _session.write_text(json_file, json.dumps(told.to_json(report), indent=1, ensure_ascii=False))
    if html_file is not None:
        _session.write_text(html_file, page.to_html(report))
    if sarif_file is not None:
        lines = _lines(path, [endpoint.name for endpoint in plan.endpoints])
        log = sarif.to_sarif(report, file=path.name, lines=lines, profile=profile)
        _session.write_text(sarif_file, json.dumps(log, indent=1, ensure_ascii=False))
    if cyclonedx is not None:
        from probe_match.fingerprinting.compliance import bom

        _session.write_text(cyclonedx, bom.to_bom(report))
    if csv_file is not None:
        _session.write_text(csv_file, tables.to_csv(report))
    if junit is not None:
        _session.write_text(junit, tables.to_junit(report))


def _lines(path: Path, names: list[str]) -> dict[str, int]:
    """The line of the settings on which each endpoint is named, counted from 1."""
    written = path.read_text(encoding="utf-8").splitlines()
    return {
        name: number
        for name in names
        for number, line in enumerate(written, 1)
        if line.split("=")[0].strip() == "name" and line.partition("=")[2].strip()[1:-1] == name
    }


def _read_baseline(path: Path) -> dict[str, Any]:
    from probe_match.fingerprinting import formats, storage
    from probe_match.fingerprinting.compliance import told
    from probe_match.fingerprinting.errors import BadData

    try:
        old = json.loads(storage.read_file(path, "baseline"))
        prints = [one["fingerprint"] for endpoint in old["endpoints"] for one in endpoint["findings"] if one["kind"]]
        formats.require(old["schema"], told.SCHEMA, str(path))
        if not all(isinstance(one, str) for one in prints):
            raise ValueError("a fingerprint that is no text")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadData(f"expected the JSON of an earlier audit at {path}, got something else") from error
    return dict(old)
