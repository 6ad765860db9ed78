"""
What `verify` will ask of a model that is being enrolled: its edges in order, plain inputs, and who answered how.

Every model trained for the enrolment answers them anyway; the rest is a few copies of the source itself, changed on
purpose (see `changes`). Edges that such copies cross come first.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from .panels import join
from .records import UNANSWERED, Fragile, Panel, ProbeSuite, Responses

SENSITIVE: Final = "sensitive"  # kind of candidates that are for this alone
EDGES: Final = 32  # kept per reference, at most
PLAIN: Final = 192  # inputs like those for ownership, on which copies and honest models differ
CANDIDATES: Final = 48  # edges looked for
SPREAD: Final = 6  # pairs searched for every one of them
SEEN: Final = 0.3  # what an edge is worth to a copy that an earlier one has caught
MOVED: Final = 8  # noises by which a number or a score must move to be another
LIGHT: Final = ("fine-tuned", "pruned", "quantised")  # kinds that edges are chosen to show
KINDS: Final = ("fine-tuned", "pruned", "quantised", "retrained", "distilled", "wrapped", "another model")


def kind_of(name: str, role: str) -> str | None:
    """The kind of change that a model of an enrolment's panel stands for; None for none."""
    if role == "kin peer":
        return "retrained"
    if role.endswith("peer"):
        return "another model"
    words = {
        "extraction": "distilled", "refit": "retrained", "noise": "wrapped", "flipped)": "wrapped", "words": "wrapped",
    }  # fmt: skip

    return next((kind for word, kind in words.items() if word in name), None)


def by_kind(panel: Panel) -> Panel:
    """The models of an enrolment's panel that stand for a kind of change, with the kinds as families."""
    kinds = [kind_of(name, role) for name, role in zip(panel.names, panel.roles, strict=True)]
    rows = [i for i, kind in enumerate(kinds) if kind is not None]
    return Panel(
        tuple(panel.names[i] for i in rows),
        tuple(panel.roles[i] for i in rows),
        tuple(panel.uses[i] for i in rows),
        panel.labels[rows],
        None if panel.scores is None else panel.scores[rows],
        tuple(str(kinds[i]) for i in rows),
    )


def edges_in_order(crossed: np.ndarray, size: int) -> np.ndarray:
    """
    Edges by how many copies cross them that earlier ones did not catch; int (at most EDGES,).

    crossed: bool (copies, edges), whether the answer changed. size: edges that stay together, 2 for sides of one pair.
    """
    groups = np.arange(crossed.shape[1]) // size
    hits = np.stack([crossed[:, groups == group].any(1) for group in range(groups.max() + 1)], 1)
    worth = np.ones(len(hits))
    left = list(range(hits.shape[1]))
    order: list[int] = []
    while left:
        gain = [float(worth @ hits[:, group]) for group in left]
        group = left.pop(int(np.argmax(gain)))  # the first of equals: the generator's order stands
        order += list(np.flatnonzero(groups == group))
        worth = np.where(hits[:, group], worth * SEEN, worth)

    return np.array(order[:EDGES], int)


def assemble(
    edges: ProbeSuite, rest: ProbeSuite, answers: Responses, trained: Panel, altered: Panel | None, name: str
) -> Fragile:
    """
    The record. edges: as `generate` of `sensitive` made them. answers, trained: to edges and rest, in that order.
    altered: likewise, of copies changed on purpose.
    """
    known = by_kind(trained)
    panel = known if altered is None else join([known, altered])
    e = len(edges)
    order = np.arange(e)[:EDGES]
    light = [] if altered is None else [i for i, kind in enumerate(altered.families) if kind in LIGHT]
    if altered is not None and light and e:
        moved = _moved(altered, answers, edges)[light]
        order = edges_in_order(moved, 1 if edges.spec.output == "number" else 2)[:e]
    rows = np.concatenate([order, np.arange(e, e + len(rest))]).astype(int)
    both = ProbeSuite(
        f"{name}, fragile", SENSITIVE, edges.seed, edges.spec, _together(edges.inputs, rest.inputs),
        edges.kinds + rest.kinds, np.ones(e + len(rest)), _expected(edges, answers), edges.classes,
        {**edges.params, "edges": len(order)},
    ).take(rows)  # fmt: skip

    return Fragile(both, answers_to(both, answers, rows), panel.columns(rows))


def of_suite(suite: ProbeSuite, target: str) -> Fragile:
    """A suite that `suite build sensitive` wrote, without anything known of kinds of change."""
    assert suite.expected is not None
    number = suite.spec.output == "number"
    labels = np.zeros(len(suite), np.int64) if number else suite.expected.astype(np.int64)
    scores = suite.expected.astype(np.float32)[:, None, None] if number else None
    latency = np.full(len(suite), np.nan, np.float32)
    known = Responses(suite.digest, target, "scores" if number else "label", labels[:, None], scores, latency, 0)

    return Fragile(suite, known)


def answers_to(suite: ProbeSuite, answers: Responses, rows: np.ndarray) -> Responses:
    """Some of the answers, as answers to the suite of those rows."""
    scores = None if answers.scores is None else answers.scores[rows]
    return Responses(
        suite.digest, answers.target, answers.access, answers.labels[rows], scores, answers.latency[rows], answers.sent
    )


def _moved(panel: Panel, answers: Responses, edges: ProbeSuite) -> np.ndarray:
    e = len(edges)
    if edges.spec.output == "number":
        assert panel.scores is not None
        assert answers.scores is not None
        return np.asarray(np.abs(panel.scores[:, :e, 0] - answers.scores[:e, 0, 0]) > MOVED * edges.params["noise"])
    own = answers.labels[:e, 0]
    return np.asarray((panel.labels[:, :e] != own) & (own != UNANSWERED))


def _expected(edges: ProbeSuite, answers: Responses) -> np.ndarray:
    if edges.spec.output == "number":
        assert answers.scores is not None
        return answers.scores[:, 0, 0]
    return answers.labels[:, 0]


def _together(first: Any, second: Any) -> Any:
    parts: Sequence[Any] = (first, second)
    return np.concatenate(parts) if isinstance(first, np.ndarray) else tuple(first) + tuple(second)
