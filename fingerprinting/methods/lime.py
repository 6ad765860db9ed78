"""
What a model looks at: the weights of a linear model of its scores per row of the pool and class (Zest; Jia, Chen, Guan,
Papernot, ICLR 2022, sec. 3).

Use it on suites of the generator `masks`, which ask about rows with parts of them hidden. Needs scores over the same
classes. The paper asks 1,000 versions of each of 128 images; with ten of each the weights are those of least norm, and
still tell copies from others (Godinot et al., AAAI 2025).
"""

from functools import lru_cache
from typing import Final

import numpy as np
from probe_match.fingerprinting.errors import UsageError
from probe_match.fingerprinting.probing import notes_of
from probe_match.fingerprinting.records import ProbeSuite, Responses, Signature

from ._answers import score_answers
from ._cosine import unit
from ._pair import both_answered, require_same_suite

READS: Final = frozenset({"scores"})


def represent(responses: Responses, suite: ProbeSuite) -> Signature:
    """
    Per probe the row it is a version of, the parts shown as one number, and the probabilities; float64 (n, 2 + k).

    The weights are left to the comparison, which alone knows the probes that both models answered. Raises UsageError
    where only labels were answered, or the suite is not one of `masks`.
    """
    scores, answered = score_answers(responses, suite)
    notes = notes_of(suite, "masks")
    if not notes:
        raise UsageError(f"lime reads suites of the generator masks, got one of {suite.generator}; build it with masks")
    shown = np.array([note.split("/") for note in notes], np.float64)

    return Signature("lime", suite.digest, np.concatenate([shown, scores], 1), answered)


def distance(a: Signature, b: Signature) -> float:
    """
    Half of Zest's 1 - cos between the concatenated weights, over the commonly answered probes, 0 to 1.

    Raises SuiteMismatch if the two were asked different probes, NoAnswers if they share no answered one, UsageError if
    they score different numbers of classes.
    """
    u, v = (unit(w.ravel()) for w in weights(a, b))

    return float(((u - v) ** 2).sum() / 4)


def euclidean_distance(a: Signature, b: Signature) -> float:
    """Euclidean distance of the concatenated weights, 0 and up; errors as `distance`."""
    u, v = weights(a, b)

    return float(np.linalg.norm(u - v))


def weights(a: Signature, b: Signature) -> tuple[np.ndarray, np.ndarray]:
    """
    Both models' weights w = pinv(M'M) M'y from the probes that both answered, float64 (rows, parts, k) twice.

    M: which parts each version of a row shows, 0 or 1. y: the probabilities it got.
    """
    require_same_suite(a, b)
    both = both_answered(a, b)
    if a.values.shape != b.values.shape:
        raise UsageError(
            f"expected scores over the same classes, got {a.values.shape[1] - 2} and {b.values.shape[1] - 2}; "
            "compare by correlation, which needs none in common"
        )
    rows, row = np.unique(a.values[both, 0], return_inverse=True)
    shown = a.values[both, 1].astype(np.int64)
    bits = (shown[:, None] >> np.arange(int(shown.max()).bit_length())) & 1
    # Versions side by side per row; slots that stay empty are zero in M and y, and so change no weight.
    slot = ((row[:, None] == np.arange(len(rows))).cumsum(0) - 1)[np.arange(len(row)), row]
    masks = np.zeros((len(rows), int(slot.max()) + 1, bits.shape[1]), bool)
    masks[row, slot] = bits
    k = a.values.shape[1] - 2
    y = np.zeros((*masks.shape[:2], 2 * k))
    y[row, slot] = np.concatenate([a.values[both, 2:], b.values[both, 2:]], 1)
    w = _inverse(masks.tobytes(), masks.shape) @ y

    return w[..., :k], w[..., k:]


@lru_cache(maxsize=8)  # a hundred suspects that answer all of one suite share it
def _inverse(masks: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """pinv(M'M) M' of each row's masks, float64 (rows, parts, versions)."""
    # That is pinv(M), which does not square what is badly conditioned.
    return np.linalg.pinv(np.frombuffer(masks, bool).reshape(shape).astype(np.float64))
