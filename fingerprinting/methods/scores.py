"""
How far apart two models' probabilities are: Jensen-Shannon divergence (Lin, IEEE Trans. Inf. Theory 1991),
and cosine distance, the strongest plain comparison at 20 probes or fewer in the published distances of
Godinot et al. (AAAI 2025) when the probes are the source's own errors.

Use it where both models give probabilities over the same classes. Models of one family share a level of
confidence, which can weigh more than descent; a cohort of peers takes that out.
"""

from typing import Final

import numpy as np
from probe_match.fingerprinting.errors import UsageError
from probe_match.fingerprinting.records import ProbeSuite, Responses, Signature
from scipy.special import rel_entr

from ._answers import score_answers
from ._cosine import cosine_distances
from ._pair import both_answered, require_same_suite

READS: Final = frozenset({"scores"})


def represent(responses: Responses, suite: ProbeSuite) -> Signature:
    """Probabilities, float32 (n, k), rows summing to 1. Raises UsageError where only labels were answered."""
    scores, answered = score_answers(responses, suite)

    return Signature("scores", suite.digest, scores, answered)


def distance(a: Signature, b: Signature) -> float:
    """
    Mean Jensen-Shannon divergence in bits over the commonly answered probes, 0 to 1.

    Raises SuiteMismatch if the two were asked different probes, NoAnswers if they share no answered one,
    UsageError if they score different numbers of classes.
    """
    p, q = _common(a, b)
    middle = (p + q) / 2
    bits = (rel_entr(p, middle) + rel_entr(q, middle)).sum(1) / (2 * np.log(2))

    return float(np.clip(bits, 0, 1).mean())


def cosine_distance(a: Signature, b: Signature) -> float:
    """Mean of 1 - cos of the score rows over the commonly answered probes, 0 to 1; errors as `distance`."""
    return float(cosine_distances(*_common(a, b)).mean())


def _common(a: Signature, b: Signature) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of both models on the commonly answered probes, float64 (m, k) twice."""
    require_same_suite(a, b)
    both = both_answered(a, b)
    if a.values.shape != b.values.shape:
        raise UsageError(
            f"expected scores over the same classes, got {a.values.shape[1]} and {b.values.shape[1]}; "
            "compare by correlation, which needs none in common"
        )

    return a.values[both].astype(np.float64), b.values[both].astype(np.float64)
