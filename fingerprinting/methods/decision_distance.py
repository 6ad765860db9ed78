"""
How far apart a model puts the two inputs of each pair: decision distance vectors (ModelDiff; Li et al., ISSTA
2021).

Use it on suites of neighbouring inputs, such as a row and its perturbed copy. The distances are compared by
their pattern over the pairs, so the models need not share classes. With labels alone a pair is crossed or
not.

The suite is read in pairs (0, 1), (2, 3), …, or, where its parameters say `pairs="halves"`, as first half
against second half. A last probe without a partner is left out.
"""

from typing import Final

import numpy as np
from probe_match.fingerprinting.errors import UsageError
from probe_match.fingerprinting.records import ProbeSuite, Responses, Signature

from ._answers import label_answers, score_answers
from ._cosine import cosine_distances
from ._pair import both_answered, require_same_suite

READS: Final = frozenset({"label", "scores"})


def represent(responses: Responses, suite: ProbeSuite) -> Signature:
    """
    Cosine distance of the scores of each pair, float64 (n // 2,) in [0, 1]; with labels alone their
    inequality, bool.

    Values and mask have one entry per pair; a pair counts where both its inputs were answered. Raises
    UsageError for a suite that holds no pair.
    """
    left, right = _pairs(suite)
    if responses.scores is None:
        labels, answered = label_answers(responses, suite)
        apart = labels[left] != labels[right]
    else:
        scores, answered = score_answers(responses, suite)
        apart = cosine_distances(scores[left], scores[right])

    return Signature("decision_distance", suite.digest, apart, answered[left] & answered[right])


def distance(a: Signature, b: Signature) -> float:
    """
    1 minus the cosine of the two vectors of distances over the commonly answered pairs, 0 to 1.

    A model that tells no pair apart is at 0 from another such model and at 1 from any other. Raises
    SuiteMismatch if the two were asked different probes, NoAnswers if they share no answered pair.
    """
    require_same_suite(a, b)
    both = both_answered(a, b)

    return float(cosine_distances(a.values[both], b.values[both]))


def shifts(responses: Responses, suite: ProbeSuite) -> Signature:
    """
    Label of the second input minus label of the first, modulo the number of classes, int64 (n // 2,).

    The form for hard labels of Godinot et al. (AAAI 2025); unlike `represent` it needs the two models to share
    classes. Compare by `agreement.distance`. The number of classes is that of the suite's class names, or its parameter
    `classes`; where neither is known the difference stays as it is. Raises UsageError for a suite that holds no pair.
    """
    left, right = _pairs(suite)
    labels, answered = label_answers(responses, suite)
    classes = len(suite.classes) or int(suite.params.get("classes", 0))
    step = labels[right] - labels[left]

    return Signature(
        "decision_distance", suite.digest, step % classes if classes else step, answered[left] & answered[right]
    )


def _pairs(suite: ProbeSuite) -> tuple[np.ndarray, np.ndarray]:
    m = len(suite) // 2
    if m == 0:
        raise UsageError(f"decision_distance reads probes in pairs, got a suite of {len(suite)}; use at least 2")
    if suite.params.get("pairs") == "halves":
        return np.arange(m), np.arange(m, 2 * m)

    return np.arange(0, 2 * m, 2), np.arange(1, 2 * m, 2)
