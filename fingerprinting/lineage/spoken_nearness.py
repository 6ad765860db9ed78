"""
How near language models are to each other by their one-word answers, question by question, so that questions may be
drawn again: the score that `match` decides by, between all known models at once.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from probe_match.fingerprinting.chat import known as knowing
from probe_match.fingerprinting.chat import single_token, tallies
from probe_match.fingerprinting.chat.records import Counts
from probe_match.fingerprinting.chat.single_token import LEAST_SELF, Suspect
from probe_match.fingerprinting.chat.standing import beyond, levels, peers


class Shared(NamedTuple):
    """
    s models beside m known ones on c questions; float32 (s, m, c), 0 where one of the two was not asked. nats:
    evidence that both answer alike. level: what they share with themselves. apart: their discrepancy. bits: their
    divergence, 0 to 1. put: whether both were asked. weight: float64 (s, 1), what a discrepancy of 1 takes away.
    """

    nats: np.ndarray
    level: np.ndarray
    apart: np.ndarray
    bits: np.ndarray
    put: np.ndarray
    weight: np.ndarray


def share(models: Sequence[Counts], known: Mapping[str, Counts], cells: Sequence[str]) -> Shared:
    """What some models share with the known ones, which may be the same, question by question."""
    nats, level, apart, bits, put = np.zeros((5, len(models), len(known), len(cells)), np.float32)
    for c, cell in enumerate(cells):
        table = tallies.tabulate(known, [cell])
        own, within = single_token.all_own_evidence(table), single_token.all_repeats(table)
        for i, counts in enumerate(models):
            met = single_token.meet(Suspect(*tallies.rows_of(table, counts)), table)
            mine = single_token.own_evidence(*met.suspect, table)
            put[i, :, c] = both = met.both[:, 0]
            nats[i, :, c] = single_token.evidence(met)
            level[i, :, c] = both * (own[:, 0] + mine) / 2
            apart[i, :, c] = single_token.discrepancy(
                met, within, single_token.repeats(*tallies.all_rows(counts, [cell]))
            )
            bits[i, :, c] = np.nan_to_num(single_token.divergence(met))
    asked = [np.array([sum(counts.get(cell, {}).values()) for cell in cells]) for counts in models]
    weight = np.array([knowing.discrepancy_weight(some) for some in asked]).reshape(-1, 1)

    return Shared(nats, level, apart, bits, put, weight)


def among(shared: Shared, times: np.ndarray) -> np.ndarray:
    """How far each pair of known models stands out, both ways; float64 (m, m), -inf of itself. times: int (c,)."""
    likeness, bonus = _near(shared, times)
    scores = peers(likeness, np.arange(len(likeness))) + bonus
    both = (scores + scores.T) / 2
    np.fill_diagonal(both, -np.inf)

    return both


def beside(shared: Shared, known: Shared, times: np.ndarray) -> np.ndarray:
    """How far models that nobody knows stand out with the known ones; float64 (s, m). times: int (c,)."""
    likeness, bonus = _near(shared, times)
    cohort, _ = _near(known, times)
    level = levels(cohort, np.arange(len(cohort)))

    return np.array([beyond(row, level) for row in likeness]).reshape(bonus.shape) + bonus


def distances(shared: Shared) -> np.ndarray:
    """Mean divergence over the questions both were asked, in bits, 1 where there is none; float64 (s, m)."""
    asked = shared.put.sum(2)
    return np.where(asked > 0, shared.bits.sum(2) / np.maximum(asked, 1), 1.0).astype(float)


def _near(shared: Shared, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `chat.known.near`, each question counted so many times; float64 (s, m) each."""
    many = np.maximum(shared.put @ times, 1.0)
    likeness = (shared.nats @ times) / np.maximum(shared.level @ times, LEAST_SELF * many)
    apart = (shared.apart @ times) / many

    return likeness, knowing.LIKENESS * likeness - shared.weight * apart
