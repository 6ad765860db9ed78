"""What stopping early saves: one-word questions until a model can be named, against asking all of them."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from probe_match.fingerprinting.chat import known as knowing
from probe_match.fingerprinting.chat import scoring, tallies
from probe_match.fingerprinting.chat.asking import looks_at
from probe_match.fingerprinting.chat.known import Honest, Known
from probe_match.fingerprinting.chat.records import Counts
from probe_match.fingerprinting.verdicts import deciding_p
from twins import twins

CELLS: Final = 16
ROUNDS: Final = 15


def measure(counts: Mapping[str, Counts], draws: int) -> list[list[str]]:
    """Rows of a table: suspects in the database and every fifth left out of it, with looks and without."""
    names, same = list(counts), twins(counts, list(counts))
    cells = sorted({cell for given in counts.values() for cell in given})
    found: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for seed in range(draws):
        rng = np.random.default_rng(2000 + seed)
        used = sorted(rng.choice(cells, CELLS, replace=False))
        drawn = {name: _in_order(counts[name], used, rng) for name in names}
        rests = {
            name: tallies.without({c: counts[name][c] for c in used if c in counts[name]}, _first(drawn[name], ROUNDS))
            for name in names
        }
        left_out = names[seed % 5 :: 5]
        for where, some in (("in the database", names), ("left out", left_out)):
            everybody = knowing.know(rests, used) if where == "in the database" else None
            remembered = _remembering({})
            for name in some:
                known = everybody or knowing.know({n: c for n, c in rests.items() if n != name}, used)
                ready = _remembering({}) if everybody is None else remembered
                for how, looks in (("looks", looks_at(CELLS * ROUNDS, CELLS)), ("at the end", ())):
                    said, asked = _asked(drawn[name], known, ready, [n // CELLS for n in looks])
                    kind = "none" if said is None else "it" if same[names.index(name), names.index(said)] else "another"
                    found.setdefault((where, how), []).append((kind, asked))

    return [
        [where, how, str(len(told)), *(f"{np.mean([kind == k for kind, _ in told]):.3f}" for k in ("it", "another")),
         f"{np.mean([asked for _, asked in told]):.0f}", f"{np.median([asked for _, asked in told]):.0f}"]
        for (where, how), told in found.items()
    ]  # fmt: skip


def _in_order(counts: Counts, cells: list[str], rng: np.random.Generator) -> dict[str, list[str]]:
    """One model's answers in a random order, at most ROUNDS and half of what there is."""
    told = {}
    for cell in cells:
        answers = [answer for answer, n in counts.get(cell, {}).items() for _ in range(n)]
        told[cell] = [answers[i] for i in rng.permutation(len(answers))[: min(ROUNDS, len(answers) // 2)]]
    return told


def _first(answers: Mapping[str, list[str]], rounds: int) -> dict[str, dict[str, int]]:
    out: dict[str, dict[str, int]] = {}
    for cell, told in answers.items():
        for answer in told[:rounds]:
            out.setdefault(cell, {})[answer] = out.get(cell, {}).get(answer, 0) + 1
    return out


def _remembering(made: dict[bytes, Honest]) -> scoring.Prepare:
    """What honest models score, worked out once for each number of answers."""

    def ready(known: Known, asked: np.ndarray) -> Honest:
        key = knowing.levelled(asked).tobytes()
        if key not in made:
            made[key] = knowing.honest(known, asked)
        return made[key]

    return ready


def _asked(
    answers: Mapping[str, list[str]], known: Known, ready: scoring.Prepare, looks: list[int]
) -> tuple[str | None, int]:
    """Who is named, if anybody, and after how many questions."""
    ends = [*looks, ROUNDS]
    for i, rounds in enumerate(ends):
        earlier = [_first(answers, before) for before in ends[:i]]
        later = [dict.fromkeys(answers, after) for after in ends[i + 1 :]]
        other = scoring.Looks(earlier, later)
        scores = scoring.score(_first(answers, rounds), known, alpha=0.01, prepare=ready, looks=other)
        best = scores.evidence[0]
        if deciding_p(best, scores.searched, 0.01)[0] <= 0.01 and best.llr > 0:
            return best.reference, rounds * CELLS
    return None, ROUNDS * CELLS
