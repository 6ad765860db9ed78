"""What the scales of classifiers and of regressors both say of a suspect."""

from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.calibration import ENOUGH, ranks, tails

FEW_PEERS: Final = 8  # below this, a kind of peers has no tail of its own


class Weighed(NamedTuple):
    """
    What the answers of m models show, float64 (m,) each. llr: nats. score: standard deviations above honest peers.

    predictive, conformal: how often an honest model would look as derived, see `Scale.weigh`. kin: bool (m,), whether
    the model may be of the source's class and data, as far as its answers tell.
    """

    llr: np.ndarray
    score: np.ndarray
    predictive: np.ndarray
    conformal: np.ndarray
    kin: np.ndarray


def rank_by_kind(scores: np.ndarray, honest: np.ndarray, kin: np.ndarray, may_be_kin: np.ndarray) -> np.ndarray:
    """
    P-values of m scores by rank among honest peers, float (p,), in the worst of their kinds; float64 (m,).

    kin: bool (p,), peers of the source's class who know its data. may_be_kin: bool (m,). A suspect is ranked among the
    other peers and, where it may be kin, among kin, if that is worse. Above all of a kind of which there are fewer than
    99, its tail says how far; where a kind has fewer than 8, all are one.
    """
    everyone = np.ones(len(scores), bool)
    groups = [(honest[~kin], everyone), (honest[kin], may_be_kin)]
    if min(len(group) for group, _ in groups) < FEW_PEERS:
        return ranks(scores, honest)
    worst = np.full(len(scores), 1 / (len(honest) + 1))
    for group, counts in groups:
        own = ranks(scores, group)
        if len(group) < ENOUGH:
            own = np.where(own > 1 / (len(group) + 1), own, np.minimum(own, tails(scores, group)))
        worst = np.where(counts, np.maximum(worst, own), worst)

    return worst
