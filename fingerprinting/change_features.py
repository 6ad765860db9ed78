"""
What describes a changed model: how its answers to a fragile suite differ from the source's, for `change_kinds`.

On how many edges and plain inputs, by how much where scores are shown, how like those of each kind's models its
differences are, and how far it shares what sets the source apart from honest models. No model is compared with itself.
"""

from typing import Final

import numpy as np

from .records import Fragile, Responses

LEAST_SCORE: Final = 1e-3  # scores of panels are kept to three digits
SMOOTH: Final = 2.0  # models of no kind that each kind's frequencies are mixed with
HONEST: Final = "another model"
SPREAD: Final = {"labels": 0.1, "scores": 0.2, "numbers": 0.02}  # least that honest answers are taken to vary
MOST_APART: Final = 4.0  # of such spreads
FEWEST_ALONE: Final = 3  # inputs on which the source stands alone, fewer say nothing


def described(fragile: Fragile, asked: Responses, rows: np.ndarray, kept: np.ndarray, known: list[str]) -> np.ndarray:
    """
    Features of the panel's models and of the suspect, which comes last; float64 (models + 1, f).

    rows: int (m,), probes that both answered. kept: int (models,), of the panel. known: kinds to compare with.
    """
    panel = fragile.panel
    assert panel is not None
    number = fragile.suite.spec.output == "number"
    kinds = np.array(panel.families)[kept]
    own, theirs, its, scale = _values(fragile, asked, rows, kept)
    every = np.concatenate([theirs, its[None]]).astype(float)
    edges = rows < int(fragile.suite.params["edges"])
    parts = [*_moves(every, own, kinds, known, edges, number)]
    honest = kinds == HONEST
    if honest.sum() > 1:
        parts += _inheritance(every, own, theirs[honest], SPREAD[scale])
    if not number:
        labels = np.concatenate([panel.labels[kept][:, rows], asked.label[rows][None]]).astype(int)
        parts += _agreement(labels, fragile.answers.label[rows], np.append(honest, False), edges)
        parts += list(_likelihoods(labels, kinds, known).T)

    return np.stack(parts, 1)


def _values(
    fragile: Fragile, asked: Responses, rows: np.ndarray, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """
    Answers of the source, of the panel's models and of the suspect, (rows, k), (models, rows, k) and (rows, k); scale.

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
        return own[rows] / unit, panel.scores[kept][:, rows] / unit, its[rows] / unit, "numbers"
    shapes = {None if scores is None else scores.shape[-1] for scores in (own, its, panel.scores)}
    if None not in shapes and len(shapes) == 1:
        assert own is not None
        assert its is not None
        assert panel.scores is not None
        return _logits(own[rows]), _logits(panel.scores[kept][:, rows]), _logits(its[rows]), "scores"
    labels = fragile.answers.label[rows], panel.labels[kept][:, rows], asked.label[rows]
    k = int(max(part.max() for part in labels)) + 1

    return np.eye(k)[labels[0]], np.eye(k)[labels[1]], np.eye(k)[labels[2]], "labels"


def _logits(scores: np.ndarray) -> np.ndarray:
    logs = np.log(np.clip(scores.astype(float), LEAST_SCORE, 1))
    return np.asarray(logs - logs.mean(-1, keepdims=True))


def _moves(
    every: np.ndarray, own: np.ndarray, kinds: np.ndarray, known: list[str], edges: np.ndarray, number: bool
) -> list[np.ndarray]:
    """How much answers differ from the source's, where, and how like those of each kind; (models + 1,) each."""
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

    return parts


def _inheritance(every: np.ndarray, own: np.ndarray, honest: np.ndarray, least: float) -> list[np.ndarray]:
    """How far models deviate from honest ones as the source does: correlation, slope, size; (models + 1,) each."""
    mean, spread = honest.mean(0), honest.std(0) + least
    apart = np.clip((every - mean) / spread, -MOST_APART, MOST_APART).reshape(len(every), -1)
    its = np.clip((own - mean) / spread, -MOST_APART, MOST_APART).ravel()
    along = apart @ its
    length = np.maximum(np.linalg.norm(apart, axis=1) * np.linalg.norm(its), 1e-9)

    return [along / length, along / max(float(its @ its), 1e-9), np.log((apart**2).mean(1) + 1e-3)]


def _agreement(labels: np.ndarray, own: np.ndarray, honest: np.ndarray, edges: np.ndarray) -> list[np.ndarray]:
    """Share of the source's labels: on edges, on plain inputs, and where most honest models say otherwise."""
    parts = [(labels[:, some] == own[some]).mean(1) for some in (edges, ~edges) if some.any()]
    k = int(labels.max()) + 1
    alone = np.eye(k)[labels[honest]].sum(0).argmax(1) != own
    if honest.any() and alone.sum() >= FEWEST_ALONE:
        parts.append((labels[:, alone] == own[alone]).mean(1))

    return parts


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
