"""The answers a signature is made of: clean labels or clean scores, and the probes they count on."""

import numpy as np
from probe_match.fingerprinting.errors import SuiteMismatch, UsageError
from probe_match.fingerprinting.records import UNANSWERED, ProbeSuite, Responses

from ._pair import SHOWN


def label_answers(responses: Responses, suite: ProbeSuite) -> tuple[np.ndarray, np.ndarray]:
    """
    Labels int64 (n,), UNANSWERED where none counts, and the mask bool (n,) of the probes that count.

    Raises SuiteMismatch if the responses are to another suite.
    """
    _require_suite(responses, suite)
    answered = responses.answered & (suite.weights > 0)

    return np.where(answered, responses.label, UNANSWERED), answered


def score_answers(responses: Responses, suite: ProbeSuite) -> tuple[np.ndarray, np.ndarray]:
    """
    Probabilities float32 (n, k), rows summing to 1 or all 0 where none counts, and the mask bool (n,).

    Raises SuiteMismatch if the responses are to another suite, UsageError if they hold no scores.
    """
    _require_suite(responses, suite)
    scores = responses.score
    if scores is None:
        raise UsageError(
            f"expected scores from {responses.target}, got labels only; "
            "choose a method that reads labels, such as agreement"
        )
    answered = responses.answered & (suite.weights > 0) & np.isfinite(scores).all(1)
    rows = np.where(answered[:, None], scores, 0).astype(np.float32)
    total = rows.sum(1, keepdims=True)

    return np.divide(rows, total, out=rows, where=total > 0), answered


def _require_suite(responses: Responses, suite: ProbeSuite) -> None:
    if responses.suite != suite.digest:
        raise SuiteMismatch(
            f"expected responses to suite {suite.digest[:SHOWN]}…, got them to {responses.suite[:SHOWN]}…; "
            "collect again"
        )
