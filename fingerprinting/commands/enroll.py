"""`probe-match enroll`: add a known model to the reference database."""

import contextlib
from datetime import date
from typing import Any

import click

from ._chat import chat_options
from ._options import Wishes, audit_options, backend_option, db_option, enrolment_options, target_options


@click.command()
@click.argument("target")
@click.option("--name", required=True, help="Name of the reference.")
@db_option
@enrolment_options
@click.option("--probes", default=64, show_default=True, type=click.IntRange(8, 4096), help="Probes to keep.")
@click.option("--suite", "suite_file", metavar="FILE", help="Choose the probes from this suite (see suite build).")
@click.option(
    "--peer",
    "at_hand",
    multiple=True,
    metavar="TARGET",
    help="Honest model at hand, to join the peers; repeat.",
)
@click.option("--no-train", is_flag=True, help="Train nothing; the database's references of this input are the cohort.")
@click.option(
    "--license",
    "license_",
    metavar="SPDX",
    help="Licence of the model: an SPDX expression, or a name such as llama-3.1.",
)
@click.option("--parent", metavar="NAME", help="Reference this model was made from.")
@click.option("--about", metavar="TEXT", help="Where the model comes from.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of everything drawn.")
@click.option("--replace", is_flag=True, help="Forget a reference of the same name.")
@click.option(
    "--family",
    "families",
    multiple=True,
    metavar="NAME",
    help="Of a language model: questions to ask, such as chat-words; repeat. recorded: the prompts of a replay: target."
    "  [default: those of the database]",
)
@click.option("--cells", type=click.IntRange(1, 500), help="Of a language model: questions per family.  [default: 16]")
@click.option(
    "--language", "languages", multiple=True, metavar="CODE", help="Of a language model: only these languages."
)
@click.option(
    "--repeats", type=click.IntRange(2, 1000), help="Of a language model: answers per question.  [default: 20]"
)
@chat_options
@audit_options
@target_options
@backend_option("Where training is done")
@click.option("-q", "--quiet", is_flag=True, help="No text and no progress.")
def enroll(
    target: str,
    name: str,
    db: str,
    pool: str | None,
    label: str | None,
    text: str | None,
    drop_duplicates: bool,
    regression: bool,
    log: str | None,
    peers: int | None,
    shadows: int | None,
    jobs: int,
    probes: int,
    suite_file: str | None,
    at_hand: tuple[str, ...],
    no_train: bool,
    license_: str | None,
    parent: str | None,
    about: str | None,
    seed: int,
    replace: bool,
    families: tuple[str, ...],
    cells: int | None,
    languages: tuple[str, ...],
    repeats: int | None,
    dry_run: bool,
    price: Any,
    concurrency: int | None,
    save: str | None,
    wishes: Wishes,
    allow_pickle: bool,
    timeout: float,
    quiet: bool,
) -> None:
    """
    Add the model behind TARGET to the reference database.

    Chooses probes on which copies of the model and honest models differ. For that it trains honest models (peers) on
    the pool's true labels and copies (shadows) on the target's answers; only their answers are kept.

    A language model needs no pool and trains nothing: it is asked questions, each many times.

    \b
    Examples:
      probe-match enroll mine.onnx --name mine --pool pool.npz
      probe-match enroll http://host:8080/v2/models/mine --name mine --pool pool.csv --label species
      probe-match enroll mine.skops --name mine --pool pool.npz --log served.npz --license Apache-2.0
      probe-match enroll openai:https://host/v1#model --name model-2026 --family chat-words --dry-run
    """
    from probe_match.fingerprinting import enrolment
    from probe_match.fingerprinting.compliance import licences
    from probe_match.fingerprinting.database import open_db
    from probe_match.fingerprinting.errors import DatabaseError
    from probe_match.fingerprinting.records import About

    from . import _chat, _identity, _session

    terms = None if license_ is None else licences.normal(license_)
    origin = About(license=terms, parent=parent, source=about, date=date.today().isoformat())
    if pool is None:
        _chat.enroll(
            target,
            db,
            name=name,
            about=origin,
            families=families,
            cells=cells,
            languages=languages,
            repeats=repeats,
            seed=seed,
            replace=replace,
            timeout=timeout,
            concurrency=concurrency,
            dry_run=dry_run,
            price=price,
            save=save,
            wishes=wishes,
            quiet=quiet,
        )
        return
    given = None if suite_file is None else _session.read_suite(suite_file)
    loaded, logged = _session.pool_and_log(pool, label, text, drop_duplicates, log, regression)
    models = sum(enrolment.panel_size(loaded.spec, peers, shadows))
    with (
        open_db(db, create=True) as references,
        _session.target(
            target, allow_pickle=allow_pickle, timeout=timeout, concurrency=concurrency, wishes=wishes, quiet=quiet
        ) as client,
        contextlib.ExitStack() as opened,
    ):
        cohort = [
            opened.enter_context(_session.target(peer, allow_pickle=allow_pickle, timeout=timeout)) for peer in at_hand
        ]
        if name in references.names() and not replace:
            raise DatabaseError(f"{references.name} already has a reference '{name}'; remove it or pass --replace")
        public = references.public_suite(loaded.spec)
        if no_train:
            enrolled = enrolment.enroll_answers(
                client, loaded, name=name, about=origin, public=public, probes=probes, seed=seed,
                sensitive=_session.sensitive(loaded.spec.kind),
            )  # fmt: skip
        else:
            with _session.progress("training", quiet=quiet, total=models) as count:
                enrolled = enrolment.enroll(
                    client,
                    loaded,
                    name=name,
                    about=origin,
                    generators=_session.generators(loaded.spec.kind),
                    log=logged,
                    given=given,
                    cohort=cohort,
                    public=public,
                    probes=probes,
                    peers=peers,
                    shadows=shadows,
                    seed=seed,
                    jobs=jobs,
                    sensitive=_session.sensitive(loaded.spec.kind),
                    progress=count,
                )
        _warn_of_personal_data([enrolled.public.inputs, enrolled.reference.suite.inputs], quiet=quiet)
        if public is None:
            references.set_public_suite(enrolled.public)
        references.add(enrolled.reference, replace=replace)
    if not quiet:
        named = _identity.of_answers(enrolled.reference, enrolled.public)
        suite, panel = enrolled.reference.suite, enrolled.reference.panel
        trained = (
            "no peers" if panel is None else f"{len(panel.rows('peer'))} peers, {len(panel.rows('shadow'))} shadows"
        )
        click.echo(
            f"enrolled '{name}' in {references.name}: {len(suite)} probes, {trained}, suite {suite.digest[:19]}…"
        )
        if named is not None:
            click.echo(f"fingerprint {named}")


def _warn_of_personal_data(inputs: list[Any], *, quiet: bool) -> None:
    """Say it where probes, which will go to other people's servers, seem to hold any."""
    from probe_match.fingerprinting.compliance import personal

    found = [one for some in inputs if isinstance(some, tuple) for one in personal.find(some)]
    if found and not quiet:
        kinds = ", ".join(sorted({one.kind for one in found}))
        click.echo(f"note: {len(found)} probes seem to hold personal data ({kinds}); see suite lint", err=True)
