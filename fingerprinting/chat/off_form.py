"""
Answers that were not of the form asked, as one more answer of their cell: some models give many of them.

A strict reader finds more of them than a lax one, so that they count only between answers that one reader read.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from .records import OFF_FORM, ChatReference, Counts

READER: Final = "probe-match"  # who reads what endpoints answer, see `reading`


def joined(counts: Counts, off_form: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Counts with those answers among them. off_form: how many by cell."""
    cells = dict.fromkeys([*counts, *off_form])
    return {
        cell: {**counts.get(cell, {}), **({OFF_FORM: off_form[cell]} if off_form.get(cell) else {})} for cell in cells
    }


def without(counts: Counts) -> Counts:
    """Counts without those answers, where they have any; cells where nothing else came are left out."""
    if not any(OFF_FORM in some for some in counts.values()):
        return counts
    kept = {cell: {answer: n for answer, n in some.items() if answer != OFF_FORM} for cell, some in counts.items()}
    return {cell: some for cell, some in kept.items() if some}


def told(references: Iterable[ChatReference]) -> bool:
    """Whether all of them say how many of their answers were not of the form asked, as we would read them."""
    return all(reference.reader == READER for reference in references)


def counts_of(reference: ChatReference) -> Counts:
    """What a reference answered, with those answers if it tells them."""
    return joined(reference.counts, reference.off_form) if told([reference]) else reference.counts


def alike(suspect: Counts, reference: ChatReference) -> tuple[Counts, Counts]:
    """A suspect's and a reference's counts, both with those answers or both without."""
    return (suspect if told([reference]) else without(suspect)), counts_of(reference)
