"""
All that is measured on weights: speed and invariance of digests, mutants of files, marks.

    python -m benchmarks.weights [--zoo FOLDER] [--seeds 11 12 13] --output benchmarks/weights.json
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from probe_match.fingerprinting.bench.measures import wilson
from probe_match.fingerprinting.weights import digests, reading

from benchmarks import weights_mutants


def speed(folder: Path) -> float:
    """Million bytes hashed in a second of one core: the middle of five runs over 256 MiB."""
    rng = np.random.default_rng(0)
    tensors = {f"layer{i}.weight": rng.random(2 << 20, dtype=np.float32) for i in range(32)}
    safetensors.numpy.save_file(tensors, folder / "big.safetensors")
    rates = []
    for _ in range(5):
        start = time.process_time()
        digests.digest(reading.read(folder / "big.safetensors"))
        rates.append((256 << 20) / 1e6 / (time.process_time() - start))

    return round(sorted(rates)[2], 1)


def invariance(folder: Path, trials: int = 100) -> dict[str, Any]:
    """Trials in which saving and sharding anew kept the root, and in which one flipped bit was found in its layer."""
    rng = np.random.default_rng(1)
    tensors = {
        f"block{i}.{part}": rng.normal(size=size).astype(np.float32)
        for i in range(12) for part, size in (("weight", (16, 24)), ("bias", (16,)))
    }  # fmt: skip
    path = folder / "m.safetensors"
    safetensors.numpy.save_file(tensors, path)
    before = digests.digest(reading.read(path))
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    same = found = 0
    for trial in range(trials):
        shards = folder / f"shards{trial}"
        shards.mkdir()
        for i, names in enumerate(np.array_split(rng.permutation(list(tensors)), rng.integers(1, 8))):
            piece = {str(n): tensors[str(n)] for n in names}
            safetensors.numpy.save_file(piece, shards / f"{i}.safetensors", {"trial": str(trial)})
        same += digests.digest(reading.read(shards)).root == before.root
        at = int(rng.integers(start, len(data)))
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(rng.integers(8))
        (folder / "flipped.safetensors").write_bytes(flipped)
        (name,) = (n for n, e in header.items() if e["data_offsets"][0] <= at - start < e["data_offsets"][1])
        changed = digests.changed(before, digests.digest(reading.read(folder / "flipped.safetensors")))
        found += changed == {name.rpartition(".")[0]: [name]}

    return {
        "trials": trials, "same_root": same, "same_root_interval": wilson(same, trials), "flip_found": found,
        "flip_found_interval": wilson(found, trials), "seed": 1,
    }  # fmt: skip


READ = """
import sys, time, json
from pathlib import Path
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.weights import digests, reading
start = time.perf_counter()
try:
    digests.digest(reading.read(Path(sys.argv[1]), external_data=True))
    refused = False
except BadData:
    refused = True
peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) >> 10
print(json.dumps({"refused": refused, "seconds": round(time.perf_counter() - start, 3), "peak_mib": peak}))
"""


def attacks(folder: Path) -> dict[str, Any]:
    """Each hand-made attack, read by a process of its own."""
    found = {}
    for attack in weights_mutants.ATTACKS:
        own = folder / attack.__name__
        own.mkdir()
        path = attack(own, own / "canary")
        done = subprocess.run([sys.executable, "-c", READ, path], check=True, stdout=subprocess.PIPE)
        found[attack.__name__] = json.loads(done.stdout) | {"executed": (own / "canary").exists()}

    return found


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", action="append", default=[])
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--seeds", nargs="*", default=["11", "12", "13"])
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    found: dict[str, Any] = {"numpy": np.__version__, "python": sys.version.split()[0]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found["hash_megabytes_per_second"] = speed(folder)
        found["digests"] = invariance(folder)
        found["attacks"] = attacks(folder)
        bad = folder / "mutants"
        bad.mkdir()
        run = [sys.executable, "-m"]
        count = ["--count", str(options.mutants)]
        done = subprocess.run([*run, "benchmarks.weights_mutants", bad, *count], check=True, stdout=subprocess.PIPE)
        found["mutants"] = json.loads(done.stdout)
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")  # the marks take longer
        zoos = [word for zoo in options.zoo for word in ("--zoo", zoo)]
        marks = ["--seeds", *options.seeds, *zoos, "--output", str(folder / "marks.json")]
        subprocess.run([*run, "benchmarks.weights_marks", *marks], check=True, stdout=subprocess.DEVNULL)
        found["marks"] = json.loads((folder / "marks.json").read_text(encoding="utf-8"))
    options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
