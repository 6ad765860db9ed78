"""
The scale of a regressor: does the suspect deviate from honest models where and as the source does?

How much a suspect keeps of the source's deviation (see `residuals`), stretched as Fisher's z stretches a correlation,
is one nearly normal number however correlated a model's deviations are among themselves. Its ratio is that of two
densities of z: a Student t through the honest peers that calibrate, and a mixture over degrees of keeping, part of it
where the shadows stand and part open, as thieves need not resemble the shadows.
"""

from functools import cached_property
from typing import Final

import numpy as np
from probe_match.fingerprinting import residuals
from probe_match.fingerprinting.calibration import standardise, tails
from probe_match.fingerprinting.records import Panel, Reference
from scipy.special import logsumexp

from ._weighed import FEW_PEERS, Weighed, rank_by_kind

OPEN_SHARE: Final = 0.3  # of the mixture that does not resemble the shadows
OPEN: Final = 8  # degrees of retention in it
KERNEL_FREEDOM: Final = 4  # degrees of freedom of each part of the mixture
MOST_FREEDOM: Final = 10  # of the honest density: however many peers, a new model may be wilder
KIN_LEVEL: Final = 0.05  # share of the source's kin that look less like kin than a suspect held to be none
LEAST_WIDTH: Final = 0.1  # of each part, in z


class DeviationScale:
    """
    One regressor's measure of how derived suspects look, on the probes they have answered.

    reference: one with a panel. rows: int (t,), the probes that count. soft: always, as numbers come as scores.
    """

    def __init__(self, reference: Reference, rows: np.ndarray, soft: bool = True) -> None:
        self.soft = soft
        assert reference.panel is not None
        assert reference.answers.score is not None
        self.panel: Panel = reference.panel
        self.rows = rows
        self.source: np.ndarray = reference.answers.score[rows, 0].astype(np.float64)

    @cached_property
    def honest(self) -> np.ndarray:
        """Float64 (p, t): numbers of the peers that chose the probes or are set aside for estimating, kin left out."""
        return self._values(np.setdiff1d(self._fitting, self.panel.rows("kin peer")))

    @cached_property
    def space(self) -> residuals.Space:
        """From the peers that chose the probes or are set aside for estimating."""
        kin = np.intersect1d(self._fitting, self.panel.rows("kin peer"))
        return residuals.fit_space(self.honest, self._values(kin), self._values(self.panel.rows("shadow")), self.source)

    @property
    def _fitting(self) -> np.ndarray:
        return self.panel.rows("peer", "select", "estimate")

    def weigh(self, labels: np.ndarray, scores: np.ndarray | None = None) -> Weighed:
        """
        How derived m models look. labels: int (m, t), of no meaning. scores: float (m, t, 1), their numbers.

        conformal, predictive: as for classifiers, by rank and by the Student-t tail of z, for the worst kind of peers;
        far below what the number of peers can show, the ratio must agree.
        """
        assert scores is not None
        z = self._z(scores[:, :, 0])
        llr = self._llr(z)
        tail = np.max([tails(z, group) for group in self._honest], axis=0)
        bound = np.minimum(np.exp(-np.maximum(llr, 0.0)), 1 / (len(self.peer_scores) + 1) ** 2)
        score = standardise(z, self._honest[0])

        kin = self._may_be_kin(scores[:, :, 0])

        return Weighed(llr, score, np.maximum(tail, bound), self.rank(score, self.peer_scores, kin), kin)

    def rank(self, scores: np.ndarray, honest: np.ndarray, kin: np.ndarray) -> np.ndarray:
        """P-values of m scores among those of the calibration peers, float (p,). kin: bool (m,), as in Weighed."""
        return rank_by_kind(scores, honest, self._roles == "kin peer", kin)

    def _may_be_kin(self, values: np.ndarray) -> np.ndarray:
        """
        Bool (m,): models (m, t) that are as likely among the source's kin, rather than among other honest models, as
        kin are themselves, but for KIN_LEVEL of these. Any may be where too few kin are known.
        """
        known = self._values(np.intersect1d(self._fitting, self.panel.rows("kin peer")))
        calibrating = self._values(self._calibration[self._roles == "kin peer"])
        if min(len(known), len(self.honest), len(calibrating)) < FEW_PEERS:
            return np.ones(len(values), bool)
        own, others = (residuals.deviations(of, self.space) for of in (known, self.honest))

        def likely(models: np.ndarray) -> np.ndarray:
            given = residuals.deviations(models, self.space)
            density = [
                residuals.log_student(given, KERNEL_FREEDOM, of.mean(0), of.std(0, ddof=1) + LEAST_WIDTH).sum(1)
                for of in (own, others)
            ]
            return np.asarray(density[0] - density[1])

        return np.asarray(likely(values) >= np.quantile(likely(calibrating), KIN_LEVEL))

    def likeness(self, labels: np.ndarray, scores: np.ndarray | None) -> float:
        """Correlation of one suspect's deviations with the source's, -1 to 1. scores: float (t, 1)."""
        assert scores is not None
        return float(residuals.likeness(scores[None, :, 0], self.source, self.space)[0])

    @cached_property
    def peer_scores(self) -> np.ndarray:
        """float64 (p,): scores of the honest peers set aside for calibration."""
        return standardise(self._honest[0], self._honest[0])

    @cached_property
    def shadows(self) -> Weighed:
        """How derived the shadows look."""
        rows = self.panel.rows("shadow")
        values = self._values(rows)
        return self.weigh(np.zeros(values.shape, int), values[:, :, None])

    def nearest_peer(self) -> tuple[str, float] | None:
        """Name and score of the calibration peer that looks most derived."""
        if len(self.peer_scores) == 0:
            return None
        best = int(self.peer_scores.argmax())
        return self.panel.names[self._calibration[best]], float(self.peer_scores[best])

    def _z(self, values: np.ndarray) -> np.ndarray:
        kept = residuals.kept(values, self.source, self.space)
        return np.asarray(np.arctanh(np.clip(kept, -residuals.MOST, residuals.MOST)))

    def _llr(self, z: np.ndarray) -> np.ndarray:
        honest = [_density(z, group) for group in self._honest if len(group) > 1]
        if not honest:
            return np.zeros(len(z))
        peers = self._honest[0]
        width = max(float(peers.std(ddof=1)), LEAST_WIDTH)
        copies = self._z(self._values(self.panel.rows("shadow")))
        low = float(peers.mean()) + 2 * width
        open_ = np.linspace(low, max(float(copies.max(initial=low)), low + width), OPEN)
        shares = [np.full(OPEN, OPEN_SHARE / OPEN), np.full(len(copies), (1 - OPEN_SHARE) / max(len(copies), 1))]
        centres = np.concatenate([open_, copies])
        parts = residuals.log_student(z[:, None], KERNEL_FREEDOM, centres, width) + np.log(np.concatenate(shares))

        return np.asarray(logsumexp(parts, axis=1) - np.max(honest, axis=0))

    @cached_property
    def _honest(self) -> list[np.ndarray]:
        """Z of all calibration peers, and of each kind of which there are enough."""
        z = self._z(self._values(self._calibration))
        kinds = [z[self._roles == role] for role in np.unique(self._roles)]
        return [z, *(kind for kind in kinds if len(kind) >= FEW_PEERS)]

    @cached_property
    def _roles(self) -> np.ndarray:
        return np.array([self.panel.roles[i] for i in self._calibration])

    @cached_property
    def _calibration(self) -> np.ndarray:
        return self.panel.rows("peer", "calibrate")

    def _values(self, models: np.ndarray) -> np.ndarray:
        return residuals.values_of(self.panel)[models][:, self.rows]


def _density(z: np.ndarray, peers: np.ndarray) -> np.ndarray:
    """Log of the Student-t predictive density at z (m,), from the z of peers."""
    m = len(peers)
    return np.asarray(
        residuals.log_student(
            z, min(m - 1, MOST_FREEDOM), peers.mean(), max(peers.std(ddof=1), 1e-3) * np.sqrt(1 + 1 / m)
        )
    )
