"""
Pool rows with parts of them hidden at random (LIME: Ribeiro et al., KDD 2016), as Zest asks them (Jia, Chen, Guan,
Papernot, ICLR 2022).

How the answer changes with what is hidden says what a model looks at; `methods.lime` reads that off. The parts of an
image are the cells of a regular grid and are hidden by 0, those of a table are columns and are hidden by the pool's
mean or most frequent category.
"""

import numpy as np
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.errors import UsageError
from probe_match.fingerprinting.probing import numbers_of, suite_of, with_notes
from probe_match.fingerprinting.records import InputSpec, Pool, ProbeSuite

from ._image import from_planes, to_planes

KINDS = ("tabular", "image")
NEEDS = "pool"
MOST_PARTS = 52  # which parts are shown is kept as one number, exact as a float64


def generate(
    source: Client, pool: Pool, *, n: int, seed: int, per_row: int = 10, parts: int = 16, share: float = 0.5
) -> ProbeSuite:
    """
    At most n distinct probes: of each row in turn, the row itself and per_row - 1 versions with parts hidden.

    parts: most parts of a row, a square number for images; neighbouring columns share one where a table has more.
    share: chance that a part stays. Each probe notes its row and what is shown, as `row/number`, whose bit j is part
    j. Where hiding changes nothing, a row has fewer versions. Asks n questions.
    """
    if per_row < 2 or not 2 <= parts <= MOST_PARTS or not 0 < share < 1:
        raise UsageError(
            f"masks takes at least 2 versions per row, 2 to {MOST_PARTS} parts and a share between 0 and 1, "
            f"got {per_row}, {parts} and {share}"
        )
    x = numbers_of("masks", pool, KINDS)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(x))[: 2 * -(-n // per_row) + 2]  # spare ones for versions that come out equal
    part = _parts_of(pool.spec, parts)
    shown = rng.random((len(rows), per_row, int(part.max()) + 1)) < share
    shown[:, 0] = True
    kept = shown[:, :, part]
    inputs = np.where(kept, x[rows][:, None], _hidden(pool.spec, x)).reshape(-1, *pool.spec.shape)
    _, first = np.unique(inputs.reshape(len(inputs), -1), axis=0, return_index=True)
    chosen = np.sort(first)[:n]
    numbers = (shown << np.arange(shown.shape[-1])).sum(-1).ravel()
    suite = suite_of(
        "masks", source, pool, inputs[chosen], seed=seed, per_row=per_row, parts=shown.shape[-1], share=share
    )

    return with_notes(suite, [f"{i // per_row}/{numbers[i]}" for i in chosen])


def _parts_of(spec: InputSpec, parts: int) -> np.ndarray:
    """Int (*shape): the part that each number of an input belongs to, 0 and up."""
    if spec.kind == "tabular":
        width = spec.shape[0]
        return np.arange(width) * min(parts, width) // width
    planes = to_planes(spec, np.zeros((1, *spec.shape), np.float32))
    side = int(parts**0.5)
    down, across = (np.arange(size) * min(side, size) // size for size in planes.shape[2:])
    cells = down[:, None] * (across.max() + 1) + across

    return from_planes(spec, np.broadcast_to(cells, planes.shape))[0]


def _hidden(spec: InputSpec, x: np.ndarray) -> np.ndarray:
    """float32 (*shape): what stands where a part is hidden."""
    if spec.kind == "image":
        return spec.clip(np.zeros(spec.shape))
    usual = x.mean(0)
    for column in np.flatnonzero(~spec.numeric):
        values, counts = np.unique(x[:, column], return_counts=True)
        usual[column] = values[counts.argmax()]

    return usual
