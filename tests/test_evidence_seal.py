"""Seals and trees: what was sealed cannot be changed, and one leaf is opened without the others."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.evidence import dsse, merkle, seal

KIND = "https://example.org/test/v1"
SUBJECTS = {"answers": "ab" * 32}


def pem(key: Any) -> bytes:
    private = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption())  # type: ignore[no-any-return]


KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PEM = pem(KEY)


def test_what_was_sealed_comes_back_with_its_owner() -> None:
    """Type, subjects and predicate are those that went in; the owner is the public key."""
    sealed = seal.unseal(seal.seal(KIND, SUBJECTS, {"outcome": "match"}, PEM), "it")

    assert sealed == (KIND, SUBJECTS, {"outcome": "match"}, seal.owner_of(KEY))


def test_the_signed_bytes_are_those_of_dsse() -> None:
    """The signature is over the pre-authentication encoding as DSSE spells it, checked without our code."""
    envelope = seal.seal(KIND, SUBJECTS, {}, PEM)
    payload = base64.b64decode(envelope["payload"])
    message = b"DSSEv1 28 application/vnd.in-toto+json " + str(len(payload)).encode() + b" " + payload

    KEY.public_key().verify(base64.b64decode(envelope["signatures"][0]["sig"]), message)


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), None], ids=["curve", "no key"])
def test_only_ed25519_seals(key: Any) -> None:
    """A key of another kind is refused, though model signatures may use it."""
    with pytest.raises(BadData, match="Ed25519"):
        seal.seal(KIND, SUBJECTS, {}, b"no key" if key is None else pem(key))


def test_another_algorithm_is_not_read() -> None:
    """An envelope that an elliptic-curve key signed is no seal, whatever it says of itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    payload = storage.canonical_json(seal.statement(KIND, SUBJECTS, {}))
    envelope = dsse.wrap(payload, key, seal.owner_of(KEY)).to_json()

    with pytest.raises(BadData, match="it was changed"):
        seal.unseal(envelope, "it")


def test_no_byte_of_a_seal_can_be_changed() -> None:
    """Every byte of an envelope's JSON, changed in each of three ways, is refused."""
    data = storage.canonical_json(seal.seal(KIND, SUBJECTS, {"n": 1}, PEM))
    accepted = []
    for place in range(len(data)):
        for flip in (1, 32, 128):
            changed = bytearray(data)
            changed[place] ^= flip
            try:
                value = _parsed(bytes(changed))
                seal.unseal(value, "it")
            except (BadData, ValueError):
                continue
            accepted.append((place, flip))

    assert accepted == []


def _parsed(data: bytes) -> Any:
    import json

    value = json.loads(data)
    if storage.canonical_json(value) != data:
        raise ValueError("another spelling")
    return value


@pytest.mark.parametrize("change", ["field", "second signature", "padding", "not canonical"])
def test_a_seal_has_one_spelling(change: str) -> None:
    """Further fields, signatures, another base64 or another JSON of the same statement are refused."""
    envelope = seal.seal(KIND, SUBJECTS, {}, PEM)
    if change == "field":
        envelope["note"] = "x"
    elif change == "second signature":
        envelope["signatures"] *= 2
    elif change == "padding":
        envelope["payload"] += "="
    else:
        payload = base64.b64decode(envelope["payload"]).replace(b":", b": ", 1)
        envelope = dsse.wrap(payload, KEY, seal.owner_of(KEY)).to_json()

    with pytest.raises(BadData, match="not one statement"):
        seal.unseal(envelope, "it")


def by_the_book(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written: split at the largest power of two below the number of leaves."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\1" + by_the_book(leaves[:split]) + by_the_book(leaves[split:])).digest()


def salted(count: int) -> tuple[list[bytes], list[bytes]]:
    return [b"leaf %d" % i for i in range(count)], [hashlib.sha256(b"%d" % i).digest() for i in range(count)]


@pytest.mark.parametrize("count", range(1, 34))
def test_the_root_is_that_of_rfc_6962(count: int) -> None:
    """Row by row or split in two: the same tree, of which every leaf opens and none opens elsewhere."""
    contents, salts = salted(count)
    leaves = [hashlib.sha256(b"\0" + salt + content).digest() for salt, content in zip(salts, contents, strict=True)]
    root = by_the_book(leaves)
    openings = [merkle.open_one(contents, salts, i) for i in range(count)]

    assert merkle.root(leaves) == root
    assert all(merkle.leads_to(opening, root) for opening in openings)
    assert not any(merkle.leads_to(one._replace(place=one.place + 1), root) for one in openings)
    assert not any(merkle.leads_to(one._replace(content=one.content + b"x"), root) for one in openings)
    assert not any(merkle.leads_to(one._replace(beside=(*one.beside, bytes(32))), root) for one in openings)


def test_leaves_are_redacted_one_by_one_and_the_root_stays() -> None:
    """What is hidden is not among what is told, the rest is, and the root is still that of all."""
    contents, salts = salted(9)
    root = merkle.root([merkle.leaf(salt, content) for salt, content in zip(salts, contents, strict=True)])
    told = merkle.redact(contents, salts, hidden={2, 8})

    assert merkle.root_of_redacted(told) == root
    assert [place for place, one in enumerate(told) if "leaf" not in one] == [2, 8]
    assert salts[2].hex() not in str(told)


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(7)), st.integers(0, 6), st.sampled_from(["move", "drop", "twice"]))
def test_a_moved_dropped_or_doubled_leaf_changes_the_root(order: list[int], place: int, how: str) -> None:
    """Order and number of leaves are sealed with them."""
    contents, salts = salted(7)
    leaves = [merkle.leaf(salt, content) for salt, content in zip(salts, contents, strict=True)]
    changed = {
        "move": [leaves[i] for i in order],
        "drop": leaves[:place] + leaves[place + 1 :],
        "twice": [*leaves[:place], leaves[place], *leaves[place:]],
    }[how]

    assert (merkle.root(changed) == merkle.root(leaves)) == (changed == leaves)


def test_a_node_is_no_leaf() -> None:
    """The two halves of a tree cannot be passed off as one leaf of a smaller tree."""
    contents, salts = salted(2)
    leaves = [merkle.leaf(salt, content) for salt, content in zip(salts, contents, strict=True)]
    forged = merkle.Opening(0, 1, leaves[1], leaves[0], ())

    assert not merkle.leads_to(forged, merkle.root(leaves))
