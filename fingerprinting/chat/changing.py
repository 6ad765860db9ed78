"""
Whether an endpoint is still what it was, and if not, in which of three ways it differs.

Three questions, three statistics. Equality must care about everything: ranks of each round among all earlier ones,
bet upon (`sequential`), the only one with an error rate for ever. Configuration asks what could have changed without
the weights: words put above ours, the sampling (`configuration`). Identity asks whether it is the same model at all,
and must not care about light changes (`identity`). A change that a configuration explains accuses nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from . import configuration, counting, identity, logprob_test, sequential
from .records import Transcript
from .sentinels import joined, part

Details = dict[str, float | bool | None]
Change = Literal["unchanged", "configuration", "modified", "another model", "inconclusive"]
EXIT: Final = {"unchanged": 0, "modified": 1, "another model": 1, "configuration": 3, "inconclusive": 3}
MIN_COVERAGE: Final = 0.8  # share of a round's questions that must be answered, of those that were to begin with
MIN_WORDS: Final = 0.5  # share of the first questions that must be answered with words
# Chosen on families of TinyFam's first random start: benchmarks/RESULTS-tinyfam.md.
SAME_LIKENESS: Final = 0.65  # of log-probabilities; below it another model answers
SAME_SHARING: Final = 0.3  # of steady answers, text only
WAVERING: Final = 0.6  # share of steady prompts that waver: temperature 0 is not honoured, or calls go elsewhere
MANY: Final = 0.5  # chance that two answers to a steady prompt differ: more than two models taking turns explain
FROZEN: Final = 0.1  # chance that two sampled answers differ: less than sampling leaves
KEPT: Final = 0.001  # p-value above which answers, or log-probabilities, are those of before


@dataclass(frozen=True)
class RoundP:
    """p-values of one round: of what is said, and of log-probabilities, None where there are none."""

    text: float
    logprobs: float | None = None


@dataclass(frozen=True)
class ChangeVerdict:
    """
    decision: see Change. evidence: log of the larger e-process, nats. needed: where it becomes an alarm. alarm: the
    round of the first alarm, from 1, or None. why: one sentence. details: the statistics of configuration and identity.
    """

    target: str
    decision: Change
    alpha: float
    rounds: int
    evidence: float
    needed: float
    alarm: int | None
    p_values: RoundP | None
    sent: int
    why: str
    details: Details = field(default_factory=dict)


def round_p(earlier: Sequence[Transcript], new: Transcript, *, seed: int) -> RoundP:
    """How a round ranks among all before it, by what is said and by log-probabilities."""
    rng = np.random.default_rng(seed)
    before = joined(*earlier)
    cells = counting.tables(part(before, "border", "steady", "word"), part(new, "border", "steady", "word"))
    text = counting.round_p(list(cells.values()), rng) if cells else 1.0

    return RoundP(text, logprob_test.round_p(part(before, "logprob"), part(new, "logprob"), rng))


def evidence(rounds: Sequence[RoundP], alpha: float) -> tuple[float, float, int | None]:
    """
    Log of the larger e-process, what it must reach, and the first round at which it did.

    Where there are two, each has half of alpha, so that whichever is looked at, and however often, at most alpha of the
    endpoints that never change are ever suspected.
    """
    grown, needed, alarm = evidence_grown(rounds, alpha)

    return float(grown.max(initial=-np.inf)) if len(grown) else 0.0, needed, alarm


def evidence_grown(rounds: Sequence[RoundP], alpha: float) -> tuple[np.ndarray, float, int | None]:
    """As `evidence`, with the log of the larger e-process after each round, float64 (t,)."""
    text = np.array([p.text for p in rounds])
    given = np.array([p.logprobs is not None for p in rounds], bool)
    needed = float(-np.log(alpha / (2 if given.any() else 1)))
    grown = sequential.log_wealth(text) if len(rounds) else np.zeros(0)
    if given.any():
        wealth = sequential.log_wealth(np.array([p.logprobs for p in rounds if p.logprobs is not None]))
        # After a round without log-probabilities their evidence is what it was; before the first there is none.
        place = np.cumsum(given) - 1
        grown = np.maximum(grown, np.where(place >= 0, wealth[np.maximum(place, 0)], -np.inf))
    over = np.flatnonzero(grown >= needed)

    return grown, needed, int(over[0]) + 1 if len(over) else None


def injected(baseline: Transcript, new: Transcript) -> int:
    """Tokens that stand above every question now and did not before; 0 where nothing was counted."""
    counted = configuration.prompt_tokens(baseline, new)

    return counted.offset if counted.known and counted.constant else 0


def diagnose(baseline: Transcript, again: Transcript, *, seed: int) -> tuple[Change, str, Details]:
    """
    What kind of change there was, why, and the statistics; "inconclusive" where what is at hand cannot tell.

    again: as many answers as the baseline has, given after the alarm. The kind is an estimate; that there was a change
    is what the alarm says.
    """
    rng = np.random.default_rng(seed)
    counted = configuration.prompt_tokens(baseline, again)
    cells = counting.tables(baseline, again)
    steady, words, greedy = (
        [table for cell, table in cells.items() if cell.split("/")[0] in families]
        for families in (("steady",), ("word",), ("border", "steady"))
    )
    likeness = identity.likeness(part(baseline, "odds"), part(again, "odds"))
    sharing = identity.sharing(steady) if steady else 0.0
    before, now = ([getattr(table, side) for table in steady] for side in ("earlier", "new"))
    # Either way: a temperature may be put on, or taken off again.
    wavering = max(configuration.wavering(before, now), configuration.wavering(now, before))
    spread = max(configuration.spread(before), configuration.spread(now))
    words_before, words_now = (configuration.spread([getattr(t, side) for t in words]) for side in ("earlier", "new"))
    odds_p = logprob_test.round_p(part(baseline, "logprob"), part(again, "logprob"), rng)
    greedy_p, words_p = (counting.round_p(some, rng) if some else None for some in (greedy, words))
    details: Details = {
        "prompt_tokens_added": counted.offset if counted.known else None,
        "same_tokenizer": counted.constant if counted.known else None,
        "wavering": wavering, "spread": spread, "words_before": words_before, "words_now": words_now,
        "greedy_p": greedy_p, "words_p": words_p, "logprobs_p": odds_p, "likeness": likeness, "sharing": sharing,
    }  # fmt: skip
    if counted.known and not counted.constant:
        return "another model", "It counts the tokens of the same questions differently: another tokenizer.", details
    if counted.known and counted.offset:
        return "configuration", above(counted.offset), details
    if odds_p is not None and odds_p > KEPT:
        return "configuration", "Its log-probabilities are as before: only the sampling changed.", details
    if wavering >= WAVERING and spread >= MANY:
        why = "Temperature 0 is not honoured on one side; whether the weights changed too, cannot be told."
        return "configuration", why, details
    if words_before >= MANY and words_now <= FROZEN:
        why = "Sampled answers repeat themselves, as from a cache; whether the weights changed too, cannot be told."
        return "configuration", why, details
    if wavering >= WAVERING:
        why = "Some calls are answered otherwise: at a low temperature, or by another model that takes turns."
        return "inconclusive", why, details
    if odds_p is None and greedy_p is not None and greedy_p > KEPT:
        how = "more" if words_now > words_before else "less"
        if words_p is not None and words_p <= KEPT:
            return "configuration", f"Only sampled answers vary {how} than before; greedy ones are the same.", details
        return "inconclusive", "The answers after the alarm are those of before; look again.", details
    if not counted.known:
        why = "It answers otherwise, and counts no tokens that would tell a new system prompt from a new model."
        return "inconclusive", why, details
    if likeness >= SAME_LIKENESS if likeness is not None else sharing >= SAME_SHARING:
        return "modified", "The answers are those of the same model, changed: tuned, pruned or rounded.", details

    return "another model", "The answers have too little in common with those before to be the same model's.", details


def above(added: int) -> str:
    """What it means that every question counts so many tokens more than before."""
    more = f"{abs(added)} {'more' if added > 0 else 'fewer'} tokens"

    return f"{more} stand above every question: a system prompt or a template changed."
