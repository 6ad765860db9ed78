"""
Many inputs put to a model in parts: as many at once as it takes, several parts under way, bad inputs isolated.

A part that the model fails on goes again in smaller ones. If all of it is answered in the end, the model takes no more
than that at once, and later parts are as small; if one input fails alone, that one stays unanswered.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from .answers import Answers, Client
from .errors import BudgetSpent, InputRefused, TargetError

LOOK: Final = 0.05  # seconds between looks at what several threads have brought
SILENCE: Final = 200  # single inputs failed on in a row after which nobody answers: nine refusals in ten never last so
Part = tuple[np.ndarray, Answers | InputRefused | None]  # places among the inputs, and answers, or why none came
Put = Callable[[np.ndarray], Answers]  # asks the inputs at these places


@dataclass(eq=False)
class _Piece:
    """rows: places of inputs. of: the piece this is a part of. left: its parts to do. most: inputs answered at once."""

    rows: np.ndarray
    of: "_Piece | None" = None
    left: int = 0
    most: int = 0
    bad: bool = False


class _Plan:
    """What is left to ask, for all threads."""

    def __init__(self, client: Client, rows: np.ndarray, grant: Callable[[int], int]) -> None:
        self._client = client
        self._grant = grant
        self._rows = rows
        self._next = 0
        self._again: deque[_Piece] = deque()
        self._under_way = 0
        self._refused = 0
        self._changed = threading.Condition()
        self.answered = False
        self.over = False

    def take(self) -> _Piece | None:
        """The next piece; None where all are done or nothing more is to be sent. Raises BudgetSpent."""
        with self._changed:
            while not self.over:
                if self._again:
                    return self._taken(self._again.popleft())
                if self._next < len(self._rows):
                    rows = self._rows[self._next : self._next + max(1, self._client.batch)]
                    self._next += len(rows)
                    return self._taken(_Piece(rows))
                if not self._under_way:
                    break
                self._changed.wait()  # a piece under way may yet be split
        return None

    def done(self, piece: _Piece) -> None:
        """Note that a piece was answered."""
        with self._changed:
            self.answered, self._refused = True, 0
            piece.most = len(piece.rows)
            self._finish(piece)

    def refused(self, piece: _Piece, error: InputRefused) -> bool:
        """Whether the piece stays unanswered; else it goes again in parts. Raises where nothing is ever answered."""
        with self._changed:
            size = len(piece.rows)
            if size == 1 or error.answered:
                self._refused += size
                if self._refused >= SILENCE:
                    if not self.answered:
                        raise TargetError(str(error)) from error
                    self.over = True  # it is gone; what came before counts
                piece.bad = True
                self._finish(piece)
                return True
            most = max(1, min((size + 1) // 2, self._client.batch))
            parts = [_Piece(piece.rows[start : start + most], piece) for start in range(0, size, most)]
            piece.left = len(parts)
            self._again.extendleft(reversed(parts))
            self._under_way -= 1
            self._changed.notify_all()
            return False

    def stop(self) -> None:
        """Send nothing more."""
        with self._changed:
            self.over = True
            self._changed.notify_all()

    def _taken(self, piece: _Piece) -> _Piece:
        # What waited while a smaller batch was learnt goes in such batches: as several requests of one call, a refusal
        # of one would send again what another answered.
        most = max(1, self._client.batch)
        if len(piece.rows) > most:
            parts = [_Piece(piece.rows[start : start + most], piece) for start in range(0, len(piece.rows), most)]
            piece.left = len(parts)
            self._again.extendleft(reversed(parts[1:]))
            piece = parts[0]
        granted = self._grant(len(piece.rows))
        if granted < len(piece.rows):
            self._again.appendleft(_Piece(piece.rows[granted:]))
            piece = _Piece(piece.rows[:granted])
        self._under_way += 1
        return piece

    def _finish(self, piece: _Piece) -> None:
        self._under_way -= 1
        self._changed.notify_all()
        while piece.of is not None:
            whole = piece.of
            whole.left -= 1
            whole.most, whole.bad = max(whole.most, piece.most), whole.bad or piece.bad
            if whole.left:
                return
            if not whole.bad:
                self._client.batch = max(1, min(self._client.batch, whole.most))
            piece = whole


def in_parts(
    client: Client,
    rows: np.ndarray,
    put: Put,
    *,
    concurrency: int = 1,
    grant: Callable[[int], int] = lambda n: n,
) -> Iterator[Part]:
    """
    Answers to the inputs at `rows`, part by part as they come; an input that the model fails on comes with the refusal.

    grant: of so many inputs, how many may be sent, at least 1, or BudgetSpent: then asking ends, and what was not sent
    does not come. A model that goes silent for long is asked no more. Raises TargetError where it never answered.
    """
    plan = _Plan(client, rows, grant)
    while not (plan.answered and concurrency > 1):  # a client learns from its first answers how to ask
        part = _step(plan, put)
        if part is None:
            return
        yield from part
    yield from _together(plan, put, concurrency)


def _step(plan: _Plan, put: Put) -> list[Part] | None:
    """What one piece gave, or None where nothing is left."""
    try:
        piece = plan.take()
        if piece is None:
            return None
        try:
            answers = put(piece.rows)
        except InputRefused as error:
            return [(piece.rows, error)] if plan.refused(piece, error) else []
    except BudgetSpent:
        plan.stop()
        return None
    plan.done(piece)

    return [(piece.rows, answers)]


def _together(plan: _Plan, put: Put, concurrency: int) -> Iterator[Part]:
    came: deque[Part] = deque()
    failed: deque[BaseException] = deque()

    def work() -> None:
        try:
            while (part := _step(plan, put)) is not None:
                came.extend(part)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            plan.stop()
            failed.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(LOOK)  # to be woken by every answer would cost more than many an answer does
                while came:
                    yield came.popleft()
        yield from came
    finally:
        plan.stop()
    if failed:
        raise failed[0]
