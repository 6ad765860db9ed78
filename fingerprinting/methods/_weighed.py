"""What the scales of classifiers and of regressors both say of a suspect."""

from typing import Final, NamedTuple

import numpy as np

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
