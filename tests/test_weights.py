"""Digests of weights: the same however they are stored, and different wherever they differ."""

import hashlib
import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnx.external_data_helper
import onnx.helper
import onnx.numpy_helper
import pytest
import safetensors.numpy
import skops.io
import torch
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.weights import digests, reading
from sklearn.ensemble import RandomForestClassifier

from benchmarks import weights_mutants


def root(path: Path, *, external_data: bool = False) -> str:
    return digests.digest(reading.read(path, external_data=external_data)).root


def arrays(seed: int = 0, layers: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {}
    for i in range(layers):
        found[f"blocks.{i}.weight"] = rng.normal(size=(4, 3 + i)).astype(np.float32)
        found[f"blocks.{i}.bias"] = rng.normal(size=4).astype(np.float16)
    return found


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(144, 5)
    ).eval()


def test_the_digest_is_the_one_its_description_says(tmp_path: Path) -> None:
    """A tensor's digest can be computed by hand from the documentation."""
    safetensors.numpy.save_file({"a.w": np.array([1, 2], np.float32)}, tmp_path / "m.safetensors")
    header = b'{"dtype":"F32","name":"a.w","shape":[2]}'
    by_hand = hashlib.sha256(
        b"probe-match/tensor/1\0" + struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1, 2)
    )

    assert digests.digest(reading.read(tmp_path / "m.safetensors")).tensors[0].digest == by_hand.hexdigest()


def test_order_metadata_and_shards_do_not_count(tmp_path: Path) -> None:
    """A hundred ways to save the same tensors have one root."""
    found = arrays()
    safetensors.numpy.save_file(found, tmp_path / "m.safetensors")
    expected = root(tmp_path / "m.safetensors")
    for seed in range(100):
        rng = np.random.default_rng(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        names = rng.permutation(list(found))
        pieces = np.array_split(names, rng.integers(1, 6))
        for i, piece in enumerate(pieces):
            shard = {str(name): found[str(name)] for name in piece}
            safetensors.numpy.save_file(shard, folder / f"s{i}.safetensors", {"seed": str(seed)})
        if seed % 2:
            index = {"weight_map": {str(n): f"s{i}.safetensors" for i, piece in enumerate(pieces) for n in piece}}
            (folder / "model.safetensors.index.json").write_text(json.dumps(index))

        assert root(folder) == expected


def test_one_flipped_bit_is_found_in_its_layer(tmp_path: Path) -> None:
    """Of a hundred random bits, each changes the root and is named with its tensor."""
    safetensors.numpy.save_file(arrays(), tmp_path / "m.safetensors")
    data = (tmp_path / "m.safetensors").read_bytes()
    before = digests.digest(reading.read(tmp_path / "m.safetensors"))
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    rng = np.random.default_rng(1)
    for _ in range(100):
        at = int(rng.integers(start, len(data)))
        other = bytearray(data)
        other[at] ^= 1 << int(rng.integers(8))
        (tmp_path / "other.safetensors").write_bytes(other)
        after = digests.digest(reading.read(tmp_path / "other.safetensors"))
        (name,) = (n for n, e in header.items() if e["data_offsets"][0] <= at - start < e["data_offsets"][1])

        assert after.root != before.root
        assert digests.changed(before, after) == {name.rpartition(".")[0]: [name]}


def test_torch_and_safetensors_agree(tmp_path: Path, network: torch.nn.Module) -> None:
    """A state dict, its strided copy, an exported program and safetensors of the same weights have one root."""
    state = network.state_dict()
    safetensors.numpy.save_file({n: t.numpy() for n, t in state.items()}, tmp_path / "m.safetensors")
    torch.save(state, tmp_path / "m.pt")
    strided = {n: t.transpose(0, 1).contiguous().transpose(0, 1) if t.ndim > 1 else t for n, t in state.items()}
    torch.save(
        {n: torch.nn.Parameter(t) if t.is_floating_point() else t for n, t in strided.items()}, tmp_path / "s.pt"
    )
    torch.export.save(torch.export.export(network, (torch.zeros(2, 3, 8, 8),)), tmp_path / "m.pt2")

    assert len({root(tmp_path / name) for name in ("m.safetensors", "m.pt", "s.pt", "m.pt2")}) == 1


def test_types_of_torch_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    """bfloat16, integers, booleans and scalars of a nested state dict keep their names and bytes."""
    state = {"a": {"b": torch.ones(3, dtype=torch.bfloat16)}, "c": torch.tensor(7), "d": torch.tensor([True]), "e": 3}
    torch.save(state, tmp_path / "m.pt")
    found = {t.name: (t.dtype, t.shape, bytes(t.data)) for t in reading.read(tmp_path / "m.pt")}

    assert found == {
        "a.b": ("BF16", (3,), b"\x80\x3f" * 3), "c": ("I64", (), (7).to_bytes(8, "little")), "d": ("BOOL", (1,), b"\1"),
    }  # fmt: skip


def test_forests_of_skops_are_the_same_however_they_are_packed(tmp_path: Path) -> None:
    """A forest saved again, or compressed, has the same root; another forest has not."""
    rng = np.random.default_rng(0)
    x = rng.random((60, 4))
    forest = RandomForestClassifier(3, random_state=0).fit(x, x[:, 0] > 0.5)
    skops.io.dump(forest, tmp_path / "a.skops")
    trusted = skops.io.get_untrusted_types(file=tmp_path / "a.skops")
    again = skops.io.load(tmp_path / "a.skops", trusted=trusted)
    skops.io.dump(again, tmp_path / "b.skops", compression=zipfile.ZIP_DEFLATED)
    skops.io.dump(RandomForestClassifier(3, random_state=1).fit(x, x[:, 0] > 0.5), tmp_path / "c.skops")
    thresholds = next(
        t for t in reading.read(tmp_path / "a.skops") if t.name.endswith("estimators_.0.tree_.nodes.threshold")
    )

    assert root(tmp_path / "a.skops") == root(tmp_path / "b.skops") != root(tmp_path / "c.skops")
    assert bytes(thresholds.data) == forest.estimators_[0].tree_.threshold.tobytes()


def onnx_model(weight: np.ndarray, *, raw: bool) -> onnx.ModelProto:
    tensor = onnx.numpy_helper.from_array(weight, "w")
    if not raw:
        tensor = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, weight.shape, weight.ravel().tolist())
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, weight.shape[0]])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, weight.shape[1]])
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    return onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y], [tensor]))


def test_onnx_has_the_digest_of_its_tensors_however_they_are_written(tmp_path: Path) -> None:
    """Raw bytes, typed numbers, a file beside it, and safetensors of the same tensor have one root."""
    weight = np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)
    onnx.save(onnx_model(weight, raw=True), tmp_path / "raw.onnx")
    onnx.save(onnx_model(weight, raw=False), tmp_path / "typed.onnx")
    outside = onnx_model(weight, raw=True)
    onnx.save(outside, tmp_path / "outside.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    safetensors.numpy.save_file({"w": weight}, tmp_path / "m.safetensors")
    roots = {root(tmp_path / name, external_data=True) for name in ("raw.onnx", "typed.onnx", "outside.onnx")}

    assert roots == {root(tmp_path / "m.safetensors")}
    with pytest.raises(BadData, match="--external-data"):
        root(tmp_path / "outside.onnx")


@pytest.mark.parametrize("place", ["../secret.bin", "/etc/hostname", "link.bin", "", "w\0.bin"])
def test_onnx_data_outside_the_folder_is_refused(tmp_path: Path, place: str) -> None:
    """Paths that climb, absolute ones and links out of the folder are never followed, even when data beside is."""
    (tmp_path / "secret.bin").write_bytes(bytes(2400))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    model = onnx_model(np.zeros((30, 20), np.float32), raw=True)
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], place)
    model.graph.initializer[0].ClearField("raw_data")
    (folder / "m.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(BadData, match="same folder"):
        root(folder / "m.onnx", external_data=True)


@pytest.mark.parametrize("attack", weights_mutants.ATTACKS, ids=lambda attack: attack.__name__)
def test_attacks_are_refused(tmp_path: Path, attack: weights_mutants.Attack) -> None:
    """Files that want to run code, fill the memory, or reach other files are refused, and nothing happens."""
    canary = tmp_path / "canary"

    with pytest.raises(BadData):
        root(attack(tmp_path, canary))
    assert not canary.exists()


def test_mutants_are_read_or_refused_within_limits(tmp_path: Path) -> None:
    """Some hundred broken files of each format: none crashes the reader, runs, opens another file or takes long."""
    weights_mutants.make_seeds(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.weights_mutants", str(tmp_path), "--count", "400", "--seed", "5"],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["mutants"] == 400
    assert (found["executions"], found["reads_outside"], found["crashes"]) == (0, 0, 0)
    assert found["slowest_seconds"] <= 2
    assert found["peak_mib"] <= 256
    assert 0 < found["refused"] < 400


def test_a_pickle_that_closes_what_it_never_opened_is_refused(tmp_path: Path) -> None:
    """Instructions that take from an empty stack are a damaged file, not a crash."""
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02}u.")

    with pytest.raises(BadData, match="without a beginning"):
        root(tmp_path / "m.pt")
