"""
Classifiers of texts, and what a thief makes of one: pipelines of scikit-learn's own parts, for .skops files.

A server's word dropout and a mixture of two thieves are built from native parts too, as stop words and as a vote.
"""

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from probe_match.clients import sklearn
from probe_match.fingerprinting.records import InputSpec, Pool
from probe_match.probes import words
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import ComplementNB, MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelEncoder
from text_task import MARKS, Part

FEATURES: Final = 3000
# How a text is read, by name: settings of TfidfVectorizer.
READINGS: Final[dict[str, dict[str, Any]]] = {
    "words": {},
    "marks": {"token_pattern": MARKS},
    "pairs": {"token_pattern": MARKS, "ngram_range": (1, 2)},
    "characters": {"analyzer": "char_wb", "ngram_range": (2, 4)},
    "cased": {"lowercase": False, "min_df": 2},
}
HEADS: Final[dict[str, Callable[[int], Any]]] = {
    "linear": lambda s: LogisticRegression(C=[1.0, 4.0, 16.0][s % 3], max_iter=100),
    "bayes": lambda s: MultinomialNB(alpha=[0.03, 0.1, 0.3][s % 3]),
    "network": lambda s: MLPClassifier(([24, 32, 48][s % 3],), max_iter=[25, 40][s % 2], random_state=s),
    "margin": lambda s: SGDClassifier(loss="modified_huber", alpha=[3e-4, 1e-3][s % 2], random_state=s),
    "complement": lambda s: ComplementNB(alpha=[0.1, 0.3, 1.0][s % 3]),
    "forest": lambda s: RandomForestClassifier(40, min_samples_leaf=1 + s % 3, random_state=s),
}
VICTIMS: Final = ("linear", "bayes", "network")


def fit(head: str, reading: str, part: Part, seed: int, weight: np.ndarray | None = None) -> Pipeline:
    """A classifier of the part's texts. weight: float64 (n,) per text, or None."""
    read = TfidfVectorizer(sublinear_tf=bool(seed % 4), max_features=FEATURES, **READINGS[reading])
    model = Pipeline([("read", read), ("head", HEADS[head](seed))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the steps are few on purpose
        model.fit(list(part.x), part.y, **({} if weight is None else {"head__sample_weight": weight}))
    read.vocabulary_ = {term: int(column) for term, column in read.vocabulary_.items()}  # one file per NumPy integer
    return model


def changed(model: Pipeline, change: Callable[[np.ndarray], np.ndarray]) -> Pipeline:
    """A copy with other weights; of naive Bayes, what a class's log-probabilities differ from their mean by."""
    twin = copy.deepcopy(model)
    head = twin[-1]
    if hasattr(head, "coefs_"):
        head.coefs_ = [change(layer) for layer in head.coefs_]
    elif hasattr(head, "coef_"):
        head.coef_ = change(head.coef_)
    else:
        mean = head.feature_log_prob_.mean(0)
        head.feature_log_prob_ = mean + change(head.feature_log_prob_ - mean)
    return twin


def pruned(share: float) -> Callable[[np.ndarray], np.ndarray]:
    """The smallest weights of a layer become 0."""
    return lambda w: np.where(np.abs(w) < np.quantile(np.abs(w), share), 0.0, w)


def quantised(levels: int) -> Callable[[np.ndarray], np.ndarray]:
    """Weights on a grid of so many levels, the same distance apart."""
    return lambda w: np.round(w / (step := 2 * np.abs(w).max() / (levels - 1))) * step


def rounded(w: np.ndarray) -> np.ndarray:
    """Weights to one decimal of the power of ten that the largest has."""
    unit = 10 ** np.floor(np.log10(np.abs(w).max()))
    return np.asarray(np.round(w / unit, 1) * unit)


def warmer(model: Pipeline, temperature: float) -> Pipeline:
    """Probabilities nearer to each other, the same labels."""
    twin = copy.deepcopy(model)
    head = twin[-1]
    if hasattr(head, "coefs_"):
        head.coefs_[-1], head.intercepts_[-1] = head.coefs_[-1] / temperature, head.intercepts_[-1] / temperature
    elif hasattr(head, "coef_"):
        head.coef_, head.intercept_ = head.coef_ / temperature, head.intercept_ / temperature
    else:
        head.feature_log_prob_ = head.feature_log_prob_ / temperature
        head.class_log_prior_ = head.class_log_prior_ / temperature
    return twin


def refitted(model: Pipeline, more: Part, seed: int) -> Pipeline:
    """Trained on with a thief's own labelled texts: a few steps, or for naive Bayes their counts added."""
    twin = copy.deepcopy(model)
    x, head = twin[:-1].transform(list(more.x)), twin[-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(head, LogisticRegression):
            head.set_params(warm_start=True, max_iter=6).fit(x, more.y)
        else:
            for _ in range(5 if isinstance(head, MLPClassifier) else 1):
                head.partial_fit(x, more.y)
    return twin


def stolen(model: Pipeline, texts: Sequence[str], flipped: float, seed: int) -> Part:
    """Texts with the labels the model gives them, a share of those replaced by random ones."""
    rng = np.random.default_rng(seed)
    labels = model.predict(list(texts))
    wrong = rng.random(len(labels)) < flipped
    return Part(tuple(texts), np.where(wrong, rng.choice(model.classes_, len(labels)), labels))


def distilled(model: Pipeline, head: str, reading: str, texts: Sequence[str], seed: int) -> Pipeline:
    """Trained on the model's probabilities: each text once per class, weighted."""
    scores = model.predict_proba(list(texts))
    rows, classes = np.nonzero(scores > 0.01)
    return fit(head, reading, Part(tuple(texts[i] for i in rows), classes), seed, scores[rows, classes])


def on_the_edge(model: Pipeline, part: Part, count: int, seed: int) -> Part:
    """The texts, and as many others that a thief edited until the model changed its mind, with the model's labels."""
    pool = Pool(InputSpec("text"), part.x)
    suite = words.generate(sklearn.wrap(model), pool, n=count, seed=seed)
    return stolen(model, [*part.x, *suite.inputs], 0.0, seed)


def vote(models: list[Pipeline]) -> VotingClassifier:
    """The mean of what several give."""
    together = VotingClassifier([(f"thief{i}", model) for i, model in enumerate(models)], voting="soft")
    together.estimators_ = models
    together.le_ = LabelEncoder().fit(models[0].classes_)
    together.classes_ = together.le_.classes_
    return together


def forgetful(model: Pipeline, share: float, seed: int) -> Pipeline:
    """The model behind a filter that drops some of the words it knows from every text."""
    twin = copy.deepcopy(model)
    known = sorted(twin[0].vocabulary_)
    dropped = np.random.default_rng(seed).permutation(len(known))[: round(share * len(known))]
    twin[0].set_params(stop_words=[known[i] for i in np.sort(dropped)])
    return twin
