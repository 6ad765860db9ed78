"""`probe-match db import` and `pull`: references from packs and from published answers of language models."""

import click

from . import _db_sharing as sharing
from ._options import db_option
from ._printing import printable


@click.command("import")
@click.argument("file")
@click.option("--prompts", metavar="FILE", help="The questions and settings, where they are not beside or in FILE.")
@click.option("--license", metavar="SPDX", default="", help="Licence, where the file does not say.")
@click.option("--replace", is_flag=True, help="Forget references of the same names.")
@click.option("--keep", is_flag=True, help="Of a pack: leave references of the same names as they are.")
@sharing.trust_options
@db_option
def import_references(
    file: str,
    prompts: str | None,
    license: str,  # noqa: A002
    replace: bool,
    keep: bool,
    trusted: str,
    unsigned: bool,
    db: str,
) -> None:
    """
    Add the references of a pack, or published answers of language models: counts, distributions or one line an answer.

    \b
    Examples:
      probe-match db import theirs.pmpack --trusted keys.txt
      probe-match db import single-token-2026.counts.json.gz --prompts single-token-2026.prompts.json
    """
    if file.endswith(sharing.PACK):
        sharing.import_pack(file, trusted, unsigned, "replace" if replace else "keep" if keep else "refuse", db)
        return
    _import(file, prompts, license, replace, db)


@click.command("pull")
@click.argument("name", type=click.Choice(["single-token-2026"]))
@click.option("--prompts", metavar="FILE", help="The questions and settings, instead of those of the record.")
@click.option("--site", default="https://zenodo.org", show_default=True, help="Where the record is.")
@click.option("--to", "folder", metavar="FOLDER", help="Where to keep the files.  [default: beside the database]")
@click.option("--replace", is_flag=True, help="Forget references of the same names.")
@db_option
def pull_references(name: str, prompts: str | None, site: str, folder: str | None, replace: bool, db: str) -> None:
    """
    Fetch published references from their source, check them, and add them. Shows the licence first.

    \b
    Example:
      probe-match db pull single-token-2026
    """
    import importlib
    from pathlib import Path

    from probe_match.fingerprinting.chat import importing

    zenodo = importlib.import_module("probe_match.clients._zenodo")
    place = Path(folder) if folder else Path(db.removeprefix("sqlite:///")).expanduser().parent / name
    paths: list[Path] = []
    licenses = []
    for record in importing.RECORDS[name]:
        found = zenodo.describe(record, site=site)
        size = sum(file.size for file in found.files)
        click.echo(f"{printable(found.title)}: {printable(found.license)}, doi:{printable(found.doi)}, {size} bytes")
        licenses.append(found.license)
        paths += [zenodo.fetch(file, place / record) for file in found.files]
    counts = importing.choose(paths)
    asked = prompts or importing.prompts_among(paths)
    _import(str(counts), None if asked is None else str(asked), importing.SPDX.get(licenses[0], ""), replace, db)


def _import(file: str, prompts: str | None, license: str, replace: bool, db: str) -> None:  # noqa: A002
    from pathlib import Path

    from probe_match.fingerprinting.chat import importing, shelf
    from probe_match.fingerprinting.compliance import licences
    from probe_match.fingerprinting.database import open_db

    license = licences.normal(license) if license else ""  # noqa: A001
    found = importing.read_references(Path(file), Path(prompts) if prompts else None, license=license)
    with open_db(db, create=True) as references:
        shelf.add(references, found, replace=replace)
        sharing.make_ready(references)
    answers = sum(sum(some.values()) for one in found for some in one.counts.values())
    about = found[0].about
    click.echo(
        f"added {len(found)} language models with {answers} answers to {len(found[0].bank.questions)} questions; "
        f"licence {printable(about.license or 'not stated')}; source: {printable(about.source or 'not stated')}"
    )


COMMANDS = (import_references, pull_references)
