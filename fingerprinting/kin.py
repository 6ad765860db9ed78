"""
Who stands nearest to a source without owing it anything: models of its class, trained on its data.

Such models share what the source got wrong, so they are the honest ones most easily accused. Where the owner does not
say which model class and which rows those are, the first peers show it.
"""

from typing import Final

import numpy as np

from . import learners
from .plans import Kin, Material, Plan

LEARNT_BY_HEART: Final = 0.05  # a source this much better on the pool than peers on unseen rows remembers some of it


def find_kin(material: Material, plans: list[Plan], answers: np.ndarray, labels: np.ndarray) -> Kin:
    """
    The source's class and rows, from the first peers.

    plans: theirs; answers: (peers, h), what they say to the rows of held; labels: (h,), what the source says: labels,
    or a regressor's numbers.
    The class is the source's own where it is at hand, else that of the peers who agree with it most on held rows. The
    rows are those the pool names as trained on, else those that a classifier gets right, if it gets so many right that
    it must remember them, else unknown.
    """
    assert material.held.y is not None
    assert material.train.y is not None
    unseen = [i for i, plan in enumerate(plans) if len(plan.held) == 0]  # who never saw a row of held
    if material.own is not None:
        family = learners.family(material.own)
        kin = (learners.OWN, family) if family in material.learners else (learners.OWN,)
    else:
        kin = (_nearest(plans, unseen, answers, labels),)
    if material.trained is not None or material.train.spec.output == "number":
        return Kin(kin, material.trained)
    of_class = [i for i in unseen if plans[i].learner == kin[0]] or unseen
    if not of_class:
        return Kin(kin, None)
    accuracy = max(float((answers[i] == material.held.y).mean()) for i in of_class)
    right = np.concatenate([material.answers.labels == material.train.y, labels == material.held.y])

    return Kin(kin, right if float(right.mean()) > accuracy + LEARNT_BY_HEART else None)


def _nearest(plans: list[Plan], unseen: list[int], answers: np.ndarray, labels: np.ndarray) -> str:
    """The model class of the peers who agree with the source most."""
    agreement: dict[str, list[float]] = {}
    for i in unseen or range(len(plans)):
        agreement.setdefault(plans[i].learner, []).append(_likeness(answers[i], labels))

    return max(agreement, key=lambda name: float(np.mean(agreement[name])))


def _likeness(answers: np.ndarray, own: np.ndarray) -> float:
    """How alike the answers of two models are, (h,) each: the share of equal labels, or numbers' -(mean square)."""
    return float(-np.mean((answers - own) ** 2) if own.dtype.kind == "f" else np.mean(answers == own))
