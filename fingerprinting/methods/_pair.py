"""What every distance asks of two signatures before it compares them."""

from typing import Final

import numpy as np
from probe_match.fingerprinting.errors import NoAnswers, SuiteMismatch, UsageError
from probe_match.fingerprinting.records import Signature

SHOWN: Final = len("sha256:") + 8  # digits of a digest that tell two suites apart for a reader


def require_same_suite(a: Signature, b: Signature) -> None:
    """
    Raise SuiteMismatch where two models were asked different probes.

    Raises UsageError where they are of two methods, or one was made of labels and the other of scores.
    """
    if a.suite != b.suite:
        raise SuiteMismatch(
            f"expected two signatures for one suite, got {a.suite[:SHOWN]}… and {b.suite[:SHOWN]}…; "
            "collect again with the same suite"
        )
    if a.method != b.method:
        raise UsageError(f"expected two signatures of one method, got {a.method} and {b.method}; represent both by one")
    if (a.values.dtype == bool) != (b.values.dtype == bool):
        raise UsageError(
            f"expected labels or scores on both sides of {a.method}, got one of each; ask both with --access label"
        )


def both_answered(a: Signature, b: Signature, *, least: int = 1) -> np.ndarray:
    """Bool (n,): what both models answered. Raises NoAnswers where that is fewer than `least`."""
    both: np.ndarray = a.answered & b.answered
    shared = int(both.sum())
    if shared < least:
        raise NoAnswers(
            f"expected at least {least} probe{'s' * (least > 1)} answered by both, "
            f"got {shared} of {len(both)}; collect again"
        )

    return both
