"""
The models of the published one-word answers: which are asked often enough, whose they are, who descends from whom.

Descent across vendors is from public model cards, written down before any error was looked up against it. Models whose
makers say nothing are strangers to all other vendors', whatever their answers say.
"""

from pathlib import Path
from typing import Final

from probe_match.fingerprinting.chat.importing import read_references
from probe_match.fingerprinting.chat.off_form import joined
from probe_match.fingerprinting.chat.records import Counts

FILE: Final = "single-token-2026.counts.json.gz"
OPEN_FAMILIES: Final = (  # of one base model each, with those of other vendors that were trained further
    ("meta-llama/llama-3.1-70b-instruct", "meta-llama/llama-3.3-70b-instruct", "deepseek/deepseek-r1-distill-llama-70b",
     "nousresearch/hermes-3-llama-3.1-70b", "nousresearch/hermes-4-70b", "nvidia/llama-3.3-nemotron-super-49b-v1.5"),
    ("nousresearch/hermes-3-llama-3.1-405b", "nousresearch/hermes-4-405b"),
    ("mistralai/mixtral-8x22b-instruct", "microsoft/wizardlm-2-8x22b"),
    ("deepseek/deepseek-chat", "deepseek/deepseek-chat-v3-0324", "deepseek/deepseek-chat-v3.1",
     "deepseek/deepseek-v3.1-terminus", "deepseek/deepseek-v3.2", "deepseek/deepseek-v3.2-exp",
     "deepcogito/cogito-v2.1-671b"),
)  # fmt: skip


def vendor(name: str) -> str:
    """Who a model's name says it is from."""
    return name.split("/")[0]


def descent(one: str, other: str) -> bool:
    """Whether two vendors' models are known to come from one base model."""
    return any(one in family and other in family for family in OPEN_FAMILIES)


def often_asked(folder: Path, *, off_form: bool = False) -> dict[str, Counts]:
    """
    Counts of the models that answered at least 30 cells 20 times.

    off_form: with the answers that were not of the form asked, as between models whose answers one reader read.
    """
    often = {
        known.name: known
        for known in read_references(folder / FILE)
        if sum(sum(some.values()) >= 20 for some in known.counts.values()) >= 30
    }
    return {name: joined(one.counts, one.off_form) if off_form else one.counts for name, one in often.items()}
