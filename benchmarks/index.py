"""
A maintained approximate index (HNSW, as pgvector and hnswlib have it) against the exact search: recall, time, memory.

    pip install hnswlib; python benchmarks/index.py [--output FILE] [--references 5000] [--suspects 100]

An index knows distances, not our score: each reference is the one-hot of its answers, weighed so that the inner product
with a suspect's is the gain of equal answers at one retention. That is the most favourable translation there is; the
true nearest are those of the definition, at five retentions.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any, Final

import hnswlib
import numpy as np
from probe_match.fingerprinting import packing, searching
from scale import CLASSES, PROBES, answers

BEST: Final = 10
LOOKED_AT: Final = (64, 256, 1024)  # ef: how many the index keeps in view
CONSTRUCTION: Final = {"ef_construction": 100, "M": 16}  # pgvector's usual are 64 and 16


def vectors(labels: np.ndarray, packed: packing.Packed) -> np.ndarray:
    """float32 (m, probes x classes): of labels (m, probes), the root of what an equal answer gains."""
    shares = (packed.counts + 2 / CLASSES) / (packed.counts.sum(1, keepdims=True) + 2)
    keep = searching.WEIGHED
    gain = np.log((keep + (1 - keep) * shares) / shares) - np.log(1 - keep)
    out = np.zeros((len(labels), PROBES, CLASSES), np.float32)
    rows, probes = np.arange(len(labels))[:, None], np.arange(PROBES)
    out[rows, probes, labels] = np.sqrt(gain[probes, labels])
    return out.reshape(len(labels), -1)


def measure(m: int, suspects: int) -> dict[str, Any]:
    """Copies that answer three tenths otherwise, and strangers, asked of both."""
    rng = np.random.default_rng(1)
    packed = packing.counted(answers(m), CLASSES)
    known = packed.rows.T.astype(np.int64)
    copies = np.where(rng.random((suspects, PROBES)) < 0.3, rng.integers(0, CLASSES, (suspects, PROBES)),
                      known[rng.integers(m, size=suspects)])  # fmt: skip
    asked = {"copies": copies, "strangers": rng.integers(0, CLASSES, (suspects, PROBES))}
    index = hnswlib.Index("ip", PROBES * CLASSES)
    index.init_index(m, random_seed=0, **CONSTRUCTION)
    started = time.process_time()
    index.add_items(vectors(known, packed), num_threads=1)
    found: dict[str, Any] = {
        "references": m, "suspects": suspects, "index": f"hnswlib {CONSTRUCTION}",
        "build_processor_s": round(time.process_time() - started, 2),
        "index_bytes_over_packed": round(index.index_file_size() / packed.rows.nbytes, 1),
    }  # fmt: skip
    for kind, labels in asked.items():
        spent = []
        exact = []
        for one in labels:
            started = time.process_time()
            exact.append(searching.nearest(packed, one, BEST))
            spent.append(time.process_time() - started)
        found[kind] = {"exact_ms": round(1e3 * float(np.median(spent)), 3)}
        put = vectors(labels, packed)
        for ef in LOOKED_AT:
            index.set_ef(ef)
            spent, hits, first = [], 0, 0
            for one, best in zip(put, exact, strict=True):
                started = time.process_time()
                near = index.knn_query(one, k=BEST, num_threads=1)[0][0]
                spent.append(time.process_time() - started)
                hits += len(set(near.tolist()) & set(best.tolist()))
                first += int(best[0] in near)
            found[kind][f"ef_{ef}"] = {
                "ms": round(1e3 * float(np.median(spent)), 3), "recall_at_10": round(hits / (BEST * suspects), 3),
                "nearest_found": round(first / suspects, 3),
            }  # fmt: skip
    return found


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--references", type=int, default=5000)
    parser.add_argument("--suspects", type=int, default=100)
    options = parser.parse_args()
    figures = measure(options.references, options.suspects)
    options.output.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
