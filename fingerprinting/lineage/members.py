"""The models of one input that answered the same probes, and the honest models they are judged against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.explain.signature import Described
from probe_match.fingerprinting.records import UNANSWERED, About


@dataclass(frozen=True, eq=False)
class Models:
    """
    m models on n probes. labels: int (m, n), UNANSWERED allowed. scores: float (m, n, k), NaN rows where none came, or
    None where not every model gives them; a regressor's numbers are scores of one column.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.labels.shape[:1] != (len(self.names),) or self.labels.ndim != 2:
            raise BadData(f"expected labels of {len(self.names)} models (m, n), got {self.labels.shape}")
        if self.scores is not None and self.scores.shape[:2] != self.labels.shape:
            raise BadData(f"expected scores (m, n, k) for labels {self.labels.shape}, got {self.scores.shape}")

    def __len__(self) -> int:
        return len(self.names)

    def probes(self, rows: np.ndarray) -> "Models":
        """The same models on some of the probes; int (r,)."""
        scores = None if self.scores is None else self.scores[:, rows]
        return Models(self.names, self.labels[:, rows], scores)

    def of(self, models: np.ndarray | Sequence[int]) -> "Models":
        """Some of the models; int (s,)."""
        rows = np.asarray(models, int)
        scores = None if self.scores is None else self.scores[rows]
        return Models(tuple(self.names[i] for i in rows), self.labels[rows], scores)


@dataclass(frozen=True, eq=False)
class Family:
    """
    What a tree is grown from. known: bool per model, True for references, False for suspects. honest: models that
    descend from none of these, on the same probes. number: whether the models are regressors. confirmed: by suspect and
    reference, indices of models, the p-value that the reference's own probes gave. described: the probes'
    features, None where contributions are not read.
    """

    models: Models
    abouts: tuple[About, ...]
    known: np.ndarray
    honest: Models
    number: bool = False
    confirmed: Mapping[tuple[int, int], float] = field(default_factory=dict)
    described: Described | None = None

    def __post_init__(self) -> None:
        if len(set(self.models.names)) < len(self.models):
            twice = next(name for name in self.models.names if self.models.names.count(name) > 1)
            raise BadData(f"two models are called '{twice}'; name each once")
        if self.models.labels.shape[1] != self.honest.labels.shape[1]:
            raise BadData(
                f"expected honest models that answered the same {self.models.labels.shape[1]} probes, got answers to "
                f"{self.honest.labels.shape[1]}"
            )

    @property
    def original(self) -> np.ndarray:
        """References of which the database does not say that they were made from another; bool (m,)."""
        return originals(self.known, self.abouts)

    @property
    def stated(self) -> np.ndarray:
        """Pairs of a model and the parent that the database states; bool (m, m), symmetric."""
        return stated_pairs(self.models.names, self.abouts)

    def probes(self, rows: np.ndarray) -> "Family":
        """The same family on some of the probes; int (r,)."""
        described = None if self.described is None else self.described.of(rows)
        return replace(self, models=self.models.probes(rows), honest=self.honest.probes(rows), described=described)

    def asked(self) -> "Family":
        """The family on the probes that most of its suspects answered, all of them where there is no suspect."""
        suspects = self.models.labels[~self.known]
        put = (suspects != UNANSWERED).mean(0) >= 0.5 if len(suspects) else np.ones(self.models.labels.shape[1], bool)
        return self.probes(np.flatnonzero(put))


def originals(known: np.ndarray, abouts: Sequence[About]) -> np.ndarray:
    """References that nothing says were made from another; bool (m,). known: bool (m,), True for references."""
    return np.array(
        [its and about.role != "derived" and about.parent is None for its, about in zip(known, abouts, strict=True)],
        bool,
    )


def stated_pairs(names: Sequence[str], abouts: Sequence[About]) -> np.ndarray:
    """Pairs of a model and the parent that is stated of it; bool (m, m), symmetric."""
    at = {name: i for i, name in enumerate(names)}
    out = np.zeros((len(at), len(at)), bool)
    for i, about in enumerate(abouts):
        if about.parent in at and at[about.parent] != i:
            out[i, at[about.parent]] = out[at[about.parent], i] = True
    return out
