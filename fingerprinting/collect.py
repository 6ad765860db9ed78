"""
The one door through which a model is asked: batches, order, repeats and the count of what was sent live here.

A client turns inputs into raw answers; `ask` has them checked (see `answers`); `collect` asks a whole suite and returns
Responses.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np

from .answers import Answers, Asked, Client, check
from .errors import SuiteMismatch, TargetError, UsageError
from .records import UNANSWERED, Access, InputSpec, ProbeSuite, Responses

__all__ = ["Answers", "Asked", "Client", "Progress", "ask", "collect", "merge", "require_fit"]

Progress = Callable[[int], None]  # called with the number of probes just answered


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

    classes: names that labels are indices of; () where labels are plain integers. access: "label" throws scores away,
    but never a regressor's numbers.
    Raises TargetError where the answers do not fit the question.
    """
    labels, scores = [], []
    start = 0
    while start < len(inputs):
        part = inputs[start : start + client.batch]  # a client may learn a smaller batch on the way
        start += len(part)
        rows = spec.decode(part) if isinstance(part, np.ndarray) else part
        checked = check(client.ask(rows), len(part), classes, client, spec.output)
        labels.append(checked.labels)
        scores.append(checked.scores)
        if progress is not None:
            progress(len(part))
    if not labels:
        return Asked(np.zeros(0, np.int64), None)
    given = [s for s in scores if s is not None]
    keep = (access != "label" or spec.output == "number") and len(given) == len(scores)
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
    """Raise TargetError where a model is known to take another input shape, or to answer what was not asked for."""
    answered = getattr(client, "output", None)  # where a client knows it
    if answered is not None and answered != spec.output:
        kinds = {"classes": "a classifier", "number": "a regressor"}
        raise TargetError(
            f"{client.target} is {kinds[answered]} and cannot be compared with {kinds[spec.output]}; "
            "give the pool, reference or target of the other kind"
        )
    if client.shape is not None and tuple(client.shape) != spec.shape:
        raise TargetError(f"{client.target} takes inputs of shape {tuple(client.shape)}, the probes are {spec.shape}")


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
