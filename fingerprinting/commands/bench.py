"""`probe-match bench`: error rates on a zoo of models whose descent is known."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from ._options import backend_option, target_options


def _numbers(_: click.Context, option: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        values = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise click.BadParameter(f"expected whole numbers with commas between them, got '{text}'") from None
    least = 0 if option.name == "seeds" else 2
    if values[0] < least or values[-1] > 4096:
        raise click.BadParameter(f"expected numbers from {least} to 4096, got '{text}'")
    return values


@click.command()
@click.argument("zoo", type=click.Path(path_type=Path))
@click.option(
    "--methods",
    default="relative",
    show_default=True,
    help="Published schemes to run beside ours: names with commas between them, or all.",
)
@click.option("--budgets", default="10,20,50", show_default=True, callback=_numbers, help="Questions to a suspect.")
@click.option(
    "--access",
    type=click.Choice(["label", "scores", "both"]),
    default="both",
    show_default=True,
    help="What of the answers to use.",
)
@click.option("--seeds", default="0", show_default=True, callback=_numbers, help="Seeds to enrol every source with.")
@click.option("--source", "only", multiple=True, metavar="NAME", help="Only this source of the zoo; repeat for more.")
@click.option(
    "--alpha", default=0.01, show_default=True, type=click.FloatRange(0, 0.5, min_open=True), help="As for match."
)
@click.option("--peers", type=int, help="As for enroll.")
@click.option("--shadows", type=int, help="As for enroll.")
@click.option(
    "--without", multiple=True, metavar="KIND", help="Make no shadows of this kind: how unforeseen thieves fare."
)
@click.option("--jobs", default=-1, show_default=True, type=int, help="Processes for training; -1 uses all processors.")
@click.option(
    "--cache", metavar="FOLDER", help="Where references and answers are kept between runs.  [default: ZOO/.bench]"
)
@click.option("--fresh", is_flag=True, help="Enrol and ask anew, whatever was kept.")
@click.option(
    "--json",
    "json_file",
    is_flag=False,
    flag_value="-",
    metavar="[FILE]",
    help="Write figures and the score of every pair.",
)
@click.option("--markdown", metavar="FILE", help="Write the tables as Markdown, rather than to the screen.")
@click.option("--plots", metavar="FOLDER", help="Write plots as SVG files.")
@target_options
@backend_option("Where training is done")
@click.option("-q", "--quiet", is_flag=True, help="No text and no progress.")
def bench(
    zoo: Path,
    methods: str,
    budgets: tuple[int, ...],
    access: str,
    seeds: tuple[int, ...],
    only: tuple[str, ...],
    alpha: float,
    peers: int | None,
    shadows: int | None,
    without: tuple[str, ...],
    jobs: int,
    cache: str | None,
    fresh: bool,
    json_file: str | None,
    markdown: str | None,
    plots: str | None,
    allow_pickle: bool,
    timeout: float,
    quiet: bool,
) -> None:
    """
    Measure error rates on ZOO, a folder with a zoo.json.

    Enrols every source as `enroll` does, asks every other model, and reports per attack, access and budget how many
    copies are found at what rate of false accusations, whether p-values keep their promise, and whom copies are taken
    for. Test models choose, fit and calibrate nothing.

    \b
    Examples:
      probe-match bench zoos/digits
      probe-match bench zoos/digits --methods all --seeds 0,1,2 --json scores.json --markdown table.md --plots plots
      probe-match bench zoos/digits --methods akh,sac-m --access label --budgets 5,10,20
    """
    from probe_match.fingerprinting import registry, storage
    from probe_match.fingerprinting.bench import running
    from probe_match.fingerprinting.bench.subjects import Settings
    from probe_match.fingerprinting.bench.tables import to_markdown
    from probe_match.fingerprinting.bench.zoo import read_zoo
    from probe_match.fingerprinting.enrolment import GENERATORS
    from probe_match.fingerprinting.targets import open_target

    from . import _session

    schemes = _schemes(methods)
    _require_shadow_kinds(without)
    _session.require_writable(None if json_file == "-" else json_file, markdown)
    drawing = registry.load("fingerprinting.bench", "plots") if plots else None
    read = read_zoo(zoo).only(only)
    folder = Path(cache) if cache else read.folder / ".bench"
    kept = _Cache(folder)
    kept.open(fresh)
    settings = Settings(
        schemes=schemes,
        budgets=budgets,
        access=("label", "scores") if access == "both" else (access,),  # type: ignore[arg-type]
        seeds=seeds,
        alpha=alpha,
        peers=peers,
        shadows=shadows,
        jobs=jobs,
        without=without,
    )
    started = time.monotonic()
    result = running.run(
        read,
        settings,
        connect=lambda target: open_target(target, allow_pickle=allow_pickle, timeout=timeout),
        generators=_session.all_generators(),
        chosen=GENERATORS[read.pool.spec.kind],
        bar=_bars(quiet),
        cache=folder,
    )
    figures = {**result.summary, "seconds": round(time.monotonic() - started, 1)}
    if json_file is not None:
        data = {
            "schema": "probe-match/bench/1",
            "zoo": read.folder.name,
            "default_method": running.DEFAULT,
            "settings": {
                "methods": [running.DEFAULT, *schemes], "budgets": budgets, "access": settings.access, "seeds": seeds,
                "alpha": alpha, "peers": peers, "shadows": shadows, "without": without,
            },
            "summary": figures,
            "scores": list(running.scores(result.runs)),
        }  # fmt: skip
        _session.write_text(json_file, json.dumps(_plain(data)))
    tables = to_markdown(figures, read.folder.name)
    if markdown is not None:
        storage.write_file(Path(markdown), tables.encode())
    elif not quiet and json_file != "-":
        click.echo(tables)
    if drawing is not None and plots is not None:
        drawing.draw(figures, result.runs, Path(plots))


def _schemes(methods: str) -> tuple[str, ...]:
    from probe_match.fingerprinting.bench.scoring import DEFAULT
    from probe_match.fingerprinting.errors import UsageError
    from probe_match.fingerprinting.schemes import SCHEMES

    if methods == "all":
        return tuple(SCHEMES)
    names = [name.strip() for name in methods.split(",") if name.strip()]
    for name in names:
        if name not in SCHEMES and name != DEFAULT:
            raise UsageError(f"expected methods among {DEFAULT}, {', '.join(SCHEMES)} or all, got '{name}'")
    return tuple(name for name in dict.fromkeys(names) if name != DEFAULT)


def _require_shadow_kinds(without: tuple[str, ...]) -> None:
    from probe_match.fingerprinting.errors import UsageError
    from probe_match.fingerprinting.plans import SHADOW_KINDS

    for kind in without:
        if kind not in SHADOW_KINDS:
            raise UsageError(f"expected a kind of shadow among {', '.join(SHADOW_KINDS)}, got '{kind}'")
    if {"label", "scores", "flipped"} <= set(without):
        raise UsageError("without label, scores and flipped no shadow is trained; leave one of them in")


class _Cache:
    """The folder that keeps references and answers between runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, fresh: bool) -> None:
        """Make the folder, and forget what it holds if asked to."""
        from probe_match.fingerprinting.errors import BadData

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if fresh:
                for file in self.folder.glob("*.npz"):
                    file.unlink()
        except OSError as error:
            raise BadData(
                f"cannot write to {self.folder} ({error.strerror}); name another folder with --cache"
            ) from None


def _bars(quiet: bool) -> Callable[[str, int], contextlib.AbstractContextManager[Any]]:
    from . import _session

    @contextlib.contextmanager
    def bar(what: str, total: int) -> Iterator[Any]:
        with _session.progress(what, quiet=quiet, total=total) as count:
            yield count

    return bar


def _plain(value: Any) -> Any:
    """JSON has no NaN: null stands for what could not be computed."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and value != value else value
