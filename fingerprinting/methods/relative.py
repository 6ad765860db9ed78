"""
Two-pool likelihood ratio: is the suspect nearer to the source than honest peers are? The default method.

The score is log P(labels | derived) - log P(labels | peer), both learnt at enrolment from shadows and peers (see
`likelihood`), in standard deviations above honest peers that neither chose the probes nor fitted the likelihoods.
Raw similarity never decides: an honest model of the same data can agree more than a stolen copy does.

Where scores are given, half a standard deviation counts for every standard deviation by which the suspect prefers the
source's label to the peers' favourite more than honest peers do. The preference is squashed, probe by probe, so that
how sure of itself a model class is does not drown what it says; other uses of scores made the labels' verdict worse.
"""

from functools import cached_property
from typing import Final

import numpy as np
from probe_match.fingerprinting.calibration import PValues, p_values, standardise
from probe_match.fingerprinting.errors import NoAnswers
from probe_match.fingerprinting.likelihood import Mixtures, fit_mixtures, log_ratio
from probe_match.fingerprinting.records import UNANSWERED, Panel, ProbeSuite, Reference, Responses, Signature

READS: Final = {"label"}
PREFERENCE_WEIGHT: Final = 0.5  # of scores beside labels, in standard deviations
LOWEST: Final = 5e-3  # a probability below this says no more than this
FEW_PEERS: Final = 8  # below this, a kind of peers has no tail of its own
FEW_SHADOWS: Final = 6  # below this, shadows that chose the probes also fit the likelihoods


def represent(responses: Responses, suite: ProbeSuite) -> Signature:
    """The label per probe."""
    return Signature("relative", suite.digest, responses.label, responses.answered)


class Scale:
    """
    One reference's measure of how derived a suspect looks, on the probes the suspect has answered so far.

    reference: one with a panel. rows: int (t,), the suite's probes in the order in which they were answered.
    scores: float (t, k), the suspect's, or None to go by labels alone.
    """

    def __init__(self, reference: Reference, rows: np.ndarray, scores: np.ndarray | None = None) -> None:
        if reference.panel is None:
            raise NoAnswers(f"reference '{reference.name}' has no peers; enroll it with --pool to train some")
        self.panel: Panel = reference.panel
        self.rows = rows
        self.source = reference.answers.label[rows]
        self.k = _classes(reference)
        known = None if self.panel.scores is None else self.panel.scores.shape[2]
        self.scores = scores if scores is not None and scores.shape[1] == known else None

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
        """The suspect's score, from its log-likelihood ratio and its scores, in standard deviations above the peers."""
        preference = None if self.scores is None else self._preference(self.scores[None])
        return float(self._standardised(np.array([llr]), preference)[0])

    @cached_property
    def peer_scores(self) -> np.ndarray:
        """float64 (m,): scores of the calibration peers."""
        return self._standardised(self.peers, self._peer_preference)

    @cached_property
    def shadow_scores(self) -> np.ndarray:
        """float64 (s,): scores of the shadows."""
        return self._standardised(self.shadows, self._panel_preference(self.panel.rows("shadow")))

    @cached_property
    def _peer_preference(self) -> np.ndarray | None:
        return self._panel_preference(self._calibration)

    def _panel_preference(self, models: np.ndarray) -> np.ndarray | None:
        if self.scores is None or self.panel.scores is None:
            return None
        return self._preference(self.panel.scores[models][:, self.rows].astype(float))

    def _preference(self, scores: np.ndarray) -> np.ndarray:
        """How far models (m, t, k) prefer the source's label to the peers' favourite; float64 (m,) in [-1, 1]."""
        at = np.arange(len(self.source))
        log = np.log(np.clip(scores, LOWEST, 1.0))
        favourite = self.mixtures.rates.frequency.argmax(1)

        return np.tanh(log[:, at, self.source] - log[:, at, favourite]).mean(1)

    def _standardised(self, llr: np.ndarray, preference: np.ndarray | None) -> np.ndarray:
        score = standardise(llr, self.peers)
        if preference is not None and self._peer_preference is not None:
            score = score + PREFERENCE_WEIGHT * standardise(preference, self._peer_preference)
        return score

    def p_values(self, labels: np.ndarray, llr: float, score: float) -> PValues:
        """
        How often an honest model would look as derived; labels: int (t,), with their ratio and score.

        conformal: by rank of the score among the peers. predictive: the Student-t tail of the weighted
        agreement, a plain sum over probes and so nearly normal among peers, for the worse of two kinds of peers: an
        honest suspect may have seen the data the probes come from, or not. Far below what m peers can show by rank,
        from 1/(m + 1)^2 on, a fitted tail alone is a guess: the ratio's own bound exp(-llr) (Ville 1939) must agree.
        """
        agreement = self._agreement(labels[None])[0]
        tail = max(p_values(agreement, group).predictive for group in self._honest_agreement)
        bound = min(float(np.exp(-max(llr, 0.0))), 1 / (len(self.peers) + 1) ** 2)

        return PValues(max(tail, bound), p_values(score, self.peer_scores).conformal)

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
        best = int(self.peer_scores.argmax())
        return self.panel.names[self._calibration[best]], float(self.peer_scores[best])

    def _labels(self, models: np.ndarray) -> np.ndarray:
        return self.panel.labels[models][:, self.rows].astype(np.int64)


def scale(reference: Reference, labels: np.ndarray, scores: np.ndarray | None = None) -> Scale:
    """
    The scale over the answered probes. Raises NoAnswers if there are none.

    labels: int64 (n,) over the reference's suite. scores: float (n, k), or None to go by labels alone.
    """
    rows = np.flatnonzero(labels != UNANSWERED)
    if len(rows) == 0:
        raise NoAnswers(f"none of the {len(labels)} probes was answered; collect again")
    return Scale(reference, rows, None if scores is None else scores[rows])


def _classes(reference: Reference) -> int:
    highest = int(reference.answers.labels.max())
    if reference.panel is not None:
        highest = max(highest, int(reference.panel.labels.max()))
    scores = reference.answers.scores
    return max(highest + 1, 2 if scores is None else scores.shape[2], len(reference.suite.classes))
