"""
The published schemes as complete recipes: what each asks, in which order, and how it compares the answers.

    suite = build(SCHEMES["akh"], source, pool, n=20, seed=0, generators=generators)
    similarities(SCHEMES["akh"], collect(source, suite), [collect(s, suite) for s in suspects], suite, "label")

Settings are the papers', as far as a budget of tens of questions leaves them; those of QuRD (Godinot, Le Merrer, Penzo,
Taïani, Trédan, AAAI 2025), which ran them side by side, where a paper asks thousands. Nothing is trained. A similarity
decides nothing: what is too close, only honest peers can say.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from .collect import Client
from .errors import BadData, NoAnswers, UsageError
from .methods import agreement, correlation, decision_distance, lime, mutual_information, scores
from .recipes import ANY, NUMBERS, Generate, Step, follow
from .records import Access, Kind, Pool, ProbeSuite, Responses, Signature


@dataclass(frozen=True)
class Form:
    """How answers are compared: a signature of each, and the distance of two, 0 for identical answers and at most 1."""

    represent: Callable[[Responses, ProbeSuite], Signature]
    distance: Callable[[Signature, Signature], float]


@dataclass(frozen=True)
class Scheme:
    """
    A published scheme. steps are taken in turn until there are enough probes.

    labels, scores: how it compares either kind of answer; without `scores` it reads labels where scores are given too.
    truth: needs a labelled pool. paired: probes 2 i and 2 i + 1 belong together. about: what it compares. paper: whose.
    """

    name: str
    steps: tuple[Step, ...]
    labels: Form | None
    scores: Form | None
    about: str
    paper: str
    truth: bool = False
    paired: bool = False

    @property
    def access(self) -> Access:
        """The least that a suspect must give: "label" or "scores"."""
        return "scores" if self.labels is None else "label"

    @cached_property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of input it works on."""
        return tuple(kind for kind in ANY if any(kind in step.kinds for step in self.steps if not step.stand_in))

    @cached_property
    def generators(self) -> tuple[str, ...]:
        """Names of the generators it may use."""
        return tuple(dict.fromkeys(step.generator for step in self.steps))


_LABELS = Form(agreement.represent, agreement.distance)
_COSINE = Form(scores.represent, scores.cosine_distance)
_GRAM = Form(correlation.represent, correlation.distance)
_LIME = Form(lime.represent, lime.distance)
_DDV = Form(decision_distance.represent, decision_distance.distance)
_HARD_DDV = Form(decision_distance.shifts, agreement.distance)
_RANKS = Form(mutual_information.represent, mutual_information.distance)

# A source with too few errors: QuRD mixes those that it has (NegativeAugment; CutMix with alpha 1 pastes half on
# average). Without any, mixtures of right rows; for texts, any rows.
_ERRORS = (
    Step("misclassified"),
    Step("mixed", {"share": 0.5}, NUMBERS, stand_in=True, found=True),
    Step("uniform", stand_in=True),
)
_BOUNDARY = (
    Step("boundary", {"k": 10.0, "iterations": 1000, "rate": 0.01}, NUMBERS, gradient=True),
    Step("boundary", {"iterations": 1000}, NUMBERS, gradient=True, stand_in=True),  # k by the scale of the logits
    Step("decision", {}, NUMBERS, stand_in=True),
)
_PAIRS = (
    Step("adversarial", {"eps": 0.03, "steps": 40, "paired": True}, NUMBERS, gradient=True),
    Step("decision", {"paired": True}, NUMBERS, stand_in=True),
)
# SAC-m pastes a box of a fifth of each side; tables have no box, and a twenty-fifth of their columns is none.
_MIXTURES = (Step("mixed", {"share": 0.04}, ("image",)), Step("mixed", {}, ("tabular",)))
_AKH = "Godinot et al., AAAI 2025"
_SAC = "Guan, Liang, He, NeurIPS 2022"

SCHEMES: Final[Mapping[str, Scheme]] = {
    scheme.name: scheme
    for scheme in (
        Scheme("random", (Step("uniform"),), _LABELS, None, "share of equal labels", _AKH),
        Scheme("akh", _ERRORS, _LABELS, None, "share of equal labels", _AKH, truth=True),
        Scheme("akh-scores", _ERRORS, None, _COSINE, "cosine of the probabilities", _AKH, truth=True),
        Scheme("ipguard", _BOUNDARY, _LABELS, None, "share of equal labels", "Cao, Jia, Gong, AsiaCCS 2021"),
        Scheme(
            "modeldiff", _PAIRS, _HARD_DDV, _DDV,
            "how far apart the answers to each pair are", "Li et al., ISSTA 2021", paired=True,
        ),
        Scheme("sac-w", _ERRORS, _GRAM, _GRAM, "how answers relate to each other", _SAC, truth=True),
        Scheme("sac-m", _MIXTURES, _GRAM, _GRAM, "how answers relate to each other", _SAC),
        Scheme(
            "zest", (Step("masks", {"per_row": 10}, NUMBERS),), None, _LIME,
            "linear weights of the parts", "Jia et al., ICLR 2022",
        ),
        Scheme(
            "fbi", (Step("uncertain", {"share": 0.2}),), _RANKS, _RANKS,
            "information between the ranks of the true label", "Maho, Furon, Le Merrer, 2022", truth=True,
        ),
    )
}  # fmt: skip


def build(
    scheme: Scheme, source: Client, pool: Pool, *, n: int, seed: int, generators: Mapping[str, Generate]
) -> ProbeSuite:
    """
    The scheme's probes for a budget of n questions to a suspect; a pair costs two. Any first part of it is a suite too.

    generators: `generate` functions by name; one that is missing (torch is not installed, say) is passed over, as one
    that follows gradients is for a source that gives none. `params` of the suite say which generator made how many
    probes (`made`), and how many are not the paper's own (`stand_ins`). Fewer than n come where the pool has no more.
    Raises UsageError where the scheme does not work on such inputs, BadData where the pool gives it nothing.
    """
    _require_fit(scheme, pool, n)
    result = follow(
        scheme.name, scheme.steps, source, pool, n=n, seed=seed, generators=generators, paired=scheme.paired
    )
    suite = result.suite
    classes = max(len(pool.classes), *(int(y.max()) + 1 for y in (pool.y, suite.expected) if y is not None))
    params = {"scheme": scheme.name, "made": result.made, "stand_ins": result.stand_ins, "classes": classes}

    return replace(suite, name=f"{scheme.name}-{seed}", params=params)


def similarity(scheme: Scheme, source: Responses, suspect: Responses, suite: ProbeSuite, access: Access) -> float:
    """
    How alike a suspect answers, 0 to 1, 1 for identical answers; as `similarities` for one.

    Raises NoAnswers where the two share too few answered probes.
    """
    form, own, theirs = _comparable(scheme, source, [suspect], access)

    return 1 - form.distance(form.represent(own, suite), form.represent(theirs[0], suite))


def similarities(
    scheme: Scheme, source: Responses, suspects: Sequence[Responses], suite: ProbeSuite, access: Access
) -> np.ndarray:
    """
    How alike each suspect answers the suite, float64 (m,): 0 to 1, 1 for identical answers, larger is more alike.

    source: what the model that the suite was built for answers to it. access: "label" compares labels whatever was
    answered, "scores" compares scores where the scheme reads them. Only probes that both answered count; a suspect
    that shares too few of them is NaN, for silence is no sign of innocence. Raises SuiteMismatch for answers to other
    probes, UsageError where the scheme needs scores and is not to use them, or got none.
    """
    form, own, theirs = _comparable(scheme, source, suspects, access)
    known = form.represent(own, suite)

    return np.array([_alike(form, known, form.represent(responses, suite)) for responses in theirs], np.float64)


def _alike(form: Form, known: Signature, other: Signature) -> float:
    try:
        return 1 - form.distance(known, other)
    except NoAnswers:
        return np.nan


def _require_fit(scheme: Scheme, pool: Pool, n: int) -> None:
    if pool.spec.kind not in scheme.kinds:
        raise UsageError(
            f"{scheme.name} works on {' and '.join(scheme.kinds)} inputs, this pool holds {pool.spec.kind}; "
            f"use {', '.join(other.name for other in SCHEMES.values() if pool.spec.kind in other.kinds)}"
        )
    if pool.spec.output == "number":
        raise UsageError(f"{scheme.name} compares classes, this pool is for regressors; use relative")
    if scheme.truth and pool.y is None:
        raise BadData(f"{scheme.name} needs the true labels of the pool, this one has none; add an array y to it")
    least = 2 if scheme.paired else 1
    if n < least:
        raise UsageError(f"{scheme.name} needs a budget of at least {least}, got {n}")


def _comparable(
    scheme: Scheme, source: Responses, suspects: Sequence[Responses], access: Access
) -> tuple[Form, Responses, list[Responses]]:
    """The form that fits the access, and the answers it may read."""
    if access not in ("label", "scores"):
        raise UsageError(f"schemes compare by label or scores, got access '{access}'")
    if access == "scores" and scheme.scores is not None:
        return scheme.scores, *_scored(scheme, source, suspects)
    if scheme.labels is None:
        raise UsageError(f"{scheme.name} compares scores, got access 'label'; use akh, which reads labels")

    return scheme.labels, _labels_only(source), [_labels_only(suspect) for suspect in suspects]


def _scored(scheme: Scheme, source: Responses, suspects: Sequence[Responses]) -> tuple[Responses, list[Responses]]:
    for responses in (source, *suspects):
        if responses.scores is None:
            raise UsageError(
                f"expected scores for {scheme.name} from {responses.target}, got labels only; "
                + ("compare with access label" if scheme.labels else "use akh, which reads labels")
            )
    return source, list(suspects)


def _labels_only(responses: Responses) -> Responses:
    return responses if responses.scores is None else replace(responses, access="label", scores=None)
