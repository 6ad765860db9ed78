"""
Which kind of change answers show, with its probability: learned from the models that a reference's enrolment made.

Each model is described by how its answers differ from the source's: on how many edges and plain inputs, by how much
where scores are shown, and how like those of each kind's models its differences are. Logistic regression turns that
into probabilities, every kind counting the same however many models stand for it.
"""

import warnings
from typing import Final

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .fragile import KINDS
from .records import Change, Fragile, Responses

FEWEST: Final = 2  # models of a kind below which it is not told
LEAST_SCORE: Final = 1e-3  # scores of panels are kept to three digits
SMOOTH: Final = 2.0  # models of no kind that each kind's frequencies are mixed with
STRENGTH: Final = 0.3  # C of the regression


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
    own, theirs, its = _values(fragile, asked, rows, kept)
    edges = rows < int(fragile.suite.params["edges"])
    number = fragile.suite.spec.output == "number"
    described = _described(own, theirs, its, kinds[kept], known, edges, number)
    if not number:
        labels = np.concatenate([panel.labels[kept][:, rows], asked.label[rows][None]])
        described = np.concatenate([described, _likelihoods(labels, kinds[kept], known)], axis=1)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=500))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an unconverged fit of so few numbers is as good
        model.fit(described[:-1], kinds[kept])
    odds = dict(zip(map(str, model.classes_), map(float, model.predict_proba(described[-1:])[0]), strict=True))
    likeliest = max(odds, key=lambda kind: odds[kind])

    return Change(likeliest, odds[likeliest], odds)


def _values(
    fragile: Fragile, asked: Responses, rows: np.ndarray, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Answers of the source, of the panel's models and of the suspect, (rows, k), (models, rows, k) and (rows, k).

    Log-probabilities around their mean where all show scores, else labels one-hot; a regressor's numbers in units of
    their spread.
    """
    panel = fragile.panel
    assert panel is not None
    own, its = fragile.answers.score, asked.score
    if fragile.suite.spec.output == "number":
        assert own is not None
        assert its is not None
        assert panel.scores is not None
        unit = float(np.std(own[rows])) or 1.0
        return own[rows] / unit, panel.scores[kept][:, rows] / unit, its[rows] / unit
    shapes = {None if scores is None else scores.shape[-1] for scores in (own, its, panel.scores)}
    if None not in shapes and len(shapes) == 1:
        assert own is not None
        assert its is not None
        assert panel.scores is not None
        return _logits(own[rows]), _logits(panel.scores[kept][:, rows]), _logits(its[rows])
    labels = fragile.answers.label[rows], panel.labels[kept][:, rows], asked.label[rows]
    k = int(max(part.max() for part in labels)) + 1

    return np.eye(k)[labels[0]], np.eye(k)[labels[1]], np.eye(k)[labels[2]]


def _logits(scores: np.ndarray) -> np.ndarray:
    logs = np.log(np.clip(scores.astype(float), LEAST_SCORE, 1))
    return np.asarray(logs - logs.mean(-1, keepdims=True))


def _described(
    own: np.ndarray,
    theirs: np.ndarray,
    its: np.ndarray,
    kinds: np.ndarray,
    known: list[str],
    edges: np.ndarray,
    number: bool,
) -> np.ndarray:
    """Features (models + 1, f), the suspect's last; no model is compared with itself."""
    every = np.concatenate([theirs, its[None]]).astype(float)
    moves = every - own
    size = np.sqrt((moves**2).mean(-1))  # (models + 1, rows)
    parts = []
    for some in (edges, ~edges):
        if some.any():
            parts += [np.log(size[:, some].mean(1) + 1e-4), np.log(size[:, some].max(1) + 1e-4)]
            parts += [np.sqrt((size[:, some] > 0.02).mean(1))]
            if not number:
                parts.append((every[:, some].argmax(-1) != own[some].argmax(-1)).mean(1))
    flat = moves.reshape(len(moves), -1)
    around = own.ravel() - own.mean()
    parts.append((flat @ around) / max(float(around @ around), 1e-9))  # answers drawn in, or pushed apart
    unit = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    alike = unit @ unit[:-1].T
    np.fill_diagonal(alike[:-1], -1.0)
    for kind in known:
        among = np.sort(alike[:, kinds == kind], axis=1)
        parts += [among[:, -1], among[:, -3:].mean(1)]

    return np.stack(parts, 1)


def _likelihoods(labels: np.ndarray, kinds: np.ndarray, known: list[str]) -> np.ndarray:
    """
    Mean log-likelihood of each model's labels under each kind's, (models + 1, kinds), without the model itself.

    labels: int (models + 1, rows), the suspect's last. Frequencies are smoothed towards those of all models.
    """
    k = int(labels.max()) + 1
    hot = np.eye(k)[labels]
    everywhere = (hot[:-1].sum(0) + 1) / (len(hot) - 1 + k)
    found = []
    for kind in known:
        member = np.append(kinds == kind, False)
        counts = hot[member].sum(0)[None] - hot * member[:, None, None]
        share = (counts + SMOOTH * everywhere) / (member.sum() - member[:, None, None] + SMOOTH)
        found.append(np.log((hot * share).sum(-1)).mean(1))

    return np.stack(found, 1)
