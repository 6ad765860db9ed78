"""`probe-match lineage`: the family tree of references and suspects."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._chat import cost_options
from ._options import default_db, output_options, regression_option, target_options

if TYPE_CHECKING:
    from probe_match.fingerprinting.chat.records import ChatClient, Price
    from probe_match.fingerprinting.database import ReferenceDB
    from probe_match.fingerprinting.lineage.growing import Lineage
    from probe_match.fingerprinting.lineage.members import Family

FORMATS = ("text", "newick", "graphml")


@click.command()
@click.argument("targets", nargs=-1)
@click.option(
    "--db",
    metavar="FILE",
    help="References to draw.  [default: without --pool ~/.local/share/probe-match/references.db]",
)
@click.option("--reference", "only", multiple=True, metavar="NAME", help="Draw only these references; repeat.")
@click.option("--pool", metavar="FILE", help="Labelled inputs: draws the targets alone, against models trained on it.")
@click.option("--label", metavar="COLUMN", help="Label column of a .csv pool.  [default: y, label, target or class]")
@click.option("--text", metavar="COLUMN", help="Text column of a pool of texts.  [default: text]")
@regression_option
@click.option("--suite", "suite_file", metavar="FILE", help="With --pool: ask these probes (see suite build).")
@click.option("--peers", type=click.IntRange(8), help="With --pool: honest models to train.  [default: 120]")
@click.option("--jobs", default=-1, show_default=True, type=int, help="Processes for training; -1: all processors.")
@click.option("--budget", default=50, show_default=True, type=click.IntRange(10), help="Most questions to each target.")
@click.option(
    "--alpha", default=0.05, show_default=True, type=click.FloatRange(1e-6, 0.5),
    help="Accepted chance that a model related to none is hung into a tree, and share of such links where many are.",
)  # fmt: skip
@click.option(
    "--access", type=click.Choice(["label", "scores", "auto"]), default="auto", show_default=True,
    help="What of the answers to use.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Order of questions, resamples.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="What to print.")
@click.option("--plot", metavar="FILE", help="Draw the trees: .svg, .png or .pdf (needs matplotlib).")
@cost_options
@target_options
@output_options
def lineage(
    targets: tuple[str, ...],
    db: str | None,
    only: tuple[str, ...],
    pool: str | None,
    label: str | None,
    text: str | None,
    regression: bool,
    suite_file: str | None,
    peers: int | None,
    jobs: int,
    budget: int,
    alpha: float,
    access: str,
    seed: int,
    form: str,
    plot: str | None,
    dry_run: bool,
    price: "Price | None",
    allow_pickle: bool,
    timeout: float,
    json_file: str | None,
    html_file: str | None,
    quiet: bool,
) -> None:
    """
    Draw the family tree of the references of one input and of TARGETs: who descends from whom.

    References answer from the database, each target is asked at most the budget. Language models are drawn by their
    one-word answers, those of a database among themselves or with endpoints; --dry-run says what asking those costs.
    With --pool there need be no database: targets may be model files, addresses, folders of models, or a zoo.

    \b
    Examples:
      probe-match lineage
      probe-match lineage http://host:8080/v2/models/suspect --json tree.json --html tree.html
      probe-match lineage openai:https://host/v1#model --dry-run --price 0.15/0.60
      probe-match lineage models/ --pool pool.npz --plot tree.svg
      probe-match lineage a.onnx b.onnx c.skops --pool pool.csv --label species --format newick
    """
    from probe_match.fingerprinting.lineage import drawing, report

    from . import _session

    _session.require_writable(json_file, html_file, plot)
    if (dry_run or price) and (pool is not None or not targets):
        raise click.UsageError(
            "--dry-run and --price are for targets that are language models, compared with those of a database"
        )
    if pool is None and (suite_file or peers):
        raise click.UsageError(
            "--suite and --peers go with --pool; the database has probes and honest models of its own"
        )
    with contextlib.ExitStack() as stack:
        options: dict[str, Any] = {"allow_pickle": allow_pickle, "timeout": timeout}
        wanted: Any = "label" if access == "label" else None
        if pool is None:
            found = _from_database(
                stack, targets, db or default_db(), only, budget, alpha, access, seed, options, quiet, dry_run, price
            )
            if found is None:
                return
            tree = found
        else:
            if db is not None or only:
                raise click.UsageError("expected --db, or --pool to draw the targets without a database, not both")
            loaded, _ = _session.pool_and_log(pool, label, text, True, None, regression)
            family = _from_pool(stack, targets, loaded, suite_file, peers, jobs, budget, wanted, seed, options, quiet)
            tree = _grown(family, access, alpha, seed)
    _show(tree, form, quiet or json_file == "-")
    if json_file is not None:
        _session.write_text(json_file, json.dumps(report.to_json(tree), indent=1, ensure_ascii=False))
    if html_file is not None:
        _session.write_text(html_file, report.to_html(tree))
    if plot is not None:
        drawing.plot(tree, Path(plot))


def _show(tree: "Lineage", form: str, quiet: bool) -> None:
    from probe_match.fingerprinting.lineage import report

    written = {"text": report.to_text, "newick": report.to_newick, "graphml": report.to_graphml}[form]
    if not quiet:
        click.echo(written(tree))


def _grown(family: "Family", access: str, alpha: float, seed: int) -> "Lineage":
    from probe_match.fingerprinting.lineage import growing

    if access == "scores" and family.models.scores is None:
        raise click.UsageError("not every model gives scores over the same classes; use --access label")
    return growing.grow(family, alpha=alpha, seed=seed)


def _from_database(
    stack: contextlib.ExitStack, targets: tuple[str, ...], db: str, only: tuple[str, ...], budget: int, alpha: float,
    access: str, seed: int, options: dict[str, Any], quiet: bool, dry_run: bool, price: "Price | None",
) -> "Lineage | None":  # fmt: skip
    """
    References from the database; targets asked its public suite, or the questions its language models were. None after
    a dry run.
    """
    from probe_match.fingerprinting.chat import shelf
    from probe_match.fingerprinting.chat.records import ChatClient as Speaking
    from probe_match.fingerprinting.database import open_db
    from probe_match.fingerprinting.errors import DatabaseError
    from probe_match.fingerprinting.lineage import gathering

    from . import _session

    clients = [stack.enter_context(_session.any_target(where, **options)) for where, _ in _spread_out(targets)]
    speak = [client for client in clients if isinstance(client, Speaking)]
    answer = [client for client in clients if not isinstance(client, Speaking)]
    if speak and answer:
        raise click.UsageError(
            f"{speak[0].target} is a language model, {answer[0].target} is none; draw them one by one"
        )
    references = stack.enter_context(open_db(db, read_only=True))
    if speak or (not answer and _all_speak(shelf.names(references), references.names(), only, db)):
        return _spoken(references, speak, only, budget, alpha, seed, quiet, dry_run, price)
    if dry_run or price:
        raise click.UsageError("--dry-run and --price are for language models")
    shapes = {client.shape for client in answer if client.shape is not None}
    if len(shapes) > 1:
        raise click.UsageError(f"expected targets of one input, got shapes {sorted(shapes)}; draw them one by one")
    known = gathering.stored(references, next(iter(shapes), None), only)
    if known.honest is None:
        raise DatabaseError(
            f"no reference of {references.name} was enrolled with peers, and nothing says how alike strangers are; "
            "enroll one without --no-train, or draw the models with --pool"
        )
    family = gathering.asked(
        references, known, known.honest, answer, budget=budget, alpha=alpha,
        access="label" if access == "label" else None, seed=seed,
    )  # fmt: skip

    return _grown(family, access, alpha, seed)


def _all_speak(language_models: list[str], others: list[str], only: tuple[str, ...], db: str) -> bool:
    """Whether the references to draw are language models, where no target says so."""
    if only:
        return set(only) <= set(language_models)
    if language_models and others:
        raise click.UsageError(
            f"{db} holds language models and models that take inputs; name those to draw with --reference, or a target"
        )
    return bool(language_models)


def _spoken(
    references: "ReferenceDB", clients: "list[ChatClient]", only: tuple[str, ...], budget: int, alpha: float, seed: int,
    quiet: bool, dry_run: bool, price: "Price | None",
) -> "Lineage | None":  # fmt: skip
    """Language models: references by what they answered, targets asked the same. None after a dry run."""
    from probe_match.fingerprinting.chat import asking
    from probe_match.fingerprinting.chat.reading import count
    from probe_match.fingerprinting.lineage import spoken

    from . import _chat

    planned = asking.plan_identification(references, only=only, budget=budget, seed=seed)
    plans = {client: _chat.priced(planned, client, price, dry_run=dry_run) for client in clients}
    if dry_run:
        for client, its in plans.items():
            click.echo(f"{client.target}: {_chat.told_cost(its)}")
        return None
    told = {client.target: _chat.ask(client, its, quiet=quiet, save=None) for client, its in plans.items()}
    suspects = {target: count(planned.bank, transcript, off_form=True) for target, transcript in told.items()}

    return spoken.grow(dict(planned.references), suspects, alpha=alpha, seed=seed)


def _from_pool(
    stack: contextlib.ExitStack, targets: tuple[str, ...], pool: Any, suite_file: str | None, peers: int | None,
    jobs: int, budget: int, access: Any, seed: int, options: dict[str, Any], quiet: bool,
) -> "Family":  # fmt: skip
    """The targets alone, with probes and honest models made from the pool."""
    import numpy as np
    from probe_match.fingerprinting import registry
    from probe_match.fingerprinting.collect import require_fit
    from probe_match.fingerprinting.lineage import asking, gathering
    from probe_match.fingerprinting.lineage.members import Family
    from probe_match.fingerprinting.records import About

    from . import _session

    clients = {}
    sources = set()
    for where, source in _spread_out(targets):
        client = stack.enter_context(_session.target(where, **options))
        require_fit(client, pool.spec)
        clients[client.target] = client
        if source:
            sources.add(client.target)
    if len(clients) < 2:
        raise click.UsageError(f"expected at least two different targets to draw, got {len(clients)}")
    given = None if suite_file is None else _session.read_suite(suite_file)
    with _session.progress("training", quiet=quiet) as count:
        prepared = asking.prepare(
            [clients[target] for target in sources or clients], pool, probes=budget,
            between=registry.load("probes", "midpoints").generate,
            given=given, peers=peers, seed=seed, jobs=jobs, progress=count,
        )  # fmt: skip
    answered = asking.answers_of(list(clients.values()), prepared.suite, budget=budget, access=access, seed=seed)
    models = asking.models_of(list(clients), answered)
    known = np.array([target in sources for target in clients])
    abouts = tuple(About() if its else About(role="derived" if sources else "source") for its in known)

    return Family(
        models, abouts, known, prepared.honest, pool.spec.output == "number",
        described=gathering.described(prepared.suite),
    ).asked()  # fmt: skip


def _spread_out(targets: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    """Targets, a folder replaced by the models of its zoo.json or by its model files; and whether a zoo's source."""
    from probe_match.fingerprinting.bench.zoo import read_zoo
    from probe_match.fingerprinting.targets import SUFFIXES

    for where in targets:
        folder = Path(where)
        if not folder.is_dir():
            yield where, False
        elif (folder / "zoo.json").is_file():
            yield from ((model.target, model.role == "source") for model in read_zoo(folder).models)
        else:
            models = {".onnx", ".skops", ".pt2"} & set(SUFFIXES)
            found = sorted(file for file in folder.iterdir() if file.suffix.lower() in models)
            if not found:
                raise click.UsageError(f"expected model files ({', '.join(sorted(models))}) in {where}, found none")
            yield from ((str(file), False) for file in found)
