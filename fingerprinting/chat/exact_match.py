"""
Whole answers that two models give word for word alike: rare among strangers, so a few are near proof of same weights.

At temperature 0 one set of weights behind three providers repeated 5 to 8 % of its long answers exactly, and no other
model a single one. Short answers say nothing and are left out.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from scipy.stats import beta, binomtest

SHORTEST: Final = 60  # characters from which an answer is worth comparing
CHANCE: Final = 1e-3  # of strangers' long answers that are equal, where no decoys show it


class Matches(NamedTuple):
    """equal of compared prompts, with the 95 % interval of that share (Clopper and Pearson 1934). p: by chance."""

    equal: int
    compared: int
    low: float
    high: float
    p: float


def count_equal(
    suspect: Mapping[str, str], known: Mapping[str, str], decoys: Sequence[Mapping[str, str]] = ()
) -> Matches:
    """
    Answers by prompt. decoys: other models' answers to the same prompts, which show how often strangers are equal.

    p: binomial, at the decoys' rate with half a case added, never below what so few decoys can show.
    """
    equal, compared = _equal(suspect, known)
    chance = [_equal(suspect, other) for other in decoys]
    asked = sum(of for _, of in chance)
    rate = (sum(same for same, _ in chance) + 0.5) / (asked + 1) if asked else CHANCE
    low = float(beta.ppf(0.025, equal, compared - equal + 1)) if equal else 0.0
    high = float(beta.ppf(0.975, equal + 1, compared - equal)) if equal < compared else 1.0
    p = float(binomtest(equal, compared, min(rate, 1.0), alternative="greater").pvalue) if compared else 1.0

    return Matches(equal, compared, low, high, p)


def _equal(a: Mapping[str, str], b: Mapping[str, str]) -> tuple[int, int]:
    both = [(_plain(a[prompt]), _plain(b[prompt])) for prompt in a if prompt in b]
    long = [(x, y) for x, y in both if min(len(x), len(y)) >= SHORTEST]
    return sum(x == y for x, y in long), len(long)


def _plain(text: str) -> str:
    return " ".join(text.split())
