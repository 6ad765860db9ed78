"""
What a client is, and what its answers mean: raw labels and scores become label indices and probability rows.

Answers that do not fit the question are a TargetError that says what was expected and what came.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from .errors import TargetError
from .records import Access, Output
from .score_rows import require_finite, rows_of


class Answers(NamedTuple):
    """
    What a client returns for m inputs, at least one of the two.

    labels: integers or names (m,). scores: probabilities, logits or other decision values (m, k), larger is likelier;
    or texts (m,), each a JSON object of scores by class, of which some may be missing. An input that got nothing usable
    has NaN, None or "{}".
    """

    labels: np.ndarray | None
    scores: np.ndarray | None


@runtime_checkable
class Client(Protocol):
    """
    One model to ask.

    target: how the user named it, secrets redacted. access: the most it can give. shape: of one input, None if
    unknown. classes: names of the score columns where the model has them, else (). batch: most inputs in one call.
    """

    target: str
    access: Access
    shape: tuple[int, ...] | None
    classes: tuple[str, ...]
    batch: int

    def ask(self, inputs: np.ndarray | Sequence[str]) -> Answers:
        """Answers to m inputs, in order; float32 (m, *shape), object rows with categories, or texts."""
        ...

    def close(self) -> None:
        """Let go of sessions and files."""
        ...


class Asked(NamedTuple):
    """
    labels: int64 (m,). scores: float32 (m, k) summing to 1 where the model gives probabilities, or None; NaN for a
    class that an answer does not show.

    Of regressors, scores are the numbers, (m, 1), and labels are 0. sent: bool (m,), which were put to the model at
    all; None for all. refusal: why the last input that got no answer got none, "" where none was refused.
    """

    labels: np.ndarray
    scores: np.ndarray | None
    sent: np.ndarray | None = None
    refusal: str = ""


def usable(answers: Answers, m: int) -> np.ndarray:
    """Bool (m,): the rows that hold an answer, without NaN and infinity; all where the answers are not that many."""
    fine = np.ones(m, bool)
    for part in answers:
        if part is None or len(part) != m:
            continue
        given = np.reshape(part, (m, -1))
        if given.dtype.kind == "f":
            fine &= np.isfinite(given).all(1)
        elif given.dtype.kind in "OU":
            fine &= np.array([all(item is not None and item != "{}" for item in row) for row in given.tolist()], bool)

    return fine


def check(answers: Answers, m: int, classes: Sequence[str], client: Client, output: Output = "classes") -> Asked:
    """
    Raw answers as label indices and score rows, or TargetError saying what does not fit.

    Scores that are probabilities are kept as they are; anything else (logits, votes) goes through a softmax, so that
    scores of different models can be compared. NaN is an error: a model that breaks is not one that refuses.
    output: "number" where the question is for one number per input, which is kept as it is.
    """
    if output == "number":
        numbers = _numbers(answers, m, client)
        return Asked(np.zeros(m, np.int64), numbers[:, None])
    scores = None if answers.scores is None else rows_of(np.asarray(answers.scores), m, classes, client)
    if answers.labels is not None:
        return Asked(_labels(np.asarray(answers.labels), m, classes, client), scores)
    if scores is None:
        raise TargetError(f"{client.target} answered neither labels nor scores")

    return Asked(np.nanargmax(scores, 1).astype(np.int64), scores)


def _numbers(answers: Answers, m: int, client: Client) -> np.ndarray:
    """float32 (m,), finite."""
    given = answers.labels if answers.scores is None else answers.scores
    if given is None:
        raise TargetError(f"expected one number per input from {client.target}, got none")
    numbers = np.asarray(given)
    if numbers.ndim > 1 and numbers.shape[1] > 1 and len(numbers) == m:
        raise TargetError(
            f"expected one number per input from {client.target}, got {numbers.shape[1]}: scores of a classifier or "
            "several outputs; only regressors with one output can be compared"
        )
    if numbers.size != m or len(numbers) != m:
        raise TargetError(f"expected {m} numbers from {client.target}, got an answer of shape {numbers.shape}")
    try:
        if numbers.dtype.kind not in "fiub":
            numbers = np.array([float(label_name(number)) for number in numbers.ravel().tolist()])
        with np.errstate(over="ignore"):  # too large for float32 is infinite, and said so below
            numbers = numbers.reshape(m).astype(np.float32)
    except ValueError:
        raise TargetError(
            f"expected one number per input from {client.target}, got the text {label_name(numbers.ravel()[0])[:40]!r}"
        ) from None
    require_finite(numbers[:, None], client)

    return numbers


def _labels(labels: np.ndarray, m: int, classes: Sequence[str], client: Client) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (m,):
        raise TargetError(f"expected {m} labels from {client.target}, got an answer of shape {labels.shape}")
    if classes:
        index = {name: i for i, name in enumerate(classes)}
        found = [index.get(label_name(label)) for label in labels.tolist()]
        if None in found:
            stranger = labels.tolist()[found.index(None)]
            raise TargetError(f"{client.target} answered the label {stranger!r}; known are {', '.join(classes[:12])}")
        return np.array(found, np.int64)
    if labels.dtype.kind in "US" or labels.dtype == object:
        shown = label_name(labels[0])[:40]
        try:
            labels = np.array([float(label_name(label)) for label in labels])
        except ValueError:
            raise TargetError(
                f"expected integer labels or probabilities from {client.target}, got the text {shown!r}; "
                "enroll with a pool whose labels are those names"
            ) from None
    if labels.dtype.kind not in "biuf":
        raise TargetError(f"expected integer labels from {client.target}, got {labels.dtype}")
    if labels.dtype.kind == "f" and not (np.isfinite(labels).all() and (labels == np.round(labels)).all()):
        raise TargetError(f"expected integer labels from {client.target}, got {labels[:3].tolist()}")
    if (labels < 0).any() or (labels > 32_000).any():
        raise TargetError(
            f"expected labels from 0 to 32000 from {client.target}, got {int(labels.min())} to {int(labels.max())}"
        )

    return labels.astype(np.int64)


def label_name(label: object) -> str:
    """A label as text, the same for 3, 3.0, "3" and b"3"."""
    if isinstance(label, bytes):
        return label.decode(errors="replace")
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)
