"""The tensors of a model's file or folder, by its suffix. Whatever the file says, nothing in it is run."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from probe_match.fingerprinting.errors import BadData

from . import onnx_file, safetensors_file, skops_file, torch_file
from .tensors import MAX_TENSORS, Tensor, map_file

READERS: Final[dict[str, Callable[[memoryview, str], Iterator[Tensor]]]] = {
    ".safetensors": safetensors_file.read,
    ".pt": torch_file.read,
    ".pth": torch_file.read,
    ".bin": torch_file.read,
    ".pt2": torch_file.read,
    ".skops": skops_file.read,
}
PICKLED: Final = (".pkl", ".pickle", ".joblib")
MAX_INDEX: Final = 32 << 20


def read(path: Path, *, external_data: bool = False) -> Iterator[Tensor]:
    """
    All tensors of a model. path: a file, a folder of safetensors shards, or their `index.json`.

    external_data: let an ONNX file refer to files in its own folder.
    """
    known: set[str] = set()
    for file in files(path):
        if file.suffix == ".onnx":
            found = onnx_file.read(map_file(file), file.name, file.parent if external_data else None)
        elif file.suffix in READERS:
            found = READERS[file.suffix](map_file(file), file.name)
        elif file.suffix in PICKLED:
            raise BadData(
                f"{file.name} is a pickle: a program that runs when loaded; save the model with skops instead"
            )
        else:
            raise BadData(f"{file.name} is of no known format; expected {', '.join([*READERS, '.onnx'])}")
        for tensor in found:
            if tensor.name in known or len(known) >= MAX_TENSORS:
                raise BadData(f"tensor '{tensor.name[:80]}' stands twice in {path.name}, or there are too many")
            known.add(tensor.name)
            yield tensor
    if not known:
        raise BadData(f"{path} holds no tensors; nothing to say about its weights")


def files(path: Path) -> list[Path]:
    """The files that hold a model's tensors."""
    if path.name.endswith(".index.json"):
        return _indexed(path)
    if not path.is_dir():
        return [path]
    indices = sorted(path.glob("*.safetensors.index.json"))
    if len(indices) == 1:
        return _indexed(indices[0])
    shards = sorted(path.glob("*.safetensors"))
    if not shards:
        raise BadData(f"{path} holds no .safetensors file; expected a model's shards, or name one file")
    return [_inside(path, shard.name) for shard in shards]


def _indexed(path: Path) -> list[Path]:
    data = map_file(path)
    if len(data) > MAX_INDEX:
        raise BadData(f"{path.name} has {len(data) >> 20} MiB; at most {MAX_INDEX >> 20} are read")
    mapped = safetensors_file.parse(bytes(data), path.name).get("weight_map")
    if not isinstance(mapped, dict) or not all(isinstance(name, str) for name in mapped.values()):
        raise BadData(f"{path.name} has no weight_map; expected which tensor lies in which file")
    return [_inside(path.parent, name) for name in sorted(set(mapped.values()))]


def _inside(folder: Path, name: str) -> Path:
    inside = folder.resolve()
    if "\0" in name or not (path := (inside / name).resolve()).is_relative_to(inside) or path.suffix != ".safetensors":
        raise BadData(f"shard '{name[:80]}' leads out of {folder}; expected .safetensors files of the same folder")
    return path
