"""
The records that flow through the program: frozen, and checked when made.

n probes, r repeats, k classes. Everywhere a label is an index into the reference's classes, 0 to k-1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np

from . import storage
from .errors import BadData

Kind = Literal["tabular", "image", "text", "chat"]
Access = Literal["label", "scores", "text", "logprobs"]
Role = Literal["source", "peer", "derived"]
Output = Literal["classes", "number"]
Decision = Literal["match", "no match", "inconclusive", "evasion suspected"]

UNANSWERED: Final = -1  # not NaN: labels are integers and a refusal must survive npz


@dataclass(frozen=True)
class InputSpec:
    """
    What one input looks like, and what is answered to it.

    shape: of one input; () for text. Images are (height, width), (channels, height, width) or channels last.
    low, high: bounds, one number for all features or one per feature.
    features: names of tabular columns, or () where they have none.
    categories: per column the values observed, as text, or () for a numeric column; () where all are numeric.
        Inside the program a category is its index in that tuple; `decode` turns indices back into values.
    output: "classes", or "number" for a regressor, which answers one finite number to each input.
    """

    kind: Kind
    shape: tuple[int, ...] = ()
    low: tuple[float, ...] = (0.0,)
    high: tuple[float, ...] = (1.0,)
    features: tuple[str, ...] = ()
    categories: tuple[tuple[str, ...], ...] = ()
    output: Output = field(default="classes", metadata=storage.LATER)

    def __post_init__(self) -> None:
        if self.output not in ("classes", "number"):
            raise BadData(f"expected answers of classes or a number, got '{self.output}'")
        if self.kind not in ("tabular", "image", "text", "chat"):
            raise BadData(f"input kind must be tabular, image, text or chat, got '{self.kind}'")
        width = int(np.prod(self.shape)) if self.shape else 0
        for name, bound in (("low", self.low), ("high", self.high)):
            if len(bound) not in (1, width) or not np.isfinite(bound).all():
                raise BadData(f"{name} must be one finite number or one per feature ({width}), got {len(bound)}")
        if (np.asarray(self.low) > np.asarray(self.high)).any():
            raise BadData(f"expected bounds as lowest and highest, got {self.low[:3]} and {self.high[:3]}; swap them")
        if self.features and len(self.features) != width:
            raise BadData(f"expected {width} feature names, got {len(self.features)}")
        if self.categories and len(self.categories) != width:
            raise BadData(f"expected categories for {width} columns, got {len(self.categories)}")

    @property
    def numeric(self) -> np.ndarray:
        """Bool (features,): True where a feature is a number and may be moved freely within its bounds."""
        width = int(np.prod(self.shape))
        return np.array([not c for c in self.categories] or [True] * width)

    @property
    def channel_axis(self) -> int | None:
        """Axis of an image's channels within one input, or None for (height, width)."""
        if len(self.shape) != 3:
            return None
        return 0 if self.shape[0] in (1, 3, 4) else 2

    def clip(self, inputs: np.ndarray) -> np.ndarray:
        """Inputs moved into the bounds; float32, same shape."""
        low, high = (np.asarray(b, np.float32) for b in (self.low, self.high))
        if len(low) > 1 or len(high) > 1:
            shape = self.shape
            low = low.reshape(shape) if len(low) > 1 else low
            high = high.reshape(shape) if len(high) > 1 else high
        return np.clip(inputs, low, high).astype(np.float32)

    def decode(self, inputs: np.ndarray) -> np.ndarray:
        """Rows as a model expects them: float32 (n, *shape), or object (n, columns) where columns are categorical."""
        if not any(self.categories):
            return inputs
        rows = inputs.astype(object)
        for column, values in enumerate(self.categories):
            if values:
                rows[:, column] = [values[int(code)] for code in inputs[:, column]]
        return rows

    def accepts(self, other: "InputSpec") -> bool:
        """Whether inputs of `other` can be put to a model of this input: same kind, shape, output and known names."""
        names = self.features == other.features or not (self.features and other.features)
        return (self.kind, self.shape, self.output) == (other.kind, other.shape, other.output) and names


@dataclass(frozen=True, eq=False)
class Pool:
    """
    Inputs an owner or auditor has at hand, with the true labels where they are known.

    x: float32 (n, *shape), or a tuple of n texts. y: int64 (n,), float64 where the output is a number, or None.
    classes: names of the labels, or () where labels are plain 0 to k-1. trained: bool (n,), the rows that the source
    was trained on, or None where nobody says.
    """

    spec: InputSpec
    x: np.ndarray | tuple[str, ...]
    y: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    trained: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: np.ndarray) -> "Pool":
        """The pool of the given rows; int (m,) indices or a bool (n,) mask."""
        x = self.x[rows] if isinstance(self.x, np.ndarray) else tuple(np.array(self.x, object)[rows])
        trained = None if self.trained is None else self.trained[rows]
        return Pool(self.spec, x, None if self.y is None else self.y[rows], self.classes, trained)


@dataclass(frozen=True, eq=False)
class ProbeSuite:
    """
    Inputs to put to a model, most informative first.

    inputs: float32 (n, *shape) or a tuple of n texts. kinds: per probe, the generator that made it. weights: float64
    (n,), 0 for probes that are shown but not scored. expected: int64 (n,), the source's labels, float32 its numbers, or
    None.
    classes: names of the labels, or () where labels are plain 0 to k-1.
    """

    name: str
    generator: str
    seed: int
    spec: InputSpec
    inputs: np.ndarray | tuple[str, ...]
    kinds: tuple[str, ...]
    weights: np.ndarray
    expected: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.inputs)
        if n == 0:
            raise BadData("a probe suite needs at least one probe, got none")
        if isinstance(self.inputs, np.ndarray):
            if self.inputs.dtype != np.float32 or self.inputs.shape[1:] != self.spec.shape:
                raise BadData(
                    f"expected float32 probes of shape {self.spec.shape}, "
                    f"got {self.inputs.dtype} {self.inputs.shape[1:]}"
                )
            if not np.isfinite(self.inputs).all():
                raise BadData("probes must be finite numbers, got NaN or infinity")
        for what, values in (
            ("kind", self.kinds),
            ("weight", self.weights),
            ("expected answer", self.expected),
        ):
            if values is not None and len(values) != n:
                raise BadData(f"expected one {what} per probe ({n}), got {len(values)}")

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def digest(self) -> str:
        """`sha256:…` of everything in the suite."""
        return storage.digest(self)

    def take(self, rows: np.ndarray) -> "ProbeSuite":
        """The suite of the given probes, in the given order; int (m,)."""
        inputs = self.inputs
        picked = inputs[rows] if isinstance(inputs, np.ndarray) else tuple(inputs[i] for i in rows)
        return ProbeSuite(
            self.name, self.generator, self.seed, self.spec, picked,
            tuple(self.kinds[i] for i in rows), self.weights[rows],
            None if self.expected is None else self.expected[rows], self.classes, self.params,
        )  # fmt: skip


def spread(scores: np.ndarray) -> np.ndarray:
    """Scores (…, k) in which NaN among numbers becomes an even share of what is left of 1; rows of NaN stay."""
    hidden = np.isnan(scores)
    partly = hidden.any(-1) & ~hidden.all(-1)
    if not partly.any():
        return scores
    count = np.maximum(hidden.sum(-1, keepdims=True), 1)
    left = np.clip(1 - np.where(hidden, 0, scores).sum(-1, keepdims=True), 0, 1) / count

    return np.where(hidden & partly[..., None], left, scores).astype(scores.dtype)


@dataclass(frozen=True, eq=False)
class Responses:
    """
    What a model answered to a suite.

    labels: int64 (n, r), UNANSWERED where no answer came. scores: float32 (n, r, k), NaN where none came and for
    classes that an answer does not show, or None. A regressor's numbers are scores of one column, and its labels 0.
    latency: float32 (n,) seconds. sent: probes put to the model, repeats counted. target: secrets redacted.
    refusal: why the last probe that was refused was, "" where none was.
    """

    suite: str
    target: str
    access: Access
    labels: np.ndarray
    scores: np.ndarray | None
    latency: np.ndarray
    sent: int
    refusal: str = field(default="", metadata=storage.LATER)

    def __post_init__(self) -> None:
        if self.labels.ndim != 2 or self.labels.dtype != np.int64:
            raise BadData(f"expected int64 labels (n, r), got {self.labels.dtype} {self.labels.shape}")
        if self.scores is not None and (self.scores.ndim != 3 or self.scores.shape[:2] != self.labels.shape):
            raise BadData(f"expected scores (n, r, k) for labels {self.labels.shape}, got {self.scores.shape}")

    @cached_property
    def answered(self) -> np.ndarray:
        """Bool (n,): at least one repeat was answered."""
        return np.asarray((self.labels != UNANSWERED).any(1))

    @cached_property
    def label(self) -> np.ndarray:
        """int64 (n,): the most frequent answer over the repeats, UNANSWERED where none came."""
        if self.labels.shape[1] == 1:
            return np.asarray(self.labels[:, 0])
        k = max(int(self.labels.max()) + 1, 1)
        votes = np.stack([(self.labels == c).sum(1) for c in range(k)], 1)
        return np.where(self.answered, votes.argmax(1), UNANSWERED)

    @cached_property
    def score(self) -> np.ndarray | None:
        """
        float32 (n, k): mean scores over the answered repeats, NaN rows where none came; None without scores.

        Classes that an answer does not show share what is left of 1 evenly.
        """
        if self.scores is None:
            return None
        whole = spread(self.scores)
        given = ~np.isnan(whole).any(2, keepdims=True)
        total = np.where(given, whole, 0).sum(1)
        count = given.sum(1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Signature:
    """
    What one method keeps of a model's responses.

    values: numbers of the shape the method defines, one row per probe (or per pair of probes); answered: bool (n,).
    """

    method: str
    suite: str
    values: np.ndarray
    answered: np.ndarray

    @cached_property
    def digest(self) -> str:
        """`sha256:…` of everything in the signature."""
        return storage.digest(self)


@dataclass(frozen=True)
class About:
    """Where a reference comes from. license is an SPDX expression; date an ISO day; weights a sha256 digest."""

    role: Role = "source"
    license: str | None = None
    source: str | None = None
    parent: str | None = None
    weights: str | None = None
    date: str | None = None
    note: str | None = None


@dataclass(frozen=True, eq=False)
class Panel:
    """
    What peers (honest models) and shadows (derived copies made on purpose) answered to a suite.

    names, and roles per model: "peer", "same-data peer" or "shadow". use per model: "select" chose the probes,
    "estimate" helped and fitted the likelihoods, "calibrate" did neither and stands for the honest world in p-values.
    labels: int16 (models, n). scores: float16 (models, n, k), float32 (models, n, 1) of regressors, or None.
    families: the model class each was trained as, "kin" for those of the source's own, "" for changed copies of the
    source itself; () where nobody knows.
    """

    names: tuple[str, ...]
    roles: tuple[str, ...]
    uses: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray | None = None
    families: tuple[str, ...] = field(default=(), metadata=storage.LATER)

    def __post_init__(self) -> None:
        known = len(self.families) or len(self.names)
        if not len(self.names) == len(self.roles) == len(self.uses) == len(self.labels) == known:
            raise BadData("a panel needs one name, role, use, family and row of answers per model")
        if self.labels.ndim != 2 or self.labels.dtype.kind != "i":
            raise BadData(f"expected integer labels (models, n), got {self.labels.dtype} {self.labels.shape}")
        if self.scores is not None and (self.scores.ndim != 3 or self.scores.shape[:2] != self.labels.shape):
            raise BadData(f"expected scores (models, n, k) for labels {self.labels.shape}, got {self.scores.shape}")

    def rows(self, role: str, *uses: str) -> np.ndarray:
        """Int (m,): indices of the models whose role ends with `role` and whose use is among `uses` (any if none)."""
        picked = [
            i
            for i, (its_role, use) in enumerate(zip(self.roles, self.uses, strict=True))
            if its_role.endswith(role) and (not uses or use in uses)
        ]
        return np.array(picked, int)

    def family(self, model: int) -> str:
        """The family of a model by its index; "" where it is not known."""
        return self.families[model] if self.families else ""

    def columns(self, rows: np.ndarray) -> "Panel":
        """The same models' answers to the given probes; int (m,)."""
        scores = None if self.scores is None else self.scores[:, rows]
        return Panel(self.names, self.roles, self.uses, self.labels[:, rows], scores, self.families)


@dataclass(frozen=True, eq=False)
class Fragile:
    """
    Probes that any change of a known model moves, and what it answered to them; never among those for ownership.

    suite: first the edges, as many as `params["edges"]` says, then plain inputs that tell kinds of change apart; params
    also hold `noise`, the most that rounding moves a score, and `checks`, roundings that moved no answer. panel: what
    changed copies, other copies and honest models answered, by kind of change as `families`; None where none were made.
    """

    suite: ProbeSuite
    answers: Responses
    panel: Panel | None = None


@dataclass(frozen=True, eq=False)
class Reference:
    """
    A known model: what it answered, and what its peers and shadows answered.

    suite: the reference's own probes, most informative first. answers: the model's responses to them. panel: None for
    a reference that only answered a public suite; then the database's other references are its cohort.
    public: responses to the public suite of the same input, or None. public_panel: those of the panel's models.
    fragile: what `verify` asks, or None.
    """

    name: str
    about: About
    suite: ProbeSuite
    answers: Responses
    panel: Panel | None = None
    public: Responses | None = None
    public_panel: Panel | None = field(default=None, metadata=storage.LATER)
    fragile: Fragile | None = field(default=None, metadata=storage.LATER)

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable() or len(self.name) > 200:
            raise BadData(f"a reference needs a printable name of at most 200 characters, got {self.name[:40]!r}")
        if self.answers.suite != self.suite.digest:
            raise BadData(f"reference '{self.name}' holds answers to another suite; enroll it again")
        n = len(self.suite)
        answered = {len(self.answers.labels), n if self.panel is None else self.panel.labels.shape[1]}
        if answered != {n}:
            raise BadData(f"expected answers of reference '{self.name}' to {n} probes, got {sorted(answered)}")
        if self.public_panel is not None:
            known = (
                () if self.panel is None else self.panel.names,
                0 if self.public is None else len(self.public.labels),
            )
            if (self.public_panel.names, self.public_panel.labels.shape[1]) != known:
                raise BadData(
                    f"reference '{self.name}' holds public answers of other models or probes; enroll it again"
                )


@dataclass(frozen=True)
class Change:
    """How a model was changed: the likeliest kind, its probability, and that of each kind, which sum to 1."""

    kind: str
    confidence: float
    odds: Mapping[str, float]


@dataclass(frozen=True)
class Match:
    """
    How one reference compares with the suspect.

    score: larger means more likely derived, comparable between suspects. llr: log-likelihood ratio in nats.
    p_value: corrected for the references searched; p_conformal likewise, with its floor of 1/(peers + 1).
    """

    reference: str
    score: float
    llr: float
    p_value: float
    p_conformal: float
    relation: str | None = None


@dataclass(frozen=True)
class Verdict:
    """
    The answer. matches: every comparable reference, best first. coverage: share of the probes sent that were answered.
    nearest_peer: name and score of the honest model closest to the best reference. honest, derived: scores of the peers
    and of the copies made on purpose, on the same probes, for plots. information: how much the answers showed. change:
    of a claimed model, where one was found and its kind can be told. decoys: of what was sent, put between the probes.
    """

    target: str
    decision: Decision
    reference: str | None
    relation: str | None
    alpha: float
    method: str
    suite: str
    access: Access
    matches: tuple[Match, ...]
    sent: int
    answered: int
    saved: int
    coverage: float
    cohort: int
    nearest_peer: tuple[str, float] | None
    why: str
    honest: tuple[float, ...] = ()
    derived: tuple[float, ...] = ()
    information: str = ""
    change: Change | None = None
    decoys: int = field(default=0, metadata=storage.LATER)
