"""`claim stamp` and `claim report`: trusted time for a case book, and a case in plain words."""

import functools
import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._printing import json_option

if TYPE_CHECKING:
    from probe_match.fingerprinting.evidence.timestamps import Authority

seal_option = click.option(
    "--seal", envvar="PROBE_MATCH_SIGNING_KEY", show_envvar=True, required=True, metavar="FILE",
    help="Private Ed25519 key in PEM that sealed the case book.",
)  # fmt: skip
roots_option = click.option(
    "--tsa-root", "roots", multiple=True, metavar="FILE",
    help="Root certificate in PEM of a timestamp authority that you trust; repeat, two are needed.",
)  # fmt: skip


def trusted(roots: tuple[str, ...]) -> list["Authority"]:
    """The authorities whose roots were given."""
    if not roots:
        return []  # without any nothing needs the package
    from probe_match.fingerprinting.evidence import timestamps

    found = [timestamps.authority(Path(root)) for root in roots]
    names = [one.name for one in found]
    return [
        one if names.count(one.name) == 1 else one._replace(name=root) for one, root in zip(found, roots, strict=True)
    ]


@click.command()
@click.argument("book")
@click.option(
    "--tsa", "urls", multiple=True, required=True, metavar="URL", help="A timestamp authority (RFC 3161); repeat, two."
)
@roots_option
@click.option("--case", metavar="FILE", help="A case of the book that the tokens go into, which is sealed anew.")
@click.option(
    "--seal", envvar="PROBE_MATCH_SIGNING_KEY", show_envvar=True, metavar="FILE",
    help="For --case: private Ed25519 key in PEM that sealed the case book.",
)  # fmt: skip
@click.option("--timeout", default=30.0, show_default=True, type=click.FloatRange(0, min_open=True), help="Seconds.")
def stamp(
    book: str, urls: tuple[str, ...], roots: tuple[str, ...], case: str | None, seal: str | None, timeout: float
) -> None:
    """
    Have two authorities say when the links of your case BOOK were there: after commit, and again after run.

    Only digests leave this machine. Tokens are checked against the roots, in the order of the authorities, and kept in
    BOOK.timestamps.

    \b
    Example:
      probe-match claim stamp cases.jsonl --tsa http://a.org --tsa-root a.pem --tsa http://b.org --tsa-root b.pem
    """
    from probe_match.fingerprinting.evidence import archive, bundle, checking, stamping
    from probe_match.fingerprinting.storage import read_file

    if len(roots) != len(urls):
        raise click.UsageError(f"expected a --tsa-root for each --tsa, got {len(roots)} for {len(urls)}")
    if case is not None and seal is None:
        raise click.UsageError("--case seals the case anew and needs --seal, the key that sealed the case book")
    tsa = importlib.import_module("probe_match.clients._tsa")
    authorities = trusted(roots)

    def ask(data: bytes, place: int) -> bytes:
        token, _ = tsa.stamp(urls[place], data, [authorities[place]], timeout=timeout)
        return bytes(token)

    made = stamping.stamp(Path(book), [functools.partial(ask, place=place) for place in range(len(urls))])
    click.echo(f"{len(made)} new timestamps are in {stamping.folder_of(Path(book))}")
    if case is not None and seal is not None:
        given = archive.read(Path(case))
        held = checking.check(given, case).bundle
        tokens = bundle.read_tokens(given) | stamping.tokens(Path(book), len(held.lines))
        pem = read_file(Path(seal), "sealing key")
        closed = bundle.close(_of_case(given), pem, did="stamp", log=given[bundle.CUSTODY], tokens=tokens)
        checking.check(closed, case, authorities)
        archive.write(Path(case), closed)
        click.echo(f"{case} holds {len(tokens)} timestamps")


def _of_case(given: dict[str, bytes]) -> dict[str, bytes]:
    from probe_match.fingerprinting.evidence import bundle, checking

    return {name: data for name, data in given.items() if name in checking.KNOWN or name == bundle.EXCHANGES}


@click.command()
@click.argument("case")
@click.option("--html", metavar="FILE", help="The report as a page: one file, no script; it prints.")
@click.option("--owner", metavar="HEX", help="Public key that must have sealed it.")
@roots_option
@json_option
@click.pass_context
def report(
    ctx: click.Context, case: str, html: str | None, owner: str | None, roots: tuple[str, ...], as_json: bool
) -> None:
    """
    Tell in plain words what CASE claims, when it was sealed, by which rule, how often such a rule errs, and what else
    could explain the answers. Checked first; exit codes as of claim verify. No conclusion of law.

    \b
    Example:
      probe-match claim report opened.mfpb --tsa-root north.pem --tsa-root south.pem --html report.html
    """
    from probe_match.fingerprinting.evidence import archive, checking, telling
    from probe_match.fingerprinting.evidence import report as pages

    from . import _session

    _session.require_writable(html)
    checked = checking.check(archive.read(Path(case)), case, trusted(roots), owner)
    told: dict[str, Any] = telling.tell(checked)
    if html is not None:
        _session.write_text(html, pages.to_html(told))
    click.echo(json.dumps(told, indent=1, ensure_ascii=False) if as_json else pages.to_text(told))
    ctx.exit(0 if checked.complete else 3)
