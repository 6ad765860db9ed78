"""Row 9: endpoints that fail on more and more inputs, and what is said of them."""

import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from probe_match.clients import function
from probe_match.fingerprinting import matching
from probe_match.fingerprinting.commands._session import generators
from probe_match.fingerprinting.database import ReferenceDB, open_db
from probe_match.fingerprinting.enrolment import enroll
from probe_match.fingerprinting.errors import InputRefused, TargetError
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.records import About
from probe_match.fingerprinting.verdicts import MIN_ANSWERED


def silence(peers: int = 120, seed: int = 0, runs: int = 24) -> dict[str, Any]:
    """Row 9: an honest stranger and the source itself, failing on more and more inputs; what the verdicts say."""
    rng = np.random.default_rng(seed)
    w, v, x = rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), rng.uniform(-1, 1, (300, 6)).astype(np.float32)

    def source(x: np.ndarray) -> np.ndarray:
        return np.asarray((np.tanh(2 * x) @ w).argmax(1))

    def stranger(x: np.ndarray) -> np.ndarray:
        return np.asarray((np.tanh(2 * x) @ v).argmax(1))

    said: dict[str, dict[str, str]] = {"source": {}, "stranger": {}}
    at_random: dict[str, dict[str, int]] = {}
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, open_db(str(Path(folder) / "r.db"), create=True) as db:
        pool = make_pool(x, source(x))
        made = enroll(function.wrap(source), pool, name="s", about=About(), generators=generators("tabular"),
                      peers=peers, shadows=8, seed=seed, jobs=1)  # fmt: skip
        db.add(made.reference)
        for name, model in (("source", source), ("stranger", stranger)):
            for tenth in range(11):
                verdict = matching.match(_failing(model, tenth / 10), db, stop_early=False)
                said[name][f"{tenth * 10} %"] = f"{verdict.decision}, {verdict.answered} of {verdict.sent} answered"
                wrong += verdict.answered < MIN_ANSWERED and verdict.decision != "inconclusive"
                wrong += tenth > 0 and verdict.coverage < 0.5 and verdict.decision == "no match"
            for share in (0.5, 0.7, 0.9):
                found = Counter(_said(_moody(model, share, one), db, one) for one in range(runs))
                at_random[f"{name}, {share:.0%} of requests"] = dict(found)
    given_up = sum(found.get("error", 0) for found in at_random.values())

    return {"least_answers": MIN_ANSWERED, "decisions": said, "decided_on_too_little": wrong,
            "refused_at_random": at_random, "given_up": given_up, "holds": wrong == 0 and given_up == 0}  # fmt: skip


def _said(client: function.FunctionClient, db: ReferenceDB, seed: int) -> str:
    try:
        verdict = matching.match(client, db, seed=seed)
    except TargetError:
        return "error"
    return verdict.decision if verdict.answered >= MIN_ANSWERED or verdict.decision == "inconclusive" else "too little"


def _moody(model: Any, share: float, seed: int) -> function.FunctionClient:
    """The model, refusing requests by the throw of a coin, from the first on."""
    rng = random.Random(seed)

    def some(x: np.ndarray) -> np.ndarray:
        if rng.random() < share:
            raise InputRefused("status 500")
        return model(x)

    return function.wrap(some, name="m")


def _failing(model: Any, share: float) -> function.FunctionClient:
    """The model, failing on that share of inputs, by a digest of each; not on the first, so that it is not dead."""
    answered = [0]

    def fails(row: np.ndarray) -> bool:
        return random.Random(row.tobytes()).random() < share

    def some(x: np.ndarray) -> np.ndarray:
        if answered[0] and any(fails(row) for row in x):
            raise InputRefused("status 500")
        answered[0] += 1
        return model(x)

    client = function.wrap(some, name="m")
    client.batch = 1
    return client
