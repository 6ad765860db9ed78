"""
Texts as weighted counts of words, word pairs and character sequences.

A panel trains models by the hundred on parts of the same texts and asks them all the same candidates. The texts are
therefore counted once; each model keeps of the counts what occurs in its own training texts, and weighs it by those
alone, so that it knows no more than if it had counted them itself.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

# What is counted, by name: settings of scikit-learn's CountVectorizer.
COUNTED: Final[dict[str, dict[str, Any]]] = {
    "words": {"max_features": 20_000},
    "pairs": {"max_features": 20_000, "ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"},
    "characters": {"max_features": 6000, "ngram_range": (2, 4), "analyzer": "char_wb"},
}
Reader = Callable[[Sequence[str]], Any]  # n texts to a sparse float32 matrix (n, features)


class Wording:
    """Counts of all the texts a panel works on; of each kind when first wanted, and of other texts when asked."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = list(dict.fromkeys(texts))
        self._row = {text: i for i, text in enumerate(self._texts)}
        self._counters: dict[str, Any] = {}
        self._counts: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_counters": {}}  # slow to send to each worker, and needed for unknown texts alone

    def prepare(self, kinds: Sequence[str]) -> "Wording":
        """Count now what will be wanted: before copies go to other processes, which would each count anew."""
        for kind in kinds:
            if kind not in self._counts:
                self._counter(kind)
        return self

    def reader(self, kind: str, texts: Sequence[str], most: int) -> Reader:
        """
        Texts as tf-idf rows of length 1, with words and weights as these training texts have them.

        kind: one of COUNTED. most: features to keep, the most frequent.
        """
        counts = self._of(kind, texts)
        total = np.asarray(counts.sum(0)).ravel()
        known = np.flatnonzero(total)
        if len(known) > most:
            known = np.sort(np.argsort(-total, kind="stable")[:most])
        weigh = TfidfTransformer(sublinear_tf=True).fit(counts[:, known])

        return lambda some: weigh.transform(self._of(kind, some)[:, known])

    def _of(self, kind: str, texts: Sequence[str]) -> Any:
        rows = [self._row.get(text, -1) for text in texts]
        return self._counter(kind).transform(texts) if -1 in rows else self.prepare([kind])._counts[kind][rows]

    def _counter(self, kind: str) -> Any:
        if kind not in self._counters:
            counter = CountVectorizer(dtype=np.float32, **COUNTED[kind])
            try:
                self._counts[kind] = counter.fit_transform(self._texts)
            except ValueError:  # no text has a single word of two letters
                counter = CountVectorizer(dtype=np.float32, analyzer="char")
                self._counts[kind] = counter.fit_transform(self._texts)
            self._counters[kind] = counter
        return self._counters[kind]
