"""
The answers of very many references to a public suite, one byte each where there are fewer than 255 classes.

They are kept probe by probe, so that a search reads only the rows of probes that were answered, and mapped from a file
where there is one.
"""

from typing import Final, NamedTuple

import numpy as np

from .records import UNANSWERED

MOST_CLASSES: Final = 255  # that a byte holds, with one value for no answer


class Packed(NamedTuple):
    """
    The answers of m references to n probes. rows: uint8 or uint16 (n, m), the largest value where no answer came, maybe
    mapped from a file. counts: int64 (n, k), how many references gave each label. silences: uint16 (m,), how many
    answers of each reference are missing.
    """

    rows: np.ndarray
    counts: np.ndarray
    silences: np.ndarray

    @property
    def silent(self) -> int:
        """The value that stands for no answer."""
        return int(np.iinfo(self.rows.dtype).max)

    def labels(self, references: np.ndarray, probes: np.ndarray | None = None) -> np.ndarray:
        """int64 (references, probes), UNANSWERED where nothing came; to all probes if none are named."""
        rows = self.rows[:, references] if probes is None else self.rows[np.ix_(probes, references)]
        return np.where(rows == self.silent, UNANSWERED, rows.astype(np.int64)).T

    def some(self, references: np.ndarray) -> "Packed":
        """Of these references alone."""
        return counted(self.rows[:, references], self.counts.shape[1])


def pack(labels: np.ndarray) -> Packed:
    """labels: int (m, n), UNANSWERED allowed."""
    k = max(int(labels.max(initial=0)) + 1, 1)
    kind = np.uint8 if k <= MOST_CLASSES else np.uint16
    silent = int(np.iinfo(kind).max)

    return counted(np.ascontiguousarray(np.where(labels == UNANSWERED, silent, labels).astype(kind).T), k)


def counted(rows: np.ndarray, k: int) -> Packed:
    """Answers that are packed already, of labels below k."""
    silent = np.iinfo(rows.dtype).max
    silences = np.zeros(rows.shape[1], np.uint16)
    for row in rows:
        silences += row == silent

    return Packed(rows, np.array([np.bincount(row, minlength=k)[:k] for row in rows], np.int64), silences)
