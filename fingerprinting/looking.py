"""
Looking more than once: when asking may stop, and a p-value that holds whenever it does.

A suspect is looked at after 10, 15, 22, … answers. Its highest score so far is ranked among the highest that honest
peers reach over all looks, early or late (the maximum statistic of Westfall and Young 1993): whoever is exchangeable
with the peers gets a rank of at most p at some look with probability at most p. So asking may stop at the first look
that is clear. It may also stop where going on is hopeless: copies that are found in the end stand higher at this look.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.special import stdtr

from .methods import relative

FIRST_LOOK: Final = 10  # answers before the first decision
FEWEST_FOUND: Final = 4  # copies that must be found in the end for their scores to say where going on is hopeless

AnyScale = relative.Scale | relative.DeviationScale


def looks(budget: int) -> list[int]:
    """Numbers of answers at which a decision is tried: 10, 15, 22, … up to the budget."""
    at = [float(FIRST_LOOK)]
    while at[-1] * 1.5 < budget:
        at.append(at[-1] * 1.5)
    return [*(round(n) for n in at if n < budget), budget]


class Looks:
    """The scales of one reference at every look, rising: what peers and copies score on the way."""

    def __init__(self, scales: Sequence[AnyScale]) -> None:
        self.scales = scales
        self.honest: np.ndarray = np.max([scale.peer_scores for scale in scales], axis=0)
        self._copies = np.array([scale.shadows.score for scale in scales])

    def conformal(self, highest: np.ndarray, kin: np.ndarray) -> np.ndarray:
        """
        P-values of the highest scores so far, float64 (m,), by rank among the highest of peers over all looks.

        kin: bool (m,), which of them may be kin of the source, as far as their answers so far tell.
        """
        return self.scales[-1].rank(highest, self.honest, kin)

    def hopeless(self, at: int, scores: np.ndarray, alpha: float) -> np.ndarray:
        """
        Bool (m,): scores at look `at` lower than a copy that is found in the end would score, but for a share of alpha.

        The Student-t tail below the copies made on purpose, and below the lowest of them. Never, where too few are
        found, and at the last look.
        """
        found = self.conformal(self._copies.max(0), self.scales[-1].shadows.kin) <= alpha
        copies = self._copies[at][found]
        m = len(copies)
        if m < FEWEST_FOUND or at == len(self.scales) - 1:
            return np.zeros(len(scores), bool)
        spread = max(float(copies.std(ddof=1)) * float(np.sqrt(1 + 1 / m)), 1e-9)

        return np.asarray((stdtr(m - 1, (scores - copies.mean()) / spread) <= alpha) & (scores < copies.min()))
