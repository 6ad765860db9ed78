"""
Scores of every pair of a source and a suspect, by every method, at every budget and access.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.calibration import ENOUGH, PValues
from probe_match.fingerprinting.confirming import evidences, is_clear
from probe_match.fingerprinting.looking import Looks, looks
from probe_match.fingerprinting.methods import relative
from probe_match.fingerprinting.records import Access
from probe_match.fingerprinting.schemes import SCHEMES, similarities
from probe_match.fingerprinting.verdicts import Evidence, is_match

from . import plain
from .subjects import Settings, Subject
from .suspects import Questions, Suspects

DEFAULT: Final = "relative"


class Block(NamedTuple):
    """
    One source against all suspects, by one method at one budget. access: what the method was given to read.

    score: float64 (m,), larger is likelier derived, NaN where the suspect gave too little. p: float64 (m,), NaN for
    methods that state none.
    """

    subject: int
    method: str
    access: Access
    budget: int
    score: np.ndarray
    p: np.ndarray


class Stops(NamedTuple):
    """One source against all suspects, asked until the answer is clear. found: bool (m,); asked: int (m,)."""

    subject: int
    access: Access
    found: np.ndarray
    asked: np.ndarray


def score(at: int, subject: Subject, suspects: Suspects, questions: Questions, settings: Settings) -> Iterator[Block]:
    """All blocks of one subject, the `at`-th."""
    for access in settings.access:
        for budget in settings.budgets:
            scale, seen, given = _weighed(subject, suspects, questions, budget, access)
            if scale is None or seen is None:
                continue
            p = seen.conformal if len(scale.peer_scores) >= ENOUGH else seen.predictive
            yield Block(at, DEFAULT, access, budget, *_spread(given, len(suspects.models), seen.score, p))
            for name, asked in subject.schemes.items():
                form = SCHEMES[name].labels if access == "label" else SCHEMES[name].scores
                if form is None:  # it cannot go by labels alone, or reads nothing but labels
                    continue
                answers = [
                    questions.responses(suspects.sheets[i], asked.suite, budget, access) for i in np.flatnonzero(given)
                ]
                value = similarities(SCHEMES[name], asked.answers, answers, asked.suite, access)
                none = np.full(len(value), np.nan)
                yield Block(at, name, access, budget, *_spread(given, len(suspects.models), value, none))
            if isinstance(scale, relative.DeviationScale):
                suite, sheets = subject.reference.suite, [suspects.sheets[i] for i in np.flatnonzero(given)]
                replies = [questions.responses(sheet, suite, budget, access).score for sheet in sheets]
                values = np.stack([numbers[scale.rows, 0] for numbers in replies if numbers is not None])
                for name, value in plain.compare(values, scale.source, scale.honest).items():
                    none = np.full(len(value), np.nan)
                    yield Block(at, name, access, budget, *_spread(given, len(suspects.models), value, none))


def stop_early(at: int, subject: Subject, suspects: Suspects, questions: Questions, settings: Settings) -> list[Stops]:
    """Every suspect asked as `match` would ask it, against this one reference, up to the largest budget."""
    out = []
    plan = looks(max(settings.budgets))
    m = len(suspects.models)
    for access in settings.access:
        steps = [_weighed(subject, suspects, questions, n, access) for n in plan]
        scales = [scale for scale, _, _ in steps if scale is not None]
        found, asked, going = np.zeros(m, bool), np.full(m, plan[-1]), np.ones(m, bool)
        if len(scales) == len(plan):
            path = Looks(scales)
            like = Evidence(
                subject.model.name, 0.0, 0.0, PValues(1.0, 1.0), False, len(scales[0].peer_scores), 0.0, 0.0, None
            )
            highest = np.full(m, -np.inf)
            for look, (n, (scale, seen, given)) in enumerate(zip(plan, steps, strict=True)):
                assert scale is not None
                assert seen is not None
                highest[given] = np.maximum(highest[given], seen.score)
                seen = seen._replace(conformal=path.conformal(highest[given], seen.kin))
                hopeless = path.hopeless(look, seen.score, settings.alpha)
                known = evidences(scale, seen, like)
                for i, evidence, lost in zip(np.flatnonzero(given), known, hopeless.tolist(), strict=True):
                    clear = n == plan[-1] or is_clear(evidence._replace(hopeless=lost), 1, settings.alpha)
                    if going[i] and clear:
                        found[i], asked[i], going[i] = is_match(evidence, 1, settings.alpha), n, False
        out.append(Stops(at, access, found, asked))

    return out


def _weighed(
    subject: Subject, suspects: Suspects, questions: Questions, n: int, access: Access
) -> tuple[relative.Scale | relative.DeviationScale | None, relative.Weighed | None, np.ndarray]:
    """The scale over the first n probes, what it makes of the suspects that can be weighed, and which those are."""
    suite = subject.reference.suite
    answers = [questions.responses(sheet, suite, n, access) for sheet in suspects.sheets]
    rows = np.arange(min(n, len(suite)))
    known = subject.reference.answers.scores
    number = suite.spec.output == "number"
    soft = (access == "scores" or number) and known is not None
    width = None if known is None else known.shape[2]
    given = np.array([not soft or (a.scores is not None and a.scores.shape[2] == width) for a in answers], bool)
    if (access == "scores" and not soft) or not given.any():
        return None, None, given
    scale = (relative.DeviationScale if number else relative.Scale)(subject.reference, rows, soft)
    kept = [a for a, yes in zip(answers, given, strict=True) if yes]
    labels = np.stack([a.label[rows] for a in kept])
    scores = np.stack([a.scores[rows, 0] for a in kept if a.scores is not None]) if soft else None

    return scale, scale.weigh(labels, scores), given


def _spread(given: np.ndarray, m: int, *values: np.ndarray) -> Iterator[np.ndarray]:
    """Values of the suspects that were weighed, with NaN for the others; float64 (m,) each."""
    for value in values:
        out = np.full(m, np.nan)
        out[given] = value
        yield out
