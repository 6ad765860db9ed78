"""
Two-pool likelihood ratio: is the suspect nearer to the source than honest peers are? The default method.

The score is the log ratio of how likely a typical answer is of a derived model and of a peer, both learnt at enrolment
from shadows and peers (see `likelihood`), in standard deviations above honest peers that neither chose the probes nor
fitted the likelihoods.
Raw similarity never decides: an honest model of the same data can agree more than a stolen copy does.

Where scores are given, half a standard deviation counts for every standard deviation by which the suspect prefers the
source's label to the peers' favourite more than honest peers do. The preference is squashed, probe by probe, so that
how sure of itself a model class is does not drown what it says. And agreement beyond that of honest models, and scores
nearer to the source's than theirs, count as far as they go beyond, whatever the ratio says: so copies of the weights
are found where all models agree.
"""

from functools import cached_property, lru_cache
from typing import Final

import numpy as np
from probe_match.fingerprinting.calibration import ranks, standardise, tails
from probe_match.fingerprinting.errors import NoAnswers
from probe_match.fingerprinting.likelihood import Mixtures, Ratios, estimate_rates, fit_mixtures, log_ratios
from probe_match.fingerprinting.records import UNANSWERED, Panel, ProbeSuite, Reference, Responses, Signature
from scipy.special import stdtr

from ._deviation import DeviationScale
from ._weighed import FEW_PEERS, Weighed, rank_by_kind

__all__ = ["DeviationScale", "Scale", "Weighed", "represent", "scale", "scale_of"]

READS: Final = {"label"}
PREFERENCE_WEIGHT: Final = 0.5  # of scores beside labels, in standard deviations
CLOSE: Final = 1.64  # standard deviations nearer to the source than honest models are, from where on that counts
TEMPERATURES: Final = (0.25, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 4.0)  # a thief may have changed it
SAME: Final = 1e-3  # distance of probabilities below which nothing is told
KIN_LEVEL: Final = 0.05  # share of the source's kin that look less like kin than a suspect held to be none
LOWEST: Final = 5e-3  # a probability below this says no more than this
FEW_KIN: Final = 6  # below this many that calibrate nothing, nobody knows what kin say
VERY_FEW: Final = 20  # below this many, peers do not show how near an honest model can come
SCALES: Final = 64  # kept for the next suspect


def represent(responses: Responses, suite: ProbeSuite) -> Signature:
    """The label per probe."""
    return Signature("relative", suite.digest, responses.label, responses.answered)


class Scale:
    """
    One reference's measure of how derived suspects look, on the probes they have answered.

    reference: one with a panel. rows: int (t,), the probes that count. soft: whether scores count beside labels.
    """

    def __init__(self, reference: Reference, rows: np.ndarray, soft: bool) -> None:
        if reference.panel is None:
            raise NoAnswers(f"reference '{reference.name}' has no peers; enroll it with --pool to train some")
        self.panel: Panel = reference.panel
        self.rows = rows
        self.source: np.ndarray = reference.answers.label[rows]
        self.k: int = _classes(reference)
        self.soft: bool = soft and self.panel.scores is not None
        self._own_scores = None if reference.answers.score is None else reference.answers.score[rows].astype(float)

    @cached_property
    def mixtures(self) -> Mixtures:
        """Likelihoods of the rows' answers, from all models that do not calibrate: how sure they are is calibrated."""
        peers = self.panel.rows("peer", "select", "estimate")
        shadows = self.panel.rows("shadow")
        extracted = np.array([bool(self.panel.family(i)) for i in shadows], int)
        return fit_mixtures(self.source, self._labels(peers), self._labels(shadows), self.k, extracted)

    def weigh(self, labels: np.ndarray, scores: np.ndarray | None = None) -> Weighed:
        """
        How derived m models look. labels: int (m, t) over the rows, UNANSWERED says nothing. scores: float (m, t, k).

        conformal: by rank of the score, see `rank`.
        predictive: the Student-t tail of the weighted agreement, a plain sum over probes and so nearly normal among
        peers, for the worst kind of peers, whatever data they know; where peers are very few, beyond the best of them.
        Far below what p peers can show by rank, from 1/(p + 1)^2 on, a fitted tail alone is a guess: the ratio's own
        bound exp(-llr) (Ville 1939) must agree.
        """
        ratios = self._ratios(labels)
        llr = ratios.cumulative[:, -1]
        score = self._score(ratios, labels, scores)
        agreement = self._agreement(labels)
        if len(self.peer_scores) >= VERY_FEW:
            tail = np.max([tails(agreement, group) for group in self._honest_agreement], axis=0)
        else:
            tail = self._beyond_the_best(agreement)
        bound = np.minimum(np.exp(-np.maximum(llr, 0.0)), 1 / (len(self.peer_scores) + 1) ** 2)

        kin = self._may_be_kin(labels)

        return Weighed(llr, score, np.maximum(tail, bound), self.rank(score, self.peer_scores, kin), kin)

    def rank(self, scores: np.ndarray, honest: np.ndarray, kin: np.ndarray) -> np.ndarray:
        """P-values of m scores among those of the calibration peers, float (p,). kin: bool (m,), as in Weighed."""
        return rank_by_kind(scores, honest, self._roles == "kin peer", kin)

    def _may_be_kin(self, labels: np.ndarray) -> np.ndarray:
        """
        Bool (m,): models whose labels are as likely among the source's kin, rather than among other honest models, as
        those of the kin themselves are, but for KIN_LEVEL of these.
        """
        kin = self._labels(self._calibration[self._roles == "kin peer"])
        if len(kin) < FEW_PEERS or self._kin_frequencies is None:
            return np.ones(len(labels), bool)
        own, others = self._kin_frequencies
        at = np.arange(len(self.source))

        def likeness(of: np.ndarray) -> np.ndarray:
            known = np.clip(of, 0, self.k - 1)
            ratio = np.log(own[at, known]) - np.log(others[at, known])
            return np.asarray(np.where((of >= 0) & (of < self.k), ratio, 0.0).sum(1))

        return np.asarray(likeness(labels) >= np.quantile(likeness(kin), KIN_LEVEL))

    @cached_property
    def _kin_frequencies(self) -> tuple[np.ndarray, np.ndarray] | None:
        """How often kin give each label, and how often other honest models do; float64 (t, k) each, None if unknown."""
        fitting = self.panel.rows("peer", "select", "estimate")
        kin = np.isin(fitting, self.panel.rows("kin peer"))
        if kin.sum() < FEW_KIN or (~kin).sum() < FEW_KIN:
            return None
        none = np.zeros((0, len(self.source)), int)
        own, others = (
            estimate_rates(self.source, self._labels(fitting[group]), none, self.k).frequency for group in (kin, ~kin)
        )
        return own, others

    def likeness(self, labels: np.ndarray, scores: np.ndarray | None) -> float:
        """Share of the probes on which one suspect agrees with the source. labels: int (t,)."""
        return float((labels == self.source).mean())

    @cached_property
    def peer_scores(self) -> np.ndarray:
        """float64 (p,): scores of the honest peers set aside for calibration."""
        return self._score(self._peer_ratios, self._labels(self._calibration), self._scores(self._calibration))

    @cached_property
    def shadows(self) -> Weighed:
        """How derived the shadows look: what these probes show of copies that were made on purpose."""
        rows = self.panel.rows("shadow")
        return self.weigh(self._labels(rows), self._scores(rows))

    def nearest_peer(self) -> tuple[str, float] | None:
        """Name and score of the calibration peer that looks most derived."""
        if len(self.peer_scores) == 0:
            return None
        best = int(self.peer_scores.argmax())
        return self.panel.names[self._calibration[best]], float(self.peer_scores[best])

    def _ratios(self, labels: np.ndarray) -> Ratios:
        return log_ratios(labels, self.source, self.mixtures)

    @cached_property
    def _peer_ratios(self) -> Ratios:
        return self._ratios(self._labels(self._calibration))

    def _score(self, ratios: Ratios, labels: np.ndarray, scores: np.ndarray | None) -> np.ndarray:
        score = standardise(ratios.typical, self._peer_ratios.typical)
        if len(self._calibration):
            score = score + np.maximum(self._alike(labels) - CLOSE, 0.0)
        if self.soft and scores is not None and len(self._calibration):
            honest = self._scores(self._calibration)
            assert honest is not None
            score = score + PREFERENCE_WEIGHT * standardise(self._preference(scores), self._preference(honest))
            near = standardise(self._nearness(scores), self._nearness(honest))
            score = score + np.maximum(near - CLOSE, 0.0)
        return score

    def _alike(self, labels: np.ndarray) -> np.ndarray:
        """How often models (m, t) agree with the source, in standard deviations above honest ones; float64 (m,)."""
        honest = (self._labels(self._calibration) == self.source).sum(1)
        spread = max(float(honest.std()), 0.5)  # of fewer than one probe nothing is told

        return np.asarray(((labels == self.source).sum(1) - honest.mean()) / spread)

    def _nearness(self, scores: np.ndarray) -> np.ndarray:
        """
        Minus the logarithm of the distance of models (m, t, k) from the source's probabilities; float64 (m,).

        The mean over probes of the sum of absolute differences, at the model's temperature that makes it least.
        """
        own = self._own_scores
        logits = np.log(np.clip(scores, 1e-4, 1.0))
        least = np.full(len(scores), np.inf)
        for temperature in TEMPERATURES:
            tempered = np.exp(logits / temperature)
            tempered /= tempered.sum(2, keepdims=True)
            least = np.minimum(least, np.abs(tempered - own).sum(2).mean(1))

        return np.asarray(-np.log(least + SAME))

    def _preference(self, scores: np.ndarray) -> np.ndarray:
        """How far models (m, t, k) prefer the source's label to the peers' favourite; float64 (m,) in [-1, 1]."""
        at = np.arange(len(self.source))
        log = np.log(np.clip(scores, LOWEST, 1.0))
        favourite = self.mixtures.rates.frequency.argmax(1)

        return np.asarray(np.tanh(log[:, at, self.source] - log[:, at, favourite]).mean(1))

    @cached_property
    def _honest_agreement(self) -> list[np.ndarray]:
        """Weighted agreement of all calibration peers, and of each kind of which there are enough."""
        honest = self._peer_agreement
        kinds = [honest[self._roles == role] for role in np.unique(self._roles)]
        return [honest, *(kind for kind in kinds if len(kind) >= FEW_PEERS)]

    def _beyond_the_best(self, agreement: np.ndarray) -> np.ndarray:
        """
        Student-t tails beyond the peer that agrees most; float64 (m,).

        Few peers do not show how near honest strangers, better trained perhaps, can come. So the distance counts from
        the nearest peer, in units of the peers' spread and of the noise that so few answers have by themselves.
        """
        peers = self._peer_agreement
        p = len(peers)
        if p < 2:
            return np.ones(len(agreement))
        most = float((self._labels(self._calibration) == self.source).mean(1).max())
        gain, loss = self._weights
        noise = float(((gain - loss) ** 2).sum()) * most * (1 - most)
        spread = np.sqrt(peers.var(ddof=1) * (1 + 1 / p) + noise)
        if spread < 1e-9:
            return ranks(agreement, peers)

        return np.asarray(np.maximum(stdtr(p - 1, -(agreement - peers.max()) / spread), 1e-300))

    @cached_property
    def _peer_agreement(self) -> np.ndarray:
        return self._agreement(self._labels(self._calibration))

    @cached_property
    def _roles(self) -> np.ndarray:
        return np.array([self.panel.roles[i] for i in self._calibration])

    def _agreement(self, labels: np.ndarray) -> np.ndarray:
        """Agreement with the source, each probe by its log-likelihood ratio at full retention; float64 (m,), nats."""
        gain, loss = self._weights
        same = np.where(labels == self.source, gain, loss)

        return np.asarray(np.where(labels == UNANSWERED, 0.0, same).sum(1))

    @cached_property
    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        """What each probe adds when the source's label comes back, and when another does; float64 (t,), nats."""
        rates = self.mixtures.rates
        p0 = rates.frequency[np.arange(len(self.source)), self.source]
        p1 = rates.retention + (1 - rates.retention) * p0

        return np.log(p1 / p0), np.log((1 - p1) / (1 - p0))

    @cached_property
    def _calibration(self) -> np.ndarray:
        return self.panel.rows("peer", "calibrate")

    def _labels(self, models: np.ndarray) -> np.ndarray:
        return self.panel.labels[models][:, self.rows].astype(np.int64)

    def _scores(self, models: np.ndarray) -> np.ndarray | None:
        return (
            self.panel.scores[models][:, self.rows].astype(float)
            if self.soft and self.panel.scores is not None
            else None
        )


def scale(reference: Reference, labels: np.ndarray, scores: np.ndarray | None = None) -> "Scale | DeviationScale":
    """
    The scale over the answered probes, of a regressor that of its deviations. Raises NoAnswers if there are none.

    labels: int64 (n,) over the reference's suite. scores: float (n, k), or None to go by labels alone.
    """
    rows = np.flatnonzero(labels != UNANSWERED)
    if len(rows) == 0:
        raise NoAnswers(f"none of the {len(labels)} probes was answered; collect again")
    known = None if reference.panel is None or reference.panel.scores is None else reference.panel.scores.shape[2]

    return scale_of(reference, rows, scores is not None and scores.shape[1] == known)


def scale_of(reference: Reference, rows: np.ndarray, soft: bool) -> "Scale | DeviationScale":
    """The scale over these probes, int (t,). soft: whether scores count beside labels."""
    return _made(reference, rows.astype(np.int64).tobytes(), soft)


@lru_cache(SCALES)
def _made(reference: Reference, rows: bytes, soft: bool) -> "Scale | DeviationScale":
    """A scale is the same for every suspect who answered the same probes, and takes longer to make than to use."""
    picked = np.frombuffer(rows, np.int64)
    if reference.suite.spec.output == "number" and reference.panel is not None:
        return DeviationScale(reference, picked)
    return Scale(reference, picked, soft)


def _classes(reference: Reference) -> int:
    highest = int(reference.answers.labels.max())
    if reference.panel is not None:
        highest = max(highest, int(reference.panel.labels.max()))
    scores = reference.answers.scores
    return max(highest + 1, 2 if scores is None else scores.shape[2], len(reference.suite.classes))
