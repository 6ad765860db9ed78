"""
Asking one endpoint as `match` does, within its limits and its ledger; what goes wrong is a finding, not the end.
"""

import re
import time
from pathlib import Path
from typing import Final

from probe_match.fingerprinting import confirming, matching, recordings
from probe_match.fingerprinting.audits import Audit, read_rate
from probe_match.fingerprinting.budget import Limits
from probe_match.fingerprinting.chat import asking
from probe_match.fingerprinting.chat.records import ChatClient
from probe_match.fingerprinting.collect import Progress
from probe_match.fingerprinting.database import ReferenceDB
from probe_match.fingerprinting.errors import BudgetSpent, NoAnswers, ProbeMatchError, TargetError
from probe_match.fingerprinting.records import Verdict
from probe_match.fingerprinting.targets import open_any

from .records import Examined
from .settings import Endpoint
from .words import quoted

MOST: Final = confirming.BUDGET  # questions, where an endpoint has no budget of its own


def examine(
    endpoint: Endpoint,
    references: ReferenceDB,
    *,
    alpha: float,
    seed: int = 0,
    rate: str = "",
    ledger: Path | None = None,
    progress: Progress | None = None,
) -> Examined:
    """
    The verdict on an endpoint, or why there is none.

    alpha: accepted rate of false accusations. rate: most requests, such as 1/s. ledger: where questions and answers are
    written down; those of an earlier run are not asked again. What `progress` raises passes.
    """
    begun = time.monotonic()
    try:
        verdict = _verdict(endpoint, references, alpha, seed, rate, ledger, progress)
        return Examined(endpoint, verdict, seconds=time.monotonic() - begun)
    except (TargetError, NoAnswers, BudgetSpent) as error:
        rule, told = "unanswered", f"the endpoint could not be asked: {quoted(error)}"
    except ProbeMatchError as error:
        rule, told = "not-examined", f"the endpoint could not be examined: {quoted(error)}"

    return Examined(endpoint, None, rule, told, time.monotonic() - begun)


def ledger_path(folder: Path, endpoint: Endpoint) -> Path:
    """Where the ledger of an endpoint lies in an audit's folder."""
    return folder / f"{re.sub(r'[^A-Za-z0-9._-]', '_', endpoint.name)}.ledger"


def _verdict(
    endpoint: Endpoint,
    references: ReferenceDB,
    alpha: float,
    seed: int,
    rate: str,
    ledger: Path | None,
    progress: Progress | None,
) -> Verdict:
    client = open_any(endpoint.target, timeout=endpoint.timeout)
    audit = None
    try:
        kept = None if ledger is None else recordings.ledger_of(ledger, client)
        chat = isinstance(client, ChatClient)
        limits = Limits(queries=None if chat and endpoint.budget is None else endpoint.budget or MOST,
                        seconds=endpoint.max_seconds)  # fmt: skip
        audit = Audit(kept, limits=limits, rate=read_rate(rate) if rate else None)
        guarded = recordings.guard(client, audit)
        if isinstance(guarded, ChatClient):
            planned = asking.plan_identification(
                references, only=endpoint.references, budget=endpoint.budget, seed=seed, stop_early=True
            )
            stop = asking.enough(planned, alpha=alpha, seed=seed) if planned.looks else None
            transcript = asking.ask(guarded, planned, stop=stop, progress=progress)
            return asking.identify(transcript, planned, alpha=alpha, seed=seed)
        return matching.match(
            guarded, references, only=endpoint.references, budget=endpoint.budget, alpha=alpha, seed=seed,
            progress=progress,
        )  # fmt: skip
    finally:
        client.close()
        if audit is not None:
            audit.close()
