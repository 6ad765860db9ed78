"""What may become a probe: only where the source does not waver."""

import numpy as np
import pytest
import torch
import worlds
from probe_match.clients.torch import wrap
from probe_match.fingerprinting import candidates
from probe_match.fingerprinting.collect import Asked
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.records import InputSpec, ProbeSuite
from probe_match.probes import boundary
from torch import nn


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


def test_texts_as_written_are_steady() -> None:
    """A lost word changes the label of either kind of text; only those that a generator made are ruled out for it."""
    texts = tuple(f"start one two three {i}" for i in range(60))
    kinds = np.array(["uniform", "log", "mixed"] * 20)
    whole = worlds.client(lambda given: np.array([int(str(text).count(" ") == 4) for text in given]))
    found = candidates.Candidates(texts, kinds, Asked(np.ones(60, int), None))
    same = candidates.steady(whole, InputSpec("text"), (), found, seed=0)

    assert same[kinds != "mixed"].all()
    assert not same[kinds == "mixed"].all()


def test_gradients_are_followed_where_there_are_any() -> None:
    """Points on the boundary are candidates of a source that gives gradients, and of no other; nothing fails."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    pool = make_pool(x, (x[:, 0] > 0).astype(int))
    torch.manual_seed(0)
    module = wrap(nn.Linear(4, 2))

    def made(source: object) -> np.ndarray:
        found = candidates.gather(source, pool, None, None, {"boundary": boundary.generate}, seed=0)  # type: ignore[arg-type]
        return found.kinds[len(pool) :]

    assert (made(module) == "boundary").sum() >= 30
    assert len(made(worlds.client(sides))) == 0


def test_no_more_time_is_spent_on_gradients_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network that is dear to ask, few such points are made or none."""
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    pool = make_pool(x, (x[:, 0] > 0).astype(int))
    asked = []

    def counting(source: object, pool: object, *, n: int, seed: int) -> ProbeSuite:
        asked.append(n)
        return boundary.generate(source, pool, n=n, seed=seed)  # type: ignore[arg-type]

    source = wrap(nn.Linear(4, 2))
    one = 2 * 4 * 2 * 3 * candidates.PASSES  # operations that one point of this layer costs
    for points in (32, 0):
        monkeypatch.setattr(candidates, "GRADIENT_FLOPS", float(points * one))
        candidates.gather(source, pool, None, None, {"boundary": counting}, seed=0)

    assert asked == [32]
