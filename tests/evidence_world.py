"""
A bundle with everything a bundle can hold, made from a small case whose suspect answers over HTTP.

`python tests/evidence_world.py tests/data/bundle-N` makes the sample of a version, once, before its release: later
releases must read it as it is, so it is never made again.
"""

import sys
from pathlib import Path
from typing import Final, NamedTuple

import claims_world as w
from probe_match.clients import oip
from probe_match.fingerprinting import oip_server, storage
from probe_match.fingerprinting.claims import files, segments
from probe_match.fingerprinting.evidence import archive, bundle, exchanges, stamping, timestamps
from probe_match.fingerprinting.evidence.archive import Files
from probe_match.fingerprinting.evidence.timestamps import Authority

from benchmarks import local_tsa

SAMPLE: Final = Path(__file__).parent / "data" / "bundle-1"
GENERATOR: Final = segments.symmetric("targeted", 96, 224)


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


def make(folder: Path, work: Path) -> None:
    """Run a case, have it stamped, open it, and write down all that checking it needs."""
    folder.mkdir(parents=True, exist_ok=True)
    with oip_server.serve({"stolen": w.nearest(0, rounded=True)}, (4,)) as url:
        suspect = oip.connect(f"{url}/v2/models/stolen")
        world = w.run(
            work, suspect, (w.client(0, "copy", rounded=True), "copy"), committed=w.commit(generator=GENERATOR)
        )
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
