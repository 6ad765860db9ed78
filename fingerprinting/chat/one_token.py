"""
One question at a time: does this answer still come from where the earlier answers of its cell came from?

Used where the alarm should come after as few questions as possible, a whole model having been swapped. Every answer is
ranked by rarity among all answers of its cell so far, itself included; `sequential` bets on the ranks.
"""

from collections import Counter

import numpy as np

from . import sequential
from .records import USABLE, Answer, Transcript


class Monitor:
    """Counts of the answers so far. p: one value an answer, in order."""

    def __init__(self, earlier: Transcript, *, seed: int = 0) -> None:
        self.counts: dict[str, Counter[str]] = {
            cell: Counter(map(_word, answers)) for cell, answers in earlier.answers.items()
        }
        self.rng: np.random.Generator = np.random.default_rng(seed)
        self.p: list[float] = []

    def add(self, cell: str, answer: Answer) -> float:
        """Rank one more answer and return its p-value. A failed one says nothing: 1, and it is not counted."""
        if answer.status == "failed":
            return 1.0
        counts = self.counts.setdefault(cell, Counter())
        counts[_word(answer)] += 1
        mine = counts[_word(answer)]
        rarer = sum(count for count in counts.values() if count < mine)
        equal = sum(count for count in counts.values() if count == mine)
        p = (rarer + equal * self.rng.uniform(1e-12, 1)) / counts.total()
        self.p.append(float(p))

        return self.p[-1]

    @property
    def evidence(self) -> float:
        """Log of the e-process so far, nats; a change is certain enough at -log(alpha)."""
        return float(sequential.log_wealth(np.array(self.p))[-1]) if self.p else 0.0


def _word(answer: Answer) -> str:
    return f"said {answer.text}" if answer.status in USABLE else answer.status
