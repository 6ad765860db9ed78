"""
Which of the published models are one model under two names, as far as 1,200 answers a side can say.

An API's name and its dated version, open weights and the vendor's name for them, names that a router sends to another
model: nothing that is asked here tells such a pair apart, so that a model left out of the database is not gone from it
as long as its twin is there.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from probe_match.fingerprinting.chat import single_token, tallies
from probe_match.fingerprinting.chat.equality import change_p
from probe_match.fingerprinting.chat.records import Counts
from probe_match.fingerprinting.chat.single_token import Suspect

CANDIDATES: Final = 200  # pairs of the least discrepancy, all others differ beyond doubt
UNEQUAL: Final = 0.01  # chance of so large a difference between two halves of one model's answers


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
