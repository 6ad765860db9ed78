"""
What a text is made of that says more of its writer than of its subject, as sets of pieces: words, how it opens, how its
sentences begin, what its lines are, how it ends, its skeleton, in which all but the commonest words are left out (text
distortion, Stamatatos, EACL 2017), and its rhythm, in which all are.
"""

import itertools
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from . import style

READ: Final = 6000  # characters of a text in which pieces are looked for
OPENING: Final = 40  # characters, in which an opening is looked for
FIRST: Final = 4  # words of an answer that are its opening
START: Final = 3  # words of a sentence that are its start
ENDING: Final = 120  # characters, in which an ending is looked for
LAST: Final = 3  # words of an answer that are its ending
RUN: Final = 3  # lines, or pieces of the skeleton, that are looked at together
BEATS: Final = 4  # of the rhythm
LONGEST: Final = 9  # power of two, beyond which all lines are long
LARGE: Final = "A*"  # stands for a word
SMALL: Final = "a*"
KEPT: Final = frozenset(style.WORDS)  # of the skeleton
WORDS: Final = re.compile(r"\w+|[^\w\s]")
PIECES: Final = re.compile(r"\w+|[^\w\s]|\n+")
SENTENCES: Final = re.compile(r"(?<=[.!?:])\s+|\n+")
NUMBERED: Final = re.compile(r"[0-9]+([.)])")


class Kind(NamedTuple):
    """
    of: all pieces of a text. measured: how many of them, the commonest, span the space of styles. counted: how many
    count one by one beside it, at least as many, or none.
    """

    of: Callable[[str], set[str]]
    measured: int
    counted: int = 0

    @property
    def kept(self) -> int:
        """How many are looked for."""
        return max(self.measured, self.counted)


def words(text: str) -> set[str]:
    """Words and pairs of them, in lower case."""
    found = WORDS.findall(text[:READ].lower())
    return {*found, *(f"{a} {b}" for a, b in itertools.pairwise(found))}


def opening(text: str) -> set[str]:
    """The first words and pairs of them, as they are written: "Sure" and "sure" are two habits."""
    found = PIECES.findall(" ".join(text[:OPENING].split(" ")[:FIRST]))
    return {*found, *(f"{a} {b}" for a, b in itertools.pairwise(found))}


def starts(text: str) -> set[str]:
    """The first words of each sentence and line, one to START of them, as they are written."""
    found = (WORDS.findall(sentence)[:START] for sentence in SENTENCES.split(text[:READ]))
    return {" ".join(some[:n]) for some in found for n in range(1, len(some) + 1)}


def ending(text: str) -> set[str]:
    """The last words, one to LAST of them, and whether a line ends there."""
    found = PIECES.findall(text.rstrip()[-ENDING:])
    return {" ".join(found[-n:]) for n in range(1, LAST + 1)} | {"\n" if text.endswith("\n") else ""}


def lines(text: str) -> set[str]:
    """What lines are, one to RUN of them in a row: bare, listed, numbered, a heading; with bold in them; how long."""
    return _runs(["^", *map(_line, text[:READ].split("\n")), "$"], RUN)


def skeleton(text: str) -> set[str]:
    """Common words, marks and shapes of all other words, one to RUN of them in a row."""
    pieces = PIECES.findall(text[:READ])
    return _runs([low if (low := piece.lower()) in KEPT else _shape(piece) for piece in pieces], RUN)


def rhythm(text: str) -> set[str]:
    """Marks, numbers and words between them, small ones in a row as one; one to BEATS of them in a row."""
    shapes = [_shape(piece) for piece in PIECES.findall(text[:READ])]
    return _runs([b for a, b in itertools.pairwise(["", *shapes]) if not a == b == SMALL], BEATS)


KINDS: Final = (  # how many of each was chosen on the prompts of enrolment
    Kind(words, 400, 3000),
    Kind(opening, 150, 600),
    Kind(starts, 300),
    Kind(lines, 300),
    Kind(ending, 100),
    Kind(skeleton, 500),
    Kind(rhythm, 500),
)


def _runs(found: list[str], most: int) -> set[str]:
    return {" ".join(found[i : i + n]) for n in range(1, most + 1) for i in range(len(found) - n + 1)}


def _shape(piece: str) -> str:
    if piece[0] == "\n":
        return piece[:2]
    if piece.isdigit():
        return "0"
    if not piece[0].isalnum():
        return piece
    return LARGE if piece[0].isupper() else SMALL


def _line(line: str) -> str:
    bare = line.strip()
    if not bare:
        return "_"
    if bare[0] == "#":
        kind = "#" * (len(bare) - len(bare.lstrip("#")))
    elif bare[:2] in {"- ", "* ", "• ", "+ "} or bare[0] == "|" or bare.startswith("```"):
        kind = bare[0]
    elif numbered := NUMBERED.match(bare):
        kind = f"1{numbered[1]}"
    else:
        kind = "w"
    indented, bold, colon = ">" * line.startswith((" ", "\t")), "b" * ("**" in bare), ":" * bare.endswith(":")

    return f"{indented}{kind}{bold}{min((len(bare) + 1).bit_length() - 1, LONGEST)}{colon}"
