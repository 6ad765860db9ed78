"""Limits: reserved before, settled after, never passed; rates; and what users may write."""

import time

import numpy as np
import pytest
from probe_match.clients.function import wrap
from probe_match.fingerprinting.audits import Audit, read_rate
from probe_match.fingerprinting.budget import Budget, Limits, read_limits
from probe_match.fingerprinting.collect import ask
from probe_match.fingerprinting.errors import BudgetSpent, UsageError
from probe_match.fingerprinting.guards import GuardedClient
from probe_match.fingerprinting.ledger_states import Cost
from probe_match.fingerprinting.records import InputSpec

SPEC = InputSpec("tabular", (2,), (-9.0,), (9.0,))
X = np.arange(40, dtype=np.float32).reshape(20, 2)


@pytest.mark.parametrize(
    ("limits", "costs", "last"),
    [
        (Limits(queries=3), [Cost(1), Cost(2)], Cost(1)),
        (Limits(tokens=100), [Cost(1, 60), Cost(1, 40)], Cost(1, 1)),
        (Limits(dollars=0.3), [Cost(1, 9, 0.1)] * 3, Cost(0, 0, 1e-9)),
    ],
)
def test_a_limit_is_reached_and_not_passed(limits: Limits, costs: list[Cost], last: Cost) -> None:
    """What fits exactly is allowed, however it adds up in floating point; the least more is not, and costs nothing."""
    budget = Budget(limits)
    for cost in costs:
        budget.reserve(cost)
    spent = budget.spent
    with pytest.raises(BudgetSpent, match="leaves no room"):
        budget.reserve(last)

    assert budget.spent == spent


def test_what_was_not_used_is_given_back() -> None:
    """A reservation is the most; the rest is there for the next."""
    budget = Budget(Limits(tokens=100))
    budget.reserve(Cost(1, 90))
    budget.settle(Cost(1, 90), Cost(1, 20))
    budget.reserve(Cost(1, 80))

    assert budget.spent == Cost(2, 100, 0.0)


def test_earlier_runs_count() -> None:
    """A resumed audit has what its first run left."""
    budget = Budget(Limits(queries=10), Cost(8))

    assert budget.affordable(5) == 2
    with pytest.raises(BudgetSpent):
        budget.reserve(Cost(3))


def test_time_ends_the_asking_and_keeps_the_answers() -> None:
    """Past --max-seconds nothing is sent; where all answers are needed, the limit is the error."""

    def slow(x: np.ndarray) -> np.ndarray:
        time.sleep(0.05)
        return np.zeros(len(x), int)

    client = wrap(slow)
    client.batch = 2
    asked = ask(GuardedClient(client, Audit(limits=Limits(seconds=0.12))), X, SPEC, partly=True)
    with pytest.raises(BudgetSpent, match=r"--max-seconds 0.01 are over"):
        ask(GuardedClient(client, Audit(limits=Limits(seconds=0.01))), X, SPEC)

    assert asked.sent is not None
    assert 2 <= asked.sent.sum() <= 6
    assert ((asked.labels == 0) == asked.sent).all()


def test_a_rate_is_kept() -> None:
    """No more than so many requests in any span, the first ones at once."""
    times: list[float] = []

    def model(x: np.ndarray) -> np.ndarray:
        times.append(time.monotonic())
        return np.zeros(len(x), int)

    client = wrap(model)
    client.batch = 2
    ask(GuardedClient(client, Audit(rate=(3, 200)), concurrency=4), X, SPEC)
    gaps = np.array(times[3:]) - np.array(times[:-3])

    assert len(times) == 10
    assert gaps.min() > 0.19
    assert times[2] - times[0] < 0.15


@pytest.mark.parametrize(
    ("text", "rate"), [("5/s", (5, 1000)), ("5", (5, 1000)), ("100/min", (100, 60_000)), ("1/10s", (1, 10_000))]
)
def test_rates_are_read(text: str, rate: tuple[int, int]) -> None:
    """Requests for a time, a second where it is not said."""
    assert read_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0/s", "5/", "5/y", "-1/s", "1.5/s", "1/0s", "5/s/s"])
def test_rates_that_make_no_sense_are_refused(text: str) -> None:
    """One line says what a rate looks like."""
    with pytest.raises(UsageError, match="expected a --rate such as 5/s"):
        read_rate(text)


def test_limits_are_read() -> None:
    """Each kind by its name, the smaller of two."""
    assert read_limits(("queries=5", "dollars=.25", "queries=7")) == Limits(5, None, 0.25, None)
    assert not read_limits(())


@pytest.mark.parametrize("text", ["5", "queries", "queries=x", "queries=1.5", "tokens=-1", "dollars=nan", "euros=3"])
def test_limits_that_make_no_sense_are_refused(text: str) -> None:
    """One line says what a limit looks like."""
    with pytest.raises(UsageError, match="expected --max-cost"):
        read_limits((text,))
