"""
What all probe generators share: the pool as numbers, the source's labels, and a suite that carries them.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .collect import Asked, Client, ask
from .errors import BadData, UsageError
from .records import InputSpec, Pool, ProbeSuite


def suite_of(
    generator: str,
    source: Client,
    pool: Pool,
    inputs: np.ndarray | tuple[str, ...],
    *,
    seed: int,
    **params: Any,
) -> ProbeSuite:
    """
    A suite of the given inputs, clipped to the pool's bounds, with the source's labels as expected answers.
    """
    if len(inputs) == 0:
        raise BadData(f"{generator} found no probe for {source.target} in a pool of {len(pool)}; use a larger pool")
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
        expected=expected_of(answers, pool.spec),
        classes=pool.classes,
        params=params,
    )


def with_notes(suite: ProbeSuite, notes: Sequence[str]) -> ProbeSuite:
    """
    The suite with a note on each probe, for the method that will read the answers: kind `masks` becomes `masks/3/21`.

    In the kind, because that goes where the probe goes when suites are cut, reordered or joined.
    """
    return replace(suite, kinds=tuple(f"{kind}/{note}" for kind, note in zip(suite.kinds, notes, strict=True)))


def notes_of(suite: ProbeSuite, generator: str) -> tuple[str, ...]:
    """The notes that a generator left on its probes, or () where not every probe of the suite bears one."""
    notes = tuple(kind.partition("/")[2] for kind in suite.kinds if kind.startswith(f"{generator}/"))

    return notes if len(notes) == len(suite) else ()


def labels_of(source: Client, pool: Pool, inputs: np.ndarray | Sequence[str]) -> np.ndarray:
    """
    int64 (m,): a model's labels for m inputs, asked in as few calls as it allows; m may be 0.

    Raises UsageError where the pool is for regressors, which have no labels.
    """
    require_classes(pool)
    if len(inputs) == 0:
        return np.empty(0, np.int64)

    return ask(source, inputs, pool.spec, classes=pool.classes, access="label").labels


def require_classes(pool: Pool) -> None:
    """Raise UsageError where a generator compares labels and the pool is for regressors, which have none."""
    if pool.spec.output == "number":
        raise UsageError(
            "expected a pool with classes for a generator that compares labels, got one of measurements; "
            "use uniform, mixed, corrupted, midpoints or straddle"
        )


def values_of(source: Client, pool: Pool, inputs: np.ndarray) -> np.ndarray:
    """float32 (m,): a regressor's numbers for m inputs; m may be 0."""
    if len(inputs) == 0:
        return np.empty(0, np.float32)
    return numbers(ask(source, inputs, pool.spec))


def numbers_of(generator: str, pool: Pool, kinds: Sequence[str]) -> np.ndarray:
    """
    float32 (n, *shape): the pool's rows moved into its bounds.

    Raises UsageError where the generator does not work on this kind of input.
    """
    if pool.spec.kind not in kinds or not isinstance(pool.x, np.ndarray):
        raise UsageError(
            f"{generator} works on {' and '.join(kinds)} inputs, this pool holds {pool.spec.kind}; "
            "use uniform, misclassified or rare"
        )

    return pool.spec.clip(pool.x)


def numbers(asked: Asked) -> np.ndarray:
    """float32 (m,): the numbers in a regressor's answers."""
    assert asked.scores is not None
    return asked.scores[:, 0]


def log_odds(asked: Asked) -> np.ndarray:
    """Log-odds of the label against the likeliest other class, negative where another is likelier; (m,)."""
    if asked.scores is None:
        return np.ones(len(asked.labels))
    logits = np.log(np.clip(np.nan_to_num(asked.scores.astype(float)), 1e-7, None))
    labels = np.minimum(asked.labels, logits.shape[1] - 1)
    own = np.take_along_axis(logits, labels[:, None], 1)[:, 0]
    np.put_along_axis(logits, labels[:, None], -np.inf, 1)

    return np.asarray(own - logits.max(1))


def expected_of(asked: Asked, spec: InputSpec) -> np.ndarray:
    """What a suite expects: int64 labels (m,), or a regressor's float32 numbers (m,)."""
    return numbers(asked) if spec.output == "number" else asked.labels


def distinct(inputs: np.ndarray) -> np.ndarray:
    """
    The inputs without repetitions, in their order of first appearance; (m, *shape) -> (at most m, *shape).
    """
    if len(inputs) == 0:
        return inputs
    _, first = np.unique(inputs.reshape(len(inputs), -1), axis=0, return_index=True)

    return inputs[np.sort(first)]


def pairs_in(n: int) -> int:
    """How many pairs n questions pay for. Raises UsageError where that is none."""
    if n < 2:
        raise UsageError(f"a pair of probes costs two questions, got {n}; ask for at least 2")

    return n // 2


def side_by_side(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rows of both in turn, so that any even number of them is whole pairs; (m, *shape) twice -> (2 m, *shape)."""
    return np.stack([first, second], 1).reshape(-1, *first.shape[1:])
