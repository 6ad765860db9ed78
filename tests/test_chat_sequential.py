"""Looking again and again: ranks are uniform, and alarms keep their rate however often one looks."""

import numpy as np
import pytest
from probe_match.fingerprinting.chat import one_token, sequential
from probe_match.fingerprinting.chat.records import Answer, Transcript
from scipy import stats


def test_ranks_are_uniform_whatever_the_ties() -> None:
    """A statistic with three values gives p-values as uniform as one without ties."""
    rng = np.random.default_rng(0)
    p = [sequential.rank_p(float(draw[0]), draw[1:].astype(float), rng) for draw in rng.integers(0, 3, (4000, 20))]

    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_wealth_is_that_of_the_bets_by_hand() -> None:
    """One round's wealth is the mean pay-off of the bets begun, and the stake that was kept."""
    p = 0.003
    begun = sequential.FIRST_SHARE + (1 - sequential.FIRST_SHARE) / 2
    expected = begun * np.mean(sequential.BETS * p ** (sequential.BETS - 1)) + 1 - begun

    assert np.exp(sequential.log_wealth(np.array([p]))[0]) == pytest.approx(expected)


def test_alarms_keep_their_rate_under_peeking() -> None:
    """Of endpoints that never change, at most alpha are ever suspected in 300 looks."""
    rng = np.random.default_rng(1)
    alarms = [sequential.log_wealth(rng.uniform(size=300)).max() >= -np.log(0.05) for _ in range(400)]

    assert np.mean(alarms) < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)


def test_a_change_after_a_long_quiet_is_found() -> None:
    """Bets lost in a hundred quiet rounds do not keep a change from being found in a few."""
    rng = np.random.default_rng(2)
    wealth = sequential.log_wealth(np.concatenate([rng.uniform(size=100), np.full(10, 1e-4)]))
    alarmed = np.flatnonzero(wealth >= -np.log(0.01))

    assert 100 <= alarmed[0] <= 103


def test_one_question_at_a_time_finds_new_answers_and_only_those() -> None:
    """Answers never given before raise the evidence quickly; the usual ones never do, and failures say nothing."""
    base = Transcript("t", {f"c{i}": (Answer(f"a{i}"),) * 10 for i in range(8)})
    quiet, swapped = one_token.Monitor(base), one_token.Monitor(base)
    for i in range(16):
        quiet.add(f"c{i % 8}", Answer(f"a{i % 8}"))
        swapped.add(f"c{i % 8}", Answer(f"other{i % 8}"))

    assert swapped.evidence > np.log(100) > quiet.evidence
    assert quiet.add("c0", Answer("", "failed")) == 1.0
    assert len(quiet.p) == 16
