"""What commands share when they run: opening targets and pools, progress bars, and writing results."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from probe_match.fingerprinting import recordings, registry, report, storage
from probe_match.fingerprinting.audits import Audit, read_rate
from probe_match.fingerprinting.budget import read_limits
from probe_match.fingerprinting.chat import transcripts
from probe_match.fingerprinting.chat.records import ChatClient, Priced
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.errors import BadData, DatabaseError, MissingPackage, UsageError
from probe_match.fingerprinting.ledger import is_ledger
from probe_match.fingerprinting.ledger_states import doubts_in_words, in_words, remember
from probe_match.fingerprinting.pools import load_pool
from probe_match.fingerprinting.records import Fragile, Kind, Pool, ProbeSuite, Verdict
from probe_match.fingerprinting.targets import open_any

from ._options import Wishes

if TYPE_CHECKING:
    from probe_match.fingerprinting.explain.likeness import Likeness
    from probe_match.fingerprinting.explain.likeness_report import Unexplained


@contextlib.contextmanager
def target(
    where: str,
    *,
    allow_pickle: bool,
    timeout: float,
    concurrency: int | None = None,
    wishes: Wishes = Wishes(),  # noqa: B008 - frozen
    quiet: bool = True,
) -> Iterator[Client]:
    """A client of a model that takes inputs for as long as the block runs, within an audit where one is wished for."""
    with any_target(
        where, allow_pickle=allow_pickle, timeout=timeout, concurrency=concurrency, wishes=wishes, quiet=quiet
    ) as client:
        if isinstance(client, ChatClient):
            raise UsageError(f"{where[:200]} is a language model; this needs a model that takes inputs")
        yield client


@contextlib.contextmanager
def any_target(
    where: str,
    *,
    allow_pickle: bool,
    timeout: float,
    concurrency: int | None = None,
    wishes: Wishes = Wishes(),  # noqa: B008 - frozen
    price: Any = None,
    quiet: bool = True,
) -> Iterator[Client | ChatClient]:
    """A client of whatever kind for as long as the block runs, within an audit where one is wished for."""
    audit = None
    client = open_any(where, allow_pickle=allow_pickle, timeout=timeout, concurrency=concurrency)
    try:
        if wishes == Wishes() and (concurrency or 1) == 1:
            yield client
            return
        limits = read_limits(wishes.max_cost, wishes.max_seconds)
        if limits.dollars is not None and price is None and isinstance(client, Priced):
            price = client.price()  # what the server itself lists
        if limits.dollars is not None and not (price and isinstance(client, ChatClient)):
            raise click.UsageError("--max-cost dollars=X needs a language model, and its --price where it lists none")
        ledger = None if wishes.ledger is None else recordings.ledger_of(Path(wishes.ledger), client)
        rate = None if wishes.rate is None else read_rate(wishes.rate)
        audit = Audit(ledger, limits=limits, in_doubt=wishes.in_doubt, rate=rate)  # type: ignore[arg-type]
        doubts = "" if audit.offline else doubts_in_words(audit.memory)
        if doubts and not quiet:
            what = "they are asked again" if wishes.in_doubt == "resend" else "--in-doubt resend asks them again"
            click.echo(f"ledger {wishes.ledger}: {doubts}; {what}", err=True)
        yield recordings.guard(client, audit, concurrency=concurrency, price=price)
        if not quiet:
            _say(audit)
    finally:
        client.close()
        if audit is not None:
            audit.close()


@contextlib.contextmanager
def chat_target(where: str, *, timeout: float, wishes: Wishes, quiet: bool) -> Iterator[ChatClient]:
    """A client of a language model for as long as the block runs, within an audit where one is wished for."""
    with any_target(where, allow_pickle=False, timeout=timeout, wishes=wishes, quiet=quiet) as client:
        if not isinstance(client, ChatClient):
            raise UsageError(f"{where[:200]} is no language model; expected one such as openai:https://host/v1#model")
        yield client


def _say(audit: Audit) -> None:
    """What an audit used and left, on stderr."""
    if audit.stopped is not None:
        click.echo(f"stopped: {audit.stopped}", err=True)
    if audit.ledger is not None:
        again = f", {audit.reused} of them from before" if audit.reused else ""
        told = in_words(remember(audit.ledger))
        click.echo(f"ledger {audit.ledger.path}: {told}{again}; {audit.ledger.head()}", err=True)


@contextlib.contextmanager
def progress(description: str, *, quiet: bool, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr where that is a terminal; yields what counts it on."""
    from tqdm import tqdm

    with tqdm(total=total, desc=description, disable=quiet or not sys.stderr.isatty(), leave=False) as bar:

        def count(n: int) -> None:
            bar.update(n)

        yield count


def pool_and_log(
    pool: str | None,
    label: str | None,
    text: str | None,
    drop_duplicates: bool,
    log: str | None,
    regression: bool = False,
) -> tuple[Pool, Any]:
    """A labelled pool and the inputs of a log, checked to be of one kind."""
    if pool is None:
        raise click.UsageError("Missing option '--pool': a model that takes inputs is compared on inputs of yours")
    loaded = load_pool(Path(pool), label=label, text=text, drop_duplicates=drop_duplicates, regression=regression)
    if log is None:
        return loaded, None
    number = loaded.spec.output == "number"
    inputs = load_pool(Path(log), label=label, text=text, drop_duplicates=True, regression=number)
    if not loaded.spec.accepts(inputs.spec) or inputs.spec.categories != loaded.spec.categories:
        raise BadData(
            f"the log's inputs are {inputs.spec.shape}, the pool's {loaded.spec.shape}; use a log of the same input"
        )
    return loaded, inputs.x


def fragile_of(db: str, claim: str, file: str | None) -> Fragile | None:
    """
    What to ask to verify a claim: a suite from a file, or the reference's own; None for a language model.

    Raises BadData for a suite of another generator, DatabaseError where the reference has no fragile probes.
    """
    from probe_match.fingerprinting import fragile
    from probe_match.fingerprinting.chat import shelf
    from probe_match.fingerprinting.database import open_db

    if file is not None:
        suite = read_suite(file)
        if suite.generator != fragile.SENSITIVE or suite.expected is None:
            raise BadData(f"expected a suite that `suite build sensitive` wrote in {file}, got '{suite.generator}'")
        return fragile.of_suite(suite, claim)
    with open_db(db, read_only=True) as references:
        if claim in shelf.names(references) or not references.names():
            return None
        known = references.get(claim).fragile
        if known is None:
            raise DatabaseError(
                f"'{claim}' in {references.name} has no fragile probes; enroll it again, or build some with "
                "`suite build sensitive` and pass --suite"
            )
        return known


def read_suite(file: str) -> ProbeSuite:
    """A suite from a file that `suite build` wrote."""
    return storage.from_bytes(ProbeSuite, storage.read_file(Path(file), "suite"), f"suite {file}")


def generators(kind: Kind) -> dict[str, Callable[..., Any]]:
    """The probe generators that enrolment draws candidates from, for one kind of input; of those installed."""
    from probe_match.fingerprinting.enrolment import GENERATORS

    return _installed(GENERATORS[kind])


def sensitive(kind: Kind) -> Callable[..., Any] | None:
    """What makes the fragile probes of a reference, where this kind of input has them."""
    module = registry.load("probes", "sensitive")
    return module.generate if kind in module.KINDS else None


def all_generators() -> dict[str, Callable[..., Any]]:
    """Every probe generator whose packages are installed, but those of questions to language models."""
    return _installed(registry.available("probes"))


def _installed(names: Iterable[str]) -> dict[str, Callable[..., Any]]:
    found = {}
    for name in names:
        with contextlib.suppress(MissingPackage):
            module = registry.load("probes", name)
            if "chat" not in module.KINDS:
                found[name] = module.generate
    return found


def transcripts_in(file: str) -> str | None:
    """The file again where it holds recorded answers of a language model, else None."""
    path = Path(file)
    if is_ledger(path):
        return None
    if path.suffix.lower() == ".json" or transcripts.is_transcript(storage.read_file(path, "recording")[:65536]):
        return file

    return None


def require_writable(*files: str | None) -> None:
    """Raise BadData where a file could not be written, before anything is asked or trained for it."""
    for file in files:
        if file is None or file == "-":
            continue
        path = Path(file)
        writable = os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
        if not path.parent.is_dir() or not writable or (path.exists() and not path.is_file()):
            raise BadData(f"cannot write {file}: expected a file in a folder that exists and may be written to")


def write_text(where: str, text: str) -> None:
    """Write to a file, all or nothing, or to standard output for `-`."""
    if where == "-":
        click.echo(text)
    else:
        storage.write_file(Path(where), (text + "\n").encode())


def show(
    verdicts: Sequence[tuple[str, Verdict]],
    *,
    json_file: str | None,
    html_file: str | None,
    quiet: bool,
    title: str,
    intro: str,
    data: Any,
    explanation: "Likeness | Unexplained | None" = None,
) -> None:
    """
    Verdicts as text (unless quiet or JSON goes to standard output), as JSON `data` and as a page; below them in how far
    target and reference decide alike, where that was asked for.
    """
    told = below = ""
    if explanation is not None:
        from probe_match.fingerprinting.explain import likeness_report

        data = {**data, "explanation": likeness_report.to_json(explanation)}
        told, below = likeness_report.to_text(explanation), likeness_report.to_html(explanation)
    if not quiet and json_file != "-":
        for _, verdict in verdicts:
            click.echo(report.to_text(verdict))
        if told:
            click.echo(told)
    if json_file is not None:
        write_text(json_file, json.dumps(data, indent=1, ensure_ascii=False))
    if html_file is not None:
        write_text(html_file, report.to_html(verdicts, title=title, intro=intro, below=below))
