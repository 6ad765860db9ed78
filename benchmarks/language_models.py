"""
What telling language models apart is worth, beside what is published, on the same answers in one run.

    python benchmarks/language_models.py FOLDER --output benchmarks/RESULTS-language-models.md

FOLDER holds single-token-2026.counts.json.gz (Bruckner, Zenodo 21278557) and alpaca-eval-outputs.json.xz (AlpacaEval).
Models of even place in the list of names chose the constants of one-word answers; odd ones are reported apart.
"""

from pathlib import Path

import asking_less
import click
import numpy as np
import twins
from language_measures import Rows, table
from language_texts import texts
from language_tokens import KINDS, often_asked, single_tokens, verdicts


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--splits", default=20, show_default=True, help="Splits of the counts, each with cells drawn anew.")
@click.option("--draws", default=10, show_default=True, help="Draws of prompts.")
@click.option("--output", type=click.Path(path_type=Path), help="Markdown file to write; standard output if none.")
def main(folder: Path, splits: int, draws: int, output: Path | None) -> None:
    """Measure all of it; some minutes on one core."""

    def say(what: str) -> None:
        click.echo(what, err=True)

    tokens, told = single_tokens(folder, splits, say), verdicts(folder, draws // 2, say)
    less = asking_less.measure(often_asked(folder), 3)
    say("asking less")
    text = page(tokens, told, less, *texts(folder, draws, say))
    if output is None:
        click.echo(text)
    else:
        output.write_text(text, encoding="utf-8")


TOKENS = """
Split halves of some 30 answers a cell, cells drawn anew each time; a suspect's true model is in no cohort. *Odd
half*: constants were chosen on the other; figures of all were seen on the way. *AUROC, ... out*: how well the best
score tells a model in the database from one whose own reference is missing, and those of its twins too, or of its
whole vendor.

{twins} of the 164 models have a twin: over all cells and answers, equality with another name is not rejected at 1 %
([twins.py](twins.py); an alias and its dated version, open weights and their vendor's name). With a twin in the
database nobody is missing from it. Whoever tells twins by chance and all else perfectly reaches a top-1 of {top:.3f}
and an AUROC of {gone:.3f} with only the model out; .93 and .95, which were aimed at, are reached where twins count as
one. MMD, published for longer texts, is better than ours at 40 cells with twins out, and has more errors below.
""".strip()
VERDICTS = """
At alpha 1 %, over draws of cells and answers; shares with 95 % intervals of independent trials, which repeated models
are not. A fifth of the models was left out, each in turn. *Twin*: see above. *Another, as modified*: another model is
named, and the verdict says that the answers are not spread as its own. *Same vendor*: another version is named, as
"it or a near relative of it". How p-values are made, by rank and not by a fitted tail, was chosen after a look at such
counts of all models: take them as mildly optimistic.
""".strip()
LESS = """
16 questions of up to 15 rounds: judged after 3, 6 and 12 rounds and at the end, or at the end alone. Alpha 1 %, for
all looks together. How the looks' scales are made one was chosen on two other draws and on made-up numbers, of six
ways; the first, by the spread, had named .69.
""".strip()
STYLE = """
AlpacaEval: 200 answers enrol a model, others are asked about 200 other prompts; 50 of 150 models shaped no
space. Features were chosen on the 200 prompts of enrolment alone, half against half. Aimed at: top-1 of .24/.63/.86,
which are figures of 400 answers a model; a multinomial regression on the same features, retrained for every model,
is no better than ours with 100 (.23/.55/.70, one strength of regularisation tried, against .23/.59/.76).
""".strip()
LINEAGE = """
Pairs labelled by hand, see [lineage_pairs.py](lineage_pairs.py). The weight of the normalised score is one of
five tried on the same pairs. Aimed at: AUC .985 and TPR .85 at 32 prompts; the latter is not reached for sure.
""".strip()


def page(tokens: tuple[Rows, np.ndarray], told: Rows, less: Rows, style: Rows, lineage: Rows) -> str:
    """The whole page, as Markdown."""
    rows, same = tokens
    top, gone = twins.ceiling(same)
    measured = ["EER %", "EER %, odd half", "TPR at 1 %", "top-1 of 164", "top-1, twins as one"]
    heads = "|".join(["cells", "method", *measured, *(f"AUROC, {out} out" for out in ("model", "twins", "vendor"))])
    parts = [
        "# Language models: measured",
        (__doc__ or "").split("\n\n")[1].strip().join(["`", "`"]),
        "Means over repetitions ± 1.96 standard errors; the repetitions share their models, so that the intervals tell "
        "of the draws and not of other models.",
        "## One-word answers",
        TOKENS.format(twins=(same.sum(1) > 1).sum(), top=top, gone=gone),
        table(heads, rows),
        "## Verdicts at 1 %",
        VERDICTS,
        table("|".join(["cells x answers", "suspects", "n", *KINDS]), told),
        "## Asking until it is clear",
        LESS,
        table("suspects|judged|n|it or its twin|another|questions, mean|median", less),
        "## Free text, other prompts",
        STYLE,
        table("answers|method|top-1 of 100|EER %|TPR at 1 %|AUROC, 50 unknown", style),
        "## Free text, same prompts: lineage",
        LINEAGE,
        table("prompts|method|related / foreign pairs|AUC|TPR at 1 %", lineage),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
