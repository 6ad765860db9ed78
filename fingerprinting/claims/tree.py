"""
One root over all leaves, of which each can be opened alone (the tree of RFC 6962, section 2.1, over salted leaves).

A salt keeps a closed leaf from being guessed: labels are few. It is drawn from the owner's key, so that whoever is
given the key opens all, and whoever is given one salt opens one.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

SALT: Final = 32  # bytes


def leaf(salt: bytes, content: bytes) -> bytes:
    """SHA-256 of 0, the salt and the content."""
    return hashlib.sha256(b"\0" + salt + content).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf digests; SHA-256 of nothing where there are none."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    return _levels(leaves)[-1][0]


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """What leads from one leaf to the root: the digests beside the way, lowest first."""
    beside = []
    for level in _levels(leaves)[:-1]:
        if index ^ 1 < len(level):
            beside.append(level[index ^ 1])
        index //= 2

    return beside


def climb(digest: bytes, index: int, size: int, beside: Sequence[bytes]) -> bytes | None:
    """The root that a leaf digest at `index` of `size` leads to, or None where the path has another length."""
    left = list(beside)
    while size > 1:
        if index ^ 1 < size:
            if not left:
                return None
            other = left.pop(0)
            digest = _node(other, digest) if index & 1 else _node(digest, other)
        index, size = index // 2, (size + 1) // 2

    return None if left else digest


def _levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """Leaf digests, their parents, and so on up to the root; a digest without a sibling rises as it is."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        paired = [_node(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
        levels.append(paired + ([below[-1]] if len(below) % 2 else []))

    return levels


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()
