"""
References as each other's peers: the score on a public suite, normalised on both sides.

An honest suspect is as near to one reference as to any other, and a reference is as near to another as an honest
suspect is. So a suspect must stand out twice: among its own agreements with all references, and, with the level of
those taken off, among the other references' agreements with the one (the S-norm of speaker verification, Kenny 2010).
"""

from typing import Final

import numpy as np
from scipy.special import logsumexp

from . import residuals
from .calibration import PValues, p_values
from .errors import NoAnswers
from .records import UNANSWERED, Output
from .verdicts import MIN_ANSWERED, Evidence

RETENTION: Final = np.array([0.95, 0.8, 0.6, 0.4, 0.25])  # a derived model repeats that share of the source's labels
TYPICAL: Final = 0.7  # the one retention that weighs agreement
SPREAD: Final = 0.1  # nats; agreements that differ by less tell no reference from another


def compare(labels: np.ndarray, known: np.ndarray, names: list[str]) -> list[Evidence]:
    """
    Evidence for each known model, best first.

    labels: int (n,), the suspect's, UNANSWERED allowed. known: int (references, n). names: one per reference.
    """
    rows = np.flatnonzero(labels != UNANSWERED)
    if len(rows) == 0:
        raise NoAnswers(f"none of the {len(labels)} public probes was answered; collect again")
    suspect, known = labels[rows], known[:, rows]
    everyone = np.vstack([known, suspect])  # the suspect last: an honest one is a row like the others
    rarity = _rarity(everyone)
    llr = ratio(suspect[None], known, rarity)[0]
    near = agreement(everyone, known, rarity)  # (m + 1, m)
    alike = np.asarray((known == suspect).mean(1))

    return stand_out(near, llr, alike, names, len(rows), SPREAD, "classes")


def compare_numbers(numbers: np.ndarray, known: np.ndarray, names: list[str]) -> list[Evidence]:
    """
    Evidence for each known regressor, best first, by the correlation of deviations from the references' mean.

    numbers: float (n,), the suspect's, NaN where no answer came. known: float (references, n). An affine map of a model
    onto that mean is taken out first, as in `residuals`.
    """
    rows = np.flatnonzero(np.isfinite(numbers))
    if len(rows) == 0:
        raise NoAnswers(f"none of the {len(numbers)} public probes was answered; collect again")
    known = known[:, rows]
    everyone = np.vstack([known, numbers[rows]])
    t, m = len(rows), len(names)
    space = residuals.fit_space(known, known[:0], known[:0], known[0])
    alike = np.stack([residuals.likeness(everyone, reference, space) for reference in known], 1)
    near = np.arctanh(alike)  # (m + 1, m)
    others = near[:m][~np.eye(m, dtype=bool)]
    width = max(float(others.std()) if len(others) else 1.0, 1 / np.sqrt(t))
    kept = logsumexp(residuals.log_student(near[m][:, None], m, np.arctanh(RETENTION), width), axis=1) - np.log(
        len(RETENTION)
    )
    llr = kept - residuals.log_student(near[m], m, float(others.mean()) if len(others) else 0.0, width)

    return stand_out(near, llr, alike[m], names, t, 1 / np.sqrt(t), "number")


def stand_out(
    near: np.ndarray, llr: np.ndarray, alike: np.ndarray, names: list[str], answered: int, least: float, output: Output,
    *, wanted: int | None = None,
) -> list[Evidence]:  # fmt: skip
    """
    Evidence from how near every reference, and last the suspect, is to each reference: float (m + 1, m).

    least: differences below which nothing is told. alike: float (m,), what the report says of the suspect. wanted: for
    the first so many references alone, with all as peers; for all if None.
    """
    m = len(names)
    above = above_own_level(near)
    out = []
    for j, name in enumerate(names[:wanted]):
        others = np.delete(np.arange(m), j)
        if len(others) < 2:
            score, peers, p = 0.0, np.zeros(0), PValues(1.0, 1.0)
        else:
            mean, spread = float(above[others, j].mean()), max(float(above[others, j].std(ddof=1)), least)
            score, peers = float(above[m, j] - mean) / spread, (above[others, j] - mean) / spread
            sides = [p_values(above[m, j], above[others, j]), p_values(near[m, j], near[m, others])]
            p = PValues(max(side.predictive for side in sides), max(side.conformal for side in sides))
        nearest = (names[others[int(peers.argmax())]], float(peers.max())) if len(peers) else None
        out.append(
            Evidence(
                reference=name,
                score=score,
                llr=float(llr[j]),
                p=p if answered >= MIN_ANSWERED else PValues(1.0, 1.0),
                beats_all=bool(len(peers) and (score > peers).all() and (near[m, j] > near[m, others]).all()),
                peers=len(peers),
                agreement=float(alike[j]),
                power=0.0,
                nearest_peer=nearest,
                output=output,
            )
        )
    out.sort(key=lambda e: (-e.score, -e.llr))

    return out


def ratio(suspects: np.ndarray, sources: np.ndarray, rarity: np.ndarray) -> np.ndarray:
    """
    Log-likelihood ratio that a suspect derives from a source rather than from nobody known; float64 (s, m), nats.

    suspects: int (s, n), sources: int (m, n), rarity: float (n, k), how often each label is given.
    """
    parts = [ratio_at(suspects, sources, rarity, retention) for retention in RETENTION]
    return np.asarray(logsumexp(np.stack(parts), axis=0) - np.log(len(RETENTION)))


def agreement(suspects: np.ndarray, sources: np.ndarray, rarity: np.ndarray) -> np.ndarray:
    """
    The ratio at one typical retention: a plain sum over probes, so nearly normal among honest suspects, as the ratio
    itself is not. Shapes as for `ratio`.
    """
    return ratio_at(suspects, sources, rarity, TYPICAL)


def ratio_at(suspects: np.ndarray, sources: np.ndarray, rarity: np.ndarray, retention: float) -> np.ndarray:
    """The ratio at one retention. Shapes as for `ratio`."""
    n = rarity.shape[0]
    p0 = rarity[np.arange(n), np.maximum(sources, 0)]  # (m, n)
    same, other = np.log((retention + (1 - retention) * p0) / p0), np.log(1 - retention)
    total = np.zeros((len(suspects), len(sources)))
    many = len(suspects) > rarity.shape[1]  # then each label is compared once, not each suspect
    every = np.arange(UNANSWERED, rarity.shape[1])[:, None]
    for i in range(n):  # probe by probe: all at once would take (s, m, n)
        a, b = every if many else suspects[:, i, None], sources[:, i]
        told = np.where((a == UNANSWERED) | (b == UNANSWERED), 0.0, np.where(a == b, same[:, i], other))
        total += told[suspects[:, i] - UNANSWERED] if many else told

    return total


def _rarity(everyone: np.ndarray) -> np.ndarray:
    k = int(everyone.max()) + 1
    counts = np.stack([(everyone == label).sum(0) for label in range(k)], 1).astype(float)
    return np.asarray((counts + 2.0 / k) / (counts.sum(1, keepdims=True) + 2.0))


def above_own_level(near: np.ndarray) -> np.ndarray:
    """How much nearer each model is to a reference than, on average, to the other ones; itself counts for nothing."""
    m = near.shape[1]
    itself = np.eye(len(near), m, dtype=bool)
    total = np.where(itself, 0.0, near).sum(1, keepdims=True)
    count = (~itself).sum(1, keepdims=True)

    return np.asarray(near - (total - near) / np.maximum(count - 1, 1))
