"""Statistics of change, each against a count by hand or an independent formula."""

import numpy as np
import pytest
from probe_match.fingerprinting.chat import configuration, counting, identity, logprob_test, mmd
from probe_match.fingerprinting.chat.counting import Table
from probe_match.fingerprinting.chat.records import Answer, Transcript
from scipy.special import gammaln


def said(**cells: list[str]) -> Transcript:
    return Transcript("t", {cell: tuple(Answer(text) for text in texts) for cell, texts in cells.items()})


def odds(*calls: dict[str, float]) -> Transcript:
    return Transcript("t", {"c": tuple(Answer("a", logprobs=(tuple(call.items()),)) for call in calls)})


def test_answers_are_counted_by_cell() -> None:
    """Equal answers are one column, an unusable one counts by its status, and a failed call is none."""
    new = Transcript("t", {"c": (Answer("b"), Answer("", "empty"), Answer("", "failed")), "d": (Answer("x"),)})
    tables = counting.tables(said(c=["a", "b", "b"]), new)

    assert list(tables) == ["c"]
    np.testing.assert_array_equal(tables["c"].earlier, [1, 2, 0])
    np.testing.assert_array_equal(tables["c"].new, [0, 1, 1])


def test_total_variation_is_half_the_sum_of_differences() -> None:
    """3 of 4 and 1 of 4 against 1 of 2 and 1 of 2: a quarter."""
    assert counting.tv_distance(np.array([3, 1]), np.array([1, 1])) == pytest.approx(0.25)


def test_the_likelihood_ratio_is_that_of_two_dirichlets() -> None:
    """The tabulated logarithms give the textbook formula."""

    def log_dirichlet(counts: np.ndarray, prior: np.ndarray) -> float:
        ends = gammaln(prior.sum()) - gammaln(prior.sum() + counts.sum())
        return float(ends + (gammaln(prior + counts) - gammaln(prior)).sum())

    earlier, new = np.array([7, 2, 0]), np.array([0, 3, 1])
    expected = log_dirichlet(new, np.full(3, counting.ANY)) - log_dirichlet(new, earlier + counting.UNSEEN)

    assert counting.log_ratio(earlier, new) == pytest.approx(expected)


@pytest.mark.parametrize("statistic", ["log-ratio", "tv"])
def test_rounds_rank_uniformly_until_answers_change(statistic: str) -> None:
    """p-values of unchanged cells are uniform on average, and tiny once a cell always answers anew."""
    rng = np.random.default_rng(0)
    quiet = [
        counting.round_p(
            [Table(*rng.multinomial([30, 6], [0.5, 0.3, 0.2])) for _ in range(3)], rng, statistic=statistic
        )
        for _ in range(60)
    ]
    changed = counting.round_p([Table(np.array([30, 0]), np.array([0, 4]))] * 2, rng, statistic=statistic)

    assert 0.35 < np.mean(quiet) < 0.65
    assert changed < 1e-3


def test_missing_tokens_get_the_least_of_their_call() -> None:
    """What a server leaves out of its top list is at most as likely as the last it names."""
    values, tokens = logprob_test.matrix(odds({"a": -0.1, "b": -3.0}, {"a": -0.2, "c": -2.0}).answers["c"])

    assert tokens == ["a", "b", "c"]
    np.testing.assert_allclose(values, [[-0.1, -3.0, -3.0], [-0.2, -2.0, -2.0]])


@pytest.mark.parametrize("statistic", ["whitened", "plain"])
def test_moved_log_probabilities_are_found(statistic: str) -> None:
    """A shift of three times the noise is found in ten calls; none is found where there is none."""
    rng = np.random.default_rng(0)

    def endpoint(shift: float) -> Transcript:
        return odds(*({"a": -1 + shift + 0.01 * rng.normal(), "b": -2 + 0.01 * rng.normal()} for _ in range(10)))

    before = endpoint(0)
    moved = logprob_test.round_p(before, endpoint(0.03), rng, statistic=statistic)
    same = logprob_test.round_p(before, endpoint(0), rng, statistic=statistic)

    assert moved is not None
    assert same is not None
    assert moved < 0.01 < same
    assert logprob_test.round_p(before, said(c=["a"]), rng) is None
    assert logprob_test.distance(before, endpoint(0.03), statistic=statistic) > 0


def test_mmd_is_the_mean_of_kernels_by_hand() -> None:
    """Unbiased squared MMD of two and two texts, pair by pair."""
    kernels = mmd.kernel(["ab", "ab", "xy", "xb"], length=2)
    expected = kernels[0, 1] + kernels[2, 3] - kernels[:2, 2:].mean() * 2

    np.testing.assert_allclose(kernels[0], [1, 1, 0, 0.5])
    assert mmd.squared(kernels, np.array([[False, False, True, True]]))[0] == pytest.approx(expected)


def test_mmd_finds_other_texts() -> None:
    """Completions in other words rank first among relabelings, the same words do not."""
    rng = np.random.default_rng(0)
    old = said(c=[f"the cat {i}" for i in range(8)], d=["one"] * 8)
    new = said(c=[f"a dogs! {i}" for i in range(8)], d=["two"] * 8)
    same = said(c=[f"the cat {i}" for i in range(1, 9)], d=["one"] * 8)

    assert (mmd.round_p(old, new, rng) or 1) < 0.01
    assert (mmd.round_p(old, same, rng) or 0) > 0.01


def test_a_system_prompt_shows_in_the_token_count() -> None:
    """The same number more for every question is a prompt above them; other numbers are another tokenizer."""

    def counted(*numbers: int) -> Transcript:
        return Transcript("t", {str(i): (Answer("a", prompt_tokens=n),) for i, n in enumerate(numbers)})

    assert configuration.prompt_tokens(counted(5, 9), counted(12, 16)) == (7, True, True)
    assert not configuration.prompt_tokens(counted(5, 9), counted(12, 17)).constant
    assert not configuration.prompt_tokens(counted(5, 9), counted(-1, -1)).known


def test_wavering_counts_cells_that_were_of_one_answer() -> None:
    """Of two cells once answered alike every time one now has two answers; a cell that always varied does not count."""
    before, now = (
        [np.array([5, 0]), np.array([5, 0]), np.array([3, 2])],
        [np.array([4, 1]), np.array([5, 0]), np.array([1, 1])],
    )

    assert configuration.wavering(before, now) == 0.5
    assert configuration.spread([np.array([2, 2]), np.array([3, 0]), np.array([1, 0])]) == pytest.approx(
        (4 / 6 + 0) / 2
    )


def test_sharing_is_one_for_one_source_and_none_for_strangers() -> None:
    """Two samples of the same odds share as much as each has within itself."""
    rng = np.random.default_rng(0)
    same = [Table(*rng.multinomial([400, 400], [0.6, 0.4])) for _ in range(5)]

    assert identity.sharing(same) == pytest.approx(1, abs=0.03)
    assert identity.sharing([Table(np.array([9, 0]), np.array([0, 9]))]) == 0
