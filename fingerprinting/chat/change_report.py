"""Verdicts on change as text and as JSON, and what a watch will cost, in one line each."""

import math
from dataclasses import asdict
from typing import Any, Final

from .border import CALLS, MORE_CALLS
from .changing import ChangeVerdict
from .sentinels import ODDS_CALLS, Plan

SCHEMA: Final = "probe-match/change/1"


def to_text(verdict: ChangeVerdict) -> str:
    """Two lines: the decision, and why."""
    target = "".join(c if c.isprintable() else "?" for c in verdict.target)
    grown = f"evidence e^{verdict.evidence:.1f} of e^{verdict.needed:.1f}"

    return (
        f"{verdict.decision.upper()}  {target}\n"
        f"  {verdict.why}\n"
        f"  {verdict.rounds} rounds, {grown}, alpha {verdict.alpha:g} over all looks; {verdict.sent} questions now"
    )


def to_json(verdict: ChangeVerdict) -> dict[str, Any]:
    """Schema probe-match/change/1. Numbers that are not finite become null."""
    return {"schema": SCHEMA} | {key: _finite(value) for key, value in asdict(verdict).items()}


def cost(plan: Plan, prompts: int, looks: int) -> str:
    """What beginning and looking will ask at most."""
    search = prompts * CALLS + 4 * plan.border * MORE_CALLS + 1
    one = (
        plan.border * plan.border_calls
        + plan.steady * plan.steady_calls
        + plan.words * plan.words_calls
        + plan.logprob_calls
    )
    first = one * plan.baseline + ODDS_CALLS * plan.odds

    return (
        f"To begin: at most {search} questions to choose from and {first} for the baseline. "
        f"Each look: {one} questions; {looks} looks: {one * looks}. Every answer is one token."
    )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}

    return None if isinstance(value, float) and not math.isfinite(value) else value
