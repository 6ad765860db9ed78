"""
Is this the same model at all? Statistics that do not mind light changes, on the same questions asked of both sides.

`likeness` compares the log-probabilities of next tokens, centred per prompt, as BReF (2609.06330) does with the options
of a question: a fine-tuned model keeps what its parent finds likely where nobody taught it anything. `sharing` is its
text-only stand-in: how often two answers to one question, one from each side, are the same, beside how often two of one
side are.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from .counting import Table
from .logprob_test import matrix
from .records import Transcript


def likeness(a: Transcript, b: Transcript) -> float | None:
    """
    Mean correlation of two models' log-probabilities of the first token, over cells that both answered, -1 to 1.

    Over the tokens that either names; a token that one does not name has that model's least. None without any.
    """
    found = []
    for cell in a.answers.keys() & b.answers.keys():
        mine, names = matrix(a.answers[cell])
        other, more = matrix(b.answers[cell])
        if len(mine) and len(other):
            union = list(dict.fromkeys(names + more))
            x, y = matrix(a.answers[cell], union)[0].mean(0), matrix(b.answers[cell], union)[0].mean(0)
            if np.ptp(x) > 0 and np.ptp(y) > 0:
                found.append(float(np.corrcoef(x, y)[0, 1]))

    return float(np.mean(found)) if found else None


def sharing(cells: Sequence[Table]) -> float:
    """
    How alike two sides answer, 1 where they do as one model would, about 0 where they share nothing.

    The chance that an answer of one side equals one of the other's, over the geometric mean of the same chance within
    each side (Nei's identity of allele counts, as PhyloLM, 2404.04671, uses it), counts corrected for their own pairs.
    """
    across, within_a, within_b = 0.0, 0.0, 0.0
    for table in cells:
        n, m = table.earlier.sum(), table.new.sum()
        if n > 1 and m > 1:
            across += float(table.earlier @ table.new) / (n * m)
            within_a += float(table.earlier @ (table.earlier - 1)) / (n * (n - 1))
            within_b += float(table.new @ (table.new - 1)) / (m * (m - 1))

    return float(across / max(np.sqrt(within_a * within_b), 1e-9))


def parents(suspect: Transcript, candidates: Mapping[str, Transcript]) -> list[tuple[str, float]]:
    """
    Candidate parents, likeliest first, by likeness less what each side has in common with everyone else.

    A candidate's own level is its mean likeness to the other candidates: a model that resembles all resembles none.
    """
    names = list(candidates)
    mine = np.array([likeness(suspect, candidates[name]) or 0.0 for name in names])
    level = np.array([
        np.mean([likeness(candidates[name], candidates[other]) or 0.0 for other in names if other != name] or [0.0])
        for name in names
    ])  # fmt: skip
    scores = mine - level
    order = np.argsort(-scores, kind="stable")

    return [(names[i], float(scores[i])) for i in order]
