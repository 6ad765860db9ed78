"""
How much one model's labels tell about the other's (FBI; Maho, Furon and Le Merrer, arXiv 2208.03169).

Use it where labels are to be had but their names are not: a relabelled copy stays at 0. The paper compares
the rank of the true label, and so does this on suites of the generator `uncertain`, which keeps the truth: right or
wrong with labels alone. On other suites it is the label itself, which also says *which* wrong answer was given. The
estimate is the plug-in one: with fewer probes than pairs of symbols it finds information by chance, so
compare only distances over about as many probes.
"""

from typing import Final

import numpy as np
from probe_match.fingerprinting.probing import notes_of
from probe_match.fingerprinting.records import ProbeSuite, Responses, Signature

from ._answers import label_answers, score_answers
from ._pair import both_answered, require_same_suite

READS: Final = frozenset({"label"})
RANKS: Final = 5  # the paper's top-5: ranks 0 to 4, and 5 for all that come later


def represent(responses: Responses, suite: ProbeSuite) -> Signature:
    """
    One symbol per probe, int64 (n,): the label or, where the suite tells the true one, its rank among the scores.

    With labels alone that rank is 0 where the model is right and 1 where it is wrong.
    """
    labels, answered = label_answers(responses, suite)
    notes = notes_of(suite, "uncertain")
    if not notes:
        return Signature("mutual_information", suite.digest, labels, answered)
    truth = np.array(notes, np.int64)
    symbols = (labels != truth).astype(np.int64)
    if responses.scores is not None:
        scores, answered = score_answers(responses, suite)
        known = truth < scores.shape[1]
        own = np.where(known, scores[np.arange(len(truth)), np.where(known, truth, 0)], -1)
        symbols = np.minimum((scores > own[:, None]).sum(1), RANKS)

    return Signature("mutual_information", suite.digest, symbols, answered)


def distance(a: Signature, b: Signature) -> float:
    """
    1 - I(u; v) / min(H(u), H(v)) over the commonly answered probes, 0 to 1.

    A constant answer tells nothing: it is at 0 from the same constant and at 1 from everything else. Raises
    SuiteMismatch if the two were asked different probes, NoAnswers if they share no answered one.
    """
    require_same_suite(a, b)
    both = both_answered(a, b)
    u, v = a.values[both], b.values[both]
    least = min(_entropy(u), _entropy(v))
    if least == 0:
        return float(not np.array_equal(u, v))
    # Summed in this order, equal labels give exactly `least`; sorted, so that a and b may change places.
    shared = _entropy(u) + _entropy(v) - _entropy(u * (v.max() + 1) + v)

    return float(np.clip(1 - shared / least, 0, 1))


def _entropy(symbols: np.ndarray) -> float:
    """Entropy in nats of int64 (n,)."""
    share = np.sort(np.unique(symbols, return_counts=True)[1]) / len(symbols)

    return float(-(share * np.log(share)).sum()) if len(share) > 1 else 0.0
