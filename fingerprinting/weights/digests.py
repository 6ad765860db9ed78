"""
Digests of a model's weights that do not depend on how they are stored: order, sharding, metadata and format go unseen.

A tensor's digest is SHA-256 over its name, type, shape and little-endian bytes. Those of a layer's tensors, sorted by
name, are the leaves of a Merkle tree (the shape of RFC 6962, §2.1), and the layers' roots are those of the model's.
So one flipped bit changes one tensor, one layer and the root, and two models are compared layer by layer.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from probe_match.fingerprinting import formats
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.storage import canonical_json

from .tensors import Tensor

SCHEMA: Final = "probe-match/weights/1"
PIECE: Final = 1 << 20  # bytes hashed at once: what is mapped is not all held


@dataclass(frozen=True)
class Digested:
    """One tensor's digest, hexadecimal."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    digest: str


@dataclass(frozen=True)
class Digests:
    """Of a model: tensors sorted by name, layers as (name, digest) sorted too, and the root of all."""

    tensors: tuple[Digested, ...]
    layers: tuple[tuple[str, str], ...]
    root: str

    def to_json(self) -> dict[str, Any]:
        """As `weights hash --json` prints it."""
        tensors = [
            {"name": t.name, "digest": f"sha256:{t.digest}", "dtype": t.dtype, "shape": list(t.shape)}
            for t in self.tensors
        ]
        layers = [{"name": name, "digest": f"sha256:{digest}"} for name, digest in self.layers]
        return {"schema": SCHEMA, "root": f"sha256:{self.root}", "layers": layers, "tensors": tensors}


def digest(tensors: Iterable[Tensor]) -> Digests:
    """Digests of all tensors, whatever their order."""
    return assemble(Digested(t.name, t.dtype, t.shape, digest_tensor(t)) for t in tensors)


def digest_tensor(tensor: Tensor) -> str:
    """SHA-256 of the length of a header, the header, and the elements."""
    header = canonical_json({"dtype": tensor.dtype, "name": tensor.name, "shape": list(tensor.shape)})
    state = hashlib.sha256(b"probe-match/tensor/1\0" + len(header).to_bytes(8, "little") + header)
    for at in range(0, tensor.data.nbytes, PIECE):
        state.update(tensor.data[at : at + PIECE])

    return state.hexdigest()


def assemble(found: Iterable[Digested]) -> Digests:
    """Layers and root over the tensors' digests."""
    tensors = sorted(found, key=lambda t: (_layer(t.name), t.name))
    layers = []
    for name, members in groupby(tensors, key=lambda t: _layer(t.name)):
        leaves = [bytes.fromhex(t.digest) for t in members]
        layers.append((name, merkle_root([len(name.encode()).to_bytes(8, "little") + name.encode(), *leaves]).hex()))

    return Digests(
        tuple(sorted(tensors, key=lambda t: t.name)),
        tuple(layers),
        merkle_root([bytes.fromhex(layer) for _, layer in layers]).hex(),
    )


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, §2.1: leaves and nodes are hashed with different first bytes, so that none stands for the other."""
    level = [hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(level) > 1:  # pairing from the left, the odd one passed up, gives the tree of the RFC
        pairs = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(level) - len(level) % 2 :]

    return level[0] if level else hashlib.sha256().digest()


def changed(old: Digests, new: Digests) -> dict[str, list[str]]:
    """Names of the layers that differ, each with its tensors that were changed, added (+) or removed (-)."""
    before = {t.name: t.digest for t in old.tensors}
    after = {t.name: t.digest for t in new.tensors}
    found: dict[str, list[str]] = {}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            sign = "-" if name not in after else "+" if name not in before else ""
            found.setdefault(_layer(name), []).append(sign + name)

    return found


def from_json(value: Any, where: str) -> Digests:
    """What `to_json` gave; its layers and root are computed again, and must be the same."""
    try:
        formats.require(value["schema"], SCHEMA, where)
        tensors = [
            Digested(t["name"], t["dtype"], tuple(t["shape"]), bytes.fromhex(t["digest"].removeprefix("sha256:")).hex())
            for t in value["tensors"]
        ]
        found = assemble(tensors)
        if f"sha256:{found.root}" != value["root"]:
            raise BadData(f"the root in {where} is not that of its tensors; the file was altered")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData(f"{where} is not what 'probe-match weights hash --json' writes") from error

    return found


def _layer(name: str) -> str:
    return name.rpartition(".")[0] or name
