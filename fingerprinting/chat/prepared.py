"""
What is known about a database's language models before any suspect answers, kept beside its file.

Working it out takes seconds for thousands of references, reading it back milliseconds. A file is named by the digest of
what it was made from, and says so inside, so that a changed database finds none; it holds numbers and names alone, may
be deleted at any time, and is not made where the folder cannot be written. Only the latest are left.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData

from . import known as knowing
from . import off_form, scoring
from .judging import Score
from .known import Honest, Known
from .records import ChatReference, Counts
from .scoring import NO_LOOKS, Looks, Scores
from .shelf import Shelved
from .standing import Level
from .tallies import Table

FORM: Final = 7  # of what is kept; another one as soon as anything in `known` or `tallies` gives other numbers
LATEST: Final = {"known": 3, "honest": 24}  # files that are left of each kind
RELATIVES: Final = ("kin", "same")
TABLE: Final = ("key", "start", "model", "times", "cell", "asked", "base")


class _Shelf(NamedTuple):
    """Where files are kept, None for nowhere, and the digest of what all of them are made from."""

    folder: Path | None
    digest: str


def scorer(references: Mapping[str, ChatReference], *, alpha: float, seed: int = 0) -> Score:
    """What scores a suspect's counts against references, of a database or not. Raises NoAnswers when it is called."""

    def score(suspect: Counts, looks: Looks = NO_LOOKS) -> Scores:
        if not isinstance(references, Shelved):
            every = off_form.told(references.values())
            counts = {name: off_form.counts_of(one) if every else one.counts for name, one in references.items()}
            known = knowing.know(counts, seed=seed, off_form=every)
            return scoring.score(suspect, known, alpha=alpha, seed=seed, looks=looks)
        shelf = _shelf(references, seed)
        known = _known(references, shelf, seed)

        ready = partial(_honest, shelf=shelf, seed=seed)
        return scoring.score(suspect, known, alpha=alpha, seed=seed, prepare=ready, looks=looks)

    return score


def make_ready(references: Shelved, asked: Sequence[Mapping[str, int]], *, seed: int = 0) -> None:
    """Work out now what a first suspect would wait for. asked: answers by cell that it will give, at each look."""
    shelf = _shelf(references, seed)
    known = _known(references, shelf, seed)
    for planned in asked:
        _honest(known, np.array([planned.get(cell, 0) for cell in known.table.cells]), shelf=shelf, seed=seed)


def _shelf(references: Shelved, seed: int) -> _Shelf:
    return _Shelf(references.folder, storage.sha256(f"{FORM} {seed} {references.digest}".encode()))


def _known(references: Shelved, shelf: _Shelf, seed: int) -> Known:
    cells = tuple(question.cell for question in references.bank.questions)
    path = _path(shelf, "known", b"")
    held = _read(path)
    try:
        who, names = held["who"], tuple(json.loads(held["names"].tobytes()))
        kin, same = (_pairs(held[name], (len(who), len(names))) for name in RELATIVES)
        table = Table(names, cells, *(held[name] for name in TABLE))
        own, within = held["own"], held["within"]
        if own.shape == within.shape == table.asked.shape == (len(names), len(cells)):
            return Known(table, own, within, who, kin, same, bool(held["off_form"].all()))
    except (KeyError, ValueError, IndexError):  # damaged, or of nobody's making
        pass
    counts, every = references.counts()
    known = knowing.know(counts, cells, seed=seed, off_form=every)
    held = {name: getattr(known.table, name) for name in TABLE}
    held |= {"off_form": np.array([known.off_form]), "own": known.own, "within": known.within, "who": known.who}
    held |= {name: np.array(np.nonzero(getattr(known, name))) for name in RELATIVES}
    held["names"] = np.frombuffer(storage.canonical_json(known.table.names), np.uint8)
    _write(path, held, "known")

    return known


def _honest(known: Known, asked: np.ndarray, *, shelf: _Shelf, seed: int) -> Honest:
    path = _path(shelf, "honest", knowing.levelled(asked).tobytes())
    held = _read(path)
    try:
        level = Level(held["mean"], held["spread"], held["number"])
        found = Honest(level, *(held[name] for name in Honest._fields[1:]))
        if len(found.most) == len(level.mean) == len(known.table.names):
            return found
    except (KeyError, TypeError):
        pass
    made = knowing.honest(known, asked, seed=seed)
    _write(path, {**made.level._asdict(), **{name: getattr(made, name) for name in Honest._fields[1:]}}, "honest")

    return made


def _pairs(places: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    pairs = np.zeros(shape, bool)
    pairs[places[0], places[1]] = True
    return pairs


def _path(shelf: _Shelf, kind: str, more: bytes) -> Path | None:
    if shelf.folder is None:
        return None
    return shelf.folder / f"{kind}-{storage.sha256(shelf.digest.encode() + more)[7:39]}.npz"


def _read(path: Path | None) -> dict[str, np.ndarray]:
    if path is None or not path.is_file():
        return {}
    try:
        held = storage.read_npz(storage.read_file(path, "what is known of the references"), str(path))
        return held if held["of"].tobytes() == path.stem.encode() else {}  # no file of another state under its name
    except (BadData, KeyError):
        return {}


def _write(path: Path | None, arrays: Mapping[str, Any], kind: str) -> None:
    if path is None:
        return
    buffer = BytesIO()
    np.savez(buffer, of=np.frombuffer(path.stem.encode(), np.uint8), **arrays)
    try:
        path.parent.mkdir(exist_ok=True)
        storage.write_file(path, buffer.getvalue())
        kept = sorted(path.parent.glob(f"{kind}-*.npz"), key=lambda file: -file.stat().st_mtime)
        for old in kept[LATEST[kind] :]:
            old.unlink(missing_ok=True)
    except (BadData, OSError):  # nothing is lost but the time to make it again
        pass
