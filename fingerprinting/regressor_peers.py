"""
Which honest models stand beside a regressor, and what they are trained on.
"""

from typing import Final

import numpy as np

from . import learners
from .plans import FEW, Material, Plan

USES: Final = ("select", "estimate", "calibrate", "calibrate", "calibrate", "calibrate", "calibrate")
FEW_USES: Final = ("select", "estimate", "calibrate", "calibrate")
TWINS: Final = 8  # of the source's own class on all of its data, to learn what no seed changes


def plan_regressors(material: Material, count: int, seed: int) -> list[Plan]:
    """
    Honest models in turn: on rows of train, of held, of both, and of the log under the values that other honest models
    give on average.

    Model classes rotate within each use, so that no use lacks one. Those of both halves have nearly or exactly all
    rows, as an honest model of the source's data would: regressors of the same rows are nearly the same function. Where
    the source's class is at hand, up to TWINS have that class and all the rows, and differ by their seeds alone.
    """
    rng = np.random.default_rng([seed, 1])
    n, h = len(material.train), len(material.held)
    names = material.learners
    logged = 0 if material.log_truth is None else len(material.log_truth)
    kinds = ("other half", "same half", "both halves", "both halves and log")[: 4 if logged else 3]
    twins = min(TWINS, count // TWINS) if material.own is not None else 0
    count -= twins
    uses = USES if count > FEW else FEW_USES
    turn = len(names) % len(uses) == 0  # else the uses run through every class by themselves
    plans = []
    for i in range(count):
        learner, kind = names[i % len(names)], kinds[(i // len(names)) % len(kinds)]
        share = min(1.0, rng.uniform(0.95, 1.1)) if kind.startswith("both") else rng.uniform(0.5, 1.0)
        name = f"peer {i + 1} ({learner}, {kind})"
        role = "peer" if kind == "other half" else "same-data peer"
        use = uses[(i + turn * (i // len(uses))) % len(uses)]
        rows = [
            _some(rng, n, 0.0 if kind == "same half" else share),
            _some(rng, h, 0.0 if kind == "other half" else share),
            _some(rng, logged, share if kind.endswith("log") else 0.0),
        ]
        plans.append(Plan(name, role, use, learner, "truth", int(rng.integers(1 << 31)), *rows))
    for i in range(twins):
        name, use = f"peer {count + i + 1} (own, all data)", USES[i % 2]
        rows = [np.arange(n), np.arange(h), np.zeros(0, int)]
        plans.append(Plan(name, "twin peer", use, learners.OWN, "truth", int(rng.integers(1 << 31)), *rows))

    return plans


def _some(rng: np.random.Generator, n: int, share: float) -> np.ndarray:
    return rng.permutation(n)[: round(share * n)]
