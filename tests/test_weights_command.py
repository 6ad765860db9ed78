"""`weights hash · sign · verify`: what is signed is verified, here and by model-signing, until a tensor changes."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.errors import ProbeMatchError

KEYS = {"ed25519": ed25519.Ed25519PrivateKey.generate(), "p256": ec.generate_private_key(ec.SECP256R1())}


def run(*words: object, **environment: str) -> Result:
    return CliRunner().invoke(cli, ["weights", *map(str, words)], env=environment)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    safetensors.numpy.save_file(tensors(), folder / "a.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


def tensors() -> dict[str, np.ndarray]:
    return {f"layer{i}.weight": np.full((2, 3), i, np.float32) for i in range(4)}


@pytest.fixture(params=KEYS)
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path, KEYS[request.param])


def write_keys(folder: Path, key: Any, passphrase: bytes | None = None) -> tuple[Path, Path]:
    hidden = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    pem, kind = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, hidden))
    (folder / "key.pub").write_bytes(key.public_key().public_bytes(pem, kind))
    return folder / "key.pem", folder / "key.pub"


def test_hash_prints_the_promised_json(model: Path) -> None:
    """The root, and each tensor's name and digest."""
    shown = json.loads(run("hash", model, "--json").output)

    assert shown["schema"] == "probe-match/weights/1"
    assert shown["root"].startswith("sha256:")
    assert [t["name"] for t in shown["tensors"]] == [f"layer{i}.weight" for i in range(4)]
    assert all(len(t["digest"]) == 71 for t in shown["tensors"])


def test_a_changed_layer_is_named(model: Path, tmp_path: Path) -> None:
    """Exit code 0 for the same weights in other files, 1 with the layer's name for other weights."""
    (tmp_path / "weights.json").write_text(run("hash", model, "--json").output)
    other = tensors()
    safetensors.numpy.save_file(dict(reversed(other.items())), tmp_path / "same.safetensors", {"a": "b"})
    other["layer2.weight"][1, 1] = np.nextafter(np.float32(2), np.float32(3))
    safetensors.numpy.save_file(other, tmp_path / "other.safetensors")
    same = run("verify", tmp_path / "same.safetensors", "--against", tmp_path / "weights.json")
    changed = run("verify", tmp_path / "other.safetensors", "--against", model, "--json")

    assert (same.exit_code, same.output) == (0, "unchanged\n")
    assert changed.exit_code == 1
    assert json.loads(changed.output)["changed"] == {"layer2": ["layer2.weight"]}


def test_altered_digests_are_refused(model: Path, tmp_path: Path) -> None:
    """A list of digests whose root is not its own says nothing."""
    shown = json.loads(run("hash", model, "--json").output)
    shown["tensors"][0]["digest"] = shown["tensors"][1]["digest"]
    (tmp_path / "weights.json").write_text(json.dumps(shown))
    done = run("verify", model, "--against", tmp_path / "weights.json")

    assert isinstance(done.exception, ProbeMatchError)
    assert "altered" in str(done.exception)


def test_a_signature_survives_saving_anew_and_names_what_changed(
    model: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """Re-sharded weights are still the signed ones; their files are not; a changed tensor is named."""
    private, public = keys
    assert run("sign", model, "-o", tmp_path / "m.sig", PROBE_MATCH_SIGNING_KEY=str(private)).exit_code == 0
    verify = ("verify", model, "--signature", tmp_path / "m.sig", "--key", public)
    first = run(*verify, "--files")
    (model / "a.safetensors").unlink()
    for name, tensor in tensors().items():
        safetensors.numpy.save_file({name: tensor}, model / f"{name}.safetensors")
    again, strict = run(*verify), run(*verify, "--files")
    safetensors.numpy.save_file({"layer1.weight": np.zeros((2, 3), np.float32)}, model / "layer1.weight.safetensors")
    changed = run(*verify)

    assert (first.exit_code, again.exit_code, strict.exit_code, changed.exit_code) == (0, 0, 1, 1)
    assert "files differ: a.safetensors" in again.output
    assert "changed: layer1 (layer1.weight)" in changed.output


def test_another_key_or_payload_is_no_signature(model: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    """Exit code 1 where one byte of what was signed changed, or another key is asked for."""
    private, public = keys
    run("sign", model, "--key", private, "-o", tmp_path / "m.sig")
    bundle = json.loads((tmp_path / "m.sig").read_text())
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"]).replace(b"layer1", b"layer9")
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    (tmp_path / "forged.sig").write_text(json.dumps(bundle))
    forged = run("verify", model, "--signature", tmp_path / "forged.sig", "--key", public)
    _, stranger = write_keys(tmp_path, ed25519.Ed25519PrivateKey.generate())
    foreign = run("verify", model, "--signature", tmp_path / "m.sig", "--key", stranger)

    assert (forged.exit_code, foreign.exit_code) == (1, 1)
    assert "unchanged" not in forged.output + foreign.output


def test_the_passphrase_comes_from_the_environment_alone(model: Path, tmp_path: Path) -> None:
    """Without it, one line says where it is looked for, and shows nothing of the key."""
    private, _ = write_keys(tmp_path, KEYS["ed25519"], b"open sesame")
    sign = ("sign", model, "--key", private, "-o", tmp_path / "m.sig")
    closed = run(*sign)

    assert "PROBE_MATCH_SIGNING_PASSPHRASE" in str(closed.exception)
    assert run(*sign, PROBE_MATCH_SIGNING_PASSPHRASE="open sesame").exit_code == 0


def test_model_signing_verifies_our_signatures(model: Path, tmp_path: Path) -> None:
    """The library of OpenSSF accepts what we signed with an elliptic-curve key, and refuses it for a changed model."""
    verifying = pytest.importorskip("model_signing.verifying")
    private, public = write_keys(tmp_path, KEYS["p256"])
    assert run("sign", model, "--key", private, "-o", model / "model.sig").exit_code == 0
    config = verifying.Config().use_elliptic_key_verifier(public_key=public)

    config.verify(model, model / "model.sig")
    (model / "config.json").write_text("{ }")
    with pytest.raises(ValueError, match="Hash mismatch"):
        config.verify(model, model / "model.sig")


def test_we_verify_signatures_of_model_signing(model: Path, tmp_path: Path) -> None:
    """What that library signed is verified file by file."""
    signing = pytest.importorskip("model_signing.signing")
    private, public = write_keys(tmp_path, KEYS["p256"])
    signing.Config().use_elliptic_key_signer(private_key=private).sign(model, tmp_path / "theirs.sig")
    verify = ("verify", model, "--signature", tmp_path / "theirs.sig", "--key", public)
    first = run(*verify)
    (model / "config.json").write_text("{ }")
    changed = run(*verify)

    assert first.exit_code == 0, first.output
    assert (changed.exit_code, "config.json" in changed.output) == (1, True)


def test_model_signing_verifies_a_model_of_one_file(tmp_path: Path) -> None:
    """A single file, and a signature that lies elsewhere."""
    verifying = pytest.importorskip("model_signing.verifying")
    safetensors.numpy.save_file(tensors(), tmp_path / "m.safetensors")
    private, public = write_keys(tmp_path, KEYS["p256"])
    assert run("sign", tmp_path / "m.safetensors", "--key", private, "-o", tmp_path / "m.sig").exit_code == 0

    verifying.Config().use_elliptic_key_verifier(public_key=public).verify(
        tmp_path / "m.safetensors", tmp_path / "m.sig"
    )


def test_without_the_extra_one_line_says_how_to_get_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests need nothing; signatures name the extra they need."""
    monkeypatch.delitem(sys.modules, "probe_match.fingerprinting.weights.signing", raising=False)
    for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    done = run("sign", model, "--key", "key.pem", "-o", "m.sig")

    assert str(done.exception) == "weights needs cryptography: pip install 'probe-match[evidence]'"
    assert run("hash", model).exit_code == 0
