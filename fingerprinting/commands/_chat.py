"""What commands do where the target is a language model: say the cost, ask, keep the answers, show the verdict."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from ._options import Command, with_options

if TYPE_CHECKING:
    from probe_match.fingerprinting.chat.asking import Plan
    from probe_match.fingerprinting.chat.collecting import Stop
    from probe_match.fingerprinting.chat.records import Bank, ChatClient, Price, Transcript
    from probe_match.fingerprinting.database import ReferenceDB
    from probe_match.fingerprinting.records import About, Verdict

    from ._options import Wishes


def _price(_: click.Context, __: click.Parameter, text: str | None) -> "Price | None":
    from probe_match.fingerprinting.chat.records import Price
    from probe_match.fingerprinting.errors import BadData

    if text is None:
        return None
    try:
        prompt, answer = (float(part) for part in text.split("/"))
        return Price(prompt, answer)
    except (ValueError, BadData):
        raise click.BadParameter(
            f"expected dollars per million tokens as PROMPT/ANSWER, such as 0.15/0.60, got '{text}'"
        ) from None


def cost_options(command: Command) -> Command:
    """`--dry-run` and `--price`: what asking a language model would cost."""
    options = [
        click.option(
            "--dry-run", is_flag=True, help="Of a language model: say what asking would cost, and ask nothing."
        ),
        click.option(
            "--price", callback=_price, metavar="IN/OUT", help="Dollars per million tokens of prompts and of answers."
        ),
    ]
    return with_options(command, options)


def chat_options(command: Command) -> Command:
    """`cost_options`, `--concurrency` and `--save`: how a language model is asked."""
    options = [
        click.option(
            "--concurrency",
            type=click.IntRange(1, 64),
            help="Requests under way at once.  [default: 1, language models 4]",
        ),
        click.option("--save", metavar="FILE", help="Of a language model: keep the answers, as JSON lines."),
    ]
    return cost_options(with_options(command, options))


def priced(planned: "Plan", client: "ChatClient", price: "Price | None", *, dry_run: bool) -> "Plan":
    """The plan with its price: as the user says, else, for a dry run, as the server lists it."""
    from dataclasses import replace

    from probe_match.fingerprinting.chat.records import Priced

    if price is None and dry_run and isinstance(client, Priced):
        price = client.price()

    return replace(planned, price=price)


def told_cost(planned: "Plan") -> str:
    """What a plan will cost, in one line."""
    cost = planned.cost()
    most = cost.most_answer_tokens if planned.tokens is None else min(cost.most_answer_tokens, planned.tokens + 64)
    dollars = "" if cost.dollars is None else f", about ${cost.dollars:.5f}"
    dollars += "" if planned.dollars is None else f" and no more than ${planned.dollars:g}"
    return (
        f"{cost.questions} questions, about {cost.prompt_tokens} tokens of prompts and {cost.answer_tokens} of answers "
        f"(at most {most}){dollars}"
    )


def ask(
    client: "ChatClient", planned: "Plan", *, quiet: bool, save: str | None, stop: "Stop | None" = None
) -> "Transcript":
    """Say the cost, ask, and keep the answers where that is wished."""
    from probe_match.fingerprinting.chat import asking, transcripts

    from . import _session

    _session.require_writable(save)
    if not quiet:
        click.echo(f"asking {told_cost(planned)}", err=True)
    with _session.progress("asking", quiet=quiet, total=len(planned.questions)) as count:
        transcript = asking.ask(client, planned, stop=stop, progress=count)
    if save is not None:
        transcripts.write(Path(save), planned.bank, transcript)
    if not quiet:
        for note in transcript.notes:
            click.echo(f"note: the target {note}", err=True)
    return transcript


def identify(
    client: "ChatClient",
    references: "ReferenceDB",
    *,
    only: tuple[str, ...],
    budget: int | None,
    tokens: int | None,
    alpha: float,
    seed: int,
    stop_early: bool,
    dry_run: bool,
    price: "Price | None",
    save: str | None,
    quiet: bool,
) -> "Verdict | None":
    """The verdict on a language model, or None after a dry run."""
    from probe_match.fingerprinting.chat import asking
    from probe_match.fingerprinting.recordings import RecordedChat

    planned = asking.plan_identification(
        references, only=only, budget=budget, tokens=tokens, seed=seed, stop_early=stop_early
    )
    planned = priced(planned, client, price, dry_run=dry_run)
    if dry_run:
        click.echo(told_cost(planned))
        return None
    if isinstance(client, RecordedChat):  # what it does not hold was never asked, and is no failure
        transcript = asking.ask_recorded(client, planned)
    else:
        stop = asking.enough(planned, alpha=alpha, seed=seed) if planned.looks else None
        transcript = ask(client, planned, quiet=quiet, save=save, stop=stop)

    return asking.identify(transcript, planned, alpha=alpha, seed=seed)


def judge_recording(
    file: str, references: "ReferenceDB", *, only: tuple[str, ...], budget: int | None, alpha: float, seed: int
) -> "Verdict":
    """The verdict on recorded answers: by their spread where the references were asked those prompts, else by style."""
    from probe_match.fingerprinting.chat import asking, recorded, shelf, transcripts
    from probe_match.fingerprinting.targets import open_chat

    turns = transcripts.read_turns(Path(file))
    prompts = {turn.prompt for turn in turns}
    if shelf.banks(references):
        planned = asking.plan_identification(references, only=only, budget=budget or len(turns), seed=seed)
        counted = {q.text for q in planned.bank.questions if q.parser not in asking.KEPT_TEXTS}
        if counted & prompts:
            client = open_chat(f"replay:{file}")
            return asking.identify(asking.ask_recorded(client, planned), planned, alpha=alpha, seed=seed)
    known = [shelf.get(references, name) for name in shelf.names(references) if not only or name in only]

    return recorded.identify(turns, recorded.texts_of(known), target=f"replay:{file}", alpha=alpha, seed=seed)


def enroll(
    target: str,
    db: str,
    *,
    name: str,
    about: "About",
    families: tuple[str, ...],
    cells: int | None,
    languages: tuple[str, ...],
    repeats: int | None,
    seed: int,
    replace: bool,
    timeout: float,
    concurrency: int | None,
    dry_run: bool,
    price: "Price | None",
    save: str | None,
    wishes: "Wishes",
    quiet: bool,
) -> None:
    """Ask a language model and add what it answered to the database."""
    from probe_match.fingerprinting.chat import asking, shelf
    from probe_match.fingerprinting.chat.records import ChatClient
    from probe_match.fingerprinting.database import open_db
    from probe_match.fingerprinting.errors import DatabaseError

    from . import _session

    with (
        open_db(db, create=not dry_run, read_only=dry_run and Path(db).exists()) as references,
        _session.any_target(
            target,
            allow_pickle=False,
            timeout=timeout,
            concurrency=concurrency,
            wishes=type(wishes)() if dry_run else wishes,
            price=price,
            quiet=quiet,
        ) as client,
    ):
        if not isinstance(client, ChatClient):
            raise click.UsageError("Missing option '--pool': a model that takes inputs is compared on inputs of yours")
        if name in (*references.names(), *shelf.names(references)) and not replace:
            raise DatabaseError(f"{references.name} already has a reference '{name}'; remove it or pass --replace")
        if families == ("recorded",):
            _enroll_recording(target, references, name=name, about=about, replace=replace, quiet=quiet)
            return
        new = families or (("chat-words",) if cells or languages or not shelf.banks(references) else ())
        made = _bank(new, cells or asking.CELLS, languages, seed) if new else None
        planned = asking.plan_enrolment(references, made, repeats=repeats or asking.REPEATS, seed=seed)
        planned = priced(planned, client, price, dry_run=dry_run)
        if dry_run:
            click.echo(told_cost(planned))
            return
        transcript = ask(client, planned, quiet=quiet, save=save)
        reference = asking.reference_of(transcript, planned.bank, name=name, about=about)
        shelf.add(references, [reference], replace=replace)
    if not quiet:
        answers = sum(sum(some.values()) for some in reference.counts.values())
        click.echo(
            f"enrolled '{name}' in {references.name}: {answers} answers to {len(reference.counts)} questions, bank "
            f"{planned.bank.digest[:19]}…"
        )


def _enroll_recording(
    target: str, references: "ReferenceDB", *, name: str, about: "About", replace: bool, quiet: bool
) -> None:
    from probe_match.fingerprinting.chat import asking, recorded, shelf, transcripts

    bank, transcript = recorded.transcript_of(transcripts.read_turns(Path(target.removeprefix("replay:"))), target)
    reference = asking.reference_of(transcript, bank, name=name, about=about)
    shelf.add(references, [reference], replace=replace)
    if not quiet:
        texts = sum(len(some) for some in reference.texts.values())
        click.echo(f"enrolled '{name}' in {references.name}: {texts} texts to {len(bank.questions)} prompts")


def _bank(families: tuple[str, ...], cells: int, languages: tuple[str, ...], seed: int) -> "Bank":
    from probe_match.fingerprinting import registry
    from probe_match.fingerprinting.chat import asking
    from probe_match.fingerprinting.errors import UsageError

    chosen = {"languages": languages} if languages else {}
    banks = []
    for family in families:
        module = registry.load("probes", family)
        if "chat" not in module.KINDS:
            raise UsageError(
                f"{family} works on {', '.join(module.KINDS)} inputs, not on language models; use chat-words"
            )
        banks.append(module.generate(n=cells, seed=seed, **chosen))

    return asking.join(banks)


def finish(verdict: "Verdict", *, json_file: str | None, html_file: str | None, quiet: bool, title: str) -> NoReturn:
    """Show a verdict and leave with its exit code."""
    from probe_match.fingerprinting import report

    from . import _session

    _session.show(
        [(verdict.target, verdict)],
        json_file=json_file,
        html_file=html_file,
        quiet=quiet,
        title=title,
        intro="The target was asked the questions its references were asked, with the same settings.",
        data=report.to_json(verdict),
    )
    sys.exit(report.EXIT[verdict.decision])
