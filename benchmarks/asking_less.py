"""What stopping early saves: one-word questions until a model can be named, against asking all of them."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from language_measures import share
from language_tokens import only
from probe_match.fingerprinting.chat import known as knowing
from probe_match.fingerprinting.chat import scoring, tallies
from probe_match.fingerprinting.chat.asking import looks_at
from probe_match.fingerprinting.chat.known import Honest, Known
from probe_match.fingerprinting.chat.records import Counts
from probe_match.fingerprinting.verdicts import is_match
from twins import twins

ALPHA: Final = 0.01
CELLS: Final = 16
ROUNDS: Final = 15


def measure(counts: Mapping[str, Counts], draws: int, known_draws: int = 3) -> list[list[str]]:
    """
    Rows of a table: every fifth model left out of the database, in turn, with looks and without, in so many draws; and
    all of them in the database, in the first known_draws.
    """
    names, same = list(counts), twins(counts, list(counts))
    cells = sorted({cell for given in counts.values() for cell in given})
    found: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for seed in range(draws):
        rng = np.random.default_rng(2000 + seed)
        used = sorted(rng.choice(cells, CELLS, replace=False))
        drawn = {name: _in_order(counts[name], used, rng) for name in names}
        rests = {name: tallies.without(counts[name], _first(drawn[name], ROUNDS)) for name in names}
        everybody, all_made = knowing.know(rests), dict[bytes, Honest]()
        tried: list[tuple[str, str, Known, dict[bytes, Honest]]] = []
        if seed < known_draws:
            tried += [("in the database", name, everybody, all_made) for name in names]
        for name in names[seed % 5 :: 5]:
            tried.append(("left out", name, only(everybody, rests, lambda other, name=name: other != name), {}))
        for where, name, known, made in tried:
            for how, looks in (("looks", looks_at(CELLS * ROUNDS, CELLS)), ("at the end", ())):
                said, itself, asked = _asked(drawn[name], known, _remembering(made), [n // CELLS for n in looks])
                kind = "none"
                if said is not None:
                    right = same[names.index(name), names.index(said)]
                    whom = "right" if right else "sibling" if said.split("/")[0] == name.split("/")[0] else "stranger"
                    kind = f"{whom}, as {'itself' if itself else 'family'}"
                found.setdefault((where, how), []).append((kind, asked))

    return [_row(where, how, told) for (where, how), told in found.items()]


def _row(where: str, how: str, told: list[tuple[str, int]]) -> list[str]:
    kinds = [kind for kind, _ in told]
    itself = sum(kind in ("sibling, as itself", "stranger, as itself") for kind in kinds)
    stranger = sum(kind.startswith("stranger") for kind in kinds)
    asked = [asked for _, asked in told]
    named = [sum(kind.startswith(whom) for kind in kinds) / len(told) for whom in ("right", "sibling")]

    return [
        where, how, str(len(told)), f"{named[0]:.3f}", f"{kinds.count('right, as itself') / len(told):.3f}",
        f"{named[1]:.3f}", share(itself, len(told)), share(stranger, len(told)), f"{np.mean(asked):.0f}",
        f"{np.median(asked):.0f}",
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
) -> tuple[str | None, bool, int]:
    """Who is named, if anybody, whether as the model itself, and after how many questions."""
    ends = [*looks, ROUNDS]
    for i, rounds in enumerate(ends):
        earlier = [_first(answers, before) for before in ends[:i]]
        later = [dict.fromkeys(answers, after) for after in ends[i + 1 :]]
        other = scoring.Looks(earlier, later)
        scores = scoring.score(_first(answers, rounds), known, alpha=ALPHA, prepare=ready, looks=other)
        best = scores.evidence[0]
        if is_match(best, scores.searched, ALPHA):
            return best.reference, scores.relative <= ALPHA, rounds * CELLS
    return None, False, ROUNDS * CELLS
