"""
Shadows made from a model at hand: what its fine-tuned, pruned or rounded copies would answer.

Whoever holds the weights can change them a little, and that is no extraction: such copies are nearer to the source
than any model trained on its answers. Only models whose weights or trees can be read are changed, always as a copy.
"""

import copy
from typing import Any, Final

import numpy as np
from sklearn.base import is_regressor

from .collect import Asked, Client, ask
from .panels import panel_of_numbers
from .plans import USES
from .probing import numbers
from .records import Panel, Pool

SHARES: Final = (0.3, 0.6)  # of the weights, the smallest, set to zero
DECIMALS: Final = (1, 2)


def derive(client: Client, train: Pool, candidates: np.ndarray | tuple[str, ...], seed: int) -> Panel | None:
    """
    Answers of changed copies of the client's own model to the candidates, as shadows; None where it cannot be changed.

    train: labelled rows for fine-tuning. Copied are torch modules (`.module`) and scikit-learn linear models,
    multilayer perceptrons, forests and extra trees (`.estimator`), alone or at the end of a pipeline.
    """
    copies: list[tuple[str, Any]] = []
    if hasattr(client, "module") and hasattr(client, "forward") and isinstance(train.x, np.ndarray):
        from . import tampering  # needs torch, which is there if the client is

        copies = tampering.copies(client, train, seed)
    elif hasattr(client, "estimator"):
        copies = [(name, _with(client, model)) for name, model in _changed(client.estimator, seed)]
    answers = [(name, ask(twin, candidates, train.spec, classes=train.classes)) for name, twin in copies]
    if train.spec.output == "number":
        values = {f"shadow ({name})": numbers(asked) for name, asked in answers}
        values = {name: given for name, given in values.items() if np.ptp(given) > 0}
        return panel_of_numbers(values) if values else None
    answers = [(name, asked) for name, asked in answers if len(np.unique(asked.labels)) > 1]  # the rest broke

    return _panel(answers) if answers else None


def _with(client: Any, estimator: Any) -> Any:
    twin = copy.copy(client)
    twin.estimator = estimator
    return twin


def _changed(estimator: Any, seed: int) -> list[tuple[str, Any]]:
    """Changed copies of a fitted estimator by name."""
    estimator = getattr(estimator, "best_estimator_", estimator)  # of a search over parameters
    model = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    if isinstance(trees := vars(model).get("estimators_"), list) and hasattr(model, "apply"):
        rng = np.random.default_rng(seed)
        return [(f"half of its trees, {i + 1}", _half(estimator, rng.permutation(len(trees)))) for i in range(2)]
    weights = _weights(model)
    if not weights:
        return []
    size = np.concatenate([np.abs(w).ravel() for w in weights])
    unit = 10.0 ** np.floor(np.log10(max(float(size.max()), 1e-300)))  # decimals of the largest weight, as d.dd
    made = []
    for share in SHARES:
        kept = np.ones_like(size)
        kept[np.argsort(size, kind="stable")[: round(share * len(size))]] = 0  # by rank, as many may be of one size
        masks = np.split(kept, np.cumsum([w.size for w in weights])[:-1])
        pruned = [w * mask.reshape(w.shape) for w, mask in zip(weights, masks, strict=True)]
        made.append((f"{share:.0%} pruned", _reweighted(estimator, pruned)))
    for decimals in DECIMALS:
        rounded = [np.round(w / unit, decimals) * unit for w in weights]
        made.append((f"rounded to {decimals} decimals", _reweighted(estimator, rounded)))

    return made


def _weights(model: Any) -> list[np.ndarray]:
    """The fitted weights that prediction reads: of a perceptron per layer, of a linear model one array."""
    own = vars(model)
    if isinstance(own.get("coefs_"), list):
        return list(own["coefs_"])
    linear = isinstance(own.get("coef_"), np.ndarray) and (hasattr(model, "decision_function") or is_regressor(model))
    return [own["coef_"]] if linear and own["coef_"].dtype.kind == "f" else []


def _reweighted(estimator: Any, weights: list[np.ndarray]) -> Any:
    twin, model = _twin(estimator)
    if "coefs_" in vars(model):
        model.coefs_ = weights
    else:
        model.coef_ = weights[0]
    return twin


def _half(estimator: Any, order: np.ndarray) -> Any:
    twin, model = _twin(estimator)
    model.estimators_ = [model.estimators_[i] for i in np.sort(order[: max(1, len(order) // 2)])]
    return twin


def _twin(estimator: Any) -> tuple[Any, Any]:
    """A copy, and the model that is it or its last step."""
    twin = copy.deepcopy(estimator)
    return twin, twin.steps[-1][1] if hasattr(twin, "steps") else twin


def _panel(answers: list[tuple[str, Asked]]) -> Panel:
    scores = [asked.scores for _, asked in answers]
    given = [s.astype(np.float16) for s in scores if s is not None and s.shape[1] <= 100]
    return Panel(
        names=tuple(f"shadow ({name})" for name, _ in answers),
        roles=("shadow",) * len(answers),
        uses=tuple(USES[i % len(USES)] for i in range(len(answers))),
        labels=np.stack([asked.labels for _, asked in answers]).astype(np.int16),
        scores=np.stack(given) if len(given) == len(answers) else None,
    )
