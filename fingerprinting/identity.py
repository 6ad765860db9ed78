"""
A short name for what a model does on a public suite, for papers and model cards: `pm1:` and 32 letters.

It is a digest of the suite and of the labels that the model gives there, so whoever has the suite and the model gets
the same name, behind whatever runtime or server. Labels only, not scores, so that an endpoint which shows labels alone
has the name of its weights; and only on probes that nobody put on a boundary, where float noise would turn them. Of a
regressor: which of two neighbouring probes gets the larger number. A name says that behaviour is the same, not who made
the model: copies have it, too.
"""

import base64
import binascii
import hashlib
import re
from typing import Final, NamedTuple

import numpy as np

from .errors import BadData, SuiteMismatch, TargetError
from .records import ProbeSuite, Responses
from .storage import canonical_json

PREFIX: Final = "pm1:"
WRITTEN: Final = re.compile(r"pm1:[a-z2-7]{32}")
SUITE_BYTES: Final = 5
ANSWER_BYTES: Final = 13
CHECK_BYTES: Final = 2
ON_BOUNDARIES: Final = ("midpoints", "boundary", "adversarial", "straddle", "decision", "sensitive")
NOISE: Final = 1e-4  # of a margin, in probability or in spreads of a regressor; below it runtimes may differ
FEWEST: Final = 8


class Identity(NamedTuple):
    """
    name: `pm1:…`. probes: how many it stands on. close: on how many of them the answer hangs on less than NOISE, so
    that another runtime may give another name; -1 where no scores say so.
    """

    name: str
    probes: int
    close: int


def identify(responses: Responses, suite: ProbeSuite) -> Identity:
    """
    The identity of the model that gave these answers.

    Raises SuiteMismatch for answers to another suite, BadData for a suite with too few probes off boundaries,
    TargetError where one of them got no answer.
    """
    if responses.suite != suite.digest:
        raise SuiteMismatch(f"expected answers to suite {suite.digest[:15]}…, got them to {responses.suite[:15]}…")
    rows = standing(suite)
    missing = int((~responses.answered[rows]).sum())
    if missing:
        raise TargetError(f"{responses.target} left {missing} of {len(rows)} probes unanswered; ask again")
    score = responses.score
    number = suite.spec.output == "number"
    if number:
        assert score is not None
        value = score[rows, 0].astype(np.float64)
        step = np.diff(value)
        told, margin = (step > 0).astype(int), np.abs(step) / max(float(value.std()), 1e-300)
    else:
        told = responses.label[rows].astype(int)
        best = None if score is None else np.sort(np.nan_to_num(score[rows].astype(np.float64)), axis=1)
        margin = None if best is None or best.shape[1] < 2 else best[:, -1] - best[:, -2]
    what = {"suite": suite.digest, "kind": "order" if number else "labels", "answers": told.tolist()}
    body = _suite_part(suite.digest) + hashlib.sha256(canonical_json(what)).digest()[:ANSWER_BYTES]
    close = -1 if margin is None else int((margin < NOISE).sum())

    return Identity(PREFIX + base64.b32encode(body + _check(body)).decode().lower(), len(rows), close)


def standing(suite: ProbeSuite) -> np.ndarray:
    """The probes that an identity stands on; int (r,). Raises BadData where there are too few."""
    rows = np.flatnonzero([kind.partition("/")[0] not in ON_BOUNDARIES for kind in suite.kinds])
    if len(rows) < FEWEST:
        raise BadData(
            f"expected at least {FEWEST} probes off the models' boundaries in suite '{suite.name}', got {len(rows)}; "
            "take a public suite, or one of uniform or misclassified"
        )
    return rows


def is_identity(text: str) -> bool:
    """Whether a text is meant as an identity, well written or not."""
    return text.lower().startswith(PREFIX)


def parse(text: str) -> str:
    """An identity as it is written. Raises BadData for one that was mistyped."""
    name = text.strip().lower()
    if not WRITTEN.fullmatch(name):
        raise BadData(f"expected an identity as pm1: and 32 of the letters a-z and 2-7, got '{text[:60]}'")
    try:
        data = base64.b32decode(name.removeprefix(PREFIX).upper())
    except binascii.Error:
        raise BadData(f"'{name}' is no identity; copy it again") from None
    if _check(data[:-CHECK_BYTES]) != data[-CHECK_BYTES:]:
        raise BadData(f"'{name}' has a letter wrong; copy it again")
    return name


def is_of(name: str, suite: str) -> bool:
    """Whether an identity is on the suite of that digest."""
    return base64.b32decode(parse(name).removeprefix(PREFIX).upper())[:SUITE_BYTES] == _suite_part(suite)


def _suite_part(digest: str) -> bytes:
    return bytes.fromhex(digest.removeprefix("sha256:"))[:SUITE_BYTES]


def _check(body: bytes) -> bytes:
    return hashlib.sha256(PREFIX.encode() + body).digest()[:CHECK_BYTES]
