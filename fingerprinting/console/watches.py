"""Watched endpoints as pages show them: their rounds, the evidence that grew over them, and alarms."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from probe_match.fingerprinting.chat import changing, sequential
from probe_match.fingerprinting.chat.history import History, Round, Watch

ALPHA = 0.01  # as `watch` has it unless told


@dataclass(frozen=True)
class Watched:
    """
    One endpoint. rounds: after the baseline, those that were ranked. evidence: log of the larger e-process after each,
    nats. needed: where it becomes an alarm. alarm: the round of the first alarm, from 1, or None. last: when it was
    looked at.
    """

    target: str
    begun: float
    last: float | None
    rounds: tuple[Round, ...]
    unranked: int
    evidence: tuple[float, ...]
    needed: float
    alarm: int | None

    @property
    def state(self) -> str:
        """In a word or two."""
        if self.alarm is not None:
            return "alarm"
        return "unchanged" if self.rounds else "begun"


def all_of(path: Path) -> list[Watched]:
    """Every watch of a history, alarms first, then by target; none where there is no file. Raises DatabaseError."""
    if not path.is_file():
        return []
    history = History(path)
    try:
        found = [_watched(history, watch) for watch in history.watches()]
    finally:
        history.close()

    return sorted(found, key=lambda one: (one.alarm is None, one.target))


def to_json(watched: Watched) -> dict[str, Any]:
    """Plain values."""
    return {
        "target": watched.target, "state": watched.state, "begun": watched.begun, "last": watched.last,
        "needed": watched.needed, "alarm": watched.alarm,
        "rounds": [
            {"ended": one.ended, "text_p": one.p.text, "logprobs_p": one.p.logprobs, "evidence": evidence}
            for one, evidence in zip(watched.rounds, watched.evidence, strict=True) if one.p is not None
        ],
    }  # fmt: skip


def _watched(history: History, watch: Watch) -> Watched:
    rounds = history.rounds(watch, "round")
    ranked = [one for one in rounds if one.p is not None]
    ps = [one.p for one in ranked if one.p is not None]
    _, needed, alarm = changing.evidence(ps, ALPHA)
    grown = np.zeros(len(ps))
    if ps:
        grown = sequential.log_wealth(np.array([p.text for p in ps]))
        odds = [i for i, p in enumerate(ps) if p.logprobs is not None]
        if odds:
            wealth = sequential.log_wealth(np.array([ps[i].logprobs for i in odds]))
            carried = np.zeros(len(ps))
            carried[odds] = wealth
            for i in range(1, len(ps)):
                carried[i] = carried[i] if i in odds else carried[i - 1]
            grown = np.maximum(grown, carried)
    last = max((one.ended for one in history.rounds(watch) if one.ended is not None), default=None)

    return Watched(
        watch.target, watch.begun, last, tuple(ranked), len(rounds) - len(ranked), tuple(grown.tolist()), needed, alarm
    )
