"""
Which kind of change answers show, with its probability: learned from the models that a reference's enrolment made.

Randomised trees (Geurts, Ernst and Wehenkel, Machine Learning 2006) turn what `change_features` says of a model into
probabilities. The prior: every kind as likely as the next, however many models stand for it. A kind that stays open may
be sure as one of a group: something done to the weights.
"""

from typing import Final

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

from . import change_features
from .fragile import KINDS, LIGHT
from .records import Change, Fragile, Responses

FEWEST: Final = 2  # models of a kind below which it is not told
TREES: Final = 150
LEAF: Final = 2  # fewest models in a leaf
TRIED: Final = 0.3  # of the features, at every split
WEIGHTS: Final = "weights changed (fine-tuned, pruned or quantised)"
ANEW: Final = "trained anew (retrained, distilled or another model)"
WRAPPED: Final = "wrapped"
STILL: Final = "changed copy"  # of a kind that is not told: there were no weights to change when it was enrolled
GROUPS: Final = {
    "fine-tuned": WEIGHTS, "pruned": WEIGHTS, "quantised": WEIGHTS, "retrained": ANEW, "distilled": ANEW,
    "another model": ANEW, WRAPPED: WRAPPED,
}  # fmt: skip


def told(fragile: Fragile, asked: Responses) -> Change | None:
    """The kind of change that the answers to a fragile suite show; None where no models are known to learn from."""
    panel = fragile.panel
    if panel is None:
        return None
    rows = np.flatnonzero(asked.answered & fragile.answers.answered)
    kinds = np.array(panel.families)
    counts = {kind: int((kinds == kind).sum()) for kind in KINDS}
    known = [kind for kind in KINDS if counts[kind] >= FEWEST]
    kept = np.flatnonzero(np.isin(kinds, known))
    if len(known) < 2 or len(rows) == 0:
        return None
    described = change_features.described(fragile, asked, rows, kept, known)
    model = ExtraTreesClassifier(
        TREES, min_samples_leaf=LEAF, max_features=TRIED, class_weight="balanced", random_state=0
    ).fit(described[:-1], kinds[kept])
    odds = dict(zip(map(str, model.classes_), map(float, model.predict_proba(described[-1:])[0]), strict=True))
    if not set(LIGHT) & set(known) and WRAPPED in odds:  # shaken inputs stand in for shaken weights
        odds[STILL] = odds.pop(WRAPPED)
    likeliest = max(odds, key=lambda kind: odds[kind])

    return Change(likeliest, odds[likeliest], odds)


def groups(change: Change) -> dict[str, float]:
    """The probability of each group of kinds, likeliest first; kinds are easier to mistake within a group."""
    summed: dict[str, float] = {}
    for kind, odds in change.odds.items():
        group = GROUPS.get(kind.partition(" (")[0], kind)
        summed[group] = summed.get(group, 0.0) + odds

    return dict(sorted(summed.items(), key=lambda item: -item[1]))
