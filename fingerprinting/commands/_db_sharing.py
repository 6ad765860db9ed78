"""The part of `probe-match db` for more than one pair of hands: packs, the log of changes, quarantine, recovery."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._options import Command, db_option, default_db
from ._printing import printable

if TYPE_CHECKING:
    from probe_match.fingerprinting.database import ReferenceDB
    from probe_match.fingerprinting.unpacking import Pack

SIGNING_KEY = "PROBE_MATCH_SIGNING_KEY"
PACK = ".pmpack"


def default_trusted() -> str:
    """The user's own list of keys, beside the user's own database."""
    return str(Path(default_db()).with_name("trusted-keys"))


def trust_options(command: Command) -> Command:
    """`--trusted FILE` and `--unsigned`: which packs are believed."""
    trusted = click.option(
        "--trusted",
        default=default_trusted,
        show_default="~/.local/share/probe-match/trusted-keys",
        metavar="FILE",
        help="Keys whose packs are taken: 64 hex digits and a name a line.",
    )
    unsigned = click.option("--unsigned", is_flag=True, help="Take a pack that no trusted key signed.")

    return trusted(unsigned(command))


@click.command("export")
@click.argument("file")
@click.argument("names", nargs=-1)
@click.option("--sign", is_flag=True, help=f"Sign with the Ed25519 key in {SIGNING_KEY}: a PEM, or the path of one.")
@db_option
def export_references(file: str, names: tuple[str, ...], sign: bool, db: str) -> None:
    """
    Write references, all or the named ones, to a pack that others can import.

    \b
    Examples:
      probe-match db export ours.pmpack
      probe-match db export two.pmpack resnet18 resnet34 --sign
    """
    from probe_match.fingerprinting import packs
    from probe_match.fingerprinting.database import open_db

    if not file.endswith(PACK):
        raise click.UsageError(f"expected a file name that ends in {PACK}, got '{file}'")
    key = _signing_key() if sign else None
    with open_db(db, read_only=True) as references:
        manifest = packs.write(references, Path(file), names, key)
    click.echo(f"wrote {len(manifest['references'])} references to {file}; {_licenses(manifest['licenses'])}")


@click.command("diff")
@click.argument("file")
@db_option
def diff_references(file: str, db: str) -> None:
    """
    Say how a pack and the database differ. Exit code 1 if they do.

    \b
    Example:
      probe-match db diff theirs.pmpack
    """
    from probe_match.fingerprinting import unpacking
    from probe_match.fingerprinting.database import open_db

    with unpacking.opened(Path(file)) as pack, open_db(db, read_only=True) as references:
        found = pack.compare(references)
        click.echo(_described(pack))
    for sign, names in (("+", found.added), ("~", found.changed), ("-", found.missing)):
        for name in names:
            click.echo(f"{sign} {printable(name)}")
    click.echo(
        f"{len(found.added)} only in the pack, {len(found.changed)} differ, {len(found.missing)} only in the database, "
        f"{len(found.same)} alike"
    )
    if found.added or found.changed or found.missing:
        click.get_current_context().exit(1)


def import_pack(file: str, trusted: str, unsigned: bool, conflict: str, db: str) -> None:
    """Add the references of a pack."""
    from probe_match.fingerprinting import unpacking
    from probe_match.fingerprinting.database import open_db
    from probe_match.fingerprinting.errors import BadData

    with unpacking.opened(Path(file)) as pack:
        click.echo(_described(pack))
        if not unsigned:
            keys = {}
            if pack.signed_by is not None:
                from probe_match.fingerprinting import signing

                if not Path(trusted).exists():
                    raise BadData(
                        f"{file} is signed, and there is no file of trusted keys at {trusted}; pass --trusted"
                    )
                keys = signing.trusted_keys(Path(trusted))
            pack.require_signature(keys)
        with open_db(db, create=True) as references:
            added = unpacking.add(references, pack, conflict)  # type: ignore[arg-type]  # one of the choices
            make_ready(references)
            click.echo(f"added {len(added)} of {len(pack.references)} references to {references.name}")


def make_ready(references: "ReferenceDB") -> None:
    """Work out what is kept beside a large database, at the end of an import rather than at the first match."""
    from probe_match.fingerprinting import prepared
    from probe_match.fingerprinting.chat import asking

    prepared.make_ready(references)
    asking.make_ready(references)


@click.command("log")
@click.option("--last", "newest", type=click.IntRange(1), default=20, show_default=True, help="So many entries.")
@db_option
def show_log(newest: int, db: str) -> None:
    """
    Show who changed what, newest last, and the head: noted down, it lets db verify --head see a cut or an old copy.

    \b
    Examples:
      probe-match db log
      probe-match db log --last 5
    """
    from probe_match.fingerprinting import changes, schema
    from probe_match.fingerprinting.database import open_db

    with open_db(db, read_only=True) as references, references.store.transaction() as connection:
        found = list(changes.entries(connection, newest))[::-1] if references.store.has(schema.changes) else []
    for change in found:
        click.echo(printable(f"{change.seq}  {change.at}  {change.who}  {change.action} {change.place} {change.key}"))
    click.echo(f"head: {found[-1].chain}" if found else "no changes")


@click.command("quarantine")
@click.argument("names", nargs=-1)
@click.option("--because", default="set apart by a person", metavar="TEXT", help="The reason, for those named.")
@click.option("--list", "only_list", is_flag=True, help="Show which are in quarantine, and change nothing.")
@db_option
def quarantine_references(names: tuple[str, ...], because: str, only_list: bool, db: str) -> None:
    """
    Set apart references that no verdict shall name: those named, or else all hubs, copies and mute ones.

    A hub is named for strangers. A copy gives the answers of a reference that was there before it and is not declared
    its --parent; beside each other, neither would stand out. A mute one answered nothing, or one and the same to all.

    \b
    Examples:
      probe-match db quarantine
      probe-match db quarantine resnet18 --because "trained on our test data"
      probe-match db quarantine --list
    """
    from probe_match.fingerprinting import quarantine
    from probe_match.fingerprinting.database import open_db

    with open_db(db, read_only=only_list) as references:
        if not only_list:
            told = dict.fromkeys(names, because) or {one.name: str(one) for one in quarantine.suspicious(references)}
            for name, why in told.items():
                quarantine.set_apart(references, name, why)
        found = references.quarantined()
    for name, why in found.items():
        click.echo(printable(f"{name}: {why}"))
    click.echo(f"{len(found)} in quarantine")


@click.command("release")
@click.argument("name")
@db_option
def release_reference(name: str, db: str) -> None:
    """
    Let verdicts name a reference again.

    \b
    Example:
      probe-match db release resnet18
    """
    from probe_match.fingerprinting import quarantine
    from probe_match.fingerprinting.database import open_db

    with open_db(db) as references:
        quarantine.set_apart(references, name, None)
    click.echo(f"released {printable(name)}")


@click.command("grant")
@click.argument("user")
@click.argument("role", type=click.Choice(["reader", "contributor", "curator"]))
@db_option
def grant_role(user: str, role: str, db: str) -> None:
    """
    Give a user of a PostgreSQL server a role: reader (asks), contributor (adds too), curator (removes too).

    \b
    Example:
      probe-match db grant ada contributor --db postgresql+psycopg://owner@host/references
    """
    from probe_match.fingerprinting import roles
    from probe_match.fingerprinting.database import open_db

    with open_db(db) as references:
        roles.grant(references.store, user, role)  # type: ignore[arg-type]  # one of the choices
    click.echo(f"{printable(user)} is a {role} of {references.name}")


def recover_into(db: str, target: str) -> None:
    """Save what is sound of a database into a new file, and say what was lost."""
    from probe_match.fingerprinting.database import open_db
    from probe_match.fingerprinting.recovering import recover

    with open_db(db, read_only=True) as references:
        found = recover(references, Path(target))
    for line in found.lost:
        click.echo(f"lost: {printable(line)}")
    click.echo(f"recovered {len(found.references)} references, and {found.kept} entries of the log, into {target}")


def _described(pack: "Pack") -> str:
    signed = f"signed by {pack.signed_by}" if pack.signed_by else "not signed"
    return f"{printable(pack.path)}: {len(pack.references)} references, {signed}; {_licenses(pack.licenses)}"


def _licenses(found: dict[str, int]) -> str:
    return "licences: " + (", ".join(f"{printable(name)} ({number})" for name, number in found.items()) or "none")


def _signing_key() -> bytes:
    from probe_match.fingerprinting import storage
    from probe_match.fingerprinting.errors import UsageError

    given = os.environ.get(SIGNING_KEY, "")
    if not given:
        raise UsageError(
            f"expected a key to sign with in {SIGNING_KEY}, got none; make one: openssl genpkey -algorithm ed25519"
        )
    return given.encode() if given.startswith("-----BEGIN") else storage.read_file(Path(given), "signing key")


COMMANDS = (
    export_references, diff_references, show_log, quarantine_references, release_reference, grant_role,
)  # fmt: skip
