"""Inputs in parts: batches learnt, bad inputs isolated, many threads, limits that end the asking."""

import threading
import time

import numpy as np
import pytest
from probe_match.clients.function import FunctionClient, wrap
from probe_match.fingerprinting import parting
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.errors import BudgetSpent, InputRefused, TargetError
from probe_match.fingerprinting.parting import in_parts


class Server:
    """Takes `most` inputs at once, fails on those in `bad`, and notes the size of each request."""

    def __init__(self, most: int = 1000, bad: tuple[int, ...] = (), batch: int = 16) -> None:
        self.client: FunctionClient = wrap(lambda x: x)
        self.client.batch = batch
        self.sizes: list[int] = []
        self._most, self._bad = most, bad

    def put(self, rows: np.ndarray) -> Answers:
        """Labels that are the inputs' places."""
        self.sizes.append(len(rows))
        if len(rows) > self._most or set(self._bad) & set(rows.tolist()):
            raise InputRefused("status 500")
        return Answers(rows, None)

    def ask(self, n: int, concurrency: int = 1) -> tuple[list[int], list[int]]:
        """Places answered and unanswered."""
        answered, silent = [], []
        for rows, answers in in_parts(self.client, np.arange(n), self.put, concurrency=concurrency):
            if not isinstance(answers, Answers):
                silent += rows.tolist()
            else:
                assert answers.labels is not None
                assert np.array_equal(answers.labels, rows)
                answered += rows.tolist()
        return sorted(answered), sorted(silent)


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("bad", [(), (0,), (7,), (63,), (3, 4), (0, 1, 62, 63)])
def test_all_but_the_bad_inputs_are_answered(bad: tuple[int, ...], concurrency: int) -> None:
    """Each input comes once, answered or not, and one bad input costs a few small requests."""
    server = Server(bad=bad)
    answered, silent = server.ask(64, concurrency)

    assert silent == list(bad)
    assert answered == [i for i in range(64) if i not in bad]
    assert len(server.sizes) <= 4 + 10 * len(bad)
    assert server.client.batch == 16


@pytest.mark.parametrize("most", [1, 3, 5, 16])
def test_what_a_target_takes_at_once_is_learnt(most: int) -> None:
    """After the first refusals no request is too large, here and later."""
    server = Server(most)
    server.ask(64)
    first = len(server.sizes)
    server.ask(64)

    assert sum(size > most for size in server.sizes) <= 15
    assert max(server.sizes[first:]) <= most
    assert server.client.batch > most / 2


def test_a_piece_that_waited_goes_in_the_batches_learnt_meanwhile() -> None:
    """Else the client would send it as several requests, and a refusal of one would send the answered ones again."""
    client = wrap(lambda x: x)
    client.batch = 64
    asked: list[tuple[int, int]] = []

    def put(rows: np.ndarray) -> Answers:
        asked.append((len(rows), client.batch))
        if len(rows) > 10:
            raise InputRefused("status 500")
        return Answers(rows, None)

    parts = list(in_parts(client, np.arange(64), put))

    assert all(size <= batch for size, batch in asked)
    assert sorted(np.concatenate([rows for rows, answers in parts if isinstance(answers, Answers)]).tolist()) == list(
        range(64)
    )


def test_a_target_that_fails_on_everything_is_given_up() -> None:
    """Two hundred inputs refused alone, before anything was answered: nothing more is sent."""
    server = Server(bad=tuple(range(1000)))
    with pytest.raises(TargetError, match="status 500"):
        server.ask(1000)

    assert len(server.sizes) < 450


def test_what_was_answered_counts_when_a_target_goes_silent() -> None:
    """Two hundred refused in a row end the asking, without an error, and the rest is not sent."""
    server = Server(bad=tuple(range(30, 1000)), batch=10)
    answered, silent = server.ask(1000)

    assert answered == list(range(30))
    assert silent == list(range(30, 230))


@pytest.mark.parametrize("seed", range(6))
def test_rare_answers_are_waited_for(seed: int) -> None:
    """A target that refuses nine requests in ten, at random, is asked everything, and what came counts."""
    rng, client, sent = np.random.default_rng(seed), wrap(lambda x: x), []
    client.batch = 16

    def put(rows: np.ndarray) -> Answers:
        if rng.random() < 0.9:
            raise InputRefused("status 500")
        sent.extend(rows.tolist())
        return Answers(rows, None)

    parts = list(in_parts(client, np.arange(50), put))
    answered = [i for rows, answers in parts if isinstance(answers, Answers) for i in rows.tolist()]

    assert sorted(i for rows, _ in parts for i in rows.tolist()) == list(range(50))
    assert sorted(sent) == sorted(answered)


def test_a_target_that_answers_uselessly_is_not_paid_again() -> None:
    """An answer that cannot be used may have cost: its inputs stay unanswered, and nothing is sent again."""
    sent = []

    def put(rows: np.ndarray) -> Answers:
        sent.extend(rows.tolist())
        if 5 in rows:
            error = InputRefused("NaN")
            error.answered = True
            raise error
        return Answers(rows, None)

    client = wrap(lambda x: x)
    client.batch = 4
    parts = list(in_parts(client, np.arange(12), put))

    assert sent == list(range(12))
    assert [rows.tolist() for rows, answers in parts if not isinstance(answers, Answers)] == [[4, 5, 6, 7]]


@pytest.mark.parametrize("concurrency", [1, 5])
def test_what_a_limit_leaves_no_room_for_does_not_come(concurrency: int) -> None:
    """As many as are granted are sent, whole or in part, and asking ends without an error."""
    left, lock = [37], threading.Lock()

    def grant(n: int) -> int:
        with lock:
            if not left[0]:
                raise BudgetSpent("spent")
            granted = min(n, left[0])
            left[0] -= granted
            return granted

    server = Server(batch=10)
    came = [r for r, _ in in_parts(server.client, np.arange(100), server.put, concurrency=concurrency, grant=grant)]

    assert sum(server.sizes) == 37
    assert sorted(np.concatenate(came).tolist()) == list(range(37))


def test_parts_are_under_way_together() -> None:
    """Sixteen requests of 50 ms take far less than one after the other, once the first was answered."""
    client = wrap(lambda x: x)
    client.batch = 1

    def put(rows: np.ndarray) -> Answers:
        time.sleep(0.05)
        return Answers(rows, None)

    started = time.monotonic()
    list(in_parts(client, np.arange(17), put, concurrency=8))

    assert time.monotonic() - started < 0.6


def test_an_error_in_one_thread_ends_all() -> None:
    """What goes wrong is raised where the answers are awaited, and no thread stays behind."""
    before = threading.active_count()

    def put(rows: np.ndarray) -> Answers:
        if rows[0] == 9:
            raise TargetError("gone")
        return Answers(rows, None)

    client = wrap(lambda x: x)
    client.batch = 1
    with pytest.raises(TargetError, match="gone"):
        list(in_parts(client, np.arange(5000), put, concurrency=4))

    assert threading.active_count() <= before
    assert parting.SILENCE == 200
