"""`probe-match weights`: digests, signatures and marks of a model whose weights are at hand."""

import importlib
import json
import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

from . import _marks
from ._options import Option
from ._printing import json_option, printable

if TYPE_CHECKING:
    from probe_match.fingerprinting.weights.digests import Digests

external_option: Option = click.option(
    "--external-data", is_flag=True, help="Let an ONNX file refer to files in its own folder."
)


@click.group()
def weights() -> None:
    """
    Digest, sign, verify and mark a model's weights. Nothing in the files is run.

    \b
    Examples:
      probe-match weights hash model.safetensors --json
      probe-match weights verify model.safetensors --against weights.json
    """


weights.add_command(_marks.embed)
weights.add_command(_marks.check)


@weights.command("hash")
@click.argument("model")
@external_option
@json_option
def hash_weights(model: str, external_data: bool, as_json: bool) -> None:
    """
    Digest each tensor, each layer and the whole, whatever the order, sharding, metadata or format.

    MODEL is a .safetensors, .onnx, .pt, .pt2 or .skops file, a folder of shards, or their index.json.

    \b
    Examples:
      probe-match weights hash model.safetensors
      probe-match weights hash shards/ --json > weights.json
    """
    found = _digests(model, external_data)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1))
        return
    click.echo(f"sha256:{found.root}  {printable(model)}")
    for name, digest in found.layers:
        click.echo(f"  {digest[:16]}  {printable(name)}")


@weights.command("sign")
@click.argument("model")
@click.option(
    "--key",
    envvar="PROBE_MATCH_SIGNING_KEY",
    show_envvar=True,
    required=True,
    metavar="FILE",
    help="Private key in PEM: Ed25519, or P-256, P-384 or P-521 for OpenSSF Model Signing.",
)
@click.option("--output", "-o", required=True, metavar="FILE", help="Where to write the signature.")
@external_option
def sign_weights(model: str, key: str, output: str, external_data: bool) -> None:
    """
    Sign a model's tensors and files. The passphrase of the key is read from PROBE_MATCH_SIGNING_PASSPHRASE.

    \b
    Example:
      probe-match weights sign model.safetensors --key owner.pem -o model.sig
    """
    from probe_match.fingerprinting import storage

    signing = needing("signing")
    private = signing.private_key(Path(key), os.environ.get("PROBE_MATCH_SIGNING_PASSPHRASE"))
    found = _digests(model, external_data)
    storage.write_file(Path(output), signing.sign(Path(model), found, private, output=Path(output)))
    click.echo(f"signed sha256:{found.root} with key {signing.fingerprint(private.public_key())[:16]}: {output}")


@weights.command("verify")
@click.argument("model")
@click.option("--against", metavar="FILE", help="What 'weights hash --json' printed, or another model.")
@click.option("--signature", metavar="FILE", help="What 'weights sign' or model-signing wrote; needs --key.")
@click.option("--key", metavar="FILE", help="Public key in PEM of who signed.")
@click.option("--files", is_flag=True, help="Demand that all signed files are the same too, not only the tensors.")
@external_option
@json_option
@click.pass_context
def verify_weights(
    ctx: click.Context,
    model: str,
    against: str | None,
    signature: str | None,
    key: str | None,
    files: bool,
    external_data: bool,
    as_json: bool,
) -> None:
    """
    Say whether weights are unchanged, and which layers are not. Exit code 0 unchanged, 1 changed or not signed so.

    \b
    Examples:
      probe-match weights verify model.safetensors --against weights.json
      probe-match weights verify model.safetensors --signature model.sig --key owner.pub
    """
    if (against is None) == (signature is None) or (signature is None) != (key is None):
        raise click.UsageError("expected --against FILE, or --signature FILE with --key FILE")
    if signature is not None and key is not None:
        by, layers = _verify_signature(model, signature, key, files, external_data)
    else:
        from probe_match.fingerprinting.weights import digests

        by, layers = "", digests.changed(_known(str(against), external_data), _digests(model, external_data))
    unchanged = not layers
    if as_json:
        shown = {"schema": "probe-match/weights-check/1", "unchanged": unchanged, "changed": layers, "signed": by}
        click.echo(json.dumps(shown, indent=1))
    else:
        for layer, names in layers.items():
            click.echo(f"changed: {printable(layer)} ({printable(', '.join(names))})")
        click.echo(("unchanged" if unchanged else f"changed: {len(layers)} places") + (f"; {by}" if by else ""))
    ctx.exit(0 if unchanged else 1)


def _verify_signature(
    model: str, signature: str, key: str, files: bool, external_data: bool
) -> tuple[str, dict[str, list[str]]]:
    """Who signed, and what differs. Files count where asked, or where nothing else was signed."""
    from probe_match.fingerprinting import storage
    from probe_match.fingerprinting.weights import digests

    signing = needing("signing")
    public = signing.public_key(Path(key))
    found = signing.open_bundle(storage.read_file(Path(signature), "signature"), public, signature)
    if found is None:
        return "", {"signature": [f"{signature} was not made with the key {key}"]}
    now = signing.file_digests(Path(model), found.ignored)
    other = [name for name in sorted(now.keys() | found.files.keys()) if now.get(name) != found.files.get(name)]
    by = f"signed with key {signing.fingerprint(public)[:16]}, "
    if found.digests is None:
        return f"{by}file by file", {name: [name] for name in other}
    differ = digests.changed(found.digests, _digests(model, external_data))
    if files and other:
        differ["files"] = other

    return by + ("tensor by tensor" + (f"; files differ: {printable(', '.join(other)[:200])}" if other else "")), differ


def _digests(model: str, external_data: bool) -> "Digests":
    from probe_match.fingerprinting.weights import digests, reading

    return digests.digest(reading.read(Path(model), external_data=external_data))


def _known(path: str, external_data: bool) -> "Digests":
    from probe_match.fingerprinting.weights import digests, reading, safetensors_file
    from probe_match.fingerprinting.weights.tensors import map_file

    if not path.endswith(".json") or path.endswith(".index.json"):
        return _digests(path, external_data)
    data = map_file(Path(path))
    if len(data) > reading.MAX_INDEX:
        raise click.UsageError(f"{path} has {len(data) >> 20} MiB; at most {reading.MAX_INDEX >> 20} are read")

    return digests.from_json(safetensors_file.parse(bytes(data), path), path)


def needing(name: str) -> ModuleType:
    """A module of the library that needs an optional package; without it, one line that says how to get it."""
    from probe_match.fingerprinting import registry
    from probe_match.fingerprinting.errors import MissingPackage

    try:
        return importlib.import_module(f"probe_match.fingerprinting.weights.{name}")
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in registry.EXTRAS:
            raise
        extra = registry.EXTRAS[package]
        raise MissingPackage(f"weights needs {package}: pip install 'probe-match[{extra}]'") from error
