"""Closing a case that was run, and opening it later: all of it with the owner's key, or single leaves."""

from collections.abc import Sequence

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.evidence import merkle
from probe_match.fingerprinting.records import Pool

from . import books, cases, commitments, files, keys, verifying
from .cases import Case, Probes
from .files import Files


def reveal(closed: Files, private: Files, key: keys.OwnerKey, only: Sequence[int] = ()) -> Files:
    """
    The case opened: by its key, or only some leaves, by index. private: what `run` kept beside it.

    Raises BadData for another case's, and for leaves that are not there.
    """
    book = books.opened(closed[files.BOOK], files.BOOK)
    run, commitment = commitments.read_run(book.links[-1]), commitments.read(book.links[-2])
    salts = cases.seed(commitment, key, run.beacon, "leaves")
    leaves = private[files.LEAVES].split(b"\n")[:-1]
    if verifying.root_of(salts, leaves).hex() != run.root:
        raise BadData("what was kept is of another case than the one to be opened")
    if not only:
        return {**closed, **private, files.KEY: key.reveal().encode() + b"\n"}
    wrong = [index for index in only if not 0 <= index < len(leaves)]
    if wrong:
        raise BadData(f"expected leaves from 0 to {len(leaves) - 1}, got {wrong[0]}")
    digests = [merkle.leaf(keys.salt(salts, i), line) for i, line in enumerate(leaves)]
    some = [
        {"index": i, "leaf": files.parse(leaves[i], f"leaf {i}"), "salt": keys.salt(salts, i).hex(),
         "path": [step.hex() for step in merkle.path(digests, i)]}
        for i in sorted(set(only))
    ]  # fmt: skip

    return {**{name: closed[name] for name in files.CLOSED}, files.SOME: storage.canonical_json(some)}


def close(
    case: Case, probes: Probes, pool: Pool, key: keys.OwnerKey, book: books.Book, pem: bytes
) -> tuple[Files, Files, books.Book]:
    """A case that was run: what may be handed over, what is kept for revealing it, and the book with its run."""
    result = cases.conclude(case, probes)
    leaves = case.leaves()
    root = verifying.root_of(cases.seed(case.commitment, key, case.beacon, "leaves"), leaves)
    link = commitments.run_of(case.commitment, case.beacon, result, root.hex(), len(leaves))
    book = books.extended(book, link, pem)
    closed = {files.BOOK: files.joined(book.envelopes), files.RESULT: storage.canonical_json(result)}
    private = {
        files.POOL: storage.to_bytes(pool),
        files.DERIVATION: storage.canonical_json(case.derivation),
        files.LEAVES: b"".join(leaf + b"\n" for leaf in leaves),
    }

    return closed, private, book
