"""Two claims on one model: who committed first, by times that others vouch for."""

from collections.abc import Sequence
from typing import Literal

Winner = Literal["first", "second", "ambiguous"]


def earlier(first: Sequence[float], second: Sequence[float]) -> Winner:
    """
    Which of two commitments came first. first, second: times, in seconds since 1970, that trusted authorities state.

    A commitment is as old as the *latest* of its times says, so that one authority's clock, or one that was bribed,
    does not make it older. Without times, and with equal ones, nobody wins.
    """
    if not first or not second or max(first) == max(second):
        return "ambiguous"
    return "first" if max(first) < max(second) else "second"
