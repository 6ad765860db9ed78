"""
Evidence cannot be altered: a bundle is changed byte by byte and in ten thousand meant ways; nothing may be accepted.

`python -m benchmarks.bundle_edits --output benchmarks/bundle_edits.json` takes the sample of this version and has three
people change it: somebody without any key, somebody who seals it with a key of his own, and the owner, who seals it
anew with the right one but cannot turn back the time. Both verifiers judge each: ours, and docs/second_verifier.py.
"""

import argparse
import importlib.util
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from probe_match.fingerprinting.errors import ProbeMatchError
from probe_match.fingerprinting.evidence import archive, checking, timestamps

from .bundle_changes import CHANGES, SEAL, Sample, sealed_anew

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "tests" / "data" / "bundle-2"
SEED = 20
EDITS = 10_000
PEOPLE = ("no key", "another key", "owner")


def second() -> Any:
    """The second verifier as a module."""
    spec = importlib.util.spec_from_file_location("second_verifier", ROOT / "docs" / "second_verifier.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Judges:
    """Both verifiers, with the same roots and the same owner expected."""

    def __init__(self, folder: Path, owner: str) -> None:
        self.roots = [folder / "north.pem", folder / "south.pem"]
        self.trusted = [timestamps.authority(root) for root in self.roots]
        self.owner = owner
        self.other = second()

    def first(self, data: bytes) -> bool:
        """What `claim verify --owner --tsa-root --tsa-root` says: whether its exit code is 0."""
        try:
            return checking.check(archive.unpack(data, "it"), "it", self.trusted, self.owner).complete
        except ProbeMatchError:
            return False

    def second(self, data: bytes) -> bool:
        """What the second verifier says, its key compared with the owner's."""
        try:
            return bool(self.other.check(data, list(map(str, self.roots))) == self.owner)
        except Exception:  # noqa: BLE001 - it says no by whatever it raises
            return False


def load(folder: Path = SAMPLE) -> Sample:
    """The sample, and what the three people hold."""
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    foreign = [(folder / f"foreign-{link}.tsr").read_bytes() for link in (1, 2)]
    return Sample(archive.read(folder / "opened.mfpb"), (folder / "seal.pem").read_bytes(), other, foreign)


def owner_of(sample: Sample) -> str:
    """The public key in the seal."""
    return str(json.loads(sample.files["statement.dsse.json"])["signatures"][0]["keyid"])


def edits(sample: Sample, count: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Who, what he changed, and the bundle then; changes that change nothing are drawn again."""
    rng = np.random.default_rng(seed)
    names, whole = sorted(CHANGES), archive.pack(sample.files)
    made = 0
    while made < count:
        name, who = names[made % len(names)], PEOPLE[int(rng.integers(3))]
        changed = CHANGES[name](sample, rng)
        if isinstance(changed, dict):
            if {**changed, SEAL: b""} == {**sample.files, SEAL: b""} and (who == "owner" or changed == sample.files):
                continue  # sealed anew by the same owner it would be the same bundle
            pem = {"owner": sample.pem, "another key": sample.other}.get(who)
            changed = archive.pack(changed if pem is None else sealed_anew(changed, pem))
        if changed != whole:
            made += 1
            yield who, name, changed


def bytewise(data: bytes, step: int, seed: int) -> Iterator[bytes]:
    """The file with one byte changed, at every step-th place."""
    flips = np.random.default_rng(seed).integers(1, 256, len(data))
    for place in range(0, len(data), step):
        yield data[:place] + bytes([data[place] ^ int(flips[place])]) + data[place + 1 :]


def repacked(sample: Sample, step: int, seed: int) -> Iterator[bytes]:
    """The files with one byte changed at every step-th place of each, in a zip that is right again."""
    flips = np.random.default_rng(seed).integers(1, 256, 1 << 20)
    for name, body in sample.files.items():
        for place in range(0, len(body), step):
            changed = body[:place] + bytes([body[place] ^ int(flips[place])]) + body[place + 1 :]
            yield archive.pack(sample.files | {name: changed})


def judged(judges: Judges, cases: Iterator[Any], say: Callable[[int], None] = lambda _: None) -> dict[str, int]:
    """How many were tried, accepted by either, and judged alike by both."""
    found: Counter[str] = Counter(tried=0, accepted_by_first=0, accepted_by_second=0, disagreements=0)
    for case in cases:
        data = case[-1] if isinstance(case, tuple) else case
        first, other = judges.first(data), judges.second(data)
        found.update(tried=1, accepted_by_first=first, accepted_by_second=other, disagreements=first != other)
        if (first or other) and isinstance(case, tuple):
            found.update({f"accepted: {case[0]}, {case[1]}": 1})
        say(found["tried"])

    return dict(found)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--edits", type=int, default=EDITS)
    parser.add_argument("--step", type=int, default=1, help="change every step-th byte")
    given = parser.parse_args()
    sample = load()
    data, judges, start = archive.pack(sample.files), Judges(SAMPLE, owner_of(sample)), time.perf_counter()
    unchanged = [judges.first(data), judges.second(data)]
    if unchanged != [True, True]:
        raise SystemExit("the sample itself is refused: nothing would be learnt from refusing its changes")
    told: dict[str, Any] = {"seed": SEED, "bundle_bytes": len(data), "unchanged_accepted": unchanged}
    parts = {
        "structured": lambda: edits(sample, given.edits, SEED),
        "repacked_bytes": lambda: repacked(sample, given.step * 8, SEED),
        "bytes": lambda: bytewise(data, given.step, SEED),
    }
    for name, cases in parts.items():
        began = time.perf_counter()
        told[name] = judged(judges, cases()) | {"seconds": round(time.perf_counter() - began, 1)}
        print(name, told[name], flush=True)
        told["changes"] = sorted(CHANGES)
        told["seconds"] = round(time.perf_counter() - start, 1)
        if given.output is not None:
            given.output.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
