"""Figures of what is said of one-word answers: whom verdicts name, rightly and wrongly, at alpha 1 %."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import token_models
import twins
from language_measures import share
from probe_match.fingerprinting.chat import known as knowing
from probe_match.fingerprinting.chat import scoring, single_token, tallies
from probe_match.fingerprinting.chat.equality import QUICK, change_p
from probe_match.fingerprinting.chat.judging import _identified, related
from probe_match.fingerprinting.chat.known import Known
from probe_match.fingerprinting.chat.records import Counts
from token_models import vendor

ALPHA: Final = 0.01
ALL: Final = "all other answers"
ASKED: Final = "answers to the questions asked"
SIZES: Final = ((16, 3, ALL), (16, 3, ASKED), (40, 1, ALL), (16, 6, ALL), (16, 15, ALL))  # the first is the default
LEFT: Final = 5  # one model in so many is left out by itself in a draw
WHOM: Final = ("right", "same vendor", "descent", "stranger")
KINDS: Final = (*(f"{whom}, as {how}" for whom in WHOM for how in ("itself", "family")), "no match", "inconclusive")
HEADS: Final = "cells x answers|references hold|suspects|draws|n|" + "|".join(
    [*KINDS, "wrongly itself", "wrong family"]
)


def measure(
    counts: Mapping[str, Counts], draws: int, seed: int, say: Callable[[str], None], sizes: Any = SIZES
) -> list[dict[str, Any]]:
    """
    What is said of suspects in the database, of one model in LEFT left out of it, in turn, and of every model with all
    those of its vendor left out; in so many draws of cells and answers. A row for each size and kind of suspects.
    """
    names = list(counts)
    cells = sorted({cell for given in counts.values() for cell in given})
    same = twins.twins(counts, names)
    rows = []
    for many, times, held in sizes:
        told: dict[str, Counter[str]] = {
            "in the database": Counter(),
            "left out": Counter(),
            "vendor left out": Counter(),
        }
        named: Counter[str] = Counter()
        for draw in range(draws):
            rng = np.random.default_rng(seed + draw)
            used = sorted(rng.choice(cells, many, replace=False))
            suspects = {n: tallies.thin(counts[n], dict.fromkeys(used, times), rng) for n in names}
            rests = {n: tallies.without(counts[n], suspects[n]) for n in names}
            if held == ASKED:
                rests = {n: {cell: some for cell, some in rest.items() if cell in used} for n, rest in rests.items()}
            ready = ready_for(rests, used)
            asked = np.full(many, times)
            trials = [("in the database", names, only(ready, rests, lambda _: True))]
            trials += [
                ("left out", [name], only(ready, rests, lambda other, n=name: other != n))
                for name in names[draw % LEFT :: LEFT]
            ]
            for maker in dict.fromkeys(map(vendor, names)):
                theirs = [name for name in names if vendor(name) == maker]
                rest = only(ready, rests, lambda other, v=maker: vendor(other) != v)
                trials.append(("vendor left out", theirs, rest))
            for where, some, known in trials:
                honest = knowing.honest(known, asked)
                for name in some:
                    kind, whom = said(suspects[name], rests, known, honest, name, names, same)
                    told[where][kind] += 1
                    if kind.startswith(("descent", "stranger")) or (
                        kind.startswith("same") and kind.endswith("itself")
                    ):
                        named[f"{where}: {name} as {whom}, {kind.split(', as ')[1]}"] += 1
        for where, found in told.items():
            wrong = {pair: n for pair, n in sorted(named.items()) if pair.startswith(f"{where}:")}
            rows.append({
                "cells": many, "answers": times, "references": held, "suspects": where, "draws": draws, "seed": seed,
                "said": dict(found), "named wrongly or across vendors": wrong,
            })  # fmt: skip
        say(f"verdicts at {many} x {times}, {held}")
    return rows


def rendered(row: Mapping[str, Any]) -> list[str]:
    """The cells of a row of the table, see HEADS."""
    said_, n = row["said"], sum(row["said"].values())
    itself, family = wrong(said_)
    return [
        f"{row['cells']} x {row['answers']}", row["references"], row["suspects"], str(row["draws"]), str(n),
        *(share(said_.get(kind, 0), n) for kind in KINDS), share(itself, n), share(family, n),
    ]  # fmt: skip


def wrong(said_: Mapping[str, int]) -> tuple[int, int]:
    """How many were named as a model that they are not, and as a relative of a stranger's."""
    itself = sum(said_.get(f"{whom}, as itself", 0) for whom in WHOM[1:])
    return itself, sum(said_.get(f"stranger, as {how}", 0) for how in ("itself", "family"))


def said(
    suspect: Counts, rests: Any, known: Known, honest: knowing.Honest, truth: str, names: list[str], same: Any
) -> tuple[str, str]:
    """The verdict in a few words, one of KINDS, and whom it names, "" if nobody."""
    scores = scoring.score(suspect, known, alpha=ALPHA, prepare=lambda _, __: honest)
    decision, _ = _identified(scores, 1000, ALPHA)
    named = scores.evidence[0].reference
    if decision != "match":
        return decision, ""
    how = related(scores, change_p(suspect, rests[named], np.random.default_rng(0), QUICK), ALPHA)
    if how is None:
        return "inconclusive", ""

    return f"{whose(truth, named, names, same)}, as {'itself' if how == 'itself' else 'family'}", named


def whose(truth: str, named: str, names: list[str], same: np.ndarray) -> str:
    """What a suspect is to whom a verdict names, one of WHOM."""
    if same[names.index(truth), names.index(named)]:
        return "right"
    if vendor(named) == vendor(truth):
        return "same vendor"
    return "descent" if token_models.descent(truth, named) else "stranger"


class Ready(NamedTuple):
    """
    What is told once a draw, of all models together: who is whose relative, kin, or twin, same: bool (m, m), in the
    order of names, by all answers or by those to the cells that are asked.
    """

    names: tuple[str, ...]
    cells: list[str]
    kin: np.ndarray
    same: np.ndarray


def ready_for(rests: Mapping[str, Counts], cells: list[str]) -> Ready:
    """Of references and the cells that suspects are asked."""
    known = knowing.know(rests)
    asked = np.isin(known.table.cells, cells)
    return Ready(known.table.names, cells, known.kin | knowing._relatives(known, asked, 0), known.same)


def only(ready: Ready, rests: Mapping[str, Counts], kept: Callable[[str], bool]) -> Known:
    """What is known of some models alone, by their answers to the cells that are asked: no others count then."""
    rows = np.array([i for i, name in enumerate(ready.names) if kept(name)])
    table = tallies.tabulate({ready.names[i]: rests[ready.names[i]] for i in rows}, ready.cells)
    kin, same = (pairs[np.ix_(rows, rows)] for pairs in (ready.kin, ready.same))

    return Known(
        table, single_token.all_own_evidence(table), single_token.all_repeats(table), np.arange(len(rows)), kin, same
    )
