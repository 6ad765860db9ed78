"""
Files made to harm who reads them: attacks of each kind, and random mutants of good files, read under limits.

    python -m benchmarks.weights_mutants FOLDER --count 20000 --seed 0

Reads in a process that watches itself: an audit hook counts code that is run and files that are opened, the kernel
bounds its memory. Prints JSON.
"""

import argparse
import io
import json
import resource
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.weights import digests, reading

Attack = Callable[[Path, Path], Path]


def pickle_in_pt(folder: Path, canary: Path) -> Path:
    """A state dict whose pickle opens a file for writing."""
    return _archive(folder / "m.pt", {"m/data.pkl": _program(canary), "m/version": b"3\n"})


def pickle_as_joblib(folder: Path, canary: Path) -> Path:
    """A plain pickle."""
    path = folder / "m.joblib"
    path.write_bytes(_program(canary))
    return path


def pickle_in_npy(folder: Path, canary: Path) -> Path:
    """A skops archive with an array of objects."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    return _skops(folder, file.getvalue() + _program(canary))


def pickled_tensor_in_pt2(folder: Path, canary: Path) -> Path:
    """An exported program that keeps a weight as a pickle."""
    entry = {"path_name": "weight_0", "use_pickle": True, "tensor_meta": None}
    config = json.dumps({"config": {"w": entry}}).encode()
    members = {"m/data/weights/model_weights_config.json": config, "m/data/weights/weight_0": _program(canary)}
    return _archive(folder / "m.pt2", members)


def zip_slip(folder: Path, canary: Path) -> Path:
    """A skops archive whose schema points out of it."""
    (folder / "outside.npy").write_bytes(_npy(4))
    schema = json.dumps({"__class__": "ndarray", "type": "numpy", "file": "../outside.npy"}).encode()
    return _archive(folder / "m.skops", {"schema.json": schema})


def zip_bomb(folder: Path, canary: Path) -> Path:
    """A skops archive of 200 kB with an array of 200 MB."""
    return _skops(folder, _npy(200 << 20), zipfile.ZIP_DEFLATED)


def zip_of_many_names(folder: Path, canary: Path) -> Path:
    """The same member twice: two readers see two models."""
    path = folder / "m.skops"
    schema = json.dumps({"type": "numpy", "file": "a.npy"})
    with zipfile.ZipFile(path, "w") as archive, _quiet():
        for text in (schema, schema, "{}"):
            archive.writestr("schema.json", text)
        archive.writestr("a.npy", _npy(4))
    return path


def bomb_that_lies(folder: Path, canary: Path) -> Path:
    """A packed member that says it is small."""
    path = _skops(folder, _npy(50 << 20), zipfile.ZIP_DEFLATED)
    real = struct.pack("<L", len(_npy(50 << 20)))
    path.write_bytes(path.read_bytes().replace(real, struct.pack("<L", 1000)))
    return path


def giant_header(folder: Path, canary: Path) -> Path:
    """Safetensors that promise a header of an exabyte."""
    return _safetensors(folder, b"{}", 1 << 60)


def long_header(folder: Path, canary: Path) -> Path:
    """Safetensors whose header really has 100 MB."""
    return _safetensors(folder, b"{" + b" " * (100 << 20) + b"}")


def header_of_brackets(folder: Path, canary: Path) -> Path:
    """A header of empty lists, each of which takes twenty times its text."""
    return _safetensors(folder, b'{"a":[' + b"[]," * (5 << 20) + b"[]]}")


def deep_header(folder: Path, canary: Path) -> Path:
    """A header that nests without end."""
    return _safetensors(folder, b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


def overlapping_tensors(folder: Path, canary: Path) -> Path:
    """Two tensors in the same bytes."""
    entry = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}
    return _safetensors(folder, json.dumps({"a": entry, "b": entry}).encode(), tail=bytes(4))


def repeated_name(folder: Path, canary: Path) -> Path:
    """One name for two tensors."""
    text = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}'
    return _safetensors(folder, text, tail=bytes(2))


def impossible_shape(folder: Path, canary: Path) -> Path:
    """A shape whose product wraps around to nothing in 64 bits."""
    entry = {"dtype": "U8", "shape": [1 << 32, 1 << 32], "data_offsets": [0, 0]}
    return _safetensors(folder, json.dumps({"a": entry}).encode())


def trailing_bytes(folder: Path, canary: Path) -> Path:
    """A second file behind the last tensor."""
    return _safetensors(folder, b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', tail=b"xPK\3\4")


def shard_outside(folder: Path, canary: Path) -> Path:
    """An index that names a file elsewhere."""
    safe = folder / "elsewhere"
    safe.mkdir()
    _safetensors(safe, b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', tail=b"x")
    inner = folder / "model"
    inner.mkdir()
    path = inner / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a": "../elsewhere/m.safetensors"}}))
    return path


def shard_linked_outside(folder: Path, canary: Path) -> Path:
    """A shard that is a link to a file elsewhere."""
    path = shard_outside(folder, canary).parent
    (path / "model.safetensors.index.json").unlink()
    (path / "m.safetensors").symlink_to(folder / "elsewhere" / "m.safetensors")
    return path


def onnx_outside(folder: Path, canary: Path) -> Path:
    """A tensor that lies in a file of the system."""
    key = b"\x0a\x08location\x12\x0b/etc/passwd"
    tensor = b"\x08\x04\x10\x02\x42\x01w\x70\x01" + b"\x6a" + bytes([len(key)]) + key
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    path = folder / "m.onnx"
    path.write_bytes(b"\x08\x08\x3a" + bytes([len(graph)]) + graph)
    return path


def expanded_tensor(folder: Path, canary: Path) -> Path:
    """A state dict with one number that is repeated 10^12 times by strides of nothing."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ"
    huge = b"J\x40\x42\x0f\x00"
    shape = b"(" + huge * 2 + b"tq\x00(K\x00K\x00tq\x01"
    text = (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + shape
        + b"\x89ccollections\nOrderedDict\n)RtRs."
    )  # fmt: skip
    return _archive(folder / "m.pt", {"m/data.pkl": text, "m/data/0": bytes(4)})


def long_pickle(folder: Path, canary: Path) -> Path:
    """Sixteen million empty lists, a byte each."""
    return _archive(folder / "m.pt", {"m/data.pkl": b"\x80\x02" + b"]" * (15 << 20) + b"."})


def many_attributes(folder: Path, canary: Path) -> Path:
    """An ONNX node with a hundred thousand attributes and no tensor, which invites quadratic work."""
    node = b"\x2a\x03\x0a\x01a" * 100_000
    size = _varint(len(node))
    graph = b"\x0a" + size + node
    path = folder / "m.onnx"
    path.write_bytes(b"\x3a" + _varint(len(graph)) + graph)
    return path


def _varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found, value = found + bytes([value & 127 | 128]), value >> 7
    return found + bytes([value])


ATTACKS: list[Attack] = [
    pickle_in_pt, pickle_as_joblib, pickle_in_npy, pickled_tensor_in_pt2, zip_slip, zip_bomb, zip_of_many_names,
    bomb_that_lies, giant_header, long_header, header_of_brackets, deep_header, overlapping_tensors, repeated_name,
    impossible_shape, trailing_bytes, shard_outside, shard_linked_outside, onnx_outside, expanded_tensor,
    long_pickle, many_attributes,
]  # fmt: skip


def _program(canary: Path) -> bytes:
    """A pickle that, if run, makes a file."""
    name = str(canary).encode()
    return b"\x80\x02cio\nopen\n(X" + struct.pack("<L", len(name)) + name + b"X\x01\x00\x00\x00wtR."


def _npy(size: int) -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(size, np.uint8))
    return file.getvalue()


def _skops(folder: Path, array: bytes, packed: int = zipfile.ZIP_STORED) -> Path:
    schema = json.dumps({"__class__": "ndarray", "type": "numpy", "file": "a.npy"}).encode()
    return _archive(folder / "m.skops", {"schema.json": schema, "a.npy": array}, packed)


def _archive(path: Path, members: dict[str, bytes], packed: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", packed) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def _safetensors(folder: Path, header: bytes, length: int | None = None, tail: bytes = b"") -> Path:
    path = folder / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + tail)
    return path


def _quiet() -> Any:
    import warnings

    return warnings.catch_warnings(action="ignore") if sys.version_info >= (3, 11) else warnings.catch_warnings()


def seeds(folder: Path) -> list[Path]:
    """One small good file of each format; made by another process, since torch alone takes more than the limit."""
    return sorted(p for p in folder.glob("good.*"))


def make_seeds(folder: Path) -> None:
    """Write the good files that mutants are made from."""
    import onnx.external_data_helper
    import onnx.helper
    import onnx.numpy_helper
    import safetensors.numpy
    import skops.io
    import torch
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(0)
    x = rng.random((40, 3)).astype(np.float32)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)).eval()
    state = net.state_dict()
    safetensors.numpy.save_file({n: t.numpy() for n, t in state.items()}, folder / "good.safetensors")
    torch.save(state, folder / "good.pt")
    torch.export.save(torch.export.export(net, (torch.zeros(2, 3),)), folder / "good.pt2")
    tree = DecisionTreeClassifier(max_depth=3).fit(x, x[:, 0] > 0.5)
    skops.io.dump(tree, folder / "good.skops", compression=zipfile.ZIP_DEFLATED)
    outside = onnx.helper.make_tensor("v", onnx.TensorProto.FLOAT, [2], [1.0, 2.0])
    inputs = [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 40])]
    outputs = [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3])]
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"], alpha=[0.5, 1.5], kind=[1, 2])
    held = [onnx.numpy_helper.from_array(x, "w"), outside]
    graph = onnx.helper.make_graph([node], "g", inputs, outputs, held)
    model = onnx.helper.make_model(graph)
    (folder / "weights.bin").write_bytes(x.tobytes())
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "weights.bin")
    model.graph.initializer[0].ClearField("raw_data")
    (folder / "good.onnx").write_bytes(model.SerializeToString())


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One to eight changes: flipped bits, extreme numbers, cuts, copies and insertions."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        at = int(rng.integers(len(found))) if found else 0
        kind = int(rng.integers(7))
        if not found or kind == 0:
            found[at:at] = rng.bytes(int(rng.integers(1, 16)))
        elif kind == 1:
            found[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            found[at : at + 4] = (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f")[int(rng.integers(3))]
        elif kind == 3 and rng.random() < 0.2:
            del found[at:]
        elif kind == 4:
            del found[at : at + int(rng.integers(1, 32))]
        elif kind == 5:
            start = int(rng.integers(len(found)))
            found[at:at] = found[start : start + int(rng.integers(1, 64))]
        else:
            found[at] = int(rng.integers(256))

    return bytes(found)


def watch(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Read mutants of the good files in turn, and say what happened."""
    goods = seeds(folder)
    seen = {"executions": 0, "reads_outside": 0}
    inside = str(folder.resolve())

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not watching:
            return
        if event in ("exec", "compile", "os.system", "subprocess.Popen", "pickle.find_class", "import", "os.exec"):
            if event == "import" or (event == "compile" and arguments[1] == "<unknown>"):
                return  # ast.literal_eval parses the header of an array; nothing is run
            seen["executions"] += 1
            sys.stderr.write(f"{event} {arguments}\n")
        elif event == "open" and not str(arguments[0]).startswith(inside):
            seen["reads_outside"] += 1
            sys.stderr.write(f"{event} {arguments}\n")

    watching = False
    sys.addaudithook(hook)
    for good in goods:
        digests.digest(reading.read(good, external_data=True))  # what has to be imported is, before anything is watched
    resource.setrlimit(resource.RLIMIT_DATA, (768 << 20, 768 << 20))
    refused = crashes = 0
    slowest = 0.0
    kinds: dict[str, int] = {}
    for i in range(count):
        good = goods[i % len(goods)]
        path = folder / f"mutant{good.suffix}"
        path.write_bytes(mutate(good.read_bytes(), np.random.default_rng([seed, i])))
        watching, start = True, time.perf_counter()
        try:
            digests.digest(reading.read(path, external_data=True))
        except BadData:
            refused += 1
            kinds[good.suffix] = kinds.get(good.suffix, 0) + 1
        except Exception as error:  # noqa: BLE001 - that is what is counted
            crashes += 1
            sys.stderr.write(f"{good.suffix} {i}: {error!r}\n")
        watching = False
        slowest = max(slowest, time.perf_counter() - start)
    # Not ru_maxrss: a process inherits that from the one it was forked from.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(status.partition("VmHWM:")[2].split()[0]) >> 10

    return seen | {
        "mutants": count, "seed": seed, "refused": refused, "refused_by_format": kinds, "crashes": crashes,
        "slowest_seconds": round(slowest, 4), "peak_mib": peak,
    }  # fmt: skip


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--make", action="store_true", help="write the good files, and stop")
    options = parser.parse_args()
    if options.make:
        make_seeds(options.folder)
        return
    if not seeds(options.folder):
        import subprocess

        subprocess.run([sys.executable, "-m", "benchmarks.weights_mutants", options.folder, "--make"], check=True)
    print(json.dumps(watch(options.folder, options.count, options.seed)))


if __name__ == "__main__":
    main()
