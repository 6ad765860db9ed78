"""
One root over all leaves, of which each can be opened alone (the tree of RFC 6962, section 2.1, over salted leaves).

Leaves and nodes are hashed apart, so that no node passes for a leaf. A salt keeps a closed leaf from being guessed:
labels are few. It is drawn from the owner's key, so that whoever is given the key opens all, and whoever is given one
salt opens one. A leaf that is taken out leaves its digest, and the root stays.
"""

import hashlib
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from probe_match.fingerprinting.errors import BadData

SALT: Final = 32  # bytes
DIGEST: Final = 32


class Opening(NamedTuple):
    """The leaf at `place` of `size`, its salt, and the digests beside its way to the root, lowest first."""

    place: int
    size: int
    content: bytes
    salt: bytes
    beside: tuple[bytes, ...]


def leaf(salt: bytes, content: bytes) -> bytes:
    """SHA-256 of 0, the salt and the content."""
    assert len(salt) == SALT  # of one length, or bytes could move between salt and content
    return hashlib.sha256(b"\0" + salt + content).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf digests; SHA-256 of nothing where there are none."""
    return _levels(leaves)[-1][0] if leaves else hashlib.sha256(b"").digest()


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


def open_one(contents: Sequence[bytes], salts: Sequence[bytes], index: int) -> Opening:
    """What shows one leaf to somebody who knows the root, and no other."""
    digests = [leaf(salt, content) for salt, content in zip(salts, contents, strict=True)]
    return Opening(index, len(digests), contents[index], salts[index], tuple(path(digests, index)))


def leads_to(opening: Opening, sealed: bytes) -> bool:
    """Whether an opening, of any origin, is of the tree whose root was sealed."""
    sound = 0 <= opening.place < opening.size and len(opening.salt) == SALT
    if not sound or any(len(digest) != DIGEST for digest in opening.beside):
        return False
    return climb(leaf(opening.salt, opening.content), opening.place, opening.size, opening.beside) == sealed


def redact(contents: Sequence[bytes], salts: Sequence[bytes], hidden: Collection[int]) -> list[dict[str, Any]]:
    """All leaves with the hidden ones closed: of those only the digest is told, and the root stays computable."""
    return [
        {"closed": leaf(salt, content).hex()} if i in hidden else {"salt": salt.hex(), "leaf": content.decode()}
        for i, (salt, content) in enumerate(zip(salts, contents, strict=True))
    ]


def root_of_redacted(told: Sequence[Any]) -> bytes:
    """The root over leaves of which some are closed. Raises BadData for anything that `redact` does not write."""
    try:
        return root([_digest_of(one) for one in told])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData("expected leaves with their salts, or digests of closed ones; something else stands there") from (
            error
        )


def _digest_of(one: Any) -> bytes:
    if set(one) == {"closed"}:
        digest = bytes.fromhex(one["closed"])
        if len(digest) != DIGEST:
            raise ValueError(one)
        return digest
    salt = bytes.fromhex(one["salt"])
    if set(one) != {"salt", "leaf"} or len(salt) != SALT:
        raise ValueError(one)
    return leaf(salt, one["leaf"].encode())


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
