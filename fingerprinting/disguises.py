"""
The source itself, lightly disguised: noise on its inputs, answers flipped, scores rounded or shaken. The nearest of its
shadows.
"""

import numpy as np

from . import regressors
from .collect import Asked, Client, ask
from .panels import panel_of_numbers
from .plans import USES, Inputs, Material
from .probing import numbers
from .records import InputSpec, Panel

LEAST_NOISE = 0.05  # on the inputs of a source, in standard deviations of each; of texts, the share of words lost
NOISES = (LEAST_NOISE, 0.15)
SHAKEN = (0.1, 0.2, 0.4)  # noise on the logits, in their standard deviations, as changed weights would bring it


def disturbed_source(source: Client, material: Material, candidates: Inputs, answers: Asked, seed: int) -> Panel:
    """
    The source itself, lightly disguised: noise on its inputs, one in ten answers flipped, scores rounded or shaken.

    answers: the source's own to the candidates; only the noisy inputs are asked anew.
    """
    rng = np.random.default_rng([seed, 3])
    k, n = material.k, len(candidates)
    if material.train.spec.output == "number":
        return _disturbed_regressor(source, material, candidates, answers, rng)
    labels = [answers.labels, np.where(rng.random(n) < 0.1, rng.integers(0, k, n), answers.labels)]
    names = ["shadow (copy)", "shadow (answers flipped)"]
    spec = material.train.spec
    for strength in NOISES:
        moved = noisy(candidates, spec, strength, rng)
        labels.append(ask(source, moved, spec, classes=material.train.classes).labels)
        numeric = isinstance(candidates, np.ndarray)
        names.append(f"shadow (input noise {strength:g})" if numeric else f"shadow ({strength:.0%} of the words lost)")
    if answers.scores is not None:
        for strength in SHAKEN:
            labels.append(_shaken(answers.scores, strength, rng))
            names.append(f"shadow (scores shaken by {strength:g})")
    m = len(labels)
    scores = None
    if answers.scores is not None and k <= 100:
        scores = np.stack([np.round(answers.scores, 1 + i % 2) for i in range(m)]).astype(np.float16)
    return Panel(
        tuple(names),
        ("shadow",) * m,
        tuple(USES[i % 2] for i in range(m)),
        np.stack(labels).astype(np.int16),
        scores,
    )


def _disturbed_regressor(
    source: Client, material: Material, candidates: Inputs, answers: Asked, rng: np.random.Generator
) -> Panel:
    values = numbers(answers).astype(float)
    named = {"copy": values} | {how: regressors.disguised(values, how, rng) for how in ("perturbed", "rounded")}
    if isinstance(candidates, np.ndarray):
        spec = material.train.spec
        for strength in NOISES:
            named[f"input noise {strength:g}"] = numbers(ask(source, _moved(candidates, spec, strength, rng), spec))
    return panel_of_numbers({f"shadow ({name})": given for name, given in named.items()})


def noisy(inputs: Inputs, spec: InputSpec, strength: float, rng: np.random.Generator) -> Inputs:
    """Inputs with noise of so many standard deviations on every number; texts without that share of their words."""
    return _moved(inputs, spec, strength, rng) if isinstance(inputs, np.ndarray) else _thinned(inputs, strength, rng)


def _shaken(scores: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """
    Labels of probabilities (n, k) after noise on their logits; int64 (n,).

    Rounded, pruned or tuned weights move the answers a little everywhere, and those to inputs near a boundary, where
    classes are about as likely, change sides. Whose weights cannot be changed is known to waver there all the same.
    """
    logits = np.log(np.clip(scores.astype(float), 1e-4, 1.0))
    logits -= logits.mean(1, keepdims=True)

    return np.asarray((logits + rng.normal(0, strength * logits.std(), logits.shape)).argmax(1))


def _moved(inputs: np.ndarray, spec: InputSpec, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Inputs with noise of so many standard deviations on every number."""
    movable = spec.numeric.reshape(spec.shape) if spec.kind == "tabular" else 1.0
    width = inputs.reshape(len(inputs), -1).std(0).reshape(spec.shape) * movable
    return spec.clip(inputs + rng.normal(0, strength, inputs.shape) * width)


def _thinned(texts: tuple[str, ...], share: float, rng: np.random.Generator) -> tuple[str, ...]:
    """The texts with this share of their words left out, but never all."""
    made = []
    for text in texts:
        words = text.split()
        kept = rng.random(len(words)) >= share
        kept[rng.integers(len(words))] = True
        made.append(" ".join(word for word, keep in zip(words, kept, strict=True) if keep))

    return tuple(made)
