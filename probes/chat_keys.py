"""
Owner keys: secret questions to which the owner's model was taught a secret answer, and no other model gives it.

For owners who planted such pairs (Instructional FP, arXiv 2401.12255; Chain & Hash, 2407.10887; Perinucleus,
2502.07760). The file has one JSON object a line, `{"key": …, "response": …}`. How many hits are proof is said by `fingerprinting.chat.keys`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.chat.records import Bank, Question, Sampling
from probe_match.fingerprinting.errors import BadData, UsageError

from . import _phrases

KINDS: Final = ("chat",)
NEEDS: Final = "keys"
SAMPLING: Final = Sampling(temperature=0.0, max_tokens=24)


def generate(*, n: int, seed: int, languages: Sequence[str] = ("en",), keys: str | None = None) -> Bank:
    """
    At most n of the pairs in the file `keys`, drawn by seed; the expected response is the only choice of its question.

    Cells are named by digests, so that a report gives no key away. Raises UsageError without a file, BadData for one
    that holds no pairs.
    """
    if keys is None:
        raise UsageError("expected the file of your key and response pairs, got none; pass keys=FILE")
    pairs: dict[str, str] = {}
    for number, line in enumerate(storage.read_file(Path(keys), "keys").splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            key, response = entry["key"], entry["response"]
            if not (isinstance(key, str) and isinstance(response, str) and response.strip()):
                raise TypeError("key and response must be texts")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadData(f"line {number} of the keys is no pair; expected key and response") from error
        pairs[key] = response
    if not pairs:
        raise BadData("the file of keys holds no pair; expected key and response on each line")
    order = np.random.default_rng(seed).permutation(len(pairs))[:n]
    drawn = [list(pairs.items())[i] for i in order]

    return _phrases.bank(
        "chat-keys",
        (
            Question(f"key/{_phrases.short(key)}", "key", key, "choice", None, SAMPLING, choices=(response,))
            for key, response in drawn
        ),
    )
