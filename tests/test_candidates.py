"""What may become a probe: enough of it, and only where the source does not waver."""

import numpy as np
import pytest
import worlds
from probe_match.fingerprinting import candidates
from probe_match.fingerprinting.collect import Asked
from probe_match.fingerprinting.exploring import explore
from probe_match.fingerprinting.records import InputSpec


@pytest.fixture(scope="module")
def table() -> InputSpec:
    """Two columns."""
    return InputSpec("tabular", (2,), (-10.0,), (10.0,))


def sides(x: np.ndarray) -> np.ndarray:
    """A model that knows one boundary, at 0 in the first column."""
    return (x[:, 0] > 0).astype(np.int64)


def test_points_on_which_the_source_wavers_are_no_probes(table: InputSpec) -> None:
    """A label that a little noise changes, or a margin that rounding can close, rules a candidate out."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2)).astype(np.float32)
    x[:200, 0] = 1e-4 * np.sign(x[:200, 0])
    x[200:, 0] += 2 * np.sign(x[200:, 0])
    found = candidates.Candidates(x, np.full(400, "uniform"), Asked(sides(x), None))
    labels_only = candidates.steady(worlds.client(sides), table, (), found, seed=0)
    scores = np.tile(np.array([[0.9, 0.1]], np.float32), (400, 1))
    scores[300:] = [0.51, 0.49]
    sure = candidates.steady(worlds.client(sides), table, (), found._replace(answers=Asked(sides(x), scores)), seed=0)

    assert labels_only[:200].mean() < 0.25  # at the boundary a label survives three draws of noise one time in eight
    assert labels_only[200:].all()
    assert sure[200:300].all()
    assert not sure[300:].any()


def test_thousands_are_made_and_a_short_list_goes_on() -> None:
    """The first peers answer all candidates, the rest only a list, from which both suites are chosen."""
    source = worlds.Counting(worlds.source().predict)
    explored = explore(
        worlds.client(source), worlds.pool(), generators=worlds.generators(), peers=12, shadows=4, seed=0
    )
    kinds = explored.found.kinds

    assert len(kinds) <= candidates.SHORT_LIST + candidates.NATURAL
    assert explored.panel.labels.shape[1] == len(kinds) == len(explored.eligible)
    assert source.rows > candidates.MANY
    assert explored.eligible[explored.chosen(50)].all()
    assert (kinds == "uniform").sum() >= 100
    assert set(explored.public_suite(20).kinds) == {"uniform"}
