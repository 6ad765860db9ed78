"""
Is one model derived from another? How alike they answer the same prompts, against how alike either is to everybody.

Per prompt the cosine of word statistics (tf-idf of words and pairs, each text against all texts of the pool), averaged
over prompts. Half of both models' mean similarity to the decoys, all others, is taken off: a terse or a common way of
answering is alike to many. `stand_out` normalises further, on both sides.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from .standing import stand_out

READ: Final = 6000  # characters of a text
NORMALISED: Final = 1.0  # weight of the cohort-normalised score beside the decoy baseline, both standardised


def similarities(answers: Sequence[Sequence[str]]) -> np.ndarray:
    """
    Per prompt, how alike two models answer; float32 (prompts, m, m) in [0, 1].

    answers: m models' answers to the same prompts, "" where there is none.
    """
    m, prompts = len(answers), len(answers[0])
    texts = [text[:READ] for model in answers for text in model]
    seen = {"ngram_range": (1, 2), "token_pattern": r"(?u)\w+|[^\w\s]", "min_df": 2 if m > 1 else 1}
    weigh = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **seen)
    rows: Any = weigh.fit_transform(texts)
    out = np.empty((prompts, m, m), np.float32)
    for p in range(prompts):
        mine = rows[np.arange(m) * prompts + p]
        out[p] = (mine @ mine.T).toarray()

    return out


def lineage(alike: np.ndarray) -> np.ndarray:
    """
    Score of every pair; float64 (m, m), symmetric, larger means more likely related, -inf on the diagonal.

    alike: float (m, m), mean similarity over the prompts.
    """
    m = len(alike)
    off = ~np.eye(m, dtype=bool)
    mean = np.where(off, alike, 0.0).sum(1) / max(m - 1, 1)
    less = alike - (mean[:, None] + mean) / 2
    who = np.arange(m)
    normal = stand_out(np.where(off, alike, np.nan_to_num(mean)[:, None]), alike, who)
    normal = (normal + normal.T) / 2
    out = _unit(less, off) + NORMALISED * _unit(normal, off)
    out[~off] = -np.inf

    return np.asarray(out)


def _unit(scores: np.ndarray, off: np.ndarray) -> np.ndarray:
    spread = float(scores[off].std()) if off.any() else 1.0
    return np.asarray((scores - (scores[off].mean() if off.any() else 0.0)) / max(spread, 1e-9))
