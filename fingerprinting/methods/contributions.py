"""
What each feature contributes to the answers, linearly, nonlinearly and in pairs, as one vector (Li, Turkington and
Yazdani, Journal of Financial Data Science 2020), estimated from the answers to the suite.

Use it to say why two models match, and which families models fall into. Never alone as evidence of theft: models
honestly trained on the same data contribute alike. Tables and images; of images every value is a feature.
"""

from typing import Final

import numpy as np
from probe_match.fingerprinting.errors import UsageError
from probe_match.fingerprinting.explain.surrogate import estimate
from probe_match.fingerprinting.records import ProbeSuite, Responses, Signature

from ._answers import label_answers, score_answers
from ._cosine import cosine_distances
from ._pair import both_answered, require_same_suite

READS: Final = frozenset({"label", "scores"})
MOST_FEATURES: Final = 4096


def represent(responses: Responses, suite: ProbeSuite) -> Signature:
    """
    How many features there are, inputs and answers side by side, (n, 1 + features + k); float64 of scores, float32 of
    labels, one-hot.

    The vector is left to the comparison, which alone knows the probes that both models answered. Raises UsageError for
    texts, and for inputs of more than MOST_FEATURES values.
    """
    if not isinstance(suite.inputs, np.ndarray):
        raise UsageError("contributions reads tables and images, got a suite of texts; compare texts by agreement")
    flat = suite.inputs.reshape(len(suite), -1)
    flat = np.hstack([np.full((len(suite), 1), flat.shape[1]), flat])
    if flat.shape[1] > 1 + MOST_FEATURES:
        raise UsageError(f"contributions reads inputs of at most {MOST_FEATURES} values, got {flat.shape[1] - 1}")
    if responses.scores is not None:
        scores, answered = score_answers(responses, suite)
        return Signature("contributions", suite.digest, np.hstack([flat, scores]).astype(np.float64), answered)
    labels, answered = label_answers(responses, suite)
    k = max(len(suite.classes), int(labels.max(initial=0)) + 1)
    told = np.hstack([flat, labels[:, None] == np.arange(k)]).astype(np.float32)

    return Signature("contributions", suite.digest, told, answered)


def distance(a: Signature, b: Signature) -> float:
    """
    Half the squared distance of the two vectors at length 1, which is 1 - cos, 0 to 1.

    Raises SuiteMismatch if the two were asked different probes, NoAnswers if they share no answered one, UsageError
    where one gave scores and the other labels, or scores over other classes.
    """
    return float(cosine_distances(*vectors(a, b)))


def vectors(a: Signature, b: Signature) -> tuple[np.ndarray, np.ndarray]:
    """Both contribution vectors over the probes that both models answered; float64 (3 features k,) twice."""
    require_same_suite(a, b)
    both = both_answered(a, b)
    if a.values.dtype != b.values.dtype:
        raise UsageError("expected scores of both models or labels of both; read the labels of both")
    width = max(a.values.shape[1], b.values.shape[1])
    if a.values.dtype == np.float64 and a.values.shape != b.values.shape:
        raise UsageError("expected scores over the same classes; read the labels of both")
    d = int(a.values[0, 0])
    told = [np.pad(s.values[both], ((0, 0), (0, width - s.values.shape[1]))) for s in (a, b)]
    first, second = (estimate(rows[:, 1 : 1 + d], rows[:, 1 + d :]).vector() for rows in told)

    return first, second
