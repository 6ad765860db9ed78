"""Watched endpoints as pages show them: their rounds, the evidence that grew over them, and alarms."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from probe_match.fingerprinting.chat import changing
from probe_match.fingerprinting.chat.history import History, Round, Watch

ALPHA: Final = 0.01  # as `watch` has it unless told


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


class Watches:
    """The watches of a history; read again when somebody has written to its file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._stamp: tuple[tuple[int, int], ...] | None = None
        self._held: list[Watched] = []

    def all(self) -> list[Watched]:
        """Alarms first, then by target; none where there is no file. Raises DatabaseError."""
        with self._lock:
            if self._stamp is None or self._stamp != self._now():
                self._held = _all_of(self.path)
                self._stamp = self._now()
            return self._held

    def _now(self) -> tuple[tuple[int, int], ...]:
        """When the file and its log were written, and how long they are."""
        files = [file for file in (self.path, self.path.with_name(self.path.name + "-wal")) if file.is_file()]
        return tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in files)


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


def _all_of(path: Path) -> list[Watched]:
    if not path.is_file():
        return []
    history = History(path)
    try:
        found = [_watched(history, watch) for watch in history.watches()]
    finally:
        history.close()

    return sorted(found, key=lambda one: (one.alarm is None, one.target))


def _watched(history: History, watch: Watch) -> Watched:
    every = history.rounds(watch)
    rounds = [one for one in every if one.kind == "round"]
    ranked = [one for one in rounds if one.p is not None]
    ps = [one.p for one in ranked if one.p is not None]
    grown, needed, alarm = changing.evidence_grown(ps, ALPHA)
    last = max((one.ended for one in every if one.ended is not None), default=None)

    return Watched(
        watch.target, watch.begun, last, tuple(ranked), len(rounds) - len(ranked), tuple(grown.tolist()), needed, alarm
    )
