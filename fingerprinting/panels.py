"""
Peers and shadows, trained on purpose: what honest models and stolen copies of this source would answer.

Each planned model is trained, asked and forgotten; only its answers are kept.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from joblib import Parallel, cpu_count, delayed

from . import backends, learners, regressors, relabelling
from .collect import Asked, Client, Progress, ask
from .joining import rows_of, together
from .plans import USES, Inputs, Material, Plan
from .probing import numbers
from .records import Panel, Pool
from .wording import Wording

THREADS = 8  # networks at once; with more, they wait for the interpreter


def train_panel(
    material: Material,
    plans: list[Plan],
    candidates: Inputs,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Panel:
    """
    Train every planned model and keep its answers to the candidates.

    jobs: processes, through joblib, unless a cluster is in use (`backends`). Torch networks are trained in threads of
    this process, one a core.
    """
    torch = np.array(
        [material.train.spec.output == "classes" and learners.needs_torch(plan.learner, material.own) for plan in plans]
    )
    # A torch module stays in this process: what the others need is the rest of the material.
    flat = replace(material, own=None) if learners.needs_torch(learners.OWN, material.own) else material
    wording = _wording(material, candidates)
    answers: list[tuple[np.ndarray, np.ndarray]] = [(np.zeros(0), np.zeros(0))] * len(plans)
    threads = min(cpu_count(), THREADS)
    for threaded, given in ((False, flat), (True, material)):
        rows = np.flatnonzero(torch == threaded)
        work = [delayed(_answer)(plans[row], given, candidates, wording) for row in rows]
        if threaded:
            running = Parallel(threads, backend="threading", return_as="generator")(work)
        else:
            running = backends.run(work, jobs, shared=[candidates, given], short=True)
        for row, answer in zip(rows, running, strict=True):
            answers[row] = answer
            if progress is not None:
                progress(1)
    keep_scores = material.k <= 100  # scores of a thousand classes would fill the database
    return Panel(
        names=tuple(plan.name for plan in plans),
        roles=tuple(plan.role for plan in plans),
        uses=tuple(plan.use for plan in plans),
        labels=np.stack([labels for labels, _ in answers]),
        scores=np.stack([scores for _, scores in answers]) if keep_scores else None,
        families=tuple("kin" if plan.role == "kin peer" else plan.learner for plan in plans),
    )


def ask_cohort(cohort: Sequence[Client], candidates: Inputs, pool: Pool) -> Panel:
    """
    Honest models that somebody has at hand, as peers: half calibrate, the others choose probes and fit in turn.

    What they were trained on is unknown, so they count as peers who know the data.
    """
    asked = [ask(client, candidates, pool.spec, classes=pool.classes) for client in cohort]
    given = [a.scores for a in asked if a.scores is not None]
    whole = len(given) == len(asked) and len({scores.shape[1] for scores in given}) == 1
    exact = pool.spec.output == "number"
    return Panel(
        tuple(f"{client.target} (at hand)" for client in cohort),
        ("same-data peer",) * len(asked),
        tuple(("calibrate", USES[i // 2 % 2])[i % 2] for i in range(len(asked))),
        np.stack([a.labels for a in asked]).astype(np.int16),
        np.stack(given).astype(np.float32 if exact else np.float16) if whole else None,
    )


def vote(train: Pool, held: Pool, inputs: Inputs, k: int, seed: int) -> np.ndarray:
    """
    Labels that one honest model of each class, fitted to all labelled rows, votes for; int64 (n,). Of regressors the
    median of their values, float32 (n,).
    """
    assert train.y is not None
    assert held.y is not None
    x, y = together([train.x, held.x]), np.concatenate([train.y, held.y])
    if train.spec.output == "number":
        fitted = (regressors.train(name, train.spec, x, y, seed) for name in regressors.names(train.spec, len(train)))
        return np.median([answer(inputs) for answer in fitted], axis=0)
    names = learners.names(train.spec, k, len(train))
    ballots = [learners.train(name, train.spec, x, y, k, seed)(inputs)[1].astype(float) for name in names]

    return np.asarray(np.sum(ballots, 0).argmax(1), np.int64)


def panel_of_numbers(answers: Mapping[str, np.ndarray]) -> Panel:
    """Shadows by name, from the numbers (n,) that they answer."""
    m = len(answers)
    scores = np.stack([np.asarray(given, np.float32)[:, None] for given in answers.values()])
    return Panel(
        tuple(answers),
        ("shadow",) * m,
        tuple(USES[i % 2] for i in range(m)),
        np.zeros(scores.shape[:2], np.int16),
        scores,
    )


def join(panels: list[Panel]) -> Panel:
    """Several panels over the same probes as one; scores are kept only where all have them, for the same classes."""
    scores = [panel.scores for panel in panels]
    whole = all(s is not None for s in scores) and len({s.shape[2] for s in scores if s is not None}) == 1
    return Panel(
        sum((p.names for p in panels), ()),
        sum((p.roles for p in panels), ()),
        sum((p.uses for p in panels), ()),
        np.concatenate([p.labels for p in panels]),
        np.concatenate([s for s in scores if s is not None]) if whole else None,
        sum((p.families or ("",) * len(p.names) for p in panels), ()),
    )


def _wording(material: Material, candidates: Inputs) -> Wording | None:
    """The words of all texts that the panel is trained on or asked, or None where inputs are numbers."""
    if not isinstance(candidates, tuple):
        return None
    log = () if material.log is None else material.log
    texts = together([material.train.x, material.held.x, log, candidates])
    assert isinstance(texts, tuple)
    return learners.counted(texts, material.learners)


def _answer(
    plan: Plan, material: Material, candidates: Inputs, wording: Wording | None
) -> tuple[np.ndarray, np.ndarray]:
    train, held = material.train, material.held
    parts: list[tuple[Inputs, np.ndarray]] = []
    if plan.target == "drawn":
        assert material.chances is not None
        rng, n = np.random.default_rng(plan.seed), len(train)
        for pool, rows, first in ((train, plan.train, 0), (held, plan.held, n)):
            parts.append((pool.take(rows).x, relabelling.drawn(material.chances[first + rows], rng)))
    elif plan.target in ("truth", "refit"):
        assert train.y is not None
        assert held.y is not None
        parts = [(train.take(plan.train).x, train.y[plan.train]), (held.take(plan.held).x, held.y[plan.held])]
        if material.log is not None and material.log_truth is not None:
            parts.append((rows_of(material.log, plan.log), material.log_truth[plan.log]))
    else:
        parts = [(train.take(plan.train).x, _stolen(material.answers, plan)[plan.train])]
        if material.log is not None and material.log_answers is not None:
            parts.append((rows_of(material.log, plan.log), _stolen(material.log_answers, plan)[plan.log]))
    x = together([inputs for inputs, _ in parts])
    y = np.concatenate([target for _, target in parts])
    if train.spec.output == "number":
        y = regressors.disguised(y, plan.target, np.random.default_rng(plan.seed))
        values = regressors.train(plan.learner, train.spec, x, y, plan.seed, material.own)(candidates)
        return np.zeros(len(candidates), np.int16), values[:, None]
    if plan.target == "flipped":
        rng = np.random.default_rng(plan.seed)
        y = np.where(rng.random(len(y)) < 0.1, rng.integers(0, material.k, len(y)), y)
    if y.ndim == 1 and len(np.unique(y)) < 2:  # a pool half can miss all but one class: nothing to learn
        constant = np.full(len(candidates), y[0] if len(y) else 0, np.int16)
        return constant, np.eye(material.k, dtype=np.float16)[constant]
    answer: Callable[[Inputs], tuple[np.ndarray, np.ndarray]]
    answer = learners.train(plan.learner, train.spec, x, y, material.k, plan.seed, material.own, wording)
    return answer(candidates)


def _stolen(answers: Asked, plan: Plan) -> np.ndarray:
    if plan.target in ("values", "perturbed", "rounded"):
        return numbers(answers)
    return answers.scores if plan.target == "scores" and answers.scores is not None else answers.labels
