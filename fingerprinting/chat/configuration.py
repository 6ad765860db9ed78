"""
What changed about an endpoint without its weights: a system prompt, a template, a sampling temperature.

The server's own count of prompt tokens tells of words that were put above ours: it grows by the same number whatever is
asked. Another tokenizer shows in differences that vary with the question. A temperature of its own shows in answers
that waver where temperature 0 was asked for, among many answers and in all cells: changed weights make few new ties.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .records import Transcript


class Counted(NamedTuple):
    """
    Prompt tokens now less those before, by cell. offset: their median, 0 where nothing was counted. constant: whether
    all cells differ by just that. known: whether both sides counted at all.
    """

    offset: int
    constant: bool
    known: bool


def prompt_tokens(earlier: Transcript, new: Transcript) -> Counted:
    """How the server's count of our questions' tokens changed."""
    differences = []
    for cell in new.answers:
        old, now = (
            [answer.prompt_tokens for answer in transcript.answers.get(cell, ()) if answer.prompt_tokens >= 0]
            for transcript in (earlier, new)
        )
        if old and now:
            differences.append(int(np.median(now)) - int(np.median(old)))
    if not differences:
        return Counted(0, constant=True, known=False)
    offset = int(np.median(differences))

    return Counted(offset, constant=all(difference == offset for difference in differences), known=True)


def wavering(before: Sequence[np.ndarray], now: Sequence[np.ndarray]) -> float:
    """Share of the cells that were answered alike every time and now are not, in [0, 1]; counts int64 (k,) each."""
    once = [new for old, new in zip(before, now, strict=True) if np.count_nonzero(old) == 1]

    return float(np.mean([np.count_nonzero(new) > 1 for new in once])) if once else 0.0


def spread(counts: Sequence[np.ndarray]) -> float:
    """Chance that two answers of one cell differ, averaged over cells with two or more, in [0, 1]."""
    found = [1 - (some * (some - 1)).sum() / (some.sum() * (some.sum() - 1)) for some in counts if some.sum() > 1]

    return float(np.mean(found)) if found else 0.0
