"""
How much one model's labels tell about the other's (FBI; Maho, Furon and Le Merrer, arXiv 2208.03169).

Use it where labels are to be had but their names are not: a relabelled copy stays at 0. The paper compares
the rank of the true label; here it is the label itself, which also says *which* wrong answer was given. The
estimate is the plug-in one: with fewer probes than pairs of classes it finds information by chance, so
compare only distances over about as many probes.
"""

from typing import Final

import numpy as np
from probe_match.fingerprinting.records import ProbeSuite, Responses, Signature

from ._answers import label_answers
from ._pair import both_answered, require_same_suite

READS: Final = frozenset({"label"})


def represent(responses: Responses, suite: ProbeSuite) -> Signature:
    """The labels themselves, int64 (n,)."""
    labels, answered = label_answers(responses, suite)

    return Signature("mutual_information", suite.digest, labels, answered)


def distance(a: Signature, b: Signature) -> float:
    """
    1 - I(u; v) / min(H(u), H(v)) over the commonly answered probes, 0 to 1.

    A constant answer tells nothing: it is at 0 from the same constant and at 1 from everything else. Raises
    SuiteMismatch if the two were asked different probes, NoAnswers if they share no answered one.
    """
    require_same_suite(a, b)
    both = both_answered(a, b)
    u, v = a.values[both], b.values[both]
    least = min(_entropy(u[:, None]), _entropy(v[:, None]))
    if least == 0:
        return float(not np.array_equal(u, v))
    # Summed in this order, equal labels give exactly `least`; sorted, so that a and b may change places.
    shared = _entropy(u[:, None]) + _entropy(v[:, None]) - _entropy(np.stack([u, v], 1))

    return float(np.clip(1 - shared / least, 0, 1))


def _entropy(symbols: np.ndarray) -> float:
    """Entropy in nats of the rows of int64 (n, columns)."""
    share = np.sort(np.unique(symbols, axis=0, return_counts=True)[1]) / len(symbols)

    return float(-(share * np.log(share)).sum()) if len(share) > 1 else 0.0
