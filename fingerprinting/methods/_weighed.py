"""What the scales of classifiers and of regressors both say of a suspect."""

from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.calibration import ENOUGH, ranks, tails

FEW_PEERS: Final = 8  # below this, a kind of peers has no tail of its own


class Weighed(NamedTuple):
    """
    What the answers of m models show, float64 (m,) each. llr: nats. score: standard deviations above honest peers.

    predictive, conformal: how often an honest model would look as derived, see `Scale.weigh`.
    """

    llr: np.ndarray
    score: np.ndarray
    predictive: np.ndarray
    conformal: np.ndarray


def rank_by_kind(scores: np.ndarray, honest: np.ndarray, kin: np.ndarray) -> np.ndarray:
    """
    P-values of m scores by rank among honest peers, float (p,), in the worst of their kinds; float64 (m,).

    kin: bool (p,). Among all, among kin alone, who are of the source's class and know its data, and among the others
    alone: a suspect may be of either kind. Above all of a kind of which there are fewer than 99, its tail says how far.
    """
    worst = ranks(scores, honest)
    for group in (honest[kin], honest[~kin]):
        if FEW_PEERS <= len(group) < len(honest):
            own = ranks(scores, group)
            if len(group) < ENOUGH:
                own = np.where(own > 1 / (len(group) + 1), own, np.minimum(own, tails(scores, group)))
            worst = np.maximum(worst, own)

    return worst
