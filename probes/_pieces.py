"""Texts as pieces that can be taken out and put together: words, or characters where a text has hardly any words."""

import re
from collections.abc import Sequence
from typing import Final

FEW: Final = 3  # fewer words than this are taken apart into characters, as scripts without spaces are
Pieces = list[str]


def pieces(text: str) -> Pieces:
    """The words of a text, each after the space that parts it from what comes before, or else its characters."""
    words = re.findall(r"\s+\S+", f" {text.strip()}")
    return words if len(words) >= FEW else list(text.strip())


def joined(parts: Sequence[str]) -> str:
    """Pieces, of one text or several, as a text without margins."""
    return "".join(parts).strip()


def span(a: Pieces, b: Pieces) -> int:
    """Steps on the way between two texts: the pieces of the longer one."""
    return max(len(a), len(b))


def splice(a: Pieces, b: Pieces, step: int) -> str:
    """The first pieces of a and the last of b: a at step 0, b at step `span(a, b)`."""
    share = step / span(a, b)
    return joined(a[: len(a) - round(share * len(a))] + b[len(b) - round(share * len(b)) :])
