"""
Endpoints that show less, add noise, refuse, or have several models behind them: what verdicts they get.

    python benchmarks/hostile.py [--tasks 4] [--output benchmarks/hostile.json]

Each task has a source, two models trained on its answers, and four honest ones. Every way of cheating is tried on each;
counted are wrong names, copies found, and verdicts that clear a cheat (`no match`). Nothing here was used to choose
thresholds but the screens' counts, which were set on another task (tests/worlds.py).
"""

import argparse
import collections
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from probe_match.clients import function, sklearn
from probe_match.fingerprinting import matching, registry
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.bench.measures import wilson
from probe_match.fingerprinting.enrolment import enroll
from probe_match.fingerprinting.errors import InputRefused, TargetError
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.records import About, Reference
from sklearn.covariance import EmpiricalCovariance
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, IsolationForest, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPClassifier
from tqdm import tqdm

FEATURES, CLASSES = 16, 6
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
Answer = Callable[[np.ndarray], np.ndarray]


class Task:
    """A source, its reference, models trained on its answers, honest models, and rows that nobody was trained on."""

    def __init__(self, seed: int) -> None:
        x, y = make_classification(
            1200, FEATURES, n_informative=14, n_redundant=2, n_classes=CLASSES, flip_y=0.05, random_state=100 + seed
        )
        x = x.astype(np.float32)
        owned, asked, self.fresh = x[:500], x[500:1000], x[1000:]
        self.owned = owned
        self.source: Any = RandomForestClassifier(40, random_state=seed).fit(owned, y[:500])
        stolen = self.source.predict(asked)
        self.copies = {
            "source": self.source,
            "trees": ExtraTreesClassifier(30, min_samples_leaf=2, random_state=seed).fit(asked, stolen),
            "network": MLPClassifier((64,), max_iter=200, random_state=seed).fit(asked, stolen),
        }
        self.honest = {
            "forest, same rows": RandomForestClassifier(40, random_state=50 + seed).fit(owned, y[:500]),
            "network, same rows": MLPClassifier((64,), max_iter=200, random_state=50 + seed).fit(owned, y[:500]),
            "forest, other rows": RandomForestClassifier(40, random_state=70 + seed).fit(asked, y[500:1000]),
            "network, other rows": MLPClassifier((64,), max_iter=200, random_state=70 + seed).fit(asked, y[500:1000]),
        }
        generators = {"midpoints": registry.load("probes", "midpoints").generate}
        self.reference: Reference = enroll(
            sklearn.wrap(self.source), make_pool(owned, y[:500]), name="source", about=About(), generators=generators,
            log=asked, peers=120, shadows=16,
        ).reference  # fmt: skip


class Refusing:
    """A client whose server refuses some inputs."""

    access, classes, shape, batch = "scores", (), (FEATURES,), 64

    def __init__(self, answer: Answer, refuse: Callable[[np.ndarray], bool]) -> None:
        self.target, self.answer, self.refuse = "refusing", answer, refuse

    def ask(self, inputs: Any) -> Answers:
        """Scores, or InputRefused where one of the inputs is not liked."""
        if any(self.refuse(row) for row in inputs):
            raise InputRefused("no")
        return Answers(None, self.answer(inputs))

    def close(self) -> None:
        """Nothing is held."""


def by_bytes(row: np.ndarray) -> float:
    """Something between 0 and 1 that depends on every bit of an input."""
    return int(np.random.default_rng(np.frombuffer(row.tobytes(), np.uint32)).integers(1000)) / 1000


def top(scores: np.ndarray, k: int) -> np.ndarray:
    """JSON texts of the k likeliest classes."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.array([json.dumps({str(j): float(scores[i, j]) for j in js}) for i, js in enumerate(best)])


def noisy(model: Any, size: float, rng: np.random.Generator) -> Answer:
    """Noise on log-probabilities."""

    def answer(x: np.ndarray) -> np.ndarray:
        odds = np.exp(np.log(np.clip(model.predict_proba(x), 1e-3, 1)) + rng.normal(0, size, (len(x), CLASSES)))
        return odds / odds.sum(1, keepdims=True)

    return answer


def disguises(model: Any, other: Any, seed: int) -> Iterator[tuple[str, Any]]:
    """Every way of cheating, with a client that does it. other: an honest model, for mixtures."""
    rng = np.random.default_rng(seed)
    proba = model.predict_proba
    yield "plain", function.wrap(proba, shape=(FEATURES,))
    yield "labels", function.wrap(model.predict, shape=(FEATURES,))
    for decimals in (1, 2, 3):
        yield f"rounded {decimals}", function.wrap(lambda x, d=decimals: np.round(proba(x), d), shape=(FEATURES,))
    for k in (2, 3):
        yield f"top {k}", _Top(proba, k)
    for size in (0.1, 0.3, 1.0):
        yield f"noise {size}", function.wrap(noisy(model, size, rng), shape=(FEATURES,))
    for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        yield f"refuses {share}", Refusing(proba, lambda row, s=share: by_bytes(row) < s)
    for share in SHARES:
        for kind in ("coin", "bytes"):
            yield f"mix {kind} {share}", function.wrap(_mixed(model, other, share, kind, rng), shape=(FEATURES,))


class _Top:
    access, classes, shape, batch = "scores", (), (FEATURES,), 64

    def __init__(self, answer: Answer, k: int) -> None:
        self.target, self.answer, self.k = f"top {k}", answer, k

    def ask(self, inputs: Any) -> Answers:
        return Answers(None, top(self.answer(inputs), self.k))

    def close(self) -> None:
        pass


def _mixed(model: Any, other: Any, share: float, kind: str, rng: np.random.Generator) -> Answer:
    def answer(x: np.ndarray) -> np.ndarray:
        drawn = rng.random(len(x)) if kind == "coin" else np.array([by_bytes(row) for row in x])
        return np.where((drawn < share)[:, None], other.predict_proba(x), model.predict_proba(x))

    return answer


def looks(task: Task) -> dict[str, float]:
    """How well detectors fitted to the owner's rows tell the probes from unseen rows (AUC), and near repetitions."""
    probes = task.reference.suite.inputs
    assert isinstance(probes, np.ndarray)
    near = NearestNeighbors(n_neighbors=5).fit(task.owned)
    forest, usual = IsolationForest(random_state=0).fit(task.owned), EmpiricalCovariance().fit(task.owned)
    detectors: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "neighbours": lambda rows: near.kneighbors(rows)[0].mean(1),
        "covariance": usual.mahalanobis,
        "forest": lambda rows: -forest.score_samples(rows),
    }
    truth = [0] * len(task.fresh) + [1] * len(probes)
    seen: set[bytes] = set()
    repeated = 0
    for row in probes:
        halves = {half.tobytes() for half in np.split(np.round(row * 20).astype(np.int16), 2)}
        repeated += bool(halves & seen)
        seen |= halves
    found = {
        name: float(roc_auc_score(truth, np.concatenate([f(task.fresh), f(probes)]))) for name, f in detectors.items()
    }

    return {**found, "near repetitions": repeated / len(probes)}


def main() -> None:
    """Count, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    mixtures: collections.Counter[str] = collections.Counter()  # verdicts that speak of several models
    appearance: dict[str, list[float]] = collections.defaultdict(list)
    for seed in tqdm(range(args.tasks)):
        task = Task(seed)
        for name, value in looks(task).items():
            appearance[name].append(value)
        other = task.honest["network, other rows"]
        for role, models in (("copy", task.copies), ("honest", task.honest)):
            for i, model in enumerate(models.values()):
                for way, client in disguises(model, other, 10 * seed + i):
                    if way.startswith("mix") and role == "honest":
                        continue
                    try:
                        verdict = matching.match_one(client, task.reference, seed=seed, screen="always")
                        counts[f"{way} | {role}"][verdict.decision] += 1
                        mixtures[f"{way} | {role}"] += (
                            "more than one model" in verdict.why or "by their bytes" in verdict.why
                        )
                    except TargetError:
                        counts[f"{way} | {role}"]["error"] += 1
    rows = {}
    for way, found in counts.items():
        total = sum(found.values())
        rows[way] = {
            **found,
            "cases": total,
            "called_a_mixture": mixtures[way],
            "match_share": [round(v, 3) for v in wilson(found["match"], total)],
        }
        print(f"{way:<24}{dict(found)} called a mixture {mixtures[way]}/{total}")
    told = {
        "tasks": args.tasks,
        "ways": rows,
        "appearance": {k: [round(v, 3) for v in vs] for k, vs in appearance.items()},
    }
    print(told["appearance"])
    if args.output:
        args.output.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
