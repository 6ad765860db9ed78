"""
Share of probes answered with different labels: the matching rate of IPGuard (Cao et al., AsiaCCS 2021) and
AKH (Godinot et al., AAAI 2025).

Use it where only labels are to be had. On inputs that the source gets wrong it is hard to beat without peers;
on arbitrary inputs all good models agree.
"""

from typing import Final

import numpy as np
from probe_match.fingerprinting.errors import UsageError
from probe_match.fingerprinting.records import ProbeSuite, Responses, Signature
from scipy.special import bdtrc

from ._answers import label_answers
from ._pair import both_answered, require_same_suite

READS: Final = frozenset({"label"})


def represent(responses: Responses, suite: ProbeSuite) -> Signature:
    """The labels themselves, int64 (n,)."""
    labels, answered = label_answers(responses, suite)

    return Signature("agreement", suite.digest, labels, answered)


def distance(a: Signature, b: Signature) -> float:
    """
    Share of commonly answered probes on which two models disagree, 0 to 1.

    Raises SuiteMismatch if the two were asked different probes, NoAnswers if they share no answered one.
    """
    require_same_suite(a, b)
    both = both_answered(a, b)

    return float(np.mean(a.values[both] != b.values[both]))


def p_value(a: Signature, b: Signature, peer_rate: float) -> float:
    """
    P(Bin(n, peer_rate) >= agreements) over the n commonly answered probes, 0 to 1.

    peer_rate: the share of probes on which an honest peer agrees with `a`. Exact if peers agree on each probe
    independently, which real models do not: read it as a lower bound, beside the conformal p-value.
    """
    if not 0 <= peer_rate <= 1:
        raise UsageError(f"expected a peer rate from 0 to 1, got {peer_rate}")
    require_same_suite(a, b)
    both = both_answered(a, b)
    agreements = int((a.values[both] == b.values[both]).sum())
    if agreements == 0:
        return 1.0

    # The same tail as scipy.stats.binom.sf(agreements - 1, n, rate), whose import alone takes a second.
    return float(bdtrc(agreements - 1, int(both.sum()), peer_rate))
