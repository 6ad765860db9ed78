"""
How a model relates the probes to each other, whatever it calls them (SAC; Guan, Liang and He, NeurIPS 2022).

Use it where the suspect's classes are unknown, permuted or fewer: only the relations between answers are
compared. It needs no surrogate models. With labels alone the relation is plain equality.
"""

from typing import Final

import numpy as np
from probe_match.fingerprinting.records import ProbeSuite, Responses, Signature

from ._answers import label_answers, score_answers
from ._cosine import unit
from ._pair import both_answered, require_same_suite

READS: Final = frozenset({"label", "scores"})


def represent(responses: Responses, suite: ProbeSuite) -> Signature:
    """Cosine of every two score rows, float32 (n, n) in [0, 1]; with labels alone their equality, bool."""
    if responses.scores is None:
        labels, answered = label_answers(responses, suite)
        relation = labels[:, None] == labels[None]
    else:
        scores, answered = score_answers(responses, suite)
        rows = unit(scores)
        relation = np.clip(rows @ rows.T, 0, 1).astype(np.float32)

    return Signature("correlation", suite.digest, relation, answered)


def distance(a: Signature, b: Signature) -> float:
    """
    Mean absolute difference of the two matrices over the commonly answered probes, 0 to 1.

    Raises SuiteMismatch if the two were asked different probes, NoAnswers if they share fewer than two
    answered ones: every model relates a probe to itself alike.
    """
    require_same_suite(a, b)
    both = np.flatnonzero(both_answered(a, b, least=2))
    rows = np.ix_(both, both)

    return float(np.abs(a.values[rows].astype(np.float64) - b.values[rows]).mean())
