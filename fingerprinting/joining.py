"""
One reference on two suites: the public one that narrowed the candidates down, and its own.

What was asked of all references counts for each, so that no answer is wasted. That needs the reference's peers and
shadows to have answered the public suite too, as they do where the reference was enrolled with a pool.
"""

from dataclasses import replace

import numpy as np

from .records import Panel, ProbeSuite, Reference, Responses


def joinable(reference: Reference) -> bool:
    """Whether its peers and shadows answered both suites."""
    return reference.panel is not None and reference.public is not None and reference.public_panel is not None


def joined(reference: Reference, public: ProbeSuite, asked: Responses) -> tuple[Reference, Responses]:
    """
    The reference with those public probes that were sent first, then its own that are not among them; and the suspect's
    answers to the public ones as answers to that.
    """
    assert reference.panel is not None
    assert reference.public is not None
    assert reference.public_panel is not None
    rows = np.flatnonzero(~np.isnan(asked.latency))
    first = public.take(rows)
    seen = {_key(probe) for probe in first.inputs}
    own = np.array([i for i, probe in enumerate(reference.suite.inputs) if _key(probe) not in seen], int)
    second = reference.suite.take(own)
    suite = replace(
        second,
        inputs=together([first.inputs, second.inputs]),
        kinds=first.kinds + second.kinds,
        weights=np.concatenate([first.weights, second.weights]),
        expected=None,
    )
    known = _both(reference.public, rows, reference.answers, own, suite.digest)
    panel = _side_by_side(reference.public_panel.columns(rows), reference.panel.columns(own))
    whole = Reference(reference.name, reference.about, suite, known, panel)

    return whole, _both(asked, rows, _silence(asked, len(own)), np.arange(len(own)), suite.digest)


def _both(first: Responses, rows: np.ndarray, second: Responses, own: np.ndarray, suite: str) -> Responses:
    scores = None
    if first.scores is not None and second.scores is not None and first.scores.shape[2] == second.scores.shape[2]:
        scores = np.concatenate([first.scores[rows, :1], second.scores[own, :1]])
    return Responses(
        suite=suite,
        target=second.target,
        access="label" if scores is None else "scores",
        labels=np.concatenate([first.labels[rows, :1], second.labels[own, :1]]),
        scores=scores,
        latency=np.concatenate([first.latency[rows], second.latency[own]]),
        sent=len(rows),
        refusal=first.refusal,
    )


def _silence(asked: Responses, n: int) -> Responses:
    scores = None if asked.scores is None else np.full((n, 1, asked.scores.shape[2]), np.nan, np.float32)
    labels, latency = np.full((n, 1), -1, np.int64), np.full(n, np.nan, np.float32)
    return Responses(asked.suite, asked.target, asked.access, labels, scores, latency, 0)


def _side_by_side(first: Panel, second: Panel) -> Panel:
    scores = None
    if first.scores is not None and second.scores is not None:
        scores = np.concatenate([first.scores, second.scores], axis=1)
    return replace(second, labels=np.concatenate([first.labels, second.labels], axis=1), scores=scores)


def _key(probe: np.ndarray | str) -> bytes:
    return probe.encode() if isinstance(probe, str) else probe.tobytes()


def together(parts: list[np.ndarray | tuple[str, ...]]) -> np.ndarray | tuple[str, ...]:
    """Several lots of inputs of one kind as one."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate([np.asarray(part) for part in parts])
    return tuple(text for part in parts for text in part)


def rows_of(inputs: np.ndarray | tuple[str, ...], rows: np.ndarray) -> np.ndarray | tuple[str, ...]:
    """Some rows of inputs, int (m,)."""
    return inputs[rows] if isinstance(inputs, np.ndarray) else tuple(inputs[i] for i in rows)
