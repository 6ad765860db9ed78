"""What all probe generators share: turning inputs into a suite that carries the source's own answers."""

from typing import Any

import numpy as np

from .collect import Client, ask
from .errors import BadData
from .records import Pool, ProbeSuite


def suite_of(
    generator: str,
    source: Client,
    pool: Pool,
    inputs: np.ndarray | tuple[str, ...],
    *,
    seed: int,
    **params: Any,
) -> ProbeSuite:
    """A suite of the given inputs, clipped to the pool's bounds, with the source's labels as expected answers."""
    if len(inputs) == 0:
        raise BadData(
            f"{generator} found no probe for {source.target} in a pool of {len(pool)}; use a larger pool"
        )
    if isinstance(inputs, np.ndarray):
        inputs = pool.spec.clip(inputs)
    answers = ask(source, inputs, pool.spec, classes=pool.classes)

    return ProbeSuite(
        name=f"{generator}-{seed}",
        generator=generator,
        seed=seed,
        spec=pool.spec,
        inputs=inputs,
        kinds=(generator,) * len(inputs),
        weights=np.ones(len(inputs)),
        expected=answers.labels,
        classes=pool.classes,
        params=params,
    )
