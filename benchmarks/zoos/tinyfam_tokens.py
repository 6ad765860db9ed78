"""
Byte-pair encoding: any text is bytes, and a corpus's commonest pairs become tokens (Sennrich et al., 2016).

Ids 0-255 are the bytes, then the marks of a conversation, then the merges in the order in which they were learnt.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

MARKS: Final = ("begin", "system", "user", "assistant", "end")
BEGIN, SYSTEM, USER, ASSISTANT, END = range(256, 256 + len(MARKS))
FIRST: Final = 256 + len(MARKS)  # id of the first merge
PIECES: Final = re.compile(r" ?[^\W\d]+| ?\d| ?[^\s\w]+|\s", re.UNICODE)


class Tokenizer:
    """merges: pairs of ids, in the order in which they are applied."""

    def __init__(self, merges: Sequence[tuple[int, int]]) -> None:
        self.merges = [(int(a), int(b)) for a, b in merges]
        self.rank = {pair: i for i, pair in enumerate(self.merges)}
        self.bytes = [bytes([i]) for i in range(256)] + [b""] * len(MARKS)
        for a, b in self.merges:
            self.bytes.append(self.bytes[a] + self.bytes[b])
        self._piece = lru_cache(1 << 16)(self._encode)

    def __len__(self) -> int:
        return len(self.bytes)

    def encode(self, text: str) -> list[int]:
        """Ids of a text; marks are never among them, whatever it says."""
        return [i for piece in PIECES.findall(text) for i in self._piece(piece)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; bytes that make no character become �, marks nothing."""
        return b"".join(self.bytes[i] for i in ids).decode("utf-8", "replace")

    def token(self, i: int) -> str:
        """How one id is shown: distinct ids look distinct, broken bytes and marks too."""
        if 256 <= i < FIRST:
            return f"<|{MARKS[i - 256]}|>"
        try:
            return self.bytes[i].decode()
        except UnicodeDecodeError:
            return "".join(f"\\x{byte:02x}" for byte in self.bytes[i])

    def _encode(self, piece: str) -> tuple[int, ...]:
        ids = list(piece.encode("utf-8", "replace"))
        while len(ids) > 1:
            pair = min(pairwise(ids), key=lambda pair: self.rank.get(pair, len(self.merges)))
            if pair not in self.rank:
                break
            ids = _merged(ids, pair, FIRST + self.rank[pair])
        return tuple(ids)


def learn(texts: Iterable[str], merges: int) -> Tokenizer:
    """A tokenizer of at most so many merges, learnt from the pieces of texts."""
    counts = Counter(piece for text in texts for piece in PIECES.findall(text))
    words = {piece: list(piece.encode()) for piece in counts}
    learnt: list[tuple[int, int]] = []
    for new in range(FIRST, FIRST + merges):
        pairs: Counter[tuple[int, int]] = Counter()
        for piece, ids in words.items():
            for pair in pairwise(ids):
                pairs[pair] += counts[piece]
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        learnt.append(best)
        words = {piece: _merged(ids, best, new) for piece, ids in words.items()}
    return Tokenizer(learnt)


def _merged(ids: list[int], pair: tuple[int, int], new: int) -> list[int]:
    out: list[int] = []
    for i in ids:
        if out and (out[-1], i) == pair:
            out[-1] = new
        else:
            out.append(i)
    return out
