"""
References as each other's peers: the score on a public suite, normalised on both sides.

A suspect's evidence for a reference is a log-likelihood ratio that it derives from it rather than from nobody known;
it is standardised against the same suspect's evidence for the other references and against the other references'
evidence for this one (the S-norm of speaker verification, Kenny 2010).
"""

from typing import Final

import numpy as np
from scipy.special import logsumexp

from .calibration import PValues, p_values
from .errors import NoAnswers
from .records import UNANSWERED
from .verdicts import MIN_ANSWERED, Evidence

SPREAD: Final = 0.1  # nats; evidence that differs by less than this among references tells none of them apart
RETENTION: Final = np.array([0.95, 0.8, 0.6, 0.4, 0.25])  # a derived model repeats that share of the source's labels


def compare(labels: np.ndarray, known: np.ndarray, names: list[str]) -> list[Evidence]:
    """
    Evidence for each known model, best first.

    labels: int (n,), the suspect's, UNANSWERED allowed. known: int (references, n). names: one per reference.
    """
    rows = np.flatnonzero(labels != UNANSWERED)
    if len(rows) == 0:
        raise NoAnswers(f"none of the {len(labels)} public probes was answered; collect again")
    suspect, known = labels[rows], known[:, rows]
    m = len(names)
    rarity = _rarity(suspect, known)
    to_suspect = ratio(suspect[None], known, rarity)[0]  # (m,)
    agreement = (known == suspect).mean(1)
    # Only the leaders are normalised against the others; the rest keep their place behind them.
    leaders = np.argsort(-to_suspect, kind="stable")[:20]
    among = ratio(known, known[leaders], rarity)  # (m, leaders): each reference as an innocent suspect
    out = []
    for column, j in enumerate(leaders):
        others = np.delete(np.arange(m), j)
        score, peers = _both_sides(to_suspect, among[others, column], j, others)
        enough = len(rows) >= MIN_ANSWERED
        p = p_values(score, peers) if enough else PValues(1.0, 1.0)
        nearest = None
        if len(peers):
            nearest = (names[others[int(peers.argmax())]], float(peers.max()))
        beats = bool(len(peers) and (score > peers).all() and to_suspect[j] > np.max(to_suspect[others]))
        out.append(
            Evidence(names[j], score, float(to_suspect[j]), p, beats, len(peers), float(agreement[j]), 0.0, nearest)
        )
    floor = min((e.score for e in out), default=0.0)
    out.sort(key=lambda e: -e.score)
    for j in np.argsort(-to_suspect, kind="stable")[20:]:
        score = floor - 1e-3 * (1 + float(to_suspect[leaders[-1]] - to_suspect[j]))
        out.append(
            Evidence(
                names[j],
                score,
                float(to_suspect[j]),
                PValues(1.0, 1.0),
                False,
                m - 1,
                float(agreement[j]),
                0.0,
                None,
            )
        )

    return out


def ratio(suspects: np.ndarray, sources: np.ndarray, rarity: np.ndarray) -> np.ndarray:
    """
    Log-likelihood ratio that a suspect derives from a source rather than from nobody known; float64 (s, m), nats.

    suspects: int (s, n), sources: int (m, n), rarity: float (n, k), how often each label is given.
    """
    n = rarity.shape[0]
    same = suspects[:, None] == sources[None]
    p0 = rarity[np.arange(n), np.clip(sources, 0, rarity.shape[1] - 1)]  # (m, n)
    parts = []
    for retention in RETENTION:
        p1 = retention + (1 - retention) * p0
        parts.append(np.where(same, np.log(p1 / p0), np.log(1 - retention)).sum(2))
    return np.asarray(logsumexp(np.stack(parts), axis=0) - np.log(len(RETENTION)))


def _rarity(suspect: np.ndarray, known: np.ndarray) -> np.ndarray:
    k = int(max(suspect.max(), known.max())) + 1
    counts = np.stack([(known == label).sum(0) for label in range(k)], 1).astype(float)
    return np.asarray((counts + 2.0 / k) / (counts.sum(1, keepdims=True) + 2.0))


def _both_sides(
    to_suspect: np.ndarray, to_reference: np.ndarray, j: int, others: np.ndarray
) -> tuple[float, np.ndarray]:
    """The suspect's score for reference j, and the other references' own scores for it."""
    if len(others) < 2:
        return 0.0, np.zeros(0)
    mean, spread = float(to_reference.mean()), max(float(to_reference.std(ddof=1)), SPREAD)
    own, own_spread = float(to_suspect[others].mean()), max(float(to_suspect[others].std(ddof=1)), SPREAD)
    score = 0.5 * ((to_suspect[j] - mean) / spread + (to_suspect[j] - own) / own_spread)

    return float(score), np.asarray((to_reference - mean) / spread)
