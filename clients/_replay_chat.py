"""
Recorded answers of a language model as a target: `replay:answers.jsonl` with `prompt` and `answer`, AlpacaEval's JSON.

A question gets the next answer recorded for its words, system prompt and temperature, where the recording says those.
Unlike a classifier's, a recorded draw is never given twice: counting it again would make a distribution look surer.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from probe_match.fingerprinting.chat.records import Answer, Question
from probe_match.fingerprinting.chat.transcripts import Turn, read_turns


class ReplayChat:
    """The answers of one recording, each given once."""

    def __init__(self, turns: Sequence[Turn], target: str) -> None:
        self.target = target
        self.access: Literal["text", "logprobs"] = "logprobs" if all(turn.answer.logprobs for turn in turns) else "text"
        self.concurrency = 1
        self.sent: int = 0
        self.notes: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._left: dict[str, deque[Turn]] = defaultdict(deque)
        for turn in turns:
            self._left[turn.prompt].append(turn)

    def chat(self, questions: Sequence[Question]) -> list[Answer]:
        """Recorded answers in order; failed where there is none left."""
        return [self._next(question) for question in questions]

    def close(self) -> None:
        """Nothing is held open."""

    def _next(self, question: Question) -> Answer:
        with self._lock:
            self.sent += 1
            left = self._left.get(question.text, deque())
            for turn in left:
                if _fits(turn, question):
                    left.remove(turn)
                    return turn.answer
        return Answer("", "failed", error=f"{self.target} holds no further answer to this question and settings")


def connect(where: str) -> ReplayChat:
    """The recording in a file. Raises BadData where it is broken."""
    return ReplayChat(read_turns(Path(where)), f"replay:{where}")


def _fits(turn: Turn, question: Question) -> bool:
    same_system = turn.system is None or turn.system == (question.system or "")
    return same_system and turn.temperature in (None, question.sampling.temperature)
