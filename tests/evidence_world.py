"""
A bundle with everything a bundle can hold, made from a small case whose suspect answers over HTTP.

`python tests/evidence_world.py tests/data/bundle-N` makes the sample of a version, once, before its release: later
releases must read it as it is, so it is never made again.
"""

import copy
import sys
import warnings
from pathlib import Path
from typing import Any, Final, NamedTuple

import claims_world as w
from probe_match.clients import oip, sklearn
from probe_match.fingerprinting import oip_server, storage, weight_changes
from probe_match.fingerprinting.claims import files, running
from probe_match.fingerprinting.evidence import archive, bundle, exchanges, stamping, timestamps
from probe_match.fingerprinting.evidence.archive import Files
from probe_match.fingerprinting.evidence.timestamps import Authority
from sklearn.neural_network import MLPClassifier

from benchmarks import local_tsa

SAMPLE: Final = Path(__file__).parent / "data" / "bundle-2"


class Sample(NamedTuple):
    """A bundle on the disk, the key that sealed it, who is pinned, and tokens of somebody who is not."""

    files: Files
    pem: bytes
    trusted: tuple[Authority, Authority]
    foreign: dict[str, bytes]


def load(folder: Path = SAMPLE) -> Sample:
    """The sample of a version."""
    north, south = (timestamps.authority(folder / f"{name}.pem") for name in ("north", "south"))
    foreign = {bundle.token_name(link, 1): (folder / f"foreign-{link}.tsr").read_bytes() for link in (1, 2)}
    return Sample(
        archive.read(folder / "opened.mfpb"), (folder / "seal.pem").read_bytes(), (north, south), foreign
    )  # fmt: skip


def models() -> tuple[Any, Any, Any]:
    """An owner's network, a copy that its owner made as a control, and a thief's; copies with rounded weights."""
    network = MLPClassifier((16,), max_iter=150, learning_rate_init=0.01, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # short of convergence
        network.fit(w.POOL.x, w.POOL.y)
    copies = copy.deepcopy(network), copy.deepcopy(network)
    for bits, one in zip((8, 7), copies, strict=True):
        weight_changes.quantise(weight_changes.parts_of(one), bits, "symmetric")

    return network, *copies


def make(folder: Path, work: Path) -> None:
    """Run a case, have it stamped, open it, and write down all that checking it needs."""
    folder.mkdir(parents=True, exist_ok=True)
    network, own, thief = models()
    source = sklearn.wrap(network, name="mine")
    generator = running.generator_for(source, "targeted", 128, 256)
    with oip_server.serve({"stolen": thief.predict}, (4,)) as url:
        suspect = oip.connect(f"{url}/v2/models/stolen")
        world = w.run(
            work, suspect, (sklearn.wrap(own, name="copy"), "copy"), source=source,
            committed=w.commit(generator=generator, source=source),
        )  # fmt: skip
        suspect.close()
    authorities = [local_tsa.make(work / name, name) for name in ("north", "south", "foreign")]
    book = work / "cases.jsonl"
    storage.write_file(book, world.closed[files.BOOK])
    stamping.stamp(book, [authority.stamp for authority in authorities[:2]])
    tokens = stamping.tokens(book, 2)
    answers = {bundle.EXCHANGES: exchanges.of_case(work, world.private[files.LEAVES])}
    closed = bundle.close(world.closed, w.PEM, did="run", tokens=tokens)
    opened = bundle.close(
        w.opened(world) | answers, w.PEM, did="reveal", why="sample", log=closed[bundle.CUSTODY], tokens=tokens
    )
    archive.write(folder / "closed.mfpb", closed)
    archive.write(folder / "opened.mfpb", opened)
    (folder / "seal.pem").write_bytes(w.PEM)
    for authority in authorities[:2]:
        (folder / f"{authority.trusted.name}.pem").write_bytes((authority.folder / "root.pem").read_bytes())
    for link, line in enumerate(world.closed[files.BOOK].splitlines(), 1):
        (folder / f"foreign-{link}.tsr").write_bytes(authorities[2].stamp(line))


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        make(Path(sys.argv[1]), Path(place))
