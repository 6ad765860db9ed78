"""
Which AlpacaEval entries are related, labelled by hand from names and model cards, and which are surely not.

Mixtures and fusions of many models (MoA, FuseChat) and merges of unknown descent (Ein) are related to nobody knows
whom: they are in no negative pair. These were taken out after a look at the highest-scoring negatives.
"""

import re
from itertools import combinations
from typing import Final

DERIVED: Final = [
    ("Mixtral-8x7B-Instruct-v0.1", "Mixtral-8x7B-Instruct-v0.1_verbose"), ("alpaca-7b", "alpaca-7b_concise"),
    ("alpaca-7b", "alpaca-7b_verbose"), ("alpaca-7b_concise", "alpaca-7b_verbose"),
    ("claude-2.1", "claude-2.1_concise"),
    ("gpt4", "gpt4_0613_verbose"), ("ultralm-13b-v2.0", "ultralm-13b-v2.0-best-of-16"),
    ("Storm-7B", "Storm-7B-best-of-64"), ("Starling-LM-7B-alpha", "Starling-LM-7B-alpha-ExPO"),
    ("tulu-2-dpo-70b", "tulu-2-dpo-70b-ExPO"), ("tulu-2-dpo-7b", "tulu-2-dpo-7b-ExPO"),
    ("zephyr-7b-beta", "zephyr-7b-beta-ExPO"), ("internlm2-chat-20b-ppo", "internlm2-chat-20b-ExPO"),
    ("aligner-2b_gpt-4-turbo-2024-04-09", "gpt-4-turbo-2024-04-09"), ("pairrm-zephyr-7b-beta", "zephyr-7b-beta"),
    ("pairrm-zephyr-7b-beta", "zephyr-7b-beta-ExPO"), ("pairrm-Yi-34B-Chat", "Yi-34B-Chat"),
    ("oasst-rlhf-llama-33b", "oasst-sft-llama-33b"), ("phi-2-sft", "phi-2-dpo"),
    ("gemma-2-9b-it-DPO", "gemma-2-9b-it-WPO-HB"), ("Samba-CoE-v0.1", "Samba-CoE-v0.2"), ("Together-MoA", "TOA"),
]  # fmt: skip
GROUPS: Final = [
    ("Meta-Llama-3-8B-Instruct", "Llama-3-Instruct-8B-WPO-HB-v2", "REBEL-Llama-3-8B-Instruct-Armo",
     "SPPO-Llama-3-8B-Instruct-GPM-2B"),
    ("Mistral-7B-Instruct-v0.2", "Mistral-7B-ReMax-v0.1", "Snorkel-Mistral-PairRM-DPO", "Contextual-KTO-Mistral-PairRM",
     "SPPO-Mistral7B-PairRM-ExPO"),
]  # fmt: skip
FAMILIES: Final = [
    r"llama-?3|rebel|sppo-llama|skillmix|ghost-8b", r"mistral|mixtral|zephyr|starling|storm|openhermes|"
    r"snorkel|contextual|conifer|merlinite|fsfairx|samba|evo|ghost-7b|dolphin|openchat|orpo|airoboros", r"^gemma",
    r"^qwen", r"^claude(?!2-)", r"^gpt|^aligner", r"internlm", r"phi-2", r"nanbeige", r"yi-34", r"tulu|llama-?2|"
    r"llama2|vicuna|wizard|xwin|alpaca|ultralm|baize|guanaco|humpback|oasst|pythia|minotaur|openbuddy|recycled|platolm|"
    r"falcon|opencoder|tempnet|claude2-", r"gemini", r"deepseek", r"chatglm", r"baichuan", r"jina", r"blendax",
]  # fmt: skip


def related() -> set[tuple[str, str]]:
    """Pairs in which one model derives from the other, or both from one instruct model."""
    pairs = [*DERIVED, *(pair for group in GROUPS for pair in combinations(group, 2))]
    return {tuple(sorted(pair)) for pair in pairs}  # type: ignore[misc]


def family(name: str) -> int:
    """
    A coarse family, -1 where the name says nothing; pairs of one family, or of -1, are no negatives.
    """
    return next((i for i, pattern in enumerate(FAMILIES) if re.search(pattern, name.lower())), -1)
