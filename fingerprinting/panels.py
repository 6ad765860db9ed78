"""
Peers and shadows, trained on purpose: what honest models and stolen copies of this source would answer.

Peers are honest: other model classes, seeds and halves of the pool, fitted to true labels. Shadows are derived: fitted
to the source's labels or scores on inputs that are no candidates for probes, or the source itself with noise on its
input, its answers flipped or its scores rounded. Each model is trained, asked and forgotten; only answers are kept.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from joblib import Parallel, cpu_count, delayed

from . import learners, regressors
from .collect import Asked, Client, Progress, ask
from .probing import numbers
from .records import InputSpec, Panel, Pool
from .wording import Wording

Inputs = np.ndarray | tuple[str, ...]
Target = Literal["truth", "label", "scores", "flipped", "values", "perturbed", "rounded"]
CALIBRATING = 15 / 19  # share of the peers: from 99 of a kind on, the p-value that decides assumes nothing of it
FEW = 64
FEW_CALIBRATING = 1 / 2  # with few peers those that choose and fit would else be too few
KIN = 0.3  # share of the others that are of the source's class; of those that calibrate, two in three are
USES = ("select", "estimate")
# Kinds of shadows: what a thief learns from, and the source itself in disguise or with its weights changed.
SHADOW_KINDS = ("label", "scores", "flipped", "values", "perturbed", "rounded", "disturbed", "changed")
NOISES = (0.05, 0.15)  # on the inputs of a source, in standard deviations of each
THREADS = 8  # networks at once; with more, they wait for the interpreter


@dataclass(frozen=True, eq=False)
class Material:
    """
    What peers and shadows are made from.

    train: labelled rows that are no probe candidates; held: labelled rows that are. answers: the source's answers to
    the rows of train. log: unlabelled inputs the source was asked, with its answers, and with the labels that a vote of
    honest models gives them; None without a log. k: classes.
    own: the source's own class, to be started afresh: a scikit-learn estimator, or a client of a torch module as
    `networks.fresh` makes it; None where the source is not at hand.
    trained: bool over the rows of train and then of held, which of them the source was trained on, or None if unknown.
    """

    train: Pool
    held: Pool
    answers: Asked
    log: Inputs | None
    log_answers: Asked | None
    log_truth: np.ndarray | None
    k: int
    own: Any = None
    trained: np.ndarray | None = None

    @property
    def learners(self) -> tuple[str, ...]:
        """Model classes to rotate through, the source's own first where it is known."""
        own = () if self.own is None else (learners.OWN,)
        if self.train.spec.output == "number":
            return own + regressors.names(self.train.spec, len(self.train))
        return own + learners.names(self.train.spec, self.k, len(self.train))


@dataclass(frozen=True, eq=False)
class Plan:
    """One model to train: its rows (of train, of held, of the log) and what it learns to answer."""

    name: str
    role: str
    use: str
    learner: str
    target: Target
    seed: int
    train: np.ndarray
    held: np.ndarray
    log: np.ndarray


class Kin(NamedTuple):
    """The source's model class, known or the nearest, and the rows it was trained on as in Material, or None."""

    learner: str
    trained: np.ndarray | None


def plan_peers(material: Material, count: int, seed: int) -> tuple[list[Plan], Callable[[Kin], list[Plan]]]:
    """
    Honest models: the first ones of all classes, then, once those show which class is the source's, the rest.

    Most of the rest are kin: of the source's class, on its training data as far as it is known. Others take turns: on
    rows of train, of held ("same-data": the rows probes come from), of both, of the source's training data, and of the
    log under the labels that other honest models vote for: an honest model may know the very inputs a thief asked.
    """
    calibrating = round((CALIBRATING if count > FEW else FEW_CALIBRATING) * count)
    kin = round(KIN * (count - calibrating))
    first = count - calibrating - kin

    def rest(of: Kin) -> list[Plan]:
        uses = [USES[i % 2] for i in range(kin)] + ["calibrate"] * calibrating
        related = [i < kin or i % 3 != 0 for i in range(len(uses))]
        return _peers(material, uses, related, of, seed, first)

    return _peers(material, [USES[i % 2] for i in range(first)], [False] * first, None, seed, 0), rest


def _peers(
    material: Material, uses: list[str], related: list[bool], kin: Kin | None, seed: int, start: int
) -> list[Plan]:
    rng = np.random.default_rng([seed, 1, start])
    n, h = len(material.train), len(material.held)
    names = material.learners
    logged = 0 if material.log_truth is None else len(material.log_truth)
    kinds = ["other half", "same half", "both halves"]
    trained = None if kin is None else kin.trained
    if trained is not None:
        kinds.append("the source's rows")
    if logged:
        kinds.append("both halves and log")
    plans = []
    turn = 0
    for i, (use, of_its_class) in enumerate(zip(uses, related, strict=True)):
        # Uses alternate by two among the first: a step of two keeps every class in both.
        at = turn // 2 if kin is None else turn
        learner, kind = names[at % len(names)], kinds[(at + at // len(names)) % len(kinds)]
        share = rng.uniform(0.7, 1.0)
        role = "peer" if kind == "other half" else "same-data peer"
        if kin is not None and of_its_class:
            learner, role, share = kin.learner, "kin peer", rng.uniform(0.6, 1.0)
            kind = "both halves" if trained is None else "the source's rows"
        else:
            turn += 1
        train = _some(rng, n, 0.0 if kind == "same half" else share)
        held = _some(rng, h, 0.0 if kind == "other half" else share)
        if kind == "the source's rows" and trained is not None:
            train, held = train[trained[:n][train]], held[trained[n:][held]]
        plans.append(
            Plan(
                name=f"peer {start + i + 1} ({learner}, {kind})",
                role=role,
                use=use,
                learner=learner,
                target="truth",
                seed=int(rng.integers(1 << 31)),
                train=train,
                held=held,
                log=_some(rng, logged, share if kind.endswith("log") else 0.0),
            )
        )
    return plans


def plan_shadows(material: Material, count: int, seed: int, without: Sequence[str] = ()) -> list[Plan]:
    """
    Stolen copies in turn: label extraction, probability extraction (where scores are given), flipped labels; of
    regressors from the values, from perturbed and from rounded values.
    """
    rng = np.random.default_rng([seed, 2])
    n = len(material.train)
    logged = 0 if material.log is None else len(material.log)
    names = material.learners
    soft = material.answers.scores is not None
    every: tuple[Target, ...] = ("label", "scores" if soft else "label", "label", "flipped")
    if material.train.spec.output == "number":
        every = ("values", "values", "perturbed", "rounded")
    targets = [target for target in every if target not in without]
    if not targets:
        return []
    plans = []
    for i in range(count):
        learner, target = names[i % len(names)], targets[(i + i // len(names)) % len(targets)]
        plans.append(
            Plan(
                name=f"shadow {i + 1} ({learner}, {target} extraction)",
                role="shadow",
                use=USES[i % 2],
                learner=learner,
                target=target,
                seed=int(rng.integers(1 << 31)),
                train=_some(rng, n, rng.uniform(0.4, 1.0)),
                held=np.zeros(0, int),
                log=_some(rng, logged, rng.uniform(0.4, 1.0)),
            )
        )
    return plans


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

    jobs: processes, through joblib. Torch networks are trained in threads of this process, one a core.
    """
    torch = np.array(
        [material.train.spec.output == "classes" and learners.needs_torch(plan.learner, material.own) for plan in plans]
    )
    # A torch module stays in this process: what the others need is the rest of the material.
    flat = replace(material, own=None) if learners.needs_torch(learners.OWN, material.own) else material
    wording = _wording(material, candidates)
    answers: list[tuple[np.ndarray, np.ndarray]] = [(np.zeros(0), np.zeros(0))] * len(plans)
    threads = min(cpu_count(), THREADS)
    for rows, given, run in (
        (np.flatnonzero(~torch), flat, Parallel(jobs, return_as="generator")),
        (np.flatnonzero(torch), material, Parallel(threads, backend="threading", return_as="generator")),
    ):
        work = [delayed(_answer)(plans[row], given, candidates, wording) for row in rows]
        with _deaf_to_interrupts():  # Ctrl-C ends this process, which ends its workers; each would add a traceback
            running = run(work)
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
    )


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that start while the block runs ignore Ctrl-C; so, for that moment, does this one."""
    if threading.current_thread() is not threading.main_thread():  # from others, handlers cannot be set
        yield
        return
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


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


def disturbed_source(source: Client, material: Material, candidates: Inputs, answers: Asked, seed: int) -> Panel:
    """
    The source itself, lightly disguised: noise on its inputs, one in ten answers flipped, scores rounded.

    answers: the source's own to the candidates; only the noisy inputs are asked anew.
    """
    rng = np.random.default_rng([seed, 3])
    k, n = material.k, len(candidates)
    if material.train.spec.output == "number":
        return _disturbed_regressor(source, material, candidates, answers, rng)
    labels = [answers.labels, np.where(rng.random(n) < 0.1, rng.integers(0, k, n), answers.labels)]
    names = ["shadow (copy)", "shadow (answers flipped)"]
    if isinstance(candidates, np.ndarray):
        spec = material.train.spec
        for strength in NOISES:
            moved = _moved(candidates, spec, strength, rng)
            labels.append(ask(source, moved, spec, classes=material.train.classes).labels)
            names.append(f"shadow (input noise {strength:g})")
    else:
        for share in (0.05, 0.15):
            thinned = _without_words(candidates, share, rng)
            labels.append(ask(source, thinned, material.train.spec, classes=material.train.classes).labels)
            names.append(f"shadow ({share:.0%} of the words lost)")
    m = len(labels)
    scores = None
    if answers.scores is not None and k <= 100:
        scores = np.stack([np.round(answers.scores, 1 + i % 2) for i in range(m)]).astype(np.float16)
    return Panel(
        tuple(names),
        ("shadow",) * m,
        tuple(USES[i % 2] for i in range(m)),
        np.stack(labels).astype(np.int16),
        scores,
    )


def _without_words(texts: tuple[str, ...], share: float, rng: np.random.Generator) -> tuple[str, ...]:
    """The texts with this share of their words left out, but never all."""
    made = []
    for text in texts:
        words = text.split()
        kept = rng.random(len(words)) >= share
        kept[rng.integers(len(words))] = True
        made.append(" ".join(word for word, keep in zip(words, kept, strict=True) if keep))

    return tuple(made)


def _disturbed_regressor(
    source: Client, material: Material, candidates: Inputs, answers: Asked, rng: np.random.Generator
) -> Panel:
    values = numbers(answers).astype(float)
    named = {"copy": values} | {how: regressors.disguised(values, how, rng) for how in ("perturbed", "rounded")}
    if isinstance(candidates, np.ndarray):
        spec = material.train.spec
        for strength in NOISES:
            named[f"input noise {strength:g}"] = numbers(ask(source, _moved(candidates, spec, strength, rng), spec))
    return panel_of_numbers({f"shadow ({name})": given for name, given in named.items()})


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


def _moved(inputs: np.ndarray, spec: InputSpec, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Inputs with noise of so many standard deviations on every number."""
    movable = spec.numeric.reshape(spec.shape) if spec.kind == "tabular" else 1.0
    width = inputs.reshape(len(inputs), -1).std(0).reshape(spec.shape) * movable
    return spec.clip(inputs + rng.normal(0, strength, inputs.shape) * width)


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
    )


def _some(rng: np.random.Generator, n: int, share: float) -> np.ndarray:
    return rng.permutation(n)[: round(share * n)]


def _wording(material: Material, candidates: Inputs) -> Wording | None:
    """The words of all texts that the panel is trained on or asked, or None where inputs are numbers."""
    if not isinstance(candidates, tuple):
        return None
    log = () if material.log is None else material.log
    texts = together([material.train.x, material.held.x, log, candidates])
    kinds = {learners.COUNTED.get(name, "words") for name in material.learners}
    return Wording(tuple(texts)).prepare(sorted(kinds))


def _answer(
    plan: Plan, material: Material, candidates: Inputs, wording: Wording | None
) -> tuple[np.ndarray, np.ndarray]:
    train, held = material.train, material.held
    parts: list[tuple[Inputs, np.ndarray]] = []
    if plan.target == "truth":
        assert train.y is not None
        assert held.y is not None
        parts = [(train.take(plan.train).x, train.y[plan.train]), (held.take(plan.held).x, held.y[plan.held])]
        if material.log is not None and material.log_truth is not None:
            parts.append((_rows(material.log, plan.log), material.log_truth[plan.log]))
    else:
        parts = [(train.take(plan.train).x, _stolen(material.answers, plan)[plan.train])]
        if material.log is not None and material.log_answers is not None:
            parts.append((_rows(material.log, plan.log), _stolen(material.log_answers, plan)[plan.log]))
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


def _rows(inputs: Inputs, rows: np.ndarray) -> Inputs:
    return inputs[rows] if isinstance(inputs, np.ndarray) else tuple(inputs[i] for i in rows)


def together(parts: list[Inputs]) -> Inputs:
    """Several lots of inputs of one kind as one."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate([np.asarray(part) for part in parts])
    return tuple(text for part in parts for text in part)
