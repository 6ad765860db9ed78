"""Small records that several test modules build on."""

from typing import Any

import numpy as np
from probe_match.fingerprinting.records import About, InputSpec, Panel, ProbeSuite, Reference, Responses

IMAGE = InputSpec("image", (2, 2))
K = 3


def make_suite(seed: int = 0, n: int = 5, spec: InputSpec = IMAGE, **changes: Any) -> ProbeSuite:
    """A suite of n random probes."""
    inputs = np.random.default_rng(seed).random((n, *spec.shape)).astype(np.float32)
    values = {
        "name": f"suite-{seed}",
        "generator": "uniform",
        "seed": seed,
        "spec": spec,
        "inputs": inputs,
        "kinds": ("uniform",) * n,
        "weights": np.ones(n),
        "expected": np.arange(n) % K,
    }
    return ProbeSuite(**(values | changes))


def make_responses(suite: ProbeSuite, seed: int = 0, *, repeats: int = 1, scores: bool = True) -> Responses:
    """Random probabilities over K classes; the labels are their likeliest."""
    n = len(suite)
    given = np.random.default_rng(seed).dirichlet(np.ones(K), (n, repeats)).astype(np.float32)
    return Responses(
        suite=suite.digest,
        target=f"function:model-{seed}",
        access="scores" if scores else "label",
        labels=given.argmax(2).astype(np.int64),
        scores=given if scores else None,
        latency=np.full(n, 0.25, np.float32),
        sent=n * repeats,
    )


def make_panel(n: int = 5) -> Panel:
    """Two peers, one of them of the same data, and a shadow."""
    rng = np.random.default_rng(3)
    return Panel(
        names=("peer 1", "peer 2", "shadow 1"),
        roles=("peer", "same-data peer", "shadow"),
        uses=("estimate", "calibrate", "select"),
        labels=rng.integers(0, K, (3, n)).astype(np.int16),
        scores=rng.random((3, n, K)).astype(np.float16),
    )


def make_reference(name: str = "s0", seed: int = 0, public: ProbeSuite | None = None, **about: Any) -> Reference:
    """A reference with probes of its own, a panel and, where there is one, answers to a public suite."""
    suite = make_suite(seed)
    return Reference(
        name=name,
        about=About(**about),
        suite=suite,
        answers=make_responses(suite, seed),
        panel=make_panel(),
        public=None if public is None else make_responses(public, seed),
    )
