"""Decoys stand between the probes, are paid from the same budget, and count for nothing."""

import numpy as np
import pytest
from probe_match.clients.function import wrap
from probe_match.fingerprinting.collect import collect
from probe_match.fingerprinting.decoys import Decoys, current, put, room, using
from probe_match.fingerprinting.errors import UsageError
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.records import InputSpec, Pool, ProbeSuite

POOL = make_pool(np.arange(100, 400, dtype=np.float32).reshape(100, 3), np.arange(100) % 2)


def suite_of(inputs: np.ndarray | tuple[str, ...], spec: InputSpec) -> ProbeSuite:
    n = len(inputs)
    return ProbeSuite("s", "g", 0, spec, inputs, ("g",) * n, np.ones(n), None)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_no_budget_is_passed(share: float) -> None:
    """However it is spent round by round, probes and decoys together stay within it, and little of it is left."""
    for budget in range(10, 60):
        decoys = Decoys(POOL, np.random.default_rng(budget), share)
        left = probes = decoys.room(budget)
        asked: list[int] = []
        suite = suite_of(np.zeros((budget, 3), np.float32), POOL.spec)
        while left:
            some = min(left, 1 + len(asked) % 7)
            asked.append(len(decoys.among(suite.inputs[:some], suite)[0]))
            left -= some

        assert probes < sum(asked) <= budget
        assert sum(asked) >= budget - 1 / (1 - share)


def test_a_model_sees_them_between_the_probes_and_nobody_their_answers() -> None:
    """As many as there are probes, each once, in no order; answers and counts are those of the probes."""
    seen: list[float] = []

    def model(x: np.ndarray) -> np.ndarray:
        seen.extend(x[:, 0].tolist())
        return np.where(x[:, :1] < 100, [[0.9, 0.1]], [[0.1, 0.9]])

    probes = np.arange(60, dtype=np.float32).reshape(20, 3)
    suite = suite_of(probes, POOL.spec)
    with using(Decoys(POOL, np.random.default_rng(0))):
        rounds = [collect(wrap(model), suite, rows=np.arange(0, 10), rng=np.random.default_rng(1)),
                  collect(wrap(model), suite, rows=np.arange(10, 20), rng=np.random.default_rng(1))]  # fmt: skip
        assert (put(), room(50)) == (20, 25)
    decoys = [value for value in seen if value >= 100]
    kinds = np.array(seen) >= 100

    assert [responses.sent for responses in rounds] == [10, 10]
    assert (rounds[0].label[:10] == 0).all()
    assert sorted(value for value in seen if value < 100) == probes[:, 0].tolist()
    assert len(set(decoys)) == len(decoys) == 20
    assert 5 < np.count_nonzero(np.diff(kinds.astype(int))) < 35
    assert current() is None


def test_texts_have_decoys_too() -> None:
    """And where the pool is used up, the probes go alone."""
    texts = Pool(InputSpec("text", ()), ("a b", "c d"), np.array([0, 1]), ())
    suite = suite_of(("probe one", "probe two", "probe three"), texts.spec)
    mixed, places = Decoys(texts, np.random.default_rng(3)).among(suite.inputs, suite)

    assert sorted(mixed) == ["a b", "c d", "probe one", "probe three", "probe two"]
    assert [mixed[place] for place in places] == list(suite.inputs)


def test_decoys_of_another_input_are_refused() -> None:
    """They would give the audit away, and break the model."""
    suite = suite_of(np.zeros((4, 2), np.float32), InputSpec("tabular", (2,)))
    with (
        using(Decoys(POOL, np.random.default_rng(0))),
        pytest.raises(UsageError, match="expected decoys of the probes"),
    ):
        collect(wrap(lambda x: x[:, 0] * 0), suite)
    with pytest.raises(UsageError, match="share of decoys"):
        Decoys(POOL, np.random.default_rng(0), 1.0)
