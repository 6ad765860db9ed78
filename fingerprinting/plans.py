"""
What is to be trained: the peers and shadows of a source, each with its rows, its model class and what it learns.

Peers are honest: other model classes, seeds and halves of the pool, fitted to true labels; kin are those of the
source's own class and rows. Shadows are derived: fitted to the source's labels or scores on inputs that are no
candidates for probes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from . import learners, regressors
from .collect import Asked
from .records import Pool

Inputs = np.ndarray | tuple[str, ...]
Target = Literal["truth", "drawn", "label", "scores", "flipped", "values", "perturbed", "rounded", "refit"]
CALIBRATING = 10 / 13  # share of the peers: from 99 of a kind on, the p-value that decides assumes nothing of it
CALIBRATING_NUMBERS = 8 / 15  # of a regressor's: many more fit, as the covariance of their answers is to be known
FEW = 64
FEW_CALIBRATING = 1 / 2  # with few peers those that choose and fit would else be too few
KIN = 1 / 3  # share of the others that are of the source's class; of those that calibrate, every other is
REFITTED = 0.85  # of the source's rows are in a refit of it
USES = ("select", "estimate")
# Kinds of shadows: what a thief learns from, and the source itself in disguise or with its weights changed.
SHADOW_KINDS = ("label", "scores", "flipped", "values", "perturbed", "rounded", "refit", "disturbed", "changed")


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
    chances: float (rows, classes), how likely each label is in those rows (`relabelling`), or None.
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
    chances: np.ndarray | None = None

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
    """
    Learners of the source's model class, known or the nearest, and the rows it was trained on as in Material, or None.

    Where the source is at hand, its own settings take turns with those that others might choose for its class.
    """

    learners: tuple[str, ...]
    trained: np.ndarray | None


def plan_peers(material: Material, count: int, seed: int) -> tuple[list[Plan], Callable[[Kin], list[Plan]]]:
    """
    Honest models: the first ones of all classes, then, once those show which class is the source's, the rest.

    Most of the rest are kin: of the source's class, on its training data as far as it is known. Others take turns: on
    rows of train, of held ("same-data": the rows probes come from), of both, of the source's training data, and of the
    log under the labels that other honest models vote for: an honest model may know the very inputs a thief asked.
    """
    usual = CALIBRATING_NUMBERS if material.train.spec.output == "number" else CALIBRATING
    calibrating = round((usual if count > FEW else FEW_CALIBRATING) * count)
    kin = round(KIN * (count - calibrating))
    first = count - calibrating - kin

    def rest(of: Kin) -> list[Plan]:
        uses = [USES[i % 2] for i in range(kin)] + ["calibrate"] * calibrating
        related = [i < kin or (i - kin) % 2 == 0 for i in range(len(uses))]
        return _peers(material, uses, related, of, seed, first)

    return _peers(material, [USES[i % 2] for i in range(first)], [False] * first, None, seed, 0), rest


def _peers(
    material: Material, uses: list[str], related: list[bool], kin: Kin | None, seed: int, start: int
) -> list[Plan]:
    rng = np.random.default_rng([seed, 1, start])
    n, h = len(material.train), len(material.held)
    names = material.learners
    logged = 0 if material.log_truth is None else len(material.log_truth)
    trained = material.trained if kin is None else kin.trained
    # Honest models elsewhere know the source's data or other data of the task: with the data known, peers do likewise.
    kinds = ["other half", "same half", "both halves"]
    if trained is not None:
        kinds = ["other half", "the source's rows", "the other rows", "the source's rows"]
    if logged:
        kinds.append("both halves and log")
    plans = []
    turn = 0
    for i, (use, of_its_class) in enumerate(zip(uses, related, strict=True)):
        # Uses alternate by two among the first: a step of two keeps every class in both.
        at = turn // 2 if kin is None else turn
        learner, kind = names[at % len(names)], kinds[(at + at // len(names)) % len(kinds)]
        share = rng.uniform(0.7, 1.0)
        role = "peer" if kind in ("other half", "the other rows") else "same-data peer"
        if kin is not None and of_its_class:
            learner, role, share = kin.learners[i // 2 % len(kin.learners)], "kin peer", rng.uniform(0.6, 1.0)
            kind = "both halves" if trained is None else "the source's rows"
        else:
            turn += 1
        train = _some(rng, n, 0.0 if kind == "same half" else share)
        held = _some(rng, h, 0.0 if kind == "other half" else share)
        if trained is not None and kind in ("the source's rows", "the other rows"):
            wanted = trained if kind == "the source's rows" else ~trained
            train, held = train[wanted[:n][train]], held[wanted[n:][held]]
        plans.append(
            Plan(
                name=f"peer {start + i + 1} ({learner}, {kind})",
                role=role,
                use=use,
                learner=learner,
                # A stranger's data has other labels wrong: measured against them, nobody stands out by being right.
                target="drawn" if material.chances is not None and (role, use) == ("peer", "calibrate") else "truth",
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
    regressors from the values, from perturbed and from rounded values, and refits: its own class fitted again to most
    of its rows and to others.
    """
    rng = np.random.default_rng([seed, 2])
    n = len(material.train)
    logged = 0 if material.log is None else len(material.log)
    names = material.learners
    soft = material.answers.scores is not None
    every: tuple[Target, ...] = ("label", "scores" if soft else "label", "label", "flipped")
    if material.train.spec.output == "number":
        refits = material.own is not None and material.trained is not None and not material.trained.all()
        every = ("values", "values", "perturbed", "rounded") + (("refit",) if refits else ())
    targets = [target for target in every if target not in without]
    if not targets:
        return []
    plans = []
    for i in range(count):
        learner, target = names[i % len(names)], targets[(i + i // len(names)) % len(targets)]
        train, held = _some(rng, n, rng.uniform(0.4, 1.0)), np.zeros(0, int)
        if target == "refit" and material.trained is not None:
            learner = learners.OWN
            mine, others = np.flatnonzero(material.trained), np.flatnonzero(~material.trained)
            rows = np.concatenate([_of(rng, mine, REFITTED), _of(rng, others, rng.uniform(0.5, 1.0))])
            train, held = rows[rows < n], rows[rows >= n] - n
        plans.append(
            Plan(
                name=f"shadow {i + 1} ({learner}, {target if target == 'refit' else f'{target} extraction'})",
                role="shadow",
                use=USES[i % 2],
                learner=learner,
                target=target,
                seed=int(rng.integers(1 << 31)),
                train=train,
                held=held,
                log=_some(rng, logged, rng.uniform(0.4, 1.0)),
            )
        )
    return plans


def _of(rng: np.random.Generator, rows: np.ndarray, share: float) -> np.ndarray:
    return rows[_some(rng, len(rows), share)]


def _some(rng: np.random.Generator, n: int, share: float) -> np.ndarray:
    return rng.permutation(n)[: round(share * n)]
