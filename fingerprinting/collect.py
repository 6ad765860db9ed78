"""
The one door through which a model is asked: batches, checks, budget, order and repeats live here.

A client turns inputs into raw answers; `ask` checks them and turns them into label indices and score rows; `collect`
asks a whole suite and returns Responses.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from .errors import SuiteMismatch, TargetError, UsageError
from .records import UNANSWERED, Access, InputSpec, ProbeSuite, Responses

Progress = Callable[[int], None]  # called with the number of probes just answered


class Answers(NamedTuple):
    """
    What a client returns for m inputs, at least one of the two.

    labels: integers or names (m,). scores: probabilities, logits or other decision values (m, k), larger is likelier.
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
    """labels: int64 (m,). scores: float32 (m, k) summing to 1 where the model gives probabilities, or None."""

    labels: np.ndarray
    scores: np.ndarray | None


def ask(
    client: Client,
    inputs: np.ndarray | Sequence[str],
    spec: InputSpec,
    *,
    classes: Sequence[str] = (),
    access: Access | None = None,
    progress: Progress | None = None,
) -> Asked:
    """
    Put any number of inputs to a model in as few calls as it allows.

    classes: names that labels are indices of; () where labels are plain integers. access: "label" throws scores away.
    Raises TargetError where the answers do not fit the question.
    """
    labels, scores = [], []
    start = 0
    while start < len(inputs):
        part = inputs[start : start + client.batch]  # a client may learn a smaller batch on the way
        start += len(part)
        rows = spec.decode(part) if isinstance(part, np.ndarray) else part
        checked = check(client.ask(rows), len(part), classes, client)
        labels.append(checked.labels)
        scores.append(checked.scores)
        if progress is not None:
            progress(len(part))
    if not labels:
        return Asked(np.zeros(0, np.int64), None)
    given = [s for s in scores if s is not None]
    keep = access != "label" and len(given) == len(scores)
    widths = {s.shape[1] for s in given}
    if keep and len(widths) > 1:
        raise TargetError(f"expected the same number of scores for all inputs from {client.target}, got {widths}")

    return Asked(np.concatenate(labels), np.concatenate(given) if keep else None)


def collect(
    client: Client,
    suite: ProbeSuite,
    *,
    rows: np.ndarray | None = None,
    repeats: int = 1,
    access: Access | None = None,
    rng: np.random.Generator | None = None,
    progress: Progress | None = None,
) -> Responses:
    """
    Ask a model the probes of a suite, or only those in `rows` (int (m,)); the others stay unanswered.

    repeats: times each probe is asked. rng: shuffles the order in which probes are sent, so that a server cannot read
    a ranking from it; answers come back in suite order.
    """
    if repeats < 1:
        raise UsageError(f"repeats must be at least 1, got {repeats}")
    require_fit(client, suite.spec)
    n = len(suite)
    order = np.arange(n) if rows is None else np.asarray(rows, np.int64)
    order = np.repeat(order, repeats)
    slot = np.tile(np.arange(repeats), len(order) // repeats)
    if rng is not None:
        shuffled = rng.permutation(len(order))
        order, slot = order[shuffled], slot[shuffled]

    started = time.monotonic()
    inputs = suite.inputs
    picked = inputs[order] if isinstance(inputs, np.ndarray) else [inputs[i] for i in order]
    answers = ask(client, picked, suite.spec, classes=suite.classes, access=access, progress=progress)
    seconds = (time.monotonic() - started) / max(len(order), 1)

    labels = np.full((n, repeats), UNANSWERED, np.int64)
    labels[order, slot] = answers.labels
    scores = None
    if answers.scores is not None:
        scores = np.full((n, repeats, answers.scores.shape[1]), np.nan, np.float32)
        scores[order, slot] = answers.scores
    latency = np.full(n, np.nan, np.float32)
    latency[order] = seconds

    return Responses(
        suite=suite.digest,
        target=client.target,
        access="label" if scores is None else "scores",
        labels=labels,
        scores=scores,
        latency=latency,
        sent=len(order),
    )


def require_fit(client: Client, spec: InputSpec) -> None:
    """Raise TargetError where a model is known to take another input shape."""
    if client.shape is not None and tuple(client.shape) != spec.shape:
        raise TargetError(f"{client.target} takes inputs of shape {tuple(client.shape)}, the probes are {spec.shape}")


def check(answers: Answers, m: int, classes: Sequence[str], client: Client) -> Asked:
    """
    Raw answers as label indices and score rows, or TargetError saying what does not fit.

    Scores that are probabilities are kept as they are; anything else (logits, votes) goes through a softmax, so that
    scores of different models can be compared. NaN is an error: a model that breaks is not one that refuses.
    """
    scores = None if answers.scores is None else _scores(np.asarray(answers.scores), m, classes, client)
    if answers.labels is not None:
        return Asked(_labels(np.asarray(answers.labels), m, classes, client), scores)
    if scores is None:
        raise TargetError(f"{client.target} answered neither labels nor scores")

    return Asked(scores.argmax(1).astype(np.int64), scores)


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


def _scores(scores: np.ndarray, m: int, classes: Sequence[str], client: Client) -> np.ndarray:
    if scores.dtype.kind not in "fiu":
        raise TargetError(f"expected numbers as scores from {client.target}, got {scores.dtype}")
    if scores.shape == (m, 1):
        scores = scores[:, 0]
    if scores.shape == (m,):
        scores = np.stack([1 - scores, scores], 1)  # the one probability of a binary classifier
    if scores.ndim != 2 or len(scores) != m or scores.shape[1] == 0:
        raise TargetError(f"expected {m} rows of scores from {client.target}, got an answer of shape {scores.shape}")
    with np.errstate(over="ignore"):  # too large for float32 is infinite, and said so below
        scores = scores.astype(np.float32)
    bad = ~np.isfinite(scores).all(1)
    if bad.any():
        where = int(np.flatnonzero(bad)[0])
        raise TargetError(f"{client.target} answered NaN or infinity ({int(bad.sum())} of {m} rows, first at {where})")
    scores = _as_probabilities(scores, client)
    if classes and client.classes and tuple(client.classes) != tuple(classes):
        scores = _reordered(scores, classes, client)
    if classes and scores.shape[1] != len(classes):
        raise TargetError(f"expected scores for {len(classes)} classes from {client.target}, got {scores.shape[1]}")

    return scores


def _reordered(scores: np.ndarray, classes: Sequence[str], client: Client) -> np.ndarray:
    """Columns in the order of `classes`, 0 where the model does not know a class."""
    if scores.shape[1] != len(client.classes):
        raise TargetError(
            f"expected scores for the {len(client.classes)} classes of {client.target}, got {scores.shape[1]}"
        )
    column = {name: j for j, name in enumerate(client.classes)}
    strangers = [name for name in client.classes if name not in classes]
    if strangers:
        raise TargetError(f"{client.target} scores the class {strangers[0]!r}; known are {', '.join(classes[:12])}")
    spread = np.zeros((len(scores), len(classes)), np.float32)
    for i, name in enumerate(classes):
        if name in column:
            spread[:, i] = scores[:, column[name]]

    return spread


def _as_probabilities(scores: np.ndarray, client: Client) -> np.ndarray:
    total = scores.sum(1)
    within = (scores >= -1e-3).all() and (scores <= 1 + 1e-3).all()
    rounding = max(0.02, 0.005 * scores.shape[1] + 1e-3)  # what k probabilities of two decimals can be off
    if within and (np.abs(total - 1) <= rounding).all():
        return np.clip(scores, 0, 1)
    if within:
        worst = float(total[np.abs(total - 1).argmax()])
        raise TargetError(
            f"expected probabilities that sum to 1 from {client.target}, got rows that sum to {worst:.3g}"
        )
    shifted = scores - scores.max(1, keepdims=True)
    expd = np.exp(shifted)

    return np.asarray(expd / expd.sum(1, keepdims=True), np.float32)


def merge(first: Responses, second: Responses) -> Responses:
    """Two rounds of answers to one suite as one; where both answered a probe, the first answer stands."""
    if first.suite != second.suite:
        raise SuiteMismatch(
            f"answers to suite {first.suite[:15]}… and {second.suite[:15]}… cannot be merged; collect again"
        )
    kept = first.answered
    if first.labels.shape != second.labels.shape:
        raise SuiteMismatch(
            f"answers with {first.labels.shape[1]} and {second.labels.shape[1]} repeats cannot be merged; "
            "collect both with the same repeats"
        )
    scores = None
    if first.scores is not None and second.scores is not None and first.scores.shape == second.scores.shape:
        scores = np.where(kept[:, None, None], first.scores, second.scores)

    return Responses(
        suite=first.suite,
        target=first.target,
        access="label" if scores is None else "scores",
        labels=np.where(kept[:, None], first.labels, second.labels),
        scores=scores,
        latency=np.where(np.isnan(first.latency), second.latency, first.latency),
        sent=first.sent + second.sent,
    )
