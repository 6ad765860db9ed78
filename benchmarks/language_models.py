"""
What telling language models apart is worth, beside what is published, on the same answers in one run.

    python benchmarks/language_models.py FOLDER [--part verdicts …]      # measures, an hour on one core in all
    python benchmarks/language_models.py                                 # writes the page anew from what was measured

FOLDER holds single-token-2026.counts.json.gz (Bruckner, Zenodo 21278557) and alpaca-eval-outputs.json.xz (AlpacaEval).
What is measured goes to language-models.json, a part at a time, and RESULTS-language-models.md is written from that
file alone.
"""

import json
from pathlib import Path
from typing import Any, Final

import asking_less
import click
import language_page
import language_texts
import language_tokens
import language_trees
import language_verdicts
import token_models
import twins
from probe_match.fingerprinting import storage

HERE: Final = Path(__file__).parent
MEASURED: Final = HERE / "language-models.json"
PAGE: Final = HERE / "RESULTS-language-models.md"
PARTS: Final = ("twins", "tokens", "verdicts", "looks", "trees", "style", "lineage")
READ_ALIKE: Final = ("twins", "tokens")  # models beside models, whose answers one reader read
SEED: Final = 3000  # of the first draw of cells and answers, one more for each further draw


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@click.option("--part", type=click.Choice(PARTS), multiple=True, help="Measure this alone; repeatable.")
@click.option("--draws", default=20, show_default=True, help="Draws of cells, answers or prompts.")
@click.option("--measured", type=click.Path(path_type=Path), default=MEASURED, show_default="language-models.json")
@click.option("--page", type=click.Path(path_type=Path), default=PAGE, show_default="RESULTS-language-models.md")
def main(folder: Path | None, part: tuple[str, ...], draws: int, measured: Path, page: Path) -> None:
    """Measure, and write the page; parts that are not measured stay as they are."""
    held: dict[str, Any] = json.loads(measured.read_text(encoding="utf-8")) if measured.exists() else {}
    for name in (part or PARTS) if folder else ():
        held[name] = measure(name, folder, draws)  # type: ignore[arg-type]
        ordered = {part_: held[part_] for part_ in PARTS if part_ in held}
        storage.write_file(measured, (json.dumps(ordered, ensure_ascii=False, indent=1) + "\n").encode())
    storage.write_file(page, language_page.page(held).encode())


def measure(part: str, folder: Path, draws: int) -> Any:
    """One part's rows, as the page and language-models.json hold them."""

    def say(what: str) -> None:
        click.echo(what, err=True)

    if part in ("style", "lineage"):
        names, texts = language_texts.read(folder)
        if part == "style":
            return language_texts.style(texts, draws, say)
        return language_texts.lineage(names, texts, draws, say)
    counts = token_models.often_asked(folder, off_form=part in READ_ALIKE)
    if part == "twins":
        same = twins.twins(counts, list(counts))
        top, gone = twins.ceiling(same)
        number = int((same.sum(1) > 1).sum())
        return {"models": len(same), "with a twin": number, "top-1": top, "AUROC": gone,
                "pairs": twins.looked_at_again(counts, same)}  # fmt: skip
    if part == "tokens":
        return language_tokens.measure(counts, draws, say)
    if part == "verdicts":
        return language_verdicts.measure(counts, draws, SEED, say)
    if part == "trees":
        return language_trees.measure(counts, max(1, draws // 10), SEED, say)
    return asking_less.measure(counts, draws, SEED, say)


if __name__ == "__main__":
    main()
