"""
How long one suspect's match against 10,000 language models takes, in this program's own time.

    python benchmarks/chat_speed.py FOLDER --output benchmarks/chat-speed.json

FOLDER holds single-token-2026.counts.json.gz. References are made from the real ones: 20 answers to each of 16
questions, drawn from a mixture of two models' answers in a share drawn anew, so that none is another's double. Timed is
what a `match` does around its questions: opening the database, choosing the questions, and the verdict; not Python's
start, nor what the suspect takes to answer. What is kept beside the database is worked out when they are added, as by
`db import`.
"""

import gc
import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
import numpy as np
from probe_match.fingerprinting.chat import asking, shelf
from probe_match.fingerprinting.chat.importing import read_references
from probe_match.fingerprinting.chat.records import Answer, ChatReference, Question
from probe_match.fingerprinting.database import open_db

CELLS: Final = 16
ANSWERS: Final = 20
AIM: Final = 50  # milliseconds


class Speaker:
    """A suspect that answers as one reference does, at once."""

    target = "function:speaker"
    access = "text"
    concurrency = 1
    notes = ()

    def __init__(self, model: ChatReference, seed: int) -> None:
        self.model, self.rng, self.sent = model, np.random.default_rng(seed), 0

    def chat(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer each."""
        self.sent += len(questions)
        return [Answer(str(self.rng.choice(*self._odds(question.cell)))) for question in questions]

    def _odds(self, cell: str) -> tuple[list[str], None, bool, np.ndarray]:
        given = self.model.counts[cell]
        times = np.array(list(given.values()), float)
        return list(given), None, True, times / times.sum()

    def close(self) -> None:
        """Nothing is open."""


def mixtures(real: Sequence[ChatReference], number: int, seed: int) -> list[ChatReference]:
    """So many references of the real ones' answers."""
    rng = np.random.default_rng(seed)
    cells = [question.cell for question in real[0].bank.questions][:CELLS]
    bank = real[0].bank.cells(cells)
    real = [model for model in real if all(model.counts.get(cell) for cell in cells)]
    made = []
    for i in range(number):
        first, second = (real[at] for at in rng.choice(len(real), 2, replace=False))
        share = rng.uniform()
        counts = {}
        for cell in cells:
            odds: dict[str, float] = {}
            for model, weight in ((first, share), (second, 1 - share)):
                asked = sum(model.counts[cell].values())
                for answer, times in model.counts[cell].items():
                    odds[answer] = odds.get(answer, 0.0) + weight * times / asked
            drawn = rng.multinomial(ANSWERS, np.array(list(odds.values())) / sum(odds.values()))
            counts[cell] = {answer: int(n) for answer, n in zip(odds, drawn, strict=True) if n}
        made.append(ChatReference(f"made-{i:05d}", first.about, bank, counts, dict.fromkeys(cells, ANSWERS)))
    return made


def one_match(path: Path, suspect: ChatReference, seed: int) -> tuple[float, float, bool]:
    """Milliseconds of ours, by the clock and of processor time, and whether the right name came first."""
    wall, busy = time.perf_counter(), time.process_time()
    with open_db(path, read_only=True) as db:
        planned = asking.plan_identification(db)
        before = time.perf_counter(), time.process_time()
        transcript = asking.ask(Speaker(suspect, seed), planned)
        asked = time.perf_counter() - before[0], time.process_time() - before[1]
        verdict = asking.identify(transcript, planned, alpha=0.01)
    took = time.perf_counter() - wall - asked[0], time.process_time() - busy - asked[1]

    return 1e3 * took[0], 1e3 * took[1], verdict.matches[0].reference == suspect.name


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--references", default=10_000, show_default=True)
@click.option("--matches", default=100, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="JSON file to write.")
def main(folder: Path, references: int, matches: int, seed: int, output: Path | None) -> None:
    """Build, prepare once, match many times; a minute or two."""
    made = mixtures(read_references(folder / "single-token-2026.counts.json.gz"), references, seed)
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "references.db"
        start = time.perf_counter()
        with open_db(path, create=True) as db:
            shelf.add(db, made)
            added = time.perf_counter() - start
            asking.make_ready(db)  # as `db import` does
        prepared = time.perf_counter() - start - added
        suspects = [made[i] for i in np.random.default_rng(seed).choice(references, matches + 1)]
        del made  # a match holds no 10,000 references in memory, which would be searched for garbage now and then
        gc.collect()
        first, *_ = one_match(path, suspects[0], seed)
        kept = sum(file.stat().st_size for file in path.with_name(path.name + ".prepared").iterdir())
        size = path.stat().st_size
        found = [one_match(path, suspect, seed + 1 + k) for k, suspect in enumerate(suspects[1:])]
    wall, busy, right = (np.array(column, float) for column in zip(*found, strict=True))
    told: dict[str, Any] = {
        "references": references, "questions": 3 * CELLS, "matches": matches, "seed": seed,
        "milliseconds": _spread(wall), "processor milliseconds": _spread(busy), "aimed at": AIM,
        "within": round(float((wall < AIM).mean()), 3), "first match, seconds": round(first / 1e3, 2),
        "prepared when imported, seconds": round(prepared, 1),
        "adding all, seconds": round(added, 1), "database MiB": round(size / 2**20, 1),
        "kept beside it, MiB": round(kept / 2**20, 1), "right name first": round(float(right.mean()), 3),
        "python": platform.python_version(), "numpy": np.__version__,
    }  # fmt: skip
    click.echo(json.dumps(told, indent=2))
    if output is not None:
        output.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _spread(values: np.ndarray) -> dict[str, float]:
    marks = {"least": 0.0, "median": 0.5, "nine of ten": 0.9, "most": 1.0}
    return {name: round(float(np.quantile(values, at)), 1) for name, at in marks.items()}


if __name__ == "__main__":
    main()
