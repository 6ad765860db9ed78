"""
What clients of JSON servers share: inputs as rows in one request, a form that the server takes, limits learnt.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from probe_match.fingerprinting.answers import Answers, usable
from probe_match.fingerprinting.errors import InputRefused, TargetError
from probe_match.fingerprinting.records import Access

from . import _json, _outputs
from ._oip_wire import rows_allowed
from ._transport import Reply, Transport

BATCH: Final = 256
VALUES: Final = 1_000_000  # numbers in one request: about 20 MB of JSON
PATIENCE: Final = 60.0  # seconds that one request may wait where the server is busy
MOMENTS: Final = (0.1, 0.2, 0.4, 0.8, 1.6, 0.0)  # seconds between attempts at a server that says "in a moment"
UNREADABLE: Final = (400, 415, 422, 500)  # what servers answer to a body of another form than theirs
Inputs = np.ndarray | Sequence[str]
Form = Callable[[Inputs], Any]  # m inputs as a JSON value
Read = Callable[[Reply, int], Answers]  # the answers to m inputs in a reply


class RowsClient:
    """
    One model behind one URL. forms: ways to put inputs into JSON, tried in turn until one is answered. read: raises
    TargetError, or InputRefused where it is the input's fault. facts: what the server said of itself, for people.
    bad: statuses that mean a bad input, beside those that always do. busy: statuses that mean "in a moment".
    """

    def __init__(
        self,
        target: str,
        url: str,
        transport: Transport,
        forms: Sequence[Form],
        read: Read,
        *,
        shape: tuple[int, ...] | None = None,
        batch: int = BATCH,
        facts: Mapping[str, str] | None = None,
        bad: Sequence[int] = (),
        busy: Sequence[int] = (),
    ) -> None:
        self.target = target
        self.access: Access = "scores"  # unknown before the first answer
        self.shape = shape
        self.classes: tuple[str, ...] = ()
        self.facts: dict[str, str] = dict(facts or {})
        self._url = url
        self._transport = transport
        self._forms = list(forms)
        self._read = read
        self._rows = batch
        self._bad = tuple(bad)
        self._busy = tuple(busy)

    @property
    def batch(self) -> int:
        """Most inputs in one request: what the server takes, at most a million numbers."""
        return max(1, min(self._rows, VALUES // max(math.prod(self.shape or ()), 1)))

    @batch.setter
    def batch(self, most: int) -> None:
        self._rows = most

    def ask(self, inputs: Inputs) -> Answers:
        """Answers to m inputs, one request where m is at most `batch`. Raises TargetError."""
        answers = []
        start = 0
        while start < len(inputs):
            part = inputs[start : start + self.batch]
            answers.append(self._answer(part))
            start += len(part)

        return _outputs.joined(answers)

    def close(self) -> None:
        """Close the connections kept open."""
        self._transport.close()

    def _answer(self, part: Inputs) -> Answers:
        refused: TargetError | None = None
        for form in list(self._forms):
            reply = self._post(form(part))
            if reply.ok:
                answers = self._read(reply, len(part))
                self._forms = [form]
                require_usable(answers, len(part), reply)
                return answers
            if refused is None or reply.status not in UNREADABLE:
                refused = self._refusal(reply, len(part))
            if reply.status not in UNREADABLE:
                break
        assert refused is not None
        raise refused

    def _post(self, value: Any) -> Reply:
        for pause in MOMENTS:
            reply = self._transport.post(self._url, value)
            if reply.status not in self._busy:
                return reply
            time.sleep(pause)
        return reply

    def _refusal(self, reply: Reply, m: int) -> TargetError:
        said = _json.printable(reply.body, 2000) if reply.status != 500 else ""
        self._rows = rows_allowed(said, m) or self._rows
        error = self._transport.complaint(reply)
        if "InvalidKeyException" in said:
            return TargetError(f"{reply.url} wants another key; set PROBE_MATCH_API_KEY ({reply.status})")

        return InputRefused(str(error)) if reply.status in self._bad else error


def listed(inputs: Inputs) -> list[Any]:
    """Inputs as nested lists, or as texts."""
    return inputs.tolist() if isinstance(inputs, np.ndarray) else list(inputs)


def require_usable(answers: Answers, m: int, reply: Reply) -> None:
    """Raise InputRefused where not one of m inputs was answered with something."""
    if not usable(answers, m).any():
        raise InputRefused(f"{reply.url} answered NaN or infinity, or nothing, to all of {m} inputs")


def value_of(reply: Reply) -> Any:
    """The JSON in a reply. NaN and infinity, which single inputs bring about, are read as such: the others count."""
    odd = b"NaN" in reply.body or b"Infinity" in reply.body
    return _json.parse(reply.body, reply.url, finite=not odd)
