"""
Queries in doubt: sent, and never wholly answered, so that nobody knows whether they were paid.
"""

import json
from typing import NamedTuple

from .ledger import Ledger
from .ledger_states import Cost, Memory


class Doubt(NamedTuple):
    """
    One query in doubt. entry: of the ledger, that says it was sent, `at` seconds of Unix time. key: digest of what was
    asked; nth: how often the same was asked before. cost: the most that its request may have cost, shared by `among`
    queries that went together. why: no whole answer came.
    """

    entry: int
    at: float
    key: str
    nth: int
    cost: Cost
    among: int
    why: str


def doubts(ledger: Ledger, memory: Memory) -> list[Doubt]:
    """Every query in doubt, by each request that left for it. memory: of this ledger (`ledger_states.remember`)."""
    ends: dict[int, str] = {}
    found: list[Doubt] = []
    sent = []
    for entry in ledger.entries():
        about = json.loads(entry.about)
        if entry.kind == "sent":
            sent.append((entry, about))
        elif entry.of:
            ends[entry.of] = str(about.get("why", "")) or entry.kind if entry.kind == "doubt" else ""
    for entry, about in sent:
        why = ends.get(entry.seq, "the run was killed")
        if not why or entry.seq in memory.unsent:
            continue
        for key, nth in zip(about["keys"], about["nth"], strict=True):
            query = memory.find(key, nth)
            if query is not None and query.state == "doubt":
                found.append(Doubt(entry.seq, entry.at, key, nth, Cost(*about["cost"]), len(about["keys"]), why))

    return found
