"""
Recorded answers as a target: `replay:answers.jsonl` or `replay:answers.npz`.

A recording answers by what it is asked, not by position: rows are found by the sha256 of their bytes, so a
suite may be asked in any order or in part. Asked again, it gives the next recorded repeat, and starts over
after the last.

A `.jsonl` file has one JSON object per line. A header, where there is one, comes first:
`{"schema": "probe-match/replay/1", "suite": "sha256:…", "target": "…", "classes": ["cat", "dog"], "shape":
[8, 8]}`; then `{"probe": 0, "input": "sha256:…", "labels": ["cat", null], "scores": [[0.9, 0.1], null]}` per
probe, or `{"x": [0.5, …] or "text", "label": 3, "scores": [0.9, 0.1]}` per question asked elsewhere. An
`.npz` file holds `x` (n, *shape) or n texts, and `labels` (n,) or (n, r), `scores` (n, k) or (n, r, k), or
both. Lines with `prompt` and `answer`, and `.json`, are a language model's: see `_replay_chat`. The ledger of an audit
is a recording as well, whatever its name.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from probe_match.fingerprinting import formats, storage
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.chat import transcripts
from probe_match.fingerprinting.errors import BadData, SuiteMismatch, TargetError, UsageError
from probe_match.fingerprinting.keying import input_key
from probe_match.fingerprinting.ledger import is_ledger
from probe_match.fingerprinting.recordings import RecordedChat, RecordedClient, recorded
from probe_match.fingerprinting.records import UNANSWERED, Access, ProbeSuite, Responses

from . import _json, _replay_chat

SCHEMA: Final = "probe-match/replay/1"


class Turn(NamedTuple):
    """One recorded answer. label: int, text, or None where none came. scores: (k,) or None."""

    label: Any
    scores: np.ndarray | None


class ReplayClient:
    """Turns by input. suite: digest of the suite that was recorded, None where the file does not say."""

    def __init__(
        self,
        turns: dict[str, list[Turn]],
        target: str,
        shape: tuple[int, ...] | None,
        classes: tuple[str, ...] = (),
        suite: str | None = None,
    ) -> None:
        self.target = target
        self.shape = shape
        self.classes = classes
        self.suite = suite
        self.batch = 4096
        every = [turn for some in turns.values() for turn in some if turn.label is not None or turn.scores is not None]
        self.access: Access = "scores" if every and all(turn.scores is not None for turn in every) else "label"
        self._labelled = all(turn.label is not None for turn in every)
        self._turns = turns
        self._asked: dict[str, int] = {}

    def ask(self, inputs: np.ndarray | Sequence[str]) -> Answers:
        """What was recorded for m inputs. Raises TargetError for an input that was not, or was not answered."""
        given = [self._next(row, i) for i, row in enumerate(inputs)]
        labels = [turn.label for turn in given]
        scores = [turn.scores for turn in given if turn.scores is not None]
        texts = any(isinstance(label, str) for label in labels)

        return Answers(
            np.array(labels, object if texts else None) if self._labelled else None,
            np.stack(scores) if self.access == "scores" else None,
        )

    def close(self) -> None:
        """Nothing is held open."""

    def _next(self, row: Any, i: int) -> Turn:
        key = input_key(row)
        turns = self._turns.get(key)
        if not turns:
            raise TargetError(f"{self.target} holds no answer to input {i}; it was recorded on other probes")
        count = self._asked.get(key, 0)
        self._asked[key] = count + 1
        turn = turns[count % len(turns)]
        if turn.label is None and turn.scores is None:
            raise TargetError(f"{self.target} holds no answer to input {i}; the model gave none when asked")

        return turn


def record(path: Path, suite: ProbeSuite, responses: Responses) -> None:
    """Write the answers to a suite as a `.jsonl` recording. Raises SuiteMismatch, BadData."""
    if responses.suite != suite.digest:
        raise SuiteMismatch(f"the answers are to suite {responses.suite}, not {suite.digest}; collect again")
    inputs = suite.inputs
    rows = suite.spec.decode(inputs) if isinstance(inputs, np.ndarray) else inputs
    header = {
        "schema": SCHEMA,
        "suite": suite.digest,
        "target": responses.target,
        "classes": list(suite.classes),
        "shape": list(suite.spec.shape),
    }
    lines = [storage.canonical_json(header)]
    for i, row in enumerate(rows):
        labels = [_named(int(label), suite.classes) for label in responses.labels[i]]
        scores = None
        if responses.scores is not None:
            scores = [None if np.isnan(s).any() else s.astype(float).tolist() for s in responses.scores[i]]
        line = {"probe": i, "input": input_key(row), "labels": labels, "scores": scores}
        lines.append(storage.canonical_json(line))
    storage.write_file(Path(path), b"\n".join(lines) + b"\n")


def connect(where: str) -> ReplayClient | _replay_chat.ReplayChat | RecordedClient | RecordedChat:
    """The recording or the ledger in a file. Raises BadData or DatabaseError where it is broken."""
    path = Path(where)
    if is_ledger(path):
        return recorded(path)
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".npz", ".json"):
        raise UsageError(f"expected a recording .jsonl, .json or .npz, got '{where}'")
    data = storage.read_file(path, "recording")
    if suffix == ".json" or (suffix == ".jsonl" and transcripts.is_transcript(data)):
        return _replay_chat.connect(where)

    return _from_npz(data, where) if suffix == ".npz" else _from_lines(data, where)


def _from_lines(data: bytes, where: str) -> ReplayClient:
    turns: dict[str, list[Turn]] = {}
    header: dict[str, Any] = {}
    shape: tuple[int, ...] | None = None
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        entry = _json.parse(line, f"{where}, line {number}", BadData)
        try:
            if not isinstance(entry, dict):
                raise ValueError("not an object")
            if number == 1 and "schema" in entry:
                formats.require(entry["schema"], SCHEMA, where)
                header, shape = entry, tuple(int(size) for size in entry["shape"])
            elif "x" in entry:
                key, shape = input_key(entry["x"]), np.shape(entry["x"]) or ()
                turns.setdefault(key, []).append(Turn(entry.get("label"), _scores(entry.get("scores"))))
            else:
                scores = entry.get("scores") or [None] * len(entry["labels"])
                some = [Turn(a, _scores(s)) for a, s in zip(entry["labels"], scores, strict=True)]
                turns.setdefault(entry["input"], []).extend(some)
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            told = _json.printable(f"{type(error).__name__}: {error}", 80)
            raise BadData(f"line {number} of {where} is not a recorded answer ({told})") from error
    if not turns:
        raise BadData(f"{where} holds no recorded answer")
    classes = tuple(str(name) for name in header.get("classes", ()))

    return ReplayClient(turns, f"replay:{where}", shape, classes, header.get("suite"))


def _from_npz(data: bytes, where: str) -> ReplayClient:
    arrays = storage.read_npz(data, where)
    x, labels, scores = (arrays.get(name) for name in ("x", "labels", "scores"))
    if x is None or (labels is None and scores is None):
        raise BadData(f"expected x and labels or scores in {where}, got {', '.join(arrays) or 'nothing'}")
    labels = labels[:, None] if labels is not None and labels.ndim == 1 else labels
    scores = scores[:, None] if scores is not None and scores.ndim == 2 else scores
    sound = all(
        array is None or (array.ndim == ndim and len(array) == len(x)) for array, ndim in ((labels, 2), (scores, 3))
    )
    repeats = {array.shape[1] for array in (labels, scores) if array is not None and array.ndim > 1}
    if not sound or len(repeats) != 1:
        raise BadData(f"expected one row of labels and scores per row of x in {where}, got other shapes")
    turns: dict[str, list[Turn]] = {}
    for i, row in enumerate(x):
        for r in range(*repeats):
            label = None if labels is None else labels[i, r].item()
            if label == UNANSWERED and isinstance(label, int):  # a regressor's -1.0 is an answer
                label = None
            turn = Turn(label, None if scores is None else _scores(scores[i, r]))
            turns.setdefault(input_key(str(row) if x.dtype.kind == "U" else row), []).append(turn)
    classes = tuple(str(name) for name in arrays.get("classes", ()))

    return ReplayClient(turns, f"replay:{where}", x.shape[1:], classes)


def _scores(values: Any) -> np.ndarray | None:
    if values is None:
        return None
    scores = np.asarray(values, np.float32)
    if scores.ndim != 1:
        raise ValueError(f"scores of shape {scores.shape}")
    return None if np.isnan(scores).any() else scores


def _named(label: int, classes: Sequence[str]) -> int | str | None:
    if label == UNANSWERED:
        return None
    return classes[label] if classes else label
