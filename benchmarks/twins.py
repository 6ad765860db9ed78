"""
Which of the published models are one model under two names, as far as 1,200 answers a side can say.

An API's name and its dated version, open weights and the vendor's name for them, names that a router sends to another
model: nothing that is asked here tells such a pair apart, so that a model left out of the database is not gone from it
as long as its twin is there.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from probe_match.fingerprinting.chat import single_token, tallies
from probe_match.fingerprinting.chat.equality import change_p
from probe_match.fingerprinting.chat.records import Counts
from probe_match.fingerprinting.chat.single_token import Suspect
from token_models import vendor

CANDIDATES: Final = 200  # pairs of the least discrepancy, all others differ beyond doubt
UNEQUAL: Final = 0.01  # chance of so large a difference between two halves of one model's answers
RELABELINGS: Final = 1000  # of each of the two tests that look at a pair again
SHARES: Final = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)  # of answers, given by another model instead
TRIALS: Final = 20  # of each share
KNOWN: Final = {  # what makers say of pairs of names, from public model cards and lists of names
    ("openai/gpt-4o", "openai/gpt-4o-2024-08-06"): "alias and its dated version",
    ("openai/gpt-4o-mini", "openai/gpt-4o-mini-2024-07-18"): "alias and its dated version",
    ("meta-llama/llama-3.1-8b-instruct", "meta-llama/llama-3.2-11b-vision-instruct"):
        "the second's text weights are the first's, an image part was added",
    ("qwen/qwen3.5-35b-a3b", "qwen/qwen3.5-flash-02-23"): "open weights and the vendor's name for them",
    ("qwen/qwen3.5-397b-a17b", "qwen/qwen3.5-plus-02-15"): "open weights and the vendor's name for them",
    ("qwen/qwen3.6-35b-a3b", "qwen/qwen3.6-flash"): "open weights and the vendor's name for them",
}  # fmt: skip
HEADS: Final = "two names|what makers say|equal by G, p|by squared differences, p|noticed from"


def twins(counts: Mapping[str, Counts], names: Sequence[str]) -> np.ndarray:
    """Pairs as bool (m, m), symmetric, True on the diagonal: equality of all answers is not rejected at 1 %."""
    table = tallies.tabulate({name: counts[name] for name in names})
    within = single_token.all_repeats(table)
    apart = np.array([
        single_token.discrepancy(single_token.meet(Suspect(*tallies.row(table, i)), table), within, within[i])
        for i in range(len(names))
    ])  # fmt: skip
    same = np.eye(len(names), dtype=bool)
    i, j = np.tril_indices(len(names), -1)
    for at in np.argsort(apart[i, j])[:CANDIDATES]:
        a, b = names[i[at]], names[j[at]]
        same[i[at], j[at]] = change_p(counts[a], counts[b], np.random.default_rng(0), 400) > UNEQUAL

    return np.asarray(same | same.T)


def ceiling(same: np.ndarray) -> tuple[float, float]:
    """
    The best that telling twins apart by chance allows: top-1, and the AUROC of noticing that a model was left out.

    For models with and without twins, their best scores with and without themselves having one distribution.
    """
    number = same.sum(1)
    with_twin = float((number > 1).mean())

    return float((1 / number).mean()), 1 - with_twin / 2


def looked_at_again(counts: Mapping[str, Counts], same: np.ndarray) -> list[dict[str, Any]]:
    """
    Each pair of twins by other means than the one that found it, with other seeds. p_g: as `twins`, of more
    relabelings. p_squares: by the sum of squared differences of shares, which weighs common answers where G weighs rare
    ones. noticed: the least of SHARES of one's answers, given by the nearest model of another vendor instead, that G
    finds in nine trials of ten, or None.
    """
    names = list(counts)
    rows = []
    for i, j in zip(*np.nonzero(np.tril(same, -1)), strict=True):
        pair = sorted((names[i], names[j]))
        one, other = (counts[name] for name in pair)
        rng = np.random.default_rng(7)
        rows.append({
            "names": pair, "known": KNOWN.get((pair[0], pair[1])), "p_g": change_p(one, other, rng, RELABELINGS),
            "p_squares": _squares_p(one, other, rng),
            "noticed": _noticed(one, other, counts[_stranger(counts, pair[0])], rng),
        })  # fmt: skip
    return sorted(rows, key=lambda row: row["names"])


def rendered(row: Mapping[str, Any]) -> list[str]:
    """The cells of a row of the table, see HEADS."""
    noticed = f"{row['noticed']:.0%} of answers" if row["noticed"] else f"more than {SHARES[-1]:.0%}"
    return [
        " = ".join(row["names"]), row["known"] or "nothing that we know of", f"{row['p_g']:.3f}",
        f"{row['p_squares']:.3f}", noticed,
    ]  # fmt: skip


def _matrices(one: Counts, other: Counts) -> list[np.ndarray]:
    """int64 (2, v) of each cell that both answered."""
    cells = sorted(one.keys() & other.keys())
    answers = [sorted({*one[cell], *other[cell]}) for cell in cells]
    return [
        np.array([[some[cell].get(a, 0) for a in said] for some in (one, other)])
        for cell, said in zip(cells, answers, strict=True)
    ]


def _squares_p(one: Counts, other: Counts, rng: np.random.Generator) -> float:
    observed, dealt = 0.0, np.zeros(RELABELINGS)
    for table in _matrices(one, other):
        sizes, whole = table.sum(1), table.sum(0)
        observed += float(((table[0] / sizes[0] - table[1] / sizes[1]) ** 2).sum())
        new = rng.multivariate_hypergeometric(whole, int(sizes[0]), size=RELABELINGS)
        dealt += ((new / sizes[0] - (whole - new) / sizes[1]) ** 2).sum(1)
    return float((1 + (dealt >= observed - 1e-12).sum()) / (RELABELINGS + 1))


def _stranger(counts: Mapping[str, Counts], model: str) -> str:
    """The model of another vendor that is most like one, by the squared differences of shares."""

    def apart(name: str) -> float:
        shares = [table / table.sum(1, keepdims=True) for table in _matrices(counts[model], counts[name])]
        return float(np.mean([((p - q) ** 2).sum() for p, q in shares]))

    return min((name for name in counts if vendor(name) != vendor(model)), key=apart)


def _noticed(one: Counts, other: Counts, third: Counts, rng: np.random.Generator) -> float | None:
    for share in SHARES:
        found = 0
        for _ in range(TRIALS):
            mixed = {}
            for cell, given in one.items():
                n, there = sum(given.values()), sum(third.get(cell, {}).values())
                swapped = min(int(rng.binomial(n, share)), there)
                kept, new = (
                    tallies.thin({cell: some}, {cell: k}, rng).get(cell, {})
                    for some, k in ((given, n - swapped), (third.get(cell, {}), swapped))
                )
                mixed[cell] = {a: kept.get(a, 0) + new.get(a, 0) for a in {*kept, *new}}
            found += change_p(mixed, other, rng, 200) <= UNEQUAL
        if found >= 0.9 * TRIALS:
            return share
    return None
