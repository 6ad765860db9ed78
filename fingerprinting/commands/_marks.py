"""`probe-match weights embed` and `check`: an owner's mark goes into a model's weights and is read back."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._printing import json_option, printable

if TYPE_CHECKING:
    from probe_match.fingerprinting.weights.marks import Mark

KEY = "PROBE_MATCH_OWNER_KEY"


@click.command("embed")
@click.argument("model")
@click.option("--output", "-o", required=True, metavar="FILE", help="Where to write the marked .safetensors file.")
@click.option("--record", required=True, metavar="FILE", help="Where to write the mark's public record, for 'check'.")
@click.option(
    "--way",
    type=click.Choice(["spread", "regulariser", "passport"]),
    default="spread",
    show_default=True,
    help="After training, during training, or by a component of its own.",
)
@click.option("--strength", type=click.FloatRange(0.1, 10), help="Of 'spread'; larger survives more.  [default: 0.7]")
@click.option("--module", metavar="PACKAGE.MODULE:NAME", help="Function of yours that builds the torch module.")
@click.option("--data", metavar="FILE", help=".npz with x and y to train on.")
@click.option("--layer", "layers", multiple=True, metavar="NAME", help="Layer to mark; may be repeated.")
@click.option("--epochs", type=click.IntRange(1, 1000), default=20, show_default=True, help="To train for.")
@click.option("--seed", type=int, default=0, show_default=True, help="Order in which training sees the rows.")
def embed(
    model: str,
    output: str,
    record: str,
    way: str,
    strength: float | None,
    module: str | None,
    data: str | None,
    layers: tuple[str, ...],
    epochs: int,
    seed: int,
) -> None:
    """
    Put 256 bits that only your key gives into a model's weights. The key is read from PROBE_MATCH_OWNER_KEY.

    'spread' changes a trained model; 'regulariser' and 'passport' train it, and need --module and --data.

    \b
    Example:
      probe-match weights embed model.safetensors -o marked.safetensors --record mark.json
      probe-match weights embed a.safetensors -o b.safetensors --record r.json --way passport --module m:f --data d.npz
    """
    from probe_match.fingerprinting import storage

    key = _owner_key()
    if Path(model).suffix != ".safetensors" or Path(output).suffix != ".safetensors":
        raise click.UsageError("expected .safetensors files to mark and to write; save the model's weights as one")
    if way == "spread":
        if module or data or layers:
            raise click.UsageError("--module, --data and --layer are for --way regulariser and passport")
        mark, written = _spread(model, key, strength)
    else:
        if not module or not data:
            raise click.UsageError(f"--way {way} trains the model: expected --module and --data")
        mark, written = _train(model, key, way, module, data, layers, epochs, seed)
    _require_readable(written, mark, key, output)
    storage.write_file(Path(output), written)
    storage.write_file(Path(record), json.dumps(mark.to_json(), indent=1).encode())
    click.echo(f"marked {printable(output)} ({way}, 256 bits); record: {printable(record)}")


@click.command("check")
@click.argument("model")
@click.option("--record", required=True, metavar="FILE", help="The mark's record, as 'embed' wrote it.")
@json_option
@click.pass_context
def check(ctx: click.Context, model: str, record: str, as_json: bool) -> None:
    """
    Read a mark back: how many of 256 bits are the owner's, and how probable that is by chance.

    The key is read from PROBE_MATCH_OWNER_KEY. Exit code 0 where the mark is present, 1 where not.

    \b
    Example:
      probe-match weights check suspect.safetensors --record mark.json
    """
    from probe_match.fingerprinting.weights import reading, safetensors_file
    from probe_match.fingerprinting.weights.tensors import map_file

    from .weights import needing

    marks, checking = needing("marks"), needing("checking")
    key = _owner_key()
    mark = marks.from_json(safetensors_file.parse(bytes(map_file(Path(record))), record), record)
    found = checking.check(checking.to_arrays(reading.read(Path(model))), mark, key)
    share = found.errors / marks.BITS
    if as_json:
        shown = {
            "schema": "probe-match/mark-check/1", "way": mark.way, "bits": marks.BITS, "wrong": found.errors,
            "bit_error": share, "p_value": found.p_value, "present": found.present,
        }  # fmt: skip
        click.echo(json.dumps(shown, indent=1))
    else:
        said = "present" if found.present else "not found"
        click.echo(f"mark {said}: {found.errors} of {marks.BITS} bits wrong ({share:.1%}), p = {found.p_value:.2g}")
    ctx.exit(0 if found.present else 1)


def _require_readable(written: bytes, mark: "Mark", key: str, output: str) -> None:
    """A mark that is not whole at home will not be abroad."""
    from probe_match.fingerprinting.errors import BadData

    from .weights import needing

    checking, safetensors_file = needing("checking"), needing("safetensors_file")
    arrays = checking.to_arrays(safetensors_file.read(memoryview(written), output))
    if errors := checking.check(arrays, mark, key).errors:
        raise BadData(
            f"{errors} bits of the mark are wrong after embedding; train for more --epochs, or mark more layers"
        )


def _owner_key() -> str:
    key = os.environ.get(KEY, "")
    if not key:
        raise click.UsageError(f"expected the owner's key in the environment variable {KEY}; openssl rand -hex 32")
    return key


def _spread(model: str, key: str, strength: float | None) -> "tuple[Mark, bytes]":
    from probe_match.fingerprinting.weights import reading
    from probe_match.fingerprinting.weights.tensors import map_file

    from .weights import needing

    checking, spread, rewriting = needing("checking"), needing("spread"), needing("rewriting")
    arrays = checking.to_arrays(reading.read(Path(model)))
    mark = spread.choose(arrays)
    marked = spread.embed(arrays, mark, key, spread.STRENGTH if strength is None else strength)
    changed = {name: marked[name] for name, _ in mark.tensors}

    return mark, rewriting.rewrite(map_file(Path(model)), changed, model)


def _train(
    model: str, key: str, way: str, module: str, data: str, layers: tuple[str, ...], epochs: int, seed: int
) -> "tuple[Mark, bytes]":
    import numpy as np
    from probe_match.fingerprinting import storage
    from probe_match.fingerprinting.errors import BadData, UsageError

    from .weights import needing

    training, regulariser, passport = needing("training"), needing("regulariser"), needing("passport")
    import safetensors.torch

    rows = storage.read_npz(storage.read_file(Path(data), "data"), data)
    if rows.keys() < {"x", "y"} or len(rows["x"]) != len(rows["y"]):
        raise BadData(f"expected arrays x and y of the same length in {data}, got {', '.join(rows) or 'none'}")
    built = _build(module)()
    try:
        built.load_state_dict(safetensors.torch.load_file(model))
    except RuntimeError as error:
        raise UsageError(f"{model} does not fit what {module} builds: {str(error)[:200]}") from error
    if way == "passport":
        mark = passport.choose(built, layers)
        passport.install(built, mark, key)
        source = passport
    else:
        arrays = {n: p.detach().numpy() for n, p in built.named_parameters()}
        mark = regulariser.choose(arrays, f"{layers[0]}.weight" if layers else None)
        source = regulariser
    training.train(
        built, rows["x"].astype(np.float32), rows["y"].astype(np.int64), epochs=epochs, seed=seed,
        weight=training.WEIGHTS[way], penalty=lambda: source.penalty(built, mark, key),
    )  # fmt: skip

    return mark, safetensors.torch.save({name: tensor.contiguous() for name, tensor in built.state_dict().items()})


def _build(module: str) -> Callable[[], Any]:
    """A function of the user's own, which may lie in the current folder."""
    import importlib
    import sys

    from probe_match.fingerprinting.errors import UsageError

    name, _, function = module.removeprefix("function:").partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(name), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"no function '{printable(module)}'; expected PACKAGE.MODULE:NAME ({error})") from error
    if not callable(found):
        raise UsageError(f"{printable(module)} is no function; expected one that builds a torch module")

    return found
