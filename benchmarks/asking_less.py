"""What stopping early saves: one-word questions until a model can be named, against asking all of them."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from language_measures import share
from language_verdicts import LEFT, only, ready_for, whose, wrong
from probe_match.fingerprinting.chat import known as knowing
from probe_match.fingerprinting.chat import scoring, tallies
from probe_match.fingerprinting.chat.asking import looks_at
from probe_match.fingerprinting.chat.equality import QUICK, change_p
from probe_match.fingerprinting.chat.judging import related
from probe_match.fingerprinting.chat.known import Honest, Known
from probe_match.fingerprinting.chat.records import Counts
from probe_match.fingerprinting.verdicts import is_match
from twins import twins

ALPHA: Final = 0.01
CELLS: Final = 16
ROUNDS: Final = 15
HEADS: Final = (
    "suspects|judged|draws|n|it or its twin|as itself|a relative, as family|wrongly itself|wrong family|"
    "questions, mean|median"
)


def measure(
    counts: Mapping[str, Counts], draws: int, seed: int, say: Callable[[str], None], known_draws: int = 3
) -> list[dict[str, Any]]:
    """
    What is said of every fifth model left out of the database, in turn, with looks and without, in so many draws; and
    of all of them in the database, in the first known_draws. A row for each, with the questions of every trial.
    """
    names, same = list(counts), twins(counts, list(counts))
    cells = sorted({cell for given in counts.values() for cell in given})
    told: dict[tuple[str, str], Counter[str]] = {}
    questions: dict[tuple[str, str], list[int]] = {}
    for draw in range(draws):
        rng = np.random.default_rng(seed + draw)
        used = sorted(rng.choice(cells, CELLS, replace=False))
        drawn = {name: _in_order(counts[name], used, rng) for name in names}
        rests = {name: tallies.without(counts[name], _first(drawn[name], ROUNDS)) for name in names}
        ready = ready_for(rests, used)
        tried: list[tuple[str, str, Known, dict[bytes, Honest]]] = []
        if draw < known_draws:
            everybody = only(ready, rests, lambda _: True)
            all_made = dict[bytes, Honest]()
            tried += [("in the database", name, everybody, all_made) for name in names]
        for name in names[draw % LEFT :: LEFT]:
            tried.append(("left out", name, only(ready, rests, lambda other, name=name: other != name), {}))
        for where, name, known, made in tried:
            for how, looks in (("looks", looks_at(CELLS * ROUNDS, CELLS)), ("at the end", ())):
                asked = _asked(drawn[name], known, rests, _remembering(made), [n // CELLS for n in looks])
                kind = f"{whose(name, asked.named, names, same)}, as {asked.how}" if asked.named else "nobody"
                told.setdefault((where, how), Counter())[kind] += 1
                questions.setdefault((where, how), []).append(asked.questions)
        say(f"looks, draw {draw + 1} of {draws}")

    return [
        {"suspects": where, "judged": how, "draws": known_draws if where == "in the database" else draws, "seed": seed,
         "said": dict(said), "questions": questions[where, how]}
        for (where, how), said in told.items()
    ]  # fmt: skip


def rendered(row: Mapping[str, Any]) -> list[str]:
    """The cells of a row of the table, see HEADS."""
    said, n = row["said"], sum(row["said"].values())
    right = sum(said.get(f"right, as {how}", 0) for how in ("itself", "family"))
    sibling = sum(said.get(f"{whom}, as family", 0) for whom in ("same vendor", "descent"))
    itself, family = wrong(said)
    asked = row["questions"]
    return [
        row["suspects"], row["judged"], str(row["draws"]), str(n), share(right, n),
        share(said.get("right, as itself", 0), n), share(sibling, n), share(itself, n), share(family, n),
        f"{np.mean(asked):.0f}", f"{np.median(asked):.0f}",
    ]  # fmt: skip


class Asked(NamedTuple):
    """Who is named, "" for nobody, as "itself" or "family", and after how many questions."""

    named: str
    how: str
    questions: int


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
    answers: Mapping[str, list[str]],
    known: Known,
    rests: Mapping[str, Counts],
    ready: scoring.Prepare,
    looks: list[int],
) -> Asked:
    ends = [*looks, ROUNDS]
    for i, rounds in enumerate(ends):
        earlier = [_first(answers, before) for before in ends[:i]]
        later = [dict.fromkeys(answers, after) for after in ends[i + 1 :]]
        so_far = _first(answers, rounds)
        scores = scoring.score(so_far, known, alpha=ALPHA, prepare=ready, looks=scoring.Looks(earlier, later))
        best = scores.evidence[0]
        if is_match(best, scores.searched, ALPHA):
            how = related(scores, change_p(so_far, rests[best.reference], np.random.default_rng(0), QUICK), ALPHA)
            if how is not None:
                return Asked(best.reference, "itself" if how == "itself" else "family", rounds * CELLS)
    return Asked("", "", ROUNDS * CELLS)
