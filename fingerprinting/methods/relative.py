"""
Two-pool likelihood ratio: is the suspect nearer to the source than honest peers are? The default method.

The score is log P(labels | derived) - log P(labels | peer), both learnt at enrolment from shadows and peers (see
`likelihood`), in standard deviations above honest peers that neither chose the probes nor fitted the likelihoods.
Raw similarity never decides: an honest model of the same data can agree more than a stolen copy does.
"""

from functools import cached_property
from typing import Final

import numpy as np
from probe_match.fingerprinting.calibration import PValues, p_values
from probe_match.fingerprinting.errors import NoAnswers
from probe_match.fingerprinting.likelihood import Mixtures, fit_mixtures, log_ratio
from probe_match.fingerprinting.records import UNANSWERED, Panel, ProbeSuite, Reference, Responses, Signature

READS: Final = {"label"}
FEW_PEERS: Final = 8  # below this, a kind of peers has no tail of its own
FEW_SHADOWS: Final = 6  # below this, shadows that chose the probes also fit the likelihoods


def represent(responses: Responses, suite: ProbeSuite) -> Signature:
    """The label per probe."""
    return Signature("relative", suite.digest, responses.label, responses.answered)


class Scale:
    """
    One reference's measure of how derived a suspect looks, on the probes the suspect has answered so far.

    reference: one with a panel. rows: int (t,), the suite's probes in the order in which they were answered.
    """

    def __init__(self, reference: Reference, rows: np.ndarray) -> None:
        if reference.panel is None:
            raise NoAnswers(f"reference '{reference.name}' has no peers; enroll it with --pool to train some")
        self.panel: Panel = reference.panel
        self.rows = rows
        self.source = reference.answers.label[rows]
        self.k = _classes(reference)

    @cached_property
    def mixtures(self) -> Mixtures:
        """Likelihoods of the rows' answers, from the peers and shadows set aside for estimating."""
        peers = self.panel.rows("peer", "estimate")
        shadows = self.panel.rows("shadow", "estimate")
        if len(shadows) < FEW_SHADOWS:
            shadows = self.panel.rows("shadow")
        return fit_mixtures(self.source, self._labels(peers), self._labels(shadows), self.k)

    @cached_property
    def peers(self) -> np.ndarray:
        """float64 (m,): log-likelihood ratios of the honest peers set aside for calibration."""
        return log_ratio(self._labels(self._calibration), self.source, self.mixtures)[:, -1]

    @cached_property
    def shadows(self) -> np.ndarray:
        """float64 (s,): log-likelihood ratios of the shadows, for the share of copies these probes find."""
        return log_ratio(self.shadow_labels, self.source, self.mixtures)[:, -1]

    @cached_property
    def shadow_labels(self) -> np.ndarray:
        """int64 (s, t): what the shadows answered to the rows."""
        return self._labels(self.panel.rows("shadow"))

    @property
    def _calibration(self) -> np.ndarray:
        return self.panel.rows("peer", "calibrate")

    def llr(self, labels: np.ndarray) -> float:
        """Log-likelihood ratio of a suspect's labels to the rows; int (t,), UNANSWERED says nothing. Nats."""
        return float(log_ratio(labels[None], self.source, self.mixtures)[0, -1])

    def score(self, llr: float) -> float:
        """A log-likelihood ratio in standard deviations above the calibration peers' mean."""
        peers = self.peers
        spread = float(peers.std(ddof=1)) if len(peers) > 1 else 1.0
        return (llr - float(peers.mean() if len(peers) else 0.0)) / max(spread, 1e-9)

    def p_values(self, labels: np.ndarray, llr: float) -> PValues:
        """
        How often an honest model would look as derived; labels: int (t,), and their log-likelihood ratio.

        conformal: by rank of the log-likelihood ratio among the peers. predictive: the Student-t tail of the weighted
        agreement, a plain sum over probes and so nearly normal among peers, for the worse of two kinds of peers: an
        honest suspect may have seen the data the probes come from, or not. Far below what m peers can show by rank,
        from 1/(m + 1)^2 on, a fitted tail alone is a guess: the ratio's own bound exp(-llr) (Ville 1939) must agree.
        """
        agreement = self._agreement(labels[None])[0]
        tail = max(p_values(agreement, group).predictive for group in self._honest_agreement)
        bound = min(float(np.exp(-max(llr, 0.0))), 1 / (len(self.peers) + 1) ** 2)

        return PValues(max(tail, bound), p_values(llr, self.peers).conformal)

    @cached_property
    def _honest_agreement(self) -> list[np.ndarray]:
        """Weighted agreement of all calibration peers, and of each kind of which there are enough."""
        honest = self._agreement(self._labels(self._calibration))
        roles = np.array([self.panel.roles[i] for i in self._calibration])
        kinds = [honest[roles == role] for role in np.unique(roles)]
        return [honest, *(kind for kind in kinds if len(kind) >= FEW_PEERS)]

    def _agreement(self, labels: np.ndarray) -> np.ndarray:
        """Agreement with the source, each probe by its log-likelihood ratio at full retention; float64 (m,), nats."""
        rates = self.mixtures.rates
        p0 = rates.frequency[np.arange(len(self.source)), self.source]
        p1 = rates.retention + (1 - rates.retention) * p0
        same = np.where(labels == self.source, np.log(p1 / p0), np.log((1 - p1) / (1 - p0)))

        return np.where(labels == UNANSWERED, 0.0, same).sum(1)

    def nearest_peer(self) -> tuple[str, float]:
        """Name and score of the calibration peer that looks most derived."""
        best = int(self.peers.argmax())
        return self.panel.names[self._calibration[best]], self.score(float(self.peers[best]))

    def _labels(self, models: np.ndarray) -> np.ndarray:
        return self.panel.labels[models][:, self.rows].astype(np.int64)


def scale(reference: Reference, labels: np.ndarray) -> Scale:
    """The scale over the answered probes; labels: int64 (n,) over the reference's suite. Raises NoAnswers if none."""
    rows = np.flatnonzero(labels != UNANSWERED)
    if len(rows) == 0:
        raise NoAnswers(f"none of the {len(labels)} probes was answered; collect again")
    return Scale(reference, rows)


def _classes(reference: Reference) -> int:
    highest = int(reference.answers.labels.max())
    if reference.panel is not None:
        highest = max(highest, int(reference.panel.labels.max()))
    scores = reference.answers.scores
    return max(highest + 1, 2 if scores is None else scores.shape[2], len(reference.suite.classes))
