"""
Is one model derived from another? How alike they answer the same prompts, against how alike either is to everybody.

Per prompt the cosine of word statistics (tf-idf of words and pairs). A word's weight is the rarer among all texts, and
among the answers to that prompt, the higher: what a prompt puts into everybody's mouth says nothing of descent. Each
prompt's cosines are then normalised by the decoys, all other models, on both sides, as `standing` does it for counts:
to some prompts all answer alike, and a terse or a common way of answering is alike to many.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from .standing import stand_out

READ: Final = 6000  # characters of a text
EXTREME: Final = 4.0  # standard deviations, beyond which one prompt says no more
LEAST_SPREAD: Final = 1e-6
NORMALISED: Final = 1.0  # weight of the cohort-normalised score beside the decoy baseline, both standardised


def similarities(answers: Sequence[Sequence[str]]) -> np.ndarray:
    """
    Per prompt, how alike two models answer; float32 (prompts, m, m) in [0, 1].

    answers: m models' answers to the same prompts, "" where there is none.
    """
    m, prompts = len(answers), len(answers[0])
    texts = [text[:READ] for model in answers for text in model]
    seen = {"ngram_range": (1, 2), "token_pattern": r"(?u)\w+|[^\w\s]", "min_df": 2 if m > 1 else 1}
    weigh = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, norm=None, **seen)
    rows: Any = weigh.fit_transform(texts)
    out = np.empty((prompts, m, m), np.float32)
    for p in range(prompts):
        out[p] = _cosines(rows[np.arange(m) * prompts + p])

    return out


def lineage(alike: np.ndarray) -> np.ndarray:
    """
    Score of every pair; float64 (m, m), symmetric, larger means more likely related, -inf on the diagonal.

    alike: float (prompts, m, m), similarities of each prompt.
    """
    m = alike.shape[1]
    off = ~np.eye(m, dtype=bool)
    beyond = np.mean([_beyond(prompt.astype(float), off) for prompt in alike], axis=0)
    mean = _level(beyond, off)
    less = beyond - (mean[:, None] + mean) / 2
    normal = stand_out(np.where(off, beyond, mean[:, None]), beyond, np.arange(m))
    normal = (normal + normal.T) / 2
    out = _unit(less, off) + NORMALISED * _unit(normal, off)
    out[~off] = -np.inf

    return np.asarray(out)


def _cosines(rows: Any) -> np.ndarray:
    """Of the answers to one prompt; float32 (m, m). rows: csr (m, words), tf-idf among all texts."""
    rarer = np.log1p(rows.shape[0] / np.maximum(rows.getnnz(axis=0), 1)).astype(np.float32)
    weighed = rows @ sparse.diags(rarer)
    length = np.sqrt(np.asarray(weighed.multiply(weighed).sum(1)).ravel())
    unit = sparse.diags(1 / np.maximum(length, 1e-9).astype(np.float32)) @ weighed

    return np.asarray((unit @ unit.T).toarray())


def _beyond(alike: np.ndarray, off: np.ndarray) -> np.ndarray:
    """One prompt's similarities in standard deviations of either model's to all others, mean of both; 0 diagonal."""
    level = _level(alike, off)
    square = _level((alike - level[:, None]) ** 2, off)
    by_row = (alike - level[:, None]) / (np.sqrt(square) + LEAST_SPREAD)[:, None]

    return np.where(off, np.clip((by_row + by_row.T) / 2, -EXTREME, EXTREME), 0.0)


def _level(alike: np.ndarray, off: np.ndarray) -> np.ndarray:
    """Each model's mean over the others; float64 (m,)."""
    return np.asarray(np.where(off, alike, 0.0).sum(1) / max(len(alike) - 1, 1))


def _unit(scores: np.ndarray, off: np.ndarray) -> np.ndarray:
    spread = float(scores[off].std()) if off.any() else 1.0
    return np.asarray((scores - (scores[off].mean() if off.any() else 0.0)) / max(spread, 1e-9))
