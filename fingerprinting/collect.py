"""
The one door through which a model is asked: batches, order, repeats and the count of what was sent live here.

A client turns inputs into raw answers; `ask` has them checked (see `answers`); `collect` asks a whole suite and returns
Responses. A guarded client (see `guards`) keeps a ledger and limits; any other is asked as it is.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from . import decoys, errands
from .answers import Answers, Asked, Client, check, usable
from .errors import InputRefused, ProbeMatchError, SuiteMismatch, TargetError, UsageError
from .guards import GuardedClient
from .parting import Part, in_parts
from .records import UNANSWERED, Access, InputSpec, ProbeSuite, Responses
from .score_rows import side_by_side

__all__ = ["Answers", "Asked", "Client", "Progress", "ask", "collect", "merge", "ordered", "require_fit"]

Progress = Callable[[int], None]  # called with the number of probes just answered


def ask(
    client: Client,
    inputs: np.ndarray | Sequence[str],
    spec: InputSpec,
    *,
    classes: Sequence[str] = (),
    access: Access | None = None,
    progress: Progress | None = None,
    partly: bool = False,
    patient: bool = False,
) -> Asked:
    """
    Put any number of inputs to a model in as few calls as it allows.

    classes: names that labels are indices of; () where labels are plain integers. access: "label" throws scores away,
    but never a regressor's numbers. partly: inputs that the model fails on, or that no limit is left for, are
    UNANSWERED with NaN as scores; without it they are an error. patient: also where the model refuses every one.
    Raises TargetError where the answers do not fit the question.
    """
    m = len(inputs)
    labels, sent = np.full(m, UNANSWERED, np.int64), np.zeros(m, bool)
    given: list[tuple[np.ndarray, np.ndarray | None]] = []
    refusal = ""
    for rows, answers in _parts(client, inputs, spec):
        sent[rows], count = True, len(rows)
        if isinstance(answers, InputRefused):
            refusal, answers = str(answers), None
        if answers is not None and partly:  # inputs that break a model spoil no other
            fine = usable(answers, count)
            refusal = refusal if fine.any() else f"{client.target} answered nothing usable: NaN, infinity or null"
            rows, answers = rows[fine], _only(answers, fine) if fine.any() else None
        if answers is not None:
            checked = check(answers, len(rows), classes, client, spec.output)
            labels[rows] = checked.labels
            given.append((rows, checked.scores))
        if progress is not None:
            progress(count)
    if not partly and sum(len(rows) for rows, _ in given) < m:
        raise _incomplete(client, int((~sent).sum()), m, refusal)
    if refusal and not given and not patient:
        raise TargetError(refusal)
    keep = (access != "label" or spec.output == "number") and all(some is not None for _, some in given)
    if keep:
        wide = side_by_side([some for _, some in given if some is not None])
        given = [(rows, some) for (rows, _), some in zip(given, wide, strict=True)]
    widths = {some.shape[1] for _, some in given if some is not None}
    if keep and len(widths) > 1:
        raise TargetError(f"expected the same number of scores for all inputs from {client.target}, got {widths}")
    if not keep or not widths:
        return Asked(labels, None, sent, refusal)
    scores = np.full((m, *widths), np.nan, np.float32)
    for rows, some in given:
        scores[rows] = some

    return Asked(labels, scores, sent, refusal)


def _only(answers: Answers, fine: np.ndarray) -> Answers:
    """The answers of these rows, as they are where that is all of them: how many they are is checked later."""
    return answers if fine.all() else Answers(*(None if part is None else np.asarray(part)[fine] for part in answers))


def ordered(parts: Iterable[Part], m: int, target: str) -> Answers:
    """The parts of raw answers to m inputs as one, in order. Raises TargetError where one is missing."""
    given = [(rows, answers) for rows, answers in parts if isinstance(answers, Answers)]
    order = np.concatenate([rows for rows, _ in given]) if given else np.zeros(0, int)
    if len(order) < m:
        raise TargetError(f"{target} did not answer {m - len(order)} of {m} inputs")
    back = np.argsort(order)
    columns = ([answers.labels for _, answers in given], [answers.scores for _, answers in given])

    return Answers(*(_all(column, back) for column in columns))


def _all(arrays: list[np.ndarray | None], order: np.ndarray) -> np.ndarray | None:
    present = [array for array in arrays if array is not None]
    return np.concatenate(present)[order] if present and len(present) == len(arrays) else None


def _parts(client: Client, inputs: np.ndarray | Sequence[str], spec: InputSpec) -> Iterator[Part]:
    rows = spec.decode(inputs) if isinstance(inputs, np.ndarray) else inputs
    if isinstance(client, GuardedClient):
        return client.parts(rows)

    def put(places: np.ndarray) -> Answers:
        with errands.run(errands.Errand()) as errand:
            try:
                return client.ask(rows[places] if isinstance(rows, np.ndarray) else [rows[i] for i in places])
            except InputRefused as error:
                error.answered = errand.answered
                raise

    return in_parts(client, np.arange(len(inputs)), put)


def _incomplete(client: Client, unsent: int, m: int, refusal: str) -> ProbeMatchError:
    stopped = client.audit.stopped if isinstance(client, GuardedClient) else None
    if unsent and stopped is not None:
        return stopped
    said = f" ({refusal})" if refusal else ""
    return TargetError(
        f"{client.target} did not answer all of {m} inputs, which this needs; leave out the bad ones{said}"
    )


def collect(
    client: Client,
    suite: ProbeSuite,
    *,
    rows: np.ndarray | None = None,
    repeats: int = 1,
    access: Access | None = None,
    rng: np.random.Generator | None = None,
    progress: Progress | None = None,
    patient: bool = False,
) -> Responses:
    """
    Ask a model the probes of a suite, or only those in `rows` (int (m,)); the others stay unanswered.

    repeats: times each probe is asked. What the model fails on, or what a limit leaves no room for, stays unanswered.
    rng: shuffles the order in which probes are sent, so that a server cannot read
    a ranking from it; answers come back in suite order. patient: more rounds follow, so that one that brings nothing is
    none of the errors. Raises TargetError where the model refuses every probe.
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
    picked: np.ndarray | Sequence[str]
    picked = inputs[order] if isinstance(inputs, np.ndarray) else [inputs[i] for i in order]
    between, places = decoys.current(), np.arange(len(order))
    if between is not None:
        picked, places = between.among(picked, suite)
    answers = ask(
        client, picked, suite.spec, classes=suite.classes, access=access, progress=progress, partly=True,
        patient=patient,
    )  # fmt: skip
    seconds = (time.monotonic() - started) / max(len(picked), 1)
    assert answers.sent is not None
    if between is not None:
        between.put += int(answers.sent.sum() - answers.sent[places].sum())
        scored = None if answers.scores is None else answers.scores[places]
        answers = Asked(answers.labels[places], scored, answers.sent[places], answers.refusal)

    labels = np.full((n, repeats), UNANSWERED, np.int64)
    labels[order, slot] = answers.labels
    scores = None
    if answers.scores is not None:
        scores = np.full((n, repeats, answers.scores.shape[1]), np.nan, np.float32)
        scores[order, slot] = answers.scores
    sent = np.ones(len(order), bool) if answers.sent is None else answers.sent
    latency = np.full(n, np.nan, np.float32)
    latency[order[sent]] = seconds

    return Responses(
        suite=suite.digest,
        target=client.target,
        access="label" if scores is None else "scores",
        labels=labels,
        scores=scores,
        latency=latency,
        sent=int(sent.sum()),
        refusal=answers.refusal,
    )


def require_answers(rounds: Sequence[Responses]) -> None:
    """Raise TargetError where everything that was asked in these rounds was refused."""
    refusals = [responses.refusal for responses in rounds if responses.refusal]
    if refusals and not any(responses.answered.any() for responses in rounds):
        raise TargetError(refusals[-1])


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
        refusal=second.refusal or first.refusal,
    )
