"""
The benchmark from zoo to figures: enrol every source, ask every model, score every pair, summarise.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from probe_match.fingerprinting.candidates import Generate
from probe_match.fingerprinting.collect import Progress

from .identifying import identify
from .scoring import DEFAULT, score, stop_early
from .subjects import Connect, Settings, enroll_sources
from .summary import Pairs, Run, summarise
from .suspects import Questions, ask_all
from .zoo import Zoo

Bar = Callable[[str, int], AbstractContextManager[Progress]]  # a progress bar for a step of so many


class Result(NamedTuple):
    """summary: figures, see `summary.summarise`. runs: what they were computed from, one for each seed."""

    summary: dict[str, Any]
    runs: list[Run]


def run(
    zoo: Zoo,
    settings: Settings,
    *,
    connect: Connect,
    generators: Mapping[str, Generate],
    chosen: Sequence[str],
    bar: Bar,
    cache: Path | None = None,
) -> Result:
    """
    Measure the default method and the chosen published schemes on a zoo.

    connect: opens a target. generators: all probe generators by name; chosen: those enrolment uses for this input.
    cache: a folder that keeps references and answers, so that a second run only scores.
    """
    runs = []
    for seed in settings.seeds:
        with bar(f"enrolling, seed {seed}", len(zoo.of("source"))) as count:
            subjects = enroll_sources(zoo, settings, seed, connect, generators, chosen, cache, count)
        questions = Questions(subjects)
        with bar(f"asking, seed {seed}", len(zoo.models)) as count:
            suspects = ask_all(zoo, questions, connect, cache, count)
        blocks, stops = [], []
        with bar(f"scoring, seed {seed}", len(subjects)) as count:
            for at, subject in enumerate(subjects):
                blocks += list(score(at, subject, suspects, questions, settings))
                stops += stop_early(at, subject, suspects, questions, settings)
                count(1)
        with bar(f"identifying, seed {seed}", len(suspects.models)) as count:
            found = identify(subjects, suspects, questions, settings, count)
        runs.append(Run(seed, subjects, suspects, blocks, stops, found))

    return Result(summarise(zoo, runs, settings), runs)


def scores(runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    """One row for every pair, method, access, budget and seed; a source is no suspect of its own."""
    for one in runs:
        pairs = Pairs(one)
        for block in one.blocks:
            source = pairs.sources[block.subject].name
            related = pairs.related(block.subject)
            for i in np.flatnonzero(~np.isnan(block.score) & (pairs.name != source)):
                p = float(block.p[i])
                yield {
                    "source": source, "suspect": str(pairs.name[i]),
                    "attack": str(pairs.attack[i]) if pairs.role[i] == "derived" else None,
                    "related": bool(related[i]), "method": block.method, "access": block.access,
                    "budget": block.budget, "seed": one.seed, "score": round(float(block.score[i]), 5),
                    "p_value": None if np.isnan(p) else round(p, 6),
                }  # fmt: skip


__all__ = ["DEFAULT", "Bar", "Result", "run", "scores"]
