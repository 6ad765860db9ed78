"""
Signatures over a model's weights, in the format of OpenSSF Model Signing 1.0: a sigstore bundle (v0.3) around a DSSE
envelope around an in-toto statement (https://github.com/sigstore/model-transparency).

The statement lists the digest of each file, as that format does, and in a field of its own, which other verifiers pass
over, the digests of the tensors: so it stays valid when the model is saved or sharded anew, and names the layer that
changed. Signed with an elliptic-curve key, the bundle is verified by `model-signing` too; Ed25519 is ours alone.
Needs cryptography.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from probe_match.fingerprinting.errors import BadData, UsageError
from probe_match.fingerprinting.evidence import dsse
from probe_match.fingerprinting.evidence.dsse import CURVES, PAYLOAD, PrivateKey, PublicKey

from . import digests
from .digests import Digests
from .safetensors_file import parse
from .tensors import map_file

BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://model_signing/signature/v1.0"
MAX_BUNDLE: Final = 64 << 20
MAX_FILES: Final = 100_000


@dataclass(frozen=True)
class Signed:
    """What a valid signature covers: tensors, unless another program signed; files as name -> SHA-256 in hex."""

    digests: Digests | None
    files: dict[str, str]
    ignored: tuple[str, ...]


def sign(path: Path, found: Digests, key: PrivateKey, *, output: Path | None = None) -> bytes:
    """A bundle over a model. path: its file or folder; output: where the bundle will lie, so not part of the model."""
    inside = output is not None and path.is_dir() and output.resolve().is_relative_to(path.resolve())
    names = (output.resolve().relative_to(path.resolve()).as_posix(),) if inside and output is not None else ()
    listed = file_digests(path, names)
    total = hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in listed.values())).hexdigest()
    described: dict[str, Any] = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
    if names:
        described["ignore_paths"] = list(names)
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": path.resolve().name, "digest": {"sha256": total}}],
        "predicateType": PREDICATE,
        "predicate": {
            "serialization": described,
            "resources": [{"name": n, "algorithm": "sha256", "digest": digest} for n, digest in listed.items()],
            "weights": found.to_json(),
        },
    }
    bundle = {
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": fingerprint(key.public_key())}, "tlogEntries": []},
        "dsseEnvelope": dsse.wrap(json.dumps(statement).encode(), key).to_json(),
    }
    return json.dumps(bundle).encode()


def open_bundle(data: bytes, key: PublicKey, where: str) -> Signed | None:
    """What a bundle covers; None where it was not signed with this key. Of no bundle at all, BadData."""
    if len(data) > MAX_BUNDLE:
        raise BadData(f"{where} has {len(data) >> 20} MiB; signatures of at most {MAX_BUNDLE >> 20} MiB are read")
    bundle = parse(data, where)
    try:
        envelope = dsse.unwrap(bundle["dsseEnvelope"])
        if bundle["mediaType"] != BUNDLE or envelope.kind != PAYLOAD:
            raise BadData(f"{where} is a bundle of another kind; expected {BUNDLE} with {PAYLOAD}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData(f"{where} is no sigstore bundle with one signature") from error
    if not envelope.fits(key):
        return None

    return _read_statement(parse(envelope.payload, where), where)


def _read_statement(statement: dict[str, Any], where: str) -> Signed:
    try:
        predicate = statement["predicate"]
        resources = predicate["resources"]
        if statement["_type"] != STATEMENT or statement["predicateType"] != PREDICATE:
            raise BadData(f"{where} signs a statement of another kind; expected {PREDICATE}")
        described = predicate["serialization"]
        if described["method"] != "files" or any(r["algorithm"] != "sha256" for r in resources):
            raise BadData(f"{where} lists its files in a way that is not read here; expected SHA-256 of whole files")
        listed = {r["name"]: bytes.fromhex(r["digest"]).hex() for r in resources}
        total = hashlib.sha256(b"".join(bytes.fromhex(r["digest"]) for r in resources)).hexdigest()
        (subject,) = statement["subject"]
        if subject["digest"]["sha256"] != total or len(listed) != len(resources):
            raise BadData(f"{where} contradicts itself: its files do not hash to its subject")
        ignored = tuple(str(name) for name in described.get("ignore_paths", ()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData(f"{where} signs no list of files as OpenSSF Model Signing writes it") from error
    ours = predicate.get("weights")

    return Signed(None if ours is None else digests.from_json(ours, where), listed, ignored)


def file_digests(path: Path, ignored: tuple[str, ...] = ()) -> dict[str, str]:
    """SHA-256 in hex of each file by its name in the model, sorted; a model of one file is named "."."""
    if not path.is_dir():
        return {".": _hash(path)}
    found = {}
    for file in sorted(path.rglob("*")):
        if file.is_symlink():
            raise BadData(
                f"{file} is a link; expected real files, so that what is signed lies inside the model's folder"
            )
        name = file.relative_to(path).as_posix()
        if file.is_file() and not any(name == other or name.startswith(f"{other}/") for other in ignored):
            found[name] = _hash(file)
        if len(found) > MAX_FILES:
            raise BadData(f"{path} holds more than {MAX_FILES} files; name the model's own folder")
    if not found:
        raise BadData(f"{path} holds no files; nothing to sign")

    return found


def _hash(file: Path) -> str:
    state = hashlib.sha256()
    if file.stat().st_size:
        data = map_file(file)
        for at in range(0, len(data), digests.PIECE):
            state.update(data[at : at + digests.PIECE])

    return state.hexdigest()


def private_key(path: Path, passphrase: str | None) -> PrivateKey:
    """A PEM file's key: Ed25519, or one of the curves in CURVES."""
    try:
        key = serialization.load_pem_private_key(bytes(map_file(path)), passphrase.encode() if passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # the cause could quote the file: it stays out
        raise UsageError(
            f"{path} is no private key in PEM that can be opened; "
            "the passphrase, if it has one, is read from PROBE_MATCH_SIGNING_PASSPHRASE"
        ) from error
    if isinstance(key, ed25519.Ed25519PrivateKey) or (
        isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in CURVES
    ):
        return key
    raise UsageError(f"{path} holds a key of another kind; expected Ed25519 or one of {', '.join(CURVES)}")


def public_key(path: Path) -> PublicKey:
    """The same for the public half."""
    try:
        key = serialization.load_pem_public_key(bytes(map_file(path)))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path} is no public key in PEM; make it with: openssl pkey -in KEY -pubout") from error
    if isinstance(key, ed25519.Ed25519PublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES
    ):
        return key
    raise UsageError(f"{path} holds a key of another kind; expected Ed25519 or one of {', '.join(CURVES)}")


def fingerprint(key: PublicKey) -> str:
    """SHA-256 of the public key's PEM, in hex, as the format hints at keys."""
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_bytes(serialization.Encoding.PEM, kind)).hexdigest()
