"""Figures of family trees: whom one-word answers link, among known models and of endpoints asked 48 questions."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from language_measures import share
from probe_match.fingerprinting.chat import tallies
from probe_match.fingerprinting.chat.records import Bank, ChatReference, Counts, Question
from probe_match.fingerprinting.lineage import spoken
from probe_match.fingerprinting.lineage.growing import Lineage
from probe_match.fingerprinting.records import About
from token_models import descent, vendor

CELLS, ANSWERS, EVERY = 16, 3, 5  # questions and answers to each of an endpoint; every fifth model is left out
LINKED: Final = ("itself", "same vendor", "descent", "stranger", "nobody")
HEADS: Final = "models|n|" + "|".join(LINKED) + "|processor seconds a tree"


def measure(counts: Mapping[str, Counts], draws: int, seed: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """A row for pairs of known models and for endpoints, in the database and left out of it."""
    cells = sorted({cell for given in counts.values() for cell in given})
    bank = Bank("b", tuple(Question(cell, "one-word", cell) for cell in cells))
    started = time.process_time()
    whole = spoken.grow(_references(counts, bank), {})
    seconds = [time.process_time() - started]
    rows = [{"models": "known, by links", "linked": Counter(_kind(a.parent, a.child) for a in whole.links),
             "seconds": seconds}]  # fmt: skip
    found: dict[str, Counter[str]] = {"endpoint, in the database": Counter(), "endpoint, left out": Counter()}
    for draw in range(draws):
        rng = np.random.default_rng(seed + draw)
        used = rng.choice(cells, CELLS, replace=False)
        parts = {name: tallies.thin(given, dict.fromkeys(used, ANSWERS), rng) for name, given in counts.items()}
        rest = {name: tallies.without(given, parts[name]) for name, given in counts.items()}
        told = {f"asked {name}": part for name, part in parts.items()}
        tree = spoken.grow(_references(rest, bank), told, resamples=0)
        found["endpoint, in the database"].update(_hung(tree, name) for name in counts)
        for name in list(counts)[draw % EVERY :: EVERY]:
            others = {other: given for other, given in counts.items() if other != name}
            tree = spoken.grow(_references(others, bank), {f"asked {name}": parts[name]}, resamples=0)
            found["endpoint, left out"][_hung(tree, name)] += 1
        say(f"trees, draw {draw}")

    return [*rows, *({"models": who, "linked": linked} for who, linked in found.items())]


def rendered(row: Mapping[str, Any]) -> list[str]:
    """The cells of a row of the table, see HEADS."""
    n = sum(row["linked"].values())
    seconds = f"{np.mean(row['seconds']):.1f}" if "seconds" in row else ""
    return [row["models"], str(n), *(share(row["linked"].get(kind, 0), n) for kind in LINKED), seconds]


def _references(counts: Mapping[str, Counts], bank: Bank) -> dict[str, ChatReference]:
    asked = {name: {cell: sum(some.values()) for cell, some in given.items()} for name, given in counts.items()}
    return {name: ChatReference(name, About(), bank, given, asked[name]) for name, given in counts.items()}


def _hung(tree: Lineage, name: str) -> str:
    """What the model that an endpoint hangs on is to it."""
    above = [link.parent for link in tree.links if link.child == f"asked {name}"]
    return _kind(above[0], name) if above else "nobody"


def _kind(one: str, other: str) -> str:
    if one == other:
        return "itself"
    if vendor(one) == vendor(other):
        return "same vendor"
    return "descent" if descent(one, other) else "stranger"
